//! A server in memory, in process or over TLS.

pub use testkit::control_plane::embedded::{Server, start, start_on};

/// Returns a token of a service account of `shop` that was good until an hour ago.
pub fn expired_token(server: &Server, account: &str) -> String {
    let until = server.clock.now().as_second() - 3600;
    let name = pki::token::Reference { name: account.into(), uid: "u".into() };
    let claims = pki::token::Claims {
        iss: server.tokens.issuer().into(),
        sub: format!("system:serviceaccount:shop:{account}"),
        aud: vec![server.tokens.issuer().into()],
        exp: until,
        iat: until - 3600,
        nbf: until - 3600,
        jti: "j".into(),
        kubernetes: pki::token::Bound { namespace: "shop".into(), serviceaccount: name, pod: None, secret: None },
    };
    server.tokens.sign(&claims).expect("a token")
}

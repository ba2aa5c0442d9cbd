//! What others need to verify our service-account tokens: OpenID Connect discovery.

use pki::token::Signer;
use serde_json::{Value, json};

/// Returns the document at a path, for a server that is reached at `url`; `None` if the path is none of these.
pub fn document(signer: &Signer, url: &str, path: &str) -> Option<Value> {
    match path.trim_end_matches('/') {
        "/.well-known/openid-configuration" => Some(json!({
            "issuer": signer.issuer(),
            "jwks_uri": format!("{}/openid/v1/jwks", url.trim_end_matches('/')),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })),
        "/openid/v1/jwks" => Some(signer.jwks()),
        _ => None,
    }
}

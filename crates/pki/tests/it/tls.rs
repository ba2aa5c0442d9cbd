use std::io::{Read, Write};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use crate::certificates::pem_der;
use crate::{HOUR, authority, now};

/// Runs a handshake in memory, then one byte each way; returns the client's certificate and the protocol.
fn connect(client: ClientConfig, server: ServerConfig, name: &'static str) -> Result<(Option<Vec<u8>>, Vec<u8>), rustls::Error> {
    let mut client = ClientConnection::new(Arc::new(client), name.try_into().unwrap())?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    client.writer().write_all(b"x").unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    let mut byte = [0];
    server.reader().read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
    let certificate = server.peer_certificates().map(|c| c[0].to_vec());
    Ok((certificate, server.alpn_protocol().unwrap_or_default().to_vec()))
}

#[test]
fn a_client_shows_its_certificate_and_speaks_http2() {
    let ca = authority();
    let serving = ca.sign_server(&["localhost".into(), "127.0.0.1".into()], now(), HOUR).unwrap();
    let issued = ca.sign_client("a", &["b"], now(), HOUR).unwrap();
    for name in ["localhost", "127.0.0.1"] {
        let client = pki::tls::client_config(ca.certificate_pem().as_bytes(), Some((&issued.certificate_pem, &issued.key))).unwrap();
        let (certificate, protocol) = connect(client, pki::tls::server_config(&serving, &ca).unwrap(), name).unwrap();
        assert_eq!(certificate.unwrap(), pem_der(&issued.certificate_pem));
        assert_eq!(protocol, b"h2");
    }
}

#[test]
fn a_client_needs_no_certificate_and_refuses_a_wrong_server() {
    let (ca, other) = (authority(), authority());
    let serving = ca.sign_server(&["localhost".into()], now(), HOUR).unwrap();
    let server = || pki::tls::server_config(&serving, &ca).unwrap();
    let anonymous = |roots: &pki::Authority| pki::tls::client_config(roots.certificate_pem().as_bytes(), None).unwrap();
    assert_eq!(connect(anonymous(&ca), server(), "localhost").unwrap().0, None);
    assert!(connect(anonymous(&other), server(), "localhost").is_err());
    assert!(connect(anonymous(&ca), server(), "elsewhere").is_err());
}

#[test]
fn an_expired_client_certificate_passes_the_handshake_and_fails_authentication() {
    let ca = authority();
    let serving = ca.sign_server(&["localhost".into()], now(), HOUR).unwrap();
    let issued = ca.sign_client("a", &["b"], now() - 3 * HOUR, HOUR).unwrap();
    let client = pki::tls::client_config(ca.certificate_pem().as_bytes(), Some((&issued.certificate_pem, &issued.key))).unwrap();
    let (certificate, _) = connect(client, pki::tls::server_config(&serving, &ca).unwrap(), "localhost").unwrap();
    let refusal = ca.verify_client(&certificate.unwrap(), &[], now()).unwrap_err();
    assert!(refusal.to_string().contains("expired at"), "{refusal}");
}

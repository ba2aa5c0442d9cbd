//! rustls configurations: HTTP/2 and HTTP/1.1, with client certificates where there are any.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{Authority, Error, Issued, Key, pem};

const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Makes aws-lc-rs the process's cryptography; later calls do nothing. Programs call it first.
pub fn install_provider() {
    // An error means that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Returns the configuration of a server that asks for client certificates.
///
/// The handshake proves that the client holds its certificate's key. Whether the certificate is
/// valid is decided per request ([`Authority::verify_client`]), so that an expired one is answered
/// with a 401 that says so, not with a broken connection.
pub fn server_config(issued: &Issued, clients: &Authority) -> Result<ServerConfig, Error> {
    let chain = pem::certificates(issued.certificate_pem.as_bytes())?;
    let verifier = ProofOfPossession { hints: vec![hint(clients)], provider: provider() };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, issued.key.der())?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

/// Returns the configuration of a client that trusts the authorities in `roots_pem`,
/// and shows a certificate (chain, PEM) if it has one.
pub fn client_config(roots_pem: &[u8], certificate: Option<(&str, &Key)>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for root in pem::certificates(roots_pem)? {
        roots.add(root)?;
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut config = match certificate {
        Some((chain, key)) => builder.with_client_auth_cert(pem::certificates(chain.as_bytes())?, key.der())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

/// Accepts any client certificate whose key the client holds.
#[derive(Debug)]
struct ProofOfPossession {
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

/// Returns the authority's name as rustls takes it: it wraps the contents of the sequence itself.
fn hint(authority: &Authority) -> DistinguishedName {
    let der = authority.subject_der();
    let header = if der[1] < 0x80 { 2 } else { 2 + usize::from(der[1] & 0x7f) };
    DistinguishedName::in_sequence(&der[header..])
}

impl ClientCertVerifier for ProofOfPossession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

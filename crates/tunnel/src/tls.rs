//! TLS settings from PEM: whom to trust, whom to be.
//!
//! Certificates and keys in files are read at every dial, so that a rotated one is used; data never changes.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::Error;
use crate::endpoint::bad;

pub(crate) struct TlsSettings {
    pub server_name: ServerName<'static>,
    /// `None`: what the machine trusts.
    pub roots: Option<Pem>,
    /// Certificate chain and key.
    pub identity: Option<(Pem, Pem)>,
    /// The kubeconfig says `insecure-skip-tls-verify: true`.
    pub is_insecure: bool,
}

pub(crate) enum Pem {
    Data { field: &'static str, bytes: Vec<u8> },
    File { field: &'static str, path: PathBuf },
}

impl Pem {
    fn read(&self) -> Result<std::borrow::Cow<'_, [u8]>, Error> {
        match self {
            Pem::Data { bytes, .. } => Ok(bytes.into()),
            Pem::File { field, path } => std::fs::read(path).map(Into::into).map_err(|e| bad(format!("{field} {}: {e}", path.display()))),
        }
    }

    fn field(&self) -> &'static str {
        match self {
            Pem::Data { field, .. } | Pem::File { field, .. } => field,
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&self.read()?)
            .collect::<Result<_, _>>()
            .map_err(|e| bad(format!("{} is not PEM: {e}", self.field())))?;
        if certificates.is_empty() { Err(bad(format!("{} holds no certificate", self.field()))) } else { Ok(certificates) }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|e| bad(format!("{} holds no private key: {e}", self.field())))
    }
}

impl TlsSettings {
    /// Whether [`TlsSettings::client_config`] may say something else tomorrow.
    pub(crate) fn reads_files(&self) -> bool {
        let is_file = |pem: &Pem| matches!(pem, Pem::File { .. });
        self.roots.as_ref().is_some_and(is_file)
            || self.identity.as_ref().is_some_and(|(certificate, key)| is_file(certificate) || is_file(key))
    }

    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| bad(format!("TLS: {e}")))?;
        let builder = match (&self.roots, self.is_insecure) {
            (_, true) => builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(algorithms))),
            (Some(pem), false) => builder.with_root_certificates(root_store(pem)?),
            (None, false) => builder.with_platform_verifier().map_err(|e| bad(format!("certificate-authority is missing, and {e}")))?,
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificate.certificates()?, key.key()?)
                .map_err(|e| bad(format!("users[].user.client-certificate and client-key do not fit: {e}")))?,
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn root_store(pem: &Pem) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in pem.certificates()? {
        roots.add(certificate).map_err(|e| bad(format!("{}: {e}", pem.field())))?;
    }
    Ok(roots)
}

/// For `insecure-skip-tls-verify`: anyone may be the server, but it must hold the key it shows.
#[derive(Debug)]
struct AcceptAny(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

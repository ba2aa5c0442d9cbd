//! The certificate authority.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

use crate::{BACKDATE, Error, Identity, Key, Request, der, files, pem, tls};

const KEY_USAGE: [u32; 4] = [2, 5, 29, 15];
const EXTENDED_KEY_USAGE: [u32; 4] = [2, 5, 29, 37];
const BASIC_CONSTRAINTS: [u32; 4] = [2, 5, 29, 19];
const ALTERNATIVE_NAMES: [u32; 4] = [2, 5, 29, 17];
const SUBJECT_KEY_ID: [u32; 4] = [2, 5, 29, 14];
const AUTHORITY_KEY_ID: [u32; 4] = [2, 5, 29, 35];
const SERVER_AUTH: [u32; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: [u32; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 2];

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Client,
    Server,
}

/// A certificate with the key it was issued for.
#[derive(Debug)]
pub struct Issued {
    pub certificate_pem: String,
    pub key: Key,
}

/// A certificate authority: signs, and knows what it signed.
pub struct Authority {
    key: Key,
    certificate: CertificateDer<'static>,
    subject_der: Vec<u8>,
    key_id: Vec<u8>,
    identity: Identity,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// What goes into one certificate.
struct Template<'a> {
    subject_der: &'a [u8],
    public_key_der: &'a [u8],
    /// Not needed for the authority itself.
    usage: Option<Usage>,
    names: &'a [String],
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Authority {
    /// Creates an authority with a new key.
    pub fn create(common_name: &str, now: Timestamp, validity: SignedDuration) -> Result<Self, Error> {
        let key = Key::generate()?;
        let subject_der = der::name(common_name, &[] as &[&str]);
        let public_key_der = key.public_key_info();
        let template = Template {
            subject_der: &subject_der,
            public_key_der: &public_key_der,
            usage: None,
            names: &[],
            not_before: now - BACKDATE,
            not_after: now.saturating_add(validity).unwrap_or(Timestamp::MAX),
        };
        let certificate = template.sign(&key, &subject_der, &key_id(&key))?;
        Self::of(certificate.into(), key)
    }

    /// Reads an authority from PEM.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let certificate = pem::certificates(certificate.as_bytes())?.swap_remove(0);
        Self::of(certificate, Key::from_pem(key)?)
    }

    pub fn load(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let text = |path| Ok::<_, Error>(String::from_utf8_lossy(&files::read(path)?).into_owned());
        Self::from_pem(&text(certificate)?, &text(key)?)
    }

    /// Writes both files, the key readable by its owner only.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), Error> {
        files::write_secret(key, self.key.pem().as_bytes())?;
        files::write_public(certificate, self.certificate_pem().as_bytes())
    }

    fn of(certificate: CertificateDer<'static>, key: Key) -> Result<Self, Error> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|e| Error::malformed("the authority's certificate", e))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_point() {
            return Err(Error::Mismatch);
        }
        let subject_der = parsed.subject().as_raw().to_vec();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
            .build()
            .map_err(|e| Error::malformed("the authority's certificate", e))?;
        let identity = Identity::from_der(&certificate)?;
        Ok(Self { key_id: key_id(&key), key, certificate, subject_der, identity, verifier })
    }

    /// Returns the certificate, which is public.
    pub fn certificate_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.certificate)
    }

    /// Returns the private key; keep it where only the hub can read it.
    pub fn key_pem(&self) -> String {
        self.key.pem()
    }

    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the authority's own name, validity and serial number.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the subject, for the hint that TLS sends to clients.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// Issues a certificate and key for a server with these DNS names and IP addresses.
    pub fn sign_server(&self, names: &[String], now: Timestamp, validity: SignedDuration) -> Result<Issued, Error> {
        let common_name = names.first().map_or("server", String::as_str);
        self.issue(&der::name(common_name, &[] as &[&str]), Usage::Server, names, now, validity)
    }

    /// Issues a certificate and key for a client: a user and their groups.
    pub fn sign_client(
        &self,
        common_name: &str,
        organizations: &[impl AsRef<str>],
        now: Timestamp,
        validity: SignedDuration,
    ) -> Result<Issued, Error> {
        self.issue(&der::name(common_name, organizations), Usage::Client, &[], now, validity)
    }

    fn issue(&self, subject: &[u8], usage: Usage, names: &[String], now: Timestamp, validity: SignedDuration) -> Result<Issued, Error> {
        let key = Key::generate()?;
        let certificate = self.sign(subject, &key.public_key_info(), usage, names, now, validity)?;
        Ok(Issued { certificate_pem: certificate, key })
    }

    /// Signs a request: its subject, key and names as they are; usage and validity as given.
    /// Whether it may have them is for the caller to decide. Returns PEM.
    pub fn sign_request(&self, request: &Request, usage: Usage, now: Timestamp, validity: SignedDuration) -> Result<String, Error> {
        let names: Vec<String> = request.dns_names.iter().chain(&request.ip_addresses).cloned().collect();
        self.sign(&request.subject_der, &request.public_key_der, usage, &names, now, validity)
    }

    fn sign(
        &self,
        subject_der: &[u8],
        public_key_der: &[u8],
        usage: Usage,
        names: &[String],
        now: Timestamp,
        validity: SignedDuration,
    ) -> Result<String, Error> {
        // A certificate that outlives its authority would fail without a reason that anyone can see.
        let not_after = now.saturating_add(validity).unwrap_or(Timestamp::MAX).min(self.identity.not_after);
        let not_before = (now - BACKDATE).max(self.identity.not_before);
        let template = Template { subject_der, public_key_der, usage: Some(usage), names, not_before, not_after };
        Ok(pem::encode(pem::CERTIFICATE, &template.sign(&self.key, &self.subject_der, &self.key_id)?))
    }

    /// Verifies that this authority signed a client certificate that is valid at `now`.
    pub fn verify_client(&self, certificate: &[u8], intermediates: &[CertificateDer<'_>], now: Timestamp) -> Result<Identity, Error> {
        let identity = Identity::from_der(certificate)?;
        // Before the chain, so that the commonest failure gets the clearest message.
        identity.check_time(now)?;
        let since_epoch = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
        let end_entity = CertificateDer::from(certificate);
        self.verifier
            .verify_client_cert(&end_entity, intermediates, UnixTime::since_unix_epoch(since_epoch))
            .map_err(|e| Error::Untrusted(e.to_string()))?;
        Ok(identity)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Template<'_> {
    fn sign(&self, authority: &Key, issuer_der: &[u8], authority_key_id: &[u8]) -> Result<Vec<u8>, Error> {
        let algorithm = der::sequence(&[der::oid(&crate::key::ECDSA_WITH_SHA256)]);
        authority.sign_der(der::sequence(&[
            der::explicit(0, &der::integer(&[2])),
            der::integer(&serial()?),
            algorithm,
            issuer_der.to_vec(),
            der::sequence(&[der::time(self.not_before), der::time(self.not_after)]),
            self.subject_der.to_vec(),
            self.public_key_der.to_vec(),
            der::explicit(3, &der::sequence(&self.extensions(authority_key_id))),
        ]))
    }

    fn extensions(&self, authority_key_id: &[u8]) -> Vec<Vec<u8>> {
        let mut extensions = match self.usage {
            None => vec![
                der::extension(&BASIC_CONSTRAINTS, true, &der::sequence(&[der::boolean_true()])),
                // digitalSignature, keyCertSign, cRLSign
                der::extension(&KEY_USAGE, true, &der::bits(&[0b1000_0110], 1)),
                der::extension(&SUBJECT_KEY_ID, false, &der::octets(authority_key_id)),
            ],
            Some(usage) => {
                let purpose = match usage {
                    Usage::Client => CLIENT_AUTH,
                    Usage::Server => SERVER_AUTH,
                };
                vec![
                    der::extension(&BASIC_CONSTRAINTS, true, &der::sequence(&[])),
                    // digitalSignature, keyEncipherment
                    der::extension(&KEY_USAGE, true, &der::bits(&[0b1010_0000], 5)),
                    der::extension(&EXTENDED_KEY_USAGE, false, &der::sequence(&[der::oid(&purpose)])),
                    der::extension(&AUTHORITY_KEY_ID, false, &der::sequence(&[der::tagged(0x80, authority_key_id)])),
                ]
            }
        };
        if !self.names.is_empty() {
            let names: Vec<_> = self.names.iter().map(|name| der::general_name(name)).collect();
            extensions.push(der::extension(&ALTERNATIVE_NAMES, false, &der::sequence(&names)));
        }
        extensions
    }
}

fn key_id(key: &Key) -> Vec<u8> {
    Sha256::digest(key.public_point())[..20].to_vec()
}

/// Returns a positive random number of 16 bytes.
fn serial() -> Result<[u8; 16], Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::Generate)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(bytes)
}

//! Private keys, and the requests they sign.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{Error, der, pem};

pub(crate) const ECDSA_WITH_SHA256: [u32; 7] = [1, 2, 840, 10045, 4, 3, 2];

/// An EC P-256 private key.
pub struct Key {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl Key {
    pub fn generate() -> Result<Self, Error> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| Error::Generate)?;
        Self::of(pair)
    }

    /// Reads a PKCS#8 or SEC1 key.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let der = pem::private_key(text.as_bytes())?;
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = match &der {
            PrivateKeyDer::Pkcs8(key) => EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der()),
            other => EcdsaKeyPair::from_private_key_der(algorithm, other.secret_der()),
        };
        Self::of(pair.map_err(|_| Error::UnsupportedKey)?)
    }

    fn of(pair: EcdsaKeyPair) -> Result<Self, Error> {
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| Error::Generate)?.as_ref().to_vec();
        Ok(Self { pair, pkcs8 })
    }

    /// Returns the key in PKCS#8 PEM.
    pub fn pem(&self) -> String {
        pem::encode(pem::PRIVATE_KEY, &self.pkcs8)
    }

    /// Returns the key as rustls takes it.
    pub fn der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.clone()))
    }

    /// Returns a certificate request (PEM, PKCS#10) for a client of this name and these groups.
    pub fn csr(&self, common_name: &str, organizations: &[impl AsRef<str>]) -> Result<String, Error> {
        let information =
            der::sequence(&[der::integer(&[0]), der::name(common_name, organizations), self.public_key_info(), der::explicit(0, &[])]);
        Ok(pem::encode(pem::REQUEST, &self.sign_der(information)?))
    }

    /// Returns whether a PEM certificate was issued for this key.
    pub fn matches(&self, certificate_pem: &str) -> bool {
        let Ok(chain) = pem::certificates(certificate_pem.as_bytes()) else { return false };
        x509_parser::parse_x509_certificate(&chain[0])
            .is_ok_and(|(_, certificate)| certificate.public_key().subject_public_key.data.as_ref() == self.public_point())
    }

    /// Returns the public key as an uncompressed point.
    pub(crate) fn public_point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Returns the SubjectPublicKeyInfo.
    pub(crate) fn public_key_info(&self) -> Vec<u8> {
        const EC_PUBLIC_KEY: [u32; 6] = [1, 2, 840, 10045, 2, 1];
        const PRIME256V1: [u32; 7] = [1, 2, 840, 10045, 3, 1, 7];
        let algorithm = der::sequence(&[der::oid(&EC_PUBLIC_KEY), der::oid(&PRIME256V1)]);
        der::sequence(&[algorithm, der::bits(self.public_point(), 0)])
    }

    /// Returns what is to be signed, with algorithm and signature: a certificate or request.
    pub(crate) fn sign_der(&self, content: Vec<u8>) -> Result<Vec<u8>, Error> {
        let signature = self.pair.sign(&SystemRandom::new(), &content).map_err(|_| Error::Sign)?;
        let algorithm = der::sequence(&[der::oid(&ECDSA_WITH_SHA256)]);
        Ok(der::sequence(&[content, algorithm, der::bits(signature.as_ref(), 0)]))
    }

    /// Returns the same key signing in JOSE's form: r and s side by side, 64 bytes.
    pub(crate) fn jose(&self) -> Result<EcdsaKeyPair, Error> {
        let algorithm: &'static EcdsaSigningAlgorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        EcdsaKeyPair::from_pkcs8(algorithm, &self.pkcs8).map_err(|_| Error::UnsupportedKey)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(secret)")
    }
}

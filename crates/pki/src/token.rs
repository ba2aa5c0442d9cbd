//! Service-account tokens: JSON Web Tokens signed with ES256, with the claims Kubernetes gives them.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, EcdsaKeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Error, Key, files};

/// What a service-account token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    /// `system:serviceaccount:<namespace>:<name>`
    pub sub: String,
    pub aud: Vec<String>,
    /// Seconds since 1970.
    pub exp: i64,
    pub iat: i64,
    pub nbf: i64,
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Bound,
}

/// The objects a token is bound to: it ends with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub namespace: String,
    pub serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub name: String,
    pub uid: String,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not ours: another authenticator may know it.
    #[error("the token is not a service-account token of this server")]
    Foreign,
    #[error("the token's signature does not match")]
    Signature,
    #[error("the token expired at {0}: get a new one")]
    Expired(Timestamp),
    #[error("the token is not valid before {0}: check the clock")]
    NotYetValid(Timestamp),
    #[error("the token is for {0:?}, not for this server")]
    Audience(Vec<String>),
}

/// Signs and verifies tokens of one issuer with one key.
pub struct Signer {
    issuer: String,
    pair: EcdsaKeyPair,
    point: Vec<u8>,
    key_id: String,
    pem: String,
}

impl Signer {
    pub fn new(issuer: impl Into<String>, key: &Key) -> Result<Self, Error> {
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(key.public_key_info()));
        Ok(Self { issuer: issuer.into(), pair: key.jose()?, point: key.public_point().to_vec(), key_id, pem: key.pem() })
    }

    /// Reads the key from a file, or creates it (mode 0600).
    pub fn load_or_create(issuer: impl Into<String>, path: &Path) -> Result<Self, Error> {
        if path.exists() {
            let text = String::from_utf8_lossy(&files::read(path)?).into_owned();
            return Self::new(issuer, &Key::from_pem(&text)?);
        }
        let key = Key::generate()?;
        files::write_secret(path, key.pem().as_bytes())?;
        Self::new(issuer, &key)
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn key_pem(&self) -> &str {
        &self.pem
    }

    /// Returns the signed token.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let header = json!({"alg": "ES256", "kid": self.key_id});
        let payload = serde_json::to_vec(claims).map_err(|e| Error::malformed("the claims", e))?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| Error::Sign)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// Verifies form, issuer, signature, time and audience. An empty `audiences` accepts any.
    pub fn verify(&self, token: &str, audiences: &[String], now: Timestamp) -> Result<Claims, Refusal> {
        // 1. Is it a token of ours? The signature is worth checking only then.
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Foreign)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Foreign)?;
        let header = decode(header).ok_or(Refusal::Foreign)?;
        let payload = decode(payload).ok_or(Refusal::Foreign)?;
        if header["alg"] != "ES256" || payload["iss"] != self.issuer.as_str() {
            return Err(Refusal::Foreign);
        }
        // 2. Did we sign it?
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Signature)?;
        let public_key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point);
        public_key.verify(signed.as_bytes(), &signature).map_err(|_| Refusal::Signature)?;
        let claims: Claims = serde_json::from_value(payload).map_err(|_| Refusal::Foreign)?;
        // 3. Is it still good, and for us?
        claims.check(audiences, now)?;
        Ok(claims)
    }

    /// Returns the public key as a JSON Web Key Set, as `/openid/v1/jwks` serves it.
    pub fn jwks(&self) -> Value {
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let (x, y) = (&self.point[1..33], &self.point[33..65]);
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}

impl Claims {
    /// Checks time and audience, which change while the signature stays good.
    pub fn check(&self, audiences: &[String], now: Timestamp) -> Result<(), Refusal> {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN);
        if now.as_second() >= self.exp {
            return Err(Refusal::Expired(at(self.exp)));
        }
        // A backdated start, for servers whose clock is behind the signer's.
        if now.as_second() + crate::BACKDATE.as_secs() < self.nbf {
            return Err(Refusal::NotYetValid(at(self.nbf)));
        }
        if !audiences.is_empty() && !self.aud.iter().any(|a| audiences.contains(a)) {
            return Err(Refusal::Audience(self.aud.clone()));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("issuer", &self.issuer).field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Returns random bytes as lower-case hexadecimal.
pub fn random_hex(bytes: usize) -> Result<String, Error> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).map_err(|_| Error::Generate)?;
    Ok(buffer.iter().map(|b| format!("{b:02x}")).collect())
}

/// Returns a random UUID (version 4), as `jti` and uids are.
pub fn random_uuid() -> Result<String, Error> {
    let mut b = [0u8; 16];
    getrandom::fill(&mut b).map_err(|_| Error::Generate)?;
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// Returns a new bootstrap token: id (6) and secret (16 characters), `[a-z0-9]`.
pub fn random_bootstrap() -> Result<(String, String), Error> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::new();
    while text.len() < 22 {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|_| Error::Generate)?;
        // 252 is the largest multiple of 36 in a byte: dropping the rest keeps all characters equally likely.
        text.extend(bytes.iter().filter(|b| **b < 252).map(|b| ALPHABET[usize::from(b % 36)] as char));
    }
    Ok((text[..6].to_owned(), text[6..22].to_owned()))
}

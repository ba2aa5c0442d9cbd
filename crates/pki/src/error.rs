//! What can go wrong.

/// Why a key, certificate, request or token was not made, read or accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to generate a key")]
    Generate,
    #[error("failed to sign")]
    Sign,
    #[error("{what} is not readable: {reason}")]
    Malformed { what: &'static str, reason: String },
    #[error("the private key is not an EC P-256 key in PKCS#8 or SEC1 form; create it with `openssl ecparam -name prime256v1 -genkey`")]
    UnsupportedKey,
    #[error("the certificate of the authority and its private key do not belong together")]
    Mismatch,
    #[error("the signature of the certificate request does not match its key")]
    RequestSignature,
    #[error("the certificate is not valid before {not_before}, and it is {now}: check the clock")]
    NotYetValid { not_before: jiff::Timestamp, now: jiff::Timestamp },
    #[error("the certificate expired at {not_after}, and it is {now}: renew it, or check the clock")]
    Expired { not_after: jiff::Timestamp, now: jiff::Timestamp },
    #[error("the certificate is not signed by this authority for client authentication: {0}")]
    Untrusted(String),
    #[error("failed to {verb} {path}")]
    File {
        verb: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to configure TLS")]
    Tls(#[from] rustls::Error),
}

impl Error {
    pub(crate) fn malformed(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { what, reason: reason.to_string() }
    }
}

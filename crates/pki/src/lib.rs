//! The certificate authority: keys, requests and signatures.

/// A certificate authority that signs client and serving certificates.
pub struct Authority {}

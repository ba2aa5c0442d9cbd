//! Keys, certificates and tokens: who somebody is, and how that is proved.
//!
//! An [`Authority`] signs certificates for servers and clients; a [`Key`] asks for one; an [`Identity`]
//! is what a certificate says. [`token`] signs and verifies service-account tokens, [`tls`] builds rustls
//! configurations. Everything is EC P-256. Certificates are written here rather than by a library
//! since subjects must carry several organizations, in the multi-valued form Go writes, too.
//!
//! Invariants: no function reads the clock; files with private keys are created with mode 0600.

mod authority;
mod der;
mod error;
mod files;
mod identity;
mod key;
mod pem;
mod request;
pub mod tls;
pub mod token;

pub use authority::{Authority, Issued, Usage};
pub use error::Error;
pub use identity::Identity;
pub use key::Key;
pub use request::Request;

/// The key of an agent or another client; see [`Key`].
pub type ClientKey = Key;

/// How far back a certificate's validity starts, for clients whose clock is behind.
pub const BACKDATE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

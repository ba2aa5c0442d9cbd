//! Who a request is from and what it may do.
//!
//! [`authn`] turns credentials into a user, [`rbac`] decides what a user may do, [`reviews`] answers the
//! review APIs, [`escalation`] keeps users from granting what they do not have. All of it is
//! synchronous and reads objects through [`objects::Objects`].

pub mod authn;
pub mod bootstrap_token;
pub mod escalation;
mod impersonation;
pub mod objects;
pub mod openid;
pub mod rbac;
pub mod reviews;
pub mod token_request;

#[cfg(test)]
pub(crate) mod tests;

pub use authn::Authenticator;
pub use objects::Objects;
pub use rbac::Rbac;

//! The hub's identity and endpoints.

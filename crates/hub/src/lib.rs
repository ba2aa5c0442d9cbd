//! The hub: reconcilers and endpoints.

pub mod gitserver;

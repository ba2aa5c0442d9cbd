//! The hub: reconcilers and endpoints.

//! The agent against our own API server, in process.

mod gitops;

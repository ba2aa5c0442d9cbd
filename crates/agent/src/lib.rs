//! The agent: registration, work, GitOps, reports.

pub mod gitops;

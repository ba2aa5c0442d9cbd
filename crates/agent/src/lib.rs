//! The agent: registration, work, GitOps, reports.

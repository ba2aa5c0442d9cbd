//! What a ManifestWork wants done on a cluster, and what is told about it.
//!
//! [`plan`] looks at one work, at what it left on the cluster ([`AppliedManifestWork`](api::work::AppliedManifestWork))
//! and at the live objects, and says what to do next: [`Stage`] by stage, so that nothing is applied
//! before a finalizer protects it and nothing is forgotten before it is gone. [`status`] maps the same
//! observation and the outcome of each apply to the work's status, with Open Cluster Management's
//! conditions and reasons. Pure: the agent's work module observes and acts.
//!
//! Invariants:
//! - Nothing is applied without the finalizer on the work and an AppliedManifestWork to own it.
//! - What left the spec is deleted only after everything in the spec was applied, only if it is the
//!   very object that was applied (UID), and only if nobody else owns it.
//! - An apply that would change nothing is not sent.

mod config;
mod drift;
mod evict;
mod feedback;
mod observed;
mod order;
mod path;
mod plan;
mod release;
mod status;
mod strategy;

pub use evict::{EVICTION_GRACE, Eviction, evict};
pub use observed::{Live, Mapping, ObjectId, Observed, Settings};
pub use order::{Verdict, decide as decide_order, denied as denied_order};
pub use plan::{Plan, Stage, applied_name, plan};
pub use release::{Release, ReleasePlan, release};
pub use status::{Outcome, applied_resources, status};
pub use strategy::{Apply, Change, manifest_hash};

//! What an Application wants done on its cluster: compare, then plan.
//!
//! Pure. [`targets`] prepares rendered objects; [`compare`] says per resource whether the cluster agrees; [`plan`]
//! decides what to do now (apply, prune, wait) and what the Application's status says; [`Plan::finish`] folds in what
//! came of it. The whole state of a running sync is in `status.operationState`, so a restart loses nothing.
//!
//! Semantics are Argo CD's (`controller/`, `gitops-engine/pkg/sync`); the differences are on purpose and named where
//! they are made. What is not acted on becomes a condition ([`unsupported`]). Rendering, reading the cluster and
//! writing to it are the agent's.

mod auto;
mod compare;
mod confirm;
mod delete;
mod diff;
mod engine;
mod health;
mod hook;
mod key;
mod live;
mod operation;
mod options;
mod plan;
mod retry;
mod status;
mod target;
mod task;
mod unsupported;
mod words;

pub use compare::{Comparison, Resource, SyncCode, compare};
pub use delete::{Deletion, deletion};
pub use diff::{differences, prepare_live};
pub use engine::{Engine, Found, Mode, engine};
pub use key::Key;
pub use live::{Live, News};
pub use operation::{Action, Group, Outcomes, Propagation};
pub use plan::{Desired, Observed, Plan, may_make_namespace, plan};
pub use retry::parse_duration;
pub use target::{Scopes, Target, Targets, app_instance_name, targets};
pub use unsupported::{invalid, unsupported};

/// The field manager of everything the engine applies: Argo CD's own, so that either can take over from the other.
pub const FIELD_MANAGER: &str = "argocd-controller";

/// What a server-side dry run of a target against the live object said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Applying would change nothing.
    Same,
    /// Applying would change the fields at these paths (the first few).
    Different(Vec<String>),
    /// The server refuses the object; the text says why.
    Invalid(String),
    /// Not asked: the object's namespace or kind comes with the same sync, or the object is not there and need not be asked.
    Unasked,
}

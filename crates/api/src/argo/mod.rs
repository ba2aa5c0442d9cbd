//! Argo CD's kinds (`argoproj.io/v1alpha1`), as `pkg/apis/application/v1alpha1` of Argo CD.
//!
//! As upstream, Application and AppProject have *no* status subresource: `status` and `operation` are
//! written through the object itself, so that a cluster can change over between this engine and a real
//! Argo CD without another CRD. Fields not modelled here are kept by the CRDs. Enumerations are strings,
//! since newer versions of Argo CD may know more words.

mod application;
mod project;
mod set;
mod source;
mod status;

pub use application::*;
pub use project::*;
pub use set::*;
pub use source::*;
pub use status::*;

pub const GROUP: &str = "argoproj.io";
pub const VERSION: &str = "v1alpha1";

pub mod annotation {
    //! Annotation keys.

    pub const SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";
    pub const HOOK: &str = "argocd.argoproj.io/hook";
    pub const HOOK_DELETE_POLICY: &str = "argocd.argoproj.io/hook-delete-policy";
    pub const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
    pub const COMPARE_OPTIONS: &str = "argocd.argoproj.io/compare-options";
    /// `<app>:<group>/<kind>:<namespace>/<name>`; ties an object to its Application.
    pub const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
    /// `normal` or `hard`; removed once done.
    pub const REFRESH: &str = "argocd.argoproj.io/refresh";
    pub const SKIP_RECONCILE: &str = "argocd.argoproj.io/skip-reconcile";
    pub const IGNORE_HEALTHCHECK: &str = "argocd.argoproj.io/ignore-healthcheck";
    pub const DELETION_APPROVED: &str = "argocd.argoproj.io/deletion-approved";
    pub const MANAGED_BY_URL: &str = "argocd.argoproj.io/managed-by-url";
    /// On an Application: `native`, `observe` or `off` instead of what the agent finds by itself.
    pub const ENGINE: &str = "muster.dev/engine";
    /// On an Application that somebody syncs by hand: how long it may stay behind its branch, as `10d`.
    pub const SYNC_DEADLINE: &str = "muster.dev/sync-deadline";
    /// On an AppProject, whose status has no conditions: the fields that are accepted but not acted on.
    pub const NOT_ACTED_ON: &str = "muster.dev/not-acted-on";
}

pub mod label {
    //! Label keys.

    /// On applied objects, in Argo CD's label tracking mode.
    pub const INSTANCE: &str = "app.kubernetes.io/instance";
    /// On an Application of OCM's pull model.
    pub const PULL_TO_MANAGED_CLUSTER: &str = "apps.open-cluster-management.io/pull-to-ocm-managed-cluster";
    /// On an Application that a hub gave this cluster.
    pub const APPLICATION_SET_NAME: &str = "argocd.argoproj.io/application-set-name";
}

pub mod finalizer {
    //! Finalizers.

    /// Deleting the Application deletes its objects.
    pub const RESOURCES: &str = "resources-finalizer.argocd.argoproj.io";
    pub const RESOURCES_FOREGROUND: &str = "resources-finalizer.argocd.argoproj.io/foreground";
    pub const RESOURCES_BACKGROUND: &str = "resources-finalizer.argocd.argoproj.io/background";
    pub const HOOK: &str = "argocd.argoproj.io/hook-finalizer";
    pub const PRE_DELETE: &str = "pre-delete-finalizer.argocd.argoproj.io";
    pub const POST_DELETE: &str = "post-delete-finalizer.argocd.argoproj.io";
}

pub mod sync_status {
    //! Words of `status.sync.status`.

    pub const SYNCED: &str = "Synced";
    pub const OUT_OF_SYNC: &str = "OutOfSync";
    pub const UNKNOWN: &str = "Unknown";
}

pub mod health_status {
    //! Words of `status.health.status`.

    pub const HEALTHY: &str = "Healthy";
    pub const PROGRESSING: &str = "Progressing";
    pub const DEGRADED: &str = "Degraded";
    pub const SUSPENDED: &str = "Suspended";
    pub const MISSING: &str = "Missing";
    pub const UNKNOWN: &str = "Unknown";
}

pub mod operation_phase {
    //! Words of `status.operationState.phase`.

    pub const RUNNING: &str = "Running";
    pub const TERMINATING: &str = "Terminating";
    pub const FAILED: &str = "Failed";
    pub const ERROR: &str = "Error";
    pub const SUCCEEDED: &str = "Succeeded";
}

pub mod result_code {
    //! Words of `status.operationState.syncResult.resources[].status`.

    pub const SYNCED: &str = "Synced";
    pub const SYNC_FAILED: &str = "SyncFailed";
    pub const PRUNED: &str = "Pruned";
    pub const PRUNE_SKIPPED: &str = "PruneSkipped";
}

pub mod set_condition {
    //! Types and reasons of an ApplicationSet's conditions.

    pub const ERROR_OCCURRED: &str = "ErrorOccurred";
    /// A reason: this hub serves the kind and does nothing about it.
    pub const NOT_ACTED_ON: &str = "NotActedOn";
}

pub mod condition {
    //! Types of an Application's conditions.

    pub const DELETION_ERROR: &str = "DeletionError";
    pub const INVALID_SPEC_ERROR: &str = "InvalidSpecError";
    pub const COMPARISON_ERROR: &str = "ComparisonError";
    pub const SYNC_ERROR: &str = "SyncError";
    pub const UNKNOWN_ERROR: &str = "UnknownError";
    pub const SHARED_RESOURCE_WARNING: &str = "SharedResourceWarning";
    pub const REPEATED_RESOURCE_WARNING: &str = "RepeatedResourceWarning";
    pub const EXCLUDED_RESOURCE_WARNING: &str = "ExcludedResourceWarning";
    pub const ORPHANED_RESOURCE_WARNING: &str = "OrphanedResourceWarning";
    /// Some fields are accepted but not acted on; the message names them.
    pub const FIELDS_NOT_ACTED_ON: &str = "FieldsNotActedOnWarning";
    /// A list in the status is cut; the message names it and how long it would be.
    pub const LIST_CUT: &str = "ListCutWarning";
}

//! Work for clusters (`work.open-cluster-management.io`), as `api/work` of Open Cluster Management.

mod applied;
mod manifest_work;
mod order;
mod replica_set;

pub use applied::*;
pub use manifest_work::*;
pub use order::*;
pub use replica_set::*;

pub const GROUP: &str = "work.open-cluster-management.io";

/// Most bytes all manifests of one ManifestWork may have together, as OCM's webhook (`--manifestLimit`).
pub const MANIFESTS_BYTES_MAX: usize = 500 * 1024;

pub mod label {
    //! Label keys.

    /// On works of a ManifestWorkReplicaSet: `<namespace>.<name>`.
    pub const REPLICA_SET: &str = "work.open-cluster-management.io/manifestworkreplicaset";
    /// On works of a ManifestWorkReplicaSet: the Placement that chose the cluster.
    pub const PLACEMENT_NAME: &str = "work.open-cluster-management.io/placementname";
}

pub mod annotation {
    //! Annotation keys.

    /// On applied objects: hash of the manifest they were applied from.
    pub const CONFIG_SPEC_HASH: &str = "open-cluster-management.io/config-spec-hash";
    /// On works of a ManifestWorkReplicaSet: hash of the template they were made from.
    pub const TEMPLATE_HASH: &str = "muster.dev/template-hash";
}

pub mod finalizer {
    //! Finalizers.

    /// On a ManifestWork, held by the agent until what it applied is gone.
    pub const MANIFEST_WORK: &str = "cluster.open-cluster-management.io/manifest-work-cleanup";
    /// On an AppliedManifestWork.
    pub const APPLIED_MANIFEST_WORK: &str = "cluster.open-cluster-management.io/applied-manifest-work-cleanup";
    /// On a ManifestWorkReplicaSet, held by the hub until its works are gone.
    pub const REPLICA_SET: &str = "work.open-cluster-management.io/manifest-work-cleanup";
}

pub mod condition {
    //! Condition types of works and of the manifests in them.

    pub const APPLIED: &str = "Applied";
    pub const AVAILABLE: &str = "Available";
    pub const PROGRESSING: &str = "Progressing";
    pub const DEGRADED: &str = "Degraded";
    pub const COMPLETE: &str = "Complete";
    pub const DELETING: &str = "Deleting";
    /// Of a manifest.
    pub const STATUS_FEEDBACK_SYNCED: &str = "StatusFeedbackSynced";
    /// Some fields are accepted but not acted on; the message names them.
    pub const FIELDS_NOT_ACTED_ON: &str = "muster.dev/FieldsNotActedOn";
    /// What came of each of a work's orders, one a line: `namespace/name id taken`.
    pub const ORDERS_TAKEN: &str = "muster.dev/OrdersTaken";

    /// Of a ManifestWorkReplicaSet.
    pub const PLACEMENT_VERIFIED: &str = "PlacementVerified";
    pub const PLACEMENT_ROLLED_OUT: &str = "PlacementRolledOut";
    /// Spelled as in Open Cluster Management.
    pub const MANIFESTWORK_APPLIED: &str = "ManifestworkApplied";
}

pub mod reason {
    //! Reasons of those conditions.

    pub const APPLIED_MANIFEST_WORK_COMPLETE: &str = "AppliedManifestWorkComplete";
    pub const APPLIED_MANIFEST_WORK_FAILED: &str = "AppliedManifestWorkFailed";
    pub const RESOURCES_AVAILABLE: &str = "ResourcesAvailable";
    pub const RESOURCES_NOT_AVAILABLE: &str = "ResourcesNotAvailable";
    pub const RESOURCES_STATUS_UNKNOWN: &str = "ResourcesStatusUnknown";
    pub const CONDITION_RULES_AGGREGATED: &str = "ConditionRulesAggregated";
    pub const WORK_DELETING: &str = "WorkDeleting";

    pub const APPLIED_MANIFEST_COMPLETE: &str = "AppliedManifestComplete";
    pub const APPLIED_MANIFEST_FAILED: &str = "AppliedManifestFailed";
    pub const APPLIED_MANIFEST_SSA_IGNORE_FIELD_ERROR: &str = "AppliedManifestSSAIgnoreFieldError";
    pub const RESOURCE_AVAILABLE: &str = "ResourceAvailable";
    pub const RESOURCE_NOT_AVAILABLE: &str = "ResourceNotAvailable";
    pub const FETCHING_RESOURCE_FAILED: &str = "FetchingResourceFailed";
    pub const INCOMPLETE_RESOURCE_META: &str = "IncompleteResourceMeta";
    pub const NO_STATUS_FEEDBACK_SYNCED: &str = "NoStatusFeedbackSynced";
    pub const STATUS_FEEDBACK_SYNCED: &str = "StatusFeedbackSynced";
    pub const STATUS_FEEDBACK_SYNC_FAILED: &str = "StatusFeedbackSyncFailed";
    pub const CONDITION_RULE_EVALUATED: &str = "ConditionRuleEvaluated";
    pub const CONDITION_RULE_INVALID: &str = "ConditionRuleInvalid";
    pub const CONDITION_RULE_EXPRESSION_ERROR: &str = "ConditionRuleExpressionError";
    pub const CONDITION_RULE_INTERNAL_ERROR: &str = "ConditionRuleInternalError";

    pub const AS_EXPECTED: &str = "AsExpected";
    pub const NOT_AS_EXPECTED: &str = "NotAsExpected";
    pub const PLACEMENT_DECISION_NOT_FOUND: &str = "PlacementDecisionNotFound";
    pub const PLACEMENT_DECISION_EMPTY: &str = "PlacementDecisionEmpty";
    pub const PROCESSING: &str = "Processing";
    pub const PROGRESSING: &str = "Progressing";
    pub const COMPLETE: &str = "Complete";
    pub const NOT_SUPPORTED_YET: &str = "NotSupportedYet";
    pub const ORDERS_TAKEN: &str = "OrdersTaken";
    pub const ORDER_WAITING: &str = "OrderWaiting";
    pub const ORDER_REFUSED: &str = "OrderRefused";
}

//! In which order kinds are applied.
//!
//! Two orders, since two systems define one each: Argo CD's for syncs (`gitops-engine/pkg/sync/sync_tasks.go`)
//! and Open Cluster Management's for ManifestWorks (`manifestwork_reconciler.go`). Deleting goes the other way round.

/// Argo CD's order; a kind that is not listed comes after all of these.
const SYNC_ORDER: &[&str] = &[
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// Returns the place of a kind in a sync; equal for all kinds that are not listed.
pub fn sync_rank(kind: &str) -> usize {
    SYNC_ORDER.iter().position(|listed| *listed == kind).unwrap_or(SYNC_ORDER.len())
}

/// Rank of kinds a ManifestWork does not know.
pub const WORK_RANK_OTHERS: u32 = 1000;

/// Returns the place of a kind in a ManifestWork, 0 first.
pub fn work_rank(kind: &str) -> u32 {
    match kind {
        "PriorityClass"
        | "Namespace"
        | "CustomResourceDefinition"
        | "StorageClass"
        | "PersistentVolume"
        | "IngressClass"
        | "RuntimeClass"
        | "CSIDriver"
        | "VolumeSnapshotClass" => 0,
        "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding" => 1,
        "NetworkPolicy" | "ResourceQuota" | "LimitRange" | "PodDisruptionBudget" | "PodSecurityPolicy" | "ServiceAccount" => 2,
        "Secret" | "ConfigMap" | "PersistentVolumeClaim" => 3,
        "Service" | "Endpoints" | "EndpointSlice" => 4,
        "DaemonSet"
        | "Pod"
        | "ReplicationController"
        | "ReplicaSet"
        | "Deployment"
        | "StatefulSet"
        | "Job"
        | "CronJob"
        | "HorizontalPodAutoscaler"
        | "Ingress" => 5,
        "APIService" | "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => 6,
        _ => WORK_RANK_OTHERS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first_and_unknown_kinds_last() {
        let mut kinds = ["Widget", "Deployment", "Service", "ConfigMap", "CustomResourceDefinition", "Namespace", "Ingress"];
        kinds.sort_by_key(|kind| sync_rank(kind));
        assert_eq!(kinds, ["Namespace", "ConfigMap", "CustomResourceDefinition", "Service", "Deployment", "Ingress", "Widget"]);
        assert_eq!(sync_rank("Widget"), sync_rank("Gadget"));
        kinds.sort_by_key(|kind| work_rank(kind));
        assert_eq!(kinds[2..], ["ConfigMap", "Service", "Deployment", "Ingress", "Widget"]);
    }
}

//! Clusters, sets, placements (`cluster.open-cluster-management.io`), as `api/cluster` of Open Cluster Management.

mod claim;
mod managed_cluster;
mod managed_cluster_set;
mod placement;
mod score;

pub use claim::{ClusterClaim, ClusterClaimSpec};
pub use managed_cluster::*;
pub use managed_cluster_set::*;
pub use placement::*;
pub use score::{AddOnPlacementScore, AddOnPlacementScoreFields, AddOnPlacementScoreItem, AddOnPlacementScoreStatus};

pub const GROUP: &str = "cluster.open-cluster-management.io";

/// Group of the virtual resources `managedclusters/accept` and `managedclusters/clientcertificates`.
pub const REGISTER_GROUP: &str = "register.open-cluster-management.io";

pub mod label {
    //! Label keys.

    /// The one exclusive set a cluster is in.
    pub const CLUSTER_SET: &str = "cluster.open-cluster-management.io/clusterset";
    /// On decisions: the Placement they come from.
    pub const PLACEMENT: &str = "cluster.open-cluster-management.io/placement";
    pub const DECISION_GROUP_NAME: &str = "cluster.open-cluster-management.io/decision-group-name";
    /// Counts from 0.
    pub const DECISION_GROUP_INDEX: &str = "cluster.open-cluster-management.io/decision-group-index";
    /// Prefix; the rest is the add-on's name.
    pub const FEATURE_ADDON_PREFIX: &str = "feature.open-cluster-management.io/addon-";
    /// `"true"` on a cluster whose API server and workloads are simulated; its agent sets that when it joins.
    pub const SIMULATED: &str = "muster.dev/simulated";
    /// Keeps a ClusterClaim on its cluster.
    pub const SPOKE_ONLY: &str = "open-cluster-management.io/spoke-only";
}

pub mod annotation {
    //! Annotation keys.

    /// RFC 3339; a cluster is accepted by itself once only.
    pub const AUTOMATICALLY_ACCEPTED_ON: &str = "open-cluster-management.io/automatically-accepted-on";
    /// `"true"` switches the check of the cluster's clock off.
    pub const SKIP_CLOCK_SYNC_CHECK: &str = "registration.open-cluster-management.io/skip-clock-sync-check";
    /// `"false"` on a default set keeps the hub from restoring it.
    pub const AUTO_UPDATE: &str = "cluster.open-cluster-management.io/autoupdate";
    /// `"true"` stops scheduling of a Placement.
    pub const SCHEDULING_DISABLED: &str = "cluster.open-cluster-management.io/experimental-scheduling-disable";
    /// Order in which add-ons and works go when their cluster is deleted: 0 to 100, lowest first.
    pub const CLEANUP_PRIORITY: &str = "open-cluster-management.io/cleanup-priority";
    pub const IMAGE_REGISTRIES: &str = "open-cluster-management.io/image-registries";
    /// Prefix of annotations the agent sets when it creates its ManagedCluster.
    pub const AGENT_PREFIX: &str = "agent.open-cluster-management.io/";
    /// The UID of the cluster that the hub accepted under this name; recorded once.
    pub const CLUSTER_UID: &str = "muster.dev/cluster-uid";
    /// On a CSR: the UID of the cluster that asks.
    pub const REQUESTER_CLUSTER_UID: &str = "muster.dev/cluster-uid";
    /// Fingerprint (`sha256:<hex>` of the DER SubjectPublicKeyInfo) of the key that joined under this name.
    pub const CLUSTER_KEY: &str = "muster.dev/cluster-key";
}

pub mod finalizer {
    //! Finalizers.

    /// Held by the hub until the cluster's RBAC is gone.
    pub const API_RESOURCE_CLEANUP: &str = "cluster.open-cluster-management.io/api-resource-cleanup";
    /// Held by the hub until the cluster's add-ons and works are gone.
    pub const RESOURCE_CLEANUP: &str = "cluster.open-cluster-management.io/resource-cleanup";
}

pub mod claim_name {
    //! Names of reserved cluster claims.

    /// The cluster's own UID: that of its `kube-system` namespace.
    pub const ID: &str = "id.k8s.io";
    pub const KUBE_VERSION: &str = "kubeversion.open-cluster-management.io";
    pub const PLATFORM: &str = "platform.open-cluster-management.io";
    pub const PRODUCT: &str = "product.open-cluster-management.io";
    /// Version of the agent, and what it can do (comma list).
    pub const AGENT_VERSION: &str = "agent-version.muster.dev";
    pub const AGENT_CAPABILITIES: &str = "agent-capabilities.muster.dev";

    /// Shown before all custom claims, in this order.
    pub const RESERVED: [&str; 6] = [ID, KUBE_VERSION, PLATFORM, PRODUCT, AGENT_VERSION, AGENT_CAPABILITIES];
}

pub mod taint {
    //! Taints the hub sets.

    pub const UNAVAILABLE: &str = "cluster.open-cluster-management.io/unavailable";
    pub const UNREACHABLE: &str = "cluster.open-cluster-management.io/unreachable";
}

/// Name of the Lease that an agent renews in its cluster's namespace.
pub const LEASE_NAME: &str = "managed-cluster-lease";

/// Names of the agents' users and groups on the hub.
pub mod identity {
    /// Group of the agents of every cluster.
    pub const ALL_CLUSTERS_GROUP: &str = "system:open-cluster-management:managed-clusters";
    /// Group of clusters that still have to join.
    pub const BOOTSTRAP_GROUP: &str = "system:bootstrappers:managedcluster";
    const PREFIX: &str = "system:open-cluster-management:";

    /// Returns the group of one cluster's agents.
    pub fn cluster_group(cluster: &str) -> String {
        format!("{PREFIX}{cluster}")
    }

    /// Returns the user name of one agent.
    pub fn agent_user(cluster: &str, agent: &str) -> String {
        format!("{PREFIX}{cluster}:{agent}")
    }

    /// Returns cluster and agent of a user name that [`agent_user`] makes.
    pub fn parse_agent_user(user: &str) -> Option<(&str, &str)> {
        let (cluster, agent) = user.strip_prefix(PREFIX)?.split_once(':')?;
        (!cluster.is_empty() && !agent.is_empty() && !agent.contains(':')).then_some((cluster, agent))
    }
}

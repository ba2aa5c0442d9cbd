//! ManagedCluster: a cluster of the fleet, as the hub knows it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

pub const LEASE_DURATION_SECONDS_DEFAULT: i32 = 60;

#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.open-cluster-management.io",
    version = "v1",
    kind = "ManagedCluster",
    shortname = "mcl",
    shortname = "mcls",
    status = "ManagedClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "Hub Accepted", type_ = "boolean", json_path = ".spec.hubAcceptsClient"),
    printcolumn(name = "Managed Cluster URLs", type_ = "string", json_path = ".spec.managedClusterClientConfigs[*].url"),
    printcolumn(name = "Joined", type_ = "string", json_path = r#".status.conditions[?(@.type=="ManagedClusterJoined")].status"#),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="ManagedClusterConditionAvailable")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ManagedClusterSpec {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_cluster_client_configs: Vec<ClientConfig>,
    /// Whether the hub lets this cluster's agent in. Setting it takes the right to update `managedclusters/accept`.
    #[serde(default)]
    pub hub_accepts_client: bool,
    /// How long a heartbeat counts; the cluster is unreachable after five of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 60))]
    pub lease_duration_seconds: Option<i32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
}

impl ManagedClusterSpec {
    /// Returns the lease duration in effect.
    pub fn lease_duration_seconds(&self) -> i32 {
        self.lease_duration_seconds.filter(|seconds| *seconds > 0).unwrap_or(LEASE_DURATION_SECONDS_DEFAULT)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientConfig {
    pub url: String,
    #[serde(default, rename = "caBundle", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::bytes")]
    pub ca_bundle: Option<ByteString>,
}

/// Keeps placements that do not tolerate it off the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    #[schemars(length(max = 316), regex(pattern = shape::QUALIFIED_NAME))]
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
    pub effect: TaintEffect,
    /// Set by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Time>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    #[default]
    NoSelect,
    PreferNoSelect,
    NoSelectIfNew,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedClusterStatus {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::conditions")]
    pub conditions: Vec<Condition>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "shape::lenient_quantities")]
    #[schemars(schema_with = "shape::quantities")]
    pub capacity: BTreeMap<String, Quantity>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "shape::lenient_quantities")]
    #[schemars(schema_with = "shape::quantities")]
    pub allocatable: BTreeMap<String, Quantity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<ManagedClusterVersion>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_claims: Vec<ManagedClusterClaim>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["clusterSet", "name"]))]
    pub managed_namespaces: Vec<ClusterSetManagedNamespace>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedClusterVersion {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kubernetes: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedClusterClaim {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSetManagedNamespace {
    pub cluster_set: String,
    #[schemars(length(max = 63), regex(pattern = shape::DNS_LABEL))]
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::conditions")]
    pub conditions: Vec<Condition>,
}

impl ManagedCluster {
    pub fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |s| &s.conditions)
    }

    /// Returns the value of one claim.
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.status.as_ref()?.cluster_claims.iter().find(|c| c.name == name).map(|c| c.value.as_str())
    }
}

pub mod condition {
    //! Condition types of a ManagedCluster.

    /// The hub lets the cluster's agent in.
    pub const HUB_ACCEPTED: &str = "HubAcceptedManagedCluster";
    /// The agent has its own certificate and uses it.
    pub const JOINED: &str = "ManagedClusterJoined";
    pub const AVAILABLE: &str = "ManagedClusterConditionAvailable";
    pub const CLOCK_SYNCED: &str = "ManagedClusterConditionClockSynced";
    pub const CERTIFICATE_ROTATED: &str = "ClusterCertificateRotated";
    pub const DELETING: &str = "Deleting";
    /// False while another cluster claims this one's name.
    pub const IDENTITY_UNIQUE: &str = "muster.dev/IdentityUnique";
}

pub mod reason {
    //! Reasons of those conditions.

    pub const HUB_CLUSTER_ADMIN_ACCEPTED: &str = "HubClusterAdminAccepted";
    pub const HUB_CLUSTER_ADMIN_DENIED: &str = "HubClusterAdminDenied";
    pub const ERROR: &str = "Error";
    pub const JOINED: &str = "ManagedClusterJoined";
    pub const AVAILABLE: &str = "ManagedClusterAvailable";
    pub const KUBE_API_SERVER_UNAVAILABLE: &str = "ManagedClusterKubeAPIServerUnavailable";
    pub const LEASE_UPDATE_STOPPED: &str = "ManagedClusterLeaseUpdateStopped";
    pub const CLOCK_SYNCED: &str = "ManagedClusterClockSynced";
    pub const CLOCK_OUT_OF_SYNC: &str = "ManagedClusterClockOutOfSync";
    pub const CLIENT_CERTIFICATE_UPDATED: &str = "ClientCertificateUpdated";
    pub const CLIENT_CERTIFICATE_UPDATE_FAILED: &str = "ClientCertificateUpdateFailed";
    pub const RESOURCE_REMAINING: &str = "ResourceRemaining";
    pub const NO_RESOURCE: &str = "NoResource";
    pub const DELETING_ERROR: &str = "DeletingError";
    /// Another cluster, with a UID of its own, asked to join under this name.
    pub const SECOND_CLAIMANT: &str = "SecondClaimant";
    pub const ONE_CLAIMANT: &str = "OneClaimant";
}

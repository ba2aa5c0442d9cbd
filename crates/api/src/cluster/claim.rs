//! ClusterClaim: one fact about a cluster, told on the cluster itself.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(group = "cluster.open-cluster-management.io", version = "v1alpha1", kind = "ClusterClaim", derive = "PartialEq", derive = "Default")]
#[serde(rename_all = "camelCase")]
pub struct ClusterClaimSpec {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}

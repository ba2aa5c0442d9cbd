//! ManifestWorkReplicaSet: one ManifestWork for each cluster that placements select.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::ManifestWorkSpec;
use crate::shape;

#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "work.open-cluster-management.io",
    version = "v1alpha1",
    kind = "ManifestWorkReplicaSet",
    namespaced,
    shortname = "mwrs",
    status = "ManifestWorkReplicaSetStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "Placement", type_ = "string", json_path = r#".status.conditions[?(@.type=="PlacementVerified")].reason"#),
    printcolumn(name = "Found", type_ = "string", json_path = r#".status.conditions[?(@.type=="PlacementVerified")].status"#),
    printcolumn(name = "ManifestWorks", type_ = "string", json_path = r#".status.conditions[?(@.type=="ManifestworkApplied")].reason"#),
    printcolumn(name = "Applied", type_ = "string", json_path = r#".status.conditions[?(@.type=="ManifestworkApplied")].status"#)
)]
#[serde(rename_all = "camelCase")]
pub struct ManifestWorkReplicaSetSpec {
    pub manifest_work_template: ManifestWorkSpec,
    #[schemars(length(min = 1))]
    pub placement_refs: Vec<LocalPlacementReference>,
    #[serde(default)]
    pub cascade_deletion_policy: CascadeDeletionPolicy,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CascadeDeletionPolicy {
    #[default]
    Background,
    Foreground,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalPlacementReference {
    #[schemars(length(min = 1))]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = {"type": "All", "all": {"progressDeadline": "None"}}))]
    pub rollout_strategy: Option<RolloutStrategy>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStrategy {
    #[serde(rename = "type", default)]
    pub type_: RolloutType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<RolloutConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progressive: Option<RolloutProgressive>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progressive_per_group: Option<RolloutProgressivePerGroup>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutType {
    #[default]
    All,
    Progressive,
    ProgressivePerGroup,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "0"))]
    pub min_success_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "None"), regex(pattern = "^(([0-9])+[h|m|s])|None$"))]
    pub progress_deadline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "max_failures")]
    pub max_failures: Option<IntOrString>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutProgressive {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "0"))]
    pub min_success_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "None"), regex(pattern = "^(([0-9])+[h|m|s])|None$"))]
    pub progress_deadline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "max_failures")]
    pub max_failures: Option<IntOrString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mandatory_decision_groups: Vec<MandatoryDecisionGroup>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count_or_percent")]
    pub max_concurrency: Option<IntOrString>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutProgressivePerGroup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "0"))]
    pub min_success_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "None"), regex(pattern = "^(([0-9])+[h|m|s])|None$"))]
    pub progress_deadline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "max_failures")]
    pub max_failures: Option<IntOrString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mandatory_decision_groups: Vec<MandatoryDecisionGroup>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MandatoryDecisionGroup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_index: Option<i32>,
}

fn count_or_percent(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = shape::int_or_string(generator);
    schema.insert("pattern".into(), "^((100|[0-9]{1,2})%|[0-9]+)$".into());
    schema
}

fn max_failures(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = count_or_percent(generator);
    schema.insert("default".into(), 0.into());
    schema
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestWorkReplicaSetStatus {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::conditions")]
    pub conditions: Vec<Condition>,
    #[serde(default)]
    #[schemars(extend("default" = null))]
    pub summary: ManifestWorkReplicaSetSummary,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement_summary: Vec<PlacementSummary>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestWorkReplicaSetSummary {
    /// Works there should be.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub desired_total: i64,
    /// Works there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub available: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub progressing: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub degraded: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub applied: i64,
    /// Works that have the current template.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub updated: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementSummary {
    #[serde(default)]
    pub name: String,
    /// As `1 (2 / 2 clusters applied)`.
    #[serde(default)]
    pub available_decision_groups: String,
    #[serde(default)]
    #[schemars(extend("default" = null))]
    pub summary: ManifestWorkReplicaSetSummary,
}

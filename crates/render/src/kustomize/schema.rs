//! What Kustomize knows of kinds: which are in no namespace, and which lists are maps in disguise.
//!
//! Kustomize 5 carries the schemas of Kubernetes 1.21 and takes any other kind for a namespaced one whose lists are
//! replaced as a whole. Merge keys come from `builtin`, whose schemas are newer; versions that have gone since are read
//! as those that took their place.

use std::sync::Arc;

use apimachinery::schema::Schema;

use super::resource::Gvk;

/// Cluster-scoped kinds: group, versions, kinds.
const CLUSTER_SCOPED: &[(&str, &[&str], &[&str])] = &[
    ("", &["v1"], &["ComponentStatus", "Namespace", "Node", "NodeProxyOptions", "PersistentVolume"]),
    ("admissionregistration.k8s.io", &["v1", "v1beta1"], &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]),
    ("apiextensions.k8s.io", &["v1", "v1beta1"], &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["v1", "v1beta1"], &["APIService"]),
    ("certificates.k8s.io", &["v1", "v1beta1"], &["CertificateSigningRequest"]),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1"], &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", &["v1", "v1beta1"], &["IngressClass"]),
    ("node.k8s.io", &["v1", "v1beta1"], &["RuntimeClass"]),
    ("policy", &["v1beta1"], &["PodSecurityPolicy"]),
    ("rbac.authorization.k8s.io", &["v1", "v1beta1"], &["ClusterRole", "ClusterRoleBinding"]),
    ("scheduling.k8s.io", &["v1", "v1beta1"], &["PriorityClass"]),
    ("storage.k8s.io", &["v1", "v1beta1"], &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"]),
];

pub(crate) fn is_cluster_scoped(gvk: &Gvk) -> bool {
    let is_listed = |(group, versions, kinds): &(&str, &[&str], &[&str])| {
        *group == gvk.group && versions.contains(&gvk.version.as_str()) && kinds.contains(&gvk.kind.as_str())
    };
    CLUSTER_SCOPED.iter().any(is_listed)
}

/// Groups Kubernetes 1.21 had, with their versions.
const KNOWN: &[(&str, &[&str])] = &[
    ("", &["v1"]),
    ("admissionregistration.k8s.io", &["v1", "v1beta1"]),
    ("apiextensions.k8s.io", &["v1", "v1beta1"]),
    ("apiregistration.k8s.io", &["v1", "v1beta1"]),
    ("apps", &["v1"]),
    ("authentication.k8s.io", &["v1", "v1beta1"]),
    ("authorization.k8s.io", &["v1", "v1beta1"]),
    ("autoscaling", &["v1", "v2beta1", "v2beta2"]),
    ("batch", &["v1", "v1beta1"]),
    ("certificates.k8s.io", &["v1", "v1beta1"]),
    ("coordination.k8s.io", &["v1", "v1beta1"]),
    ("discovery.k8s.io", &["v1", "v1beta1"]),
    ("events.k8s.io", &["v1", "v1beta1"]),
    ("extensions", &["v1beta1"]),
    ("networking.k8s.io", &["v1", "v1beta1"]),
    ("node.k8s.io", &["v1", "v1beta1"]),
    ("policy", &["v1", "v1beta1"]),
    ("rbac.authorization.k8s.io", &["v1", "v1beta1"]),
    ("scheduling.k8s.io", &["v1", "v1beta1"]),
    ("storage.k8s.io", &["v1", "v1beta1"]),
];

/// Returns the schema a kind's patches merge by.
pub(crate) fn of(gvk: &Gvk) -> Option<&'static Arc<Schema>> {
    let is_known = KNOWN.iter().any(|(group, versions)| *group == gvk.group && versions.contains(&gvk.version.as_str()));
    let was_young = gvk.group == "batch" && gvk.version == "v1beta1" && gvk.kind != "CronJob";
    if !is_known || was_young {
        return None;
    }
    let version = if gvk.version.starts_with("v1beta") { "v1" } else { &gvk.version };
    builtin::schema_of(&gvk.group, version, &gvk.kind)
}

/// Fields younger than Kubernetes 1.21 that hold lists with keys: to Kustomize they have no schema.
const YOUNGER: &[&str] = &[
    "evictionResponders",
    "healthConditions",
    "hostIPs",
    "matchConditions",
    "resourceClaimStatuses",
    "resourceClaims",
    "schedulingGates",
    "storageHealth",
    "variables",
];

/// Returns the schema of a field.
pub(crate) fn field<'s>(schema: Option<&'s Schema>, name: &str) -> Option<&'s Schema> {
    let schema = schema?;
    // The ports of an ephemeral container had no key yet.
    let is_younger = YOUNGER.contains(&name) || (name == "ports" && schema.properties.contains_key("targetContainerName"));
    schema.field(name).filter(|_| !is_younger).map(|schema| &**schema)
}

/// Returns the keys by which elements of this list are told apart; none for a list of plain values; nothing for one that
/// is replaced.
pub(crate) fn merge_keys(list: Option<&Schema>) -> Option<Vec<String>> {
    let list = list.filter(|list| list.patch_strategy.merge)?;
    if !list.list_map_keys.is_empty() {
        return Some(list.list_map_keys.iter().map(|key| key.to_string()).collect());
    }
    Some(list.patch_merge_key.iter().map(|key| key.to_string()).collect())
}

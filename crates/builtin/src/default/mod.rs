//! What a real API server fills in before it stores an object of a built-in kind.
//!
//! [`default`] runs on every write and read of a stored version, so it must be idempotent. In order:
//! scalars take their canonical form and nulls go ([`normalize`](self::normalize)), defaults of the
//! schema follow, then conditional defaults, one small function a kind. [`prepare_create`] and
//! [`prepare_update`] are for what happens at one of these moments only.

mod config;
mod core;
mod hpa;
mod normalize;
mod pod;
mod prepare;
mod workload;

use apimachinery::gvk::GroupVersionKind;
use apimachinery::schema::Touched;
use serde_json::Value;

pub use prepare::{prepare_create, prepare_update};

use crate::table;

/// Fills in defaults of an object of a kind. Other kinds are left as they are.
pub fn default(gvk: &GroupVersionKind, object: &mut Value) {
    default_touched(gvk, object, &Touched::All);
}

/// As [`default`], of an object of which a write touches some fields.
pub fn default_touched(gvk: &GroupVersionKind, object: &mut Value, touched: &Touched) {
    let Some(schema) = table::schema_of(&gvk.group, &gvk.version, &gvk.kind) else { return };
    normalize::normalize(schema, object, touched);
    let apply: fn(&mut Value) = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::pod,
        ("", "PodTemplate") => pod::pod_template,
        ("", "ReplicationController") => workload::replication_controller,
        ("", "Service") => core::service,
        ("", "Endpoints") => core::endpoints,
        ("", "Secret") => core::secret,
        ("", "Namespace") => core::namespace,
        ("", "Node") => core::node,
        ("", "LimitRange") => core::limit_range,
        ("", "PersistentVolume") => core::persistent_volume,
        ("", "PersistentVolumeClaim") => core::persistent_volume_claim,
        ("apps", "Deployment") => workload::deployment,
        ("apps", "ReplicaSet") => workload::replica_set,
        ("apps", "StatefulSet") => workload::stateful_set,
        ("apps", "DaemonSet") => workload::daemon_set,
        ("batch", "Job") => workload::job,
        ("batch", "CronJob") => workload::cron_job,
        ("autoscaling", "HorizontalPodAutoscaler") if gvk.version == "v1" => hpa::v1,
        ("autoscaling", "HorizontalPodAutoscaler") => hpa::v2,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => config::role_binding,
        ("networking.k8s.io", "NetworkPolicy") => config::network_policy,
        ("networking.k8s.io", "IngressClass") => config::ingress_class,
        ("discovery.k8s.io", "EndpointSlice") => config::endpoint_slice,
        ("storage.k8s.io", "StorageClass") => config::storage_class,
        ("storage.k8s.io", "CSIDriver") => config::csi_driver,
        ("scheduling.k8s.io", "PriorityClass") => config::priority_class,
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => config::validating_webhooks,
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => config::mutating_webhooks,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => config::validating_policy,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => config::validating_policy_binding,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => config::custom_resource_definition,
        ("apiregistration.k8s.io", "APIService") => config::api_service,
        ("authentication.k8s.io", "TokenRequest") => config::token_request,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => config::flow_schema,
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => config::priority_level,
        _ => return,
    };
    apply(object);
}

//! Rules of built-in kinds that a schema cannot say: the ones users run into.
//!
//! Runs after defaulting and beside schema validation: what the schema requires and is absent is the
//! schema's to report, what is there and empty is reported here. Names of objects, labels and
//! annotations are the API server's. Texts that tools match (`field is immutable`, selectors that do not
//! match) are upstream's. Not checked: affinity, quota scopes, CEL, structural schemas of CRDs.

mod check;
mod config;
mod core;
mod pod;
mod selector;
mod workload;

use apimachinery::gvk::GroupVersionKind;
use apimachinery::schema::{Additional, Path, Schema, Touched};
use apimachinery::status::Cause;
use serde_json::Value;

use self::check::Check;
use crate::edit::get;
use crate::quantity::Quantity;
use crate::resolve::QUANTITY;
use crate::table;

/// Returns the fields at fault of an object, and of its change from `old`.
pub fn validate(gvk: &GroupVersionKind, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let touched = old.map_or(Touched::All, |old| Touched::by(object, old));
    validate_touched(gvk, object, old, &touched)
}

/// As [`validate`], of an object of which a write touches some fields.
pub fn validate_touched(gvk: &GroupVersionKind, object: &Value, old: Option<&Value>, touched: &Touched) -> Vec<Cause> {
    let mut check = Check::default();
    if let (Some(schema), Some(fields)) = (table::schema_of(&gvk.group, &gvk.version, &gvk.kind), object.as_object()) {
        let root = Path::root("");
        for (name, value) in fields.iter().filter(|(name, _)| touched.has(name)) {
            if let Some(field) = schema.field(name) {
                quantities(&mut check, field, value, &root.field(name));
            }
        }
    }
    // No rule of a kind is about its status, and of the metadata none about what a write of the status changes.
    let is_metadata_same = old.is_some_and(|old| {
        ["annotations", "labels", "name"].iter().all(|part| get(object, &["metadata", part]) == get(old, &["metadata", part]))
    });
    if is_metadata_same && !touched.has_any(|field| !matches!(field, "metadata" | "status")) {
        return check.causes;
    }
    let new_rules: fn(&mut Check, &Value) = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::pod,
        ("", "ConfigMap") => core::config_map,
        ("", "Secret") => core::secret,
        ("", "Service") => core::service,
        ("", "PersistentVolumeClaim") => core::claim,
        ("", "ReplicationController") => workload::replication_controller,
        ("apps", "Deployment") => workload::deployment,
        ("apps", "ReplicaSet") => workload::replica_set,
        ("apps", "StatefulSet") => workload::stateful_set,
        ("apps", "DaemonSet") => workload::daemon_set,
        ("batch", "Job") => workload::job,
        ("batch", "CronJob") => workload::cron_job,
        ("autoscaling", "HorizontalPodAutoscaler") => config::autoscaler,
        ("policy", "PodDisruptionBudget") => config::disruption_budget,
        ("networking.k8s.io", "Ingress") => config::ingress,
        ("networking.k8s.io", "NetworkPolicy") => config::network_policy,
        ("rbac.authorization.k8s.io", "Role") => config::role,
        ("rbac.authorization.k8s.io", "ClusterRole") => config::cluster_role,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => config::role_binding,
        ("coordination.k8s.io", "Lease") => config::lease,
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => config::webhooks,
        _ => |_, _| {},
    };
    new_rules(&mut check, object);
    if let Some(old) = old {
        update(&mut check, gvk, object, old);
    }
    check.causes
}

fn update(check: &mut Check, gvk: &GroupVersionKind, new: &Value, old: &Value) {
    let immutable: &[&str] = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => return pod::update(check, new, old),
        ("", "ConfigMap") => return core::config_map_update(check, new, old),
        ("", "Secret") => return core::secret_update(check, new, old),
        ("", "Service") => return core::service_update(check, new, old),
        ("", "PersistentVolumeClaim") => return core::claim_update(check, new, old),
        ("apps", "StatefulSet") => return workload::stateful_set_update(check, new, old),
        ("batch", "Job") => return workload::job_update(check, new, old),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => return config::role_binding_update(check, new, old),
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => &["spec.selector"],
        ("apps", "ControllerRevision") => &["data"],
        ("storage.k8s.io", "StorageClass") => &["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"],
        ("scheduling.k8s.io", "PriorityClass") => &["value", "preemptionPolicy"],
        ("node.k8s.io", "RuntimeClass") => &["handler"],
        ("networking.k8s.io", "IngressClass") => &["spec.controller"],
        ("discovery.k8s.io", "EndpointSlice") => &["addressType"],
        ("apiextensions.k8s.io", "CustomResourceDefinition") => &["spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"],
        _ => &[],
    };
    for path in immutable {
        let at: Vec<&str> = path.split('.').collect();
        check.immutable(path, get(new, &at), get(old, &at));
    }
}

/// Quantities that cannot be read are still as the user wrote them.
fn quantities(check: &mut Check, schema: &Schema, value: &Value, path: &Path) {
    if schema.rules.as_ref().is_some_and(|rules| rules.format.as_deref() == Some(QUANTITY)) {
        if let Value::String(text) = value
            && Quantity::parse(text).is_none()
        {
            check.invalid(path.to_string(), value, "must be a quantity: a number with a suffix such as m, k, M, G, Ki, Mi or Gi");
        }
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match (schema.properties.get(name.as_str()), &schema.additional) {
                    (Some(field), _) => quantities(check, field, value, &path.field(name)),
                    (None, Additional::Of(field)) => quantities(check, field, value, &path.key(name)),
                    (None, Additional::No | Additional::Any) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(of) = &schema.items {
                items.iter().enumerate().for_each(|(index, item)| quantities(check, of, item, &path.index(index)));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

//! The few rules in which kinds differ beyond their schema.
//!
//! As the strategies under `pkg/registry` upstream, reduced to tables: which kinds count generations,
//! which keep a status given at creation, which are deleted gracefully.

use apimachinery::schema::Touched;
use serde_json::{Map, Value};

use crate::registry::Resource;

/// Built-in resources whose generation counts spec changes.
const COUNTS_GENERATIONS: &[(&str, &str)] = &[
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
    ("discovery.k8s.io", "endpointslices"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    ("networking.k8s.io", "ingressclasses"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "networkpolicies"),
    ("policy", "poddisruptionbudgets"),
    ("scheduling.k8s.io", "priorityclasses"),
];

/// Built-in resources whose status is taken as given at creation.
const KEEPS_CREATED_STATUS: &[(&str, &str)] = &[("", "nodes"), ("apiregistration.k8s.io", "apiservices")];

/// Resources that PUT creates when they are missing.
const CREATED_BY_UPDATE: &[(&str, &str)] = &[
    ("", "endpoints"),
    ("", "events"),
    ("", "limitranges"),
    ("", "services"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
];

fn is_in(table: &[(&str, &str)], resource: &Resource) -> bool {
    table.contains(&(resource.gvr.group.as_str(), resource.gvr.resource.as_str()))
}

pub fn counts_generations(resource: &Resource) -> bool {
    !resource.is_builtin() || is_in(COUNTS_GENERATIONS, resource)
}

pub fn is_created_by_update(resource: &Resource) -> bool {
    resource.is_builtin() && is_in(CREATED_BY_UPDATE, resource)
}

/// Prepares a new object: no status from the client, generation 1.
pub fn begin_create(resource: &Resource, object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    if resource.status_subresource && !is_in(KEEPS_CREATED_STATUS, resource) {
        fields.remove("status");
    }
    match (resource.gvr.group.as_str(), resource.gvr.resource.as_str()) {
        ("", "persistentvolumes" | "persistentvolumeclaims") => {
            fields.insert("status".into(), serde_json::json!({"phase": "Pending"}));
        }
        ("", "services") => {
            fields.insert("status".into(), serde_json::json!({"loadBalancer": {}}));
        }
        ("apps", "deployments" | "daemonsets" | "statefulsets" | "replicasets") | ("batch", "jobs" | "cronjobs") => {
            fields.insert("status".into(), empty_status(&resource.gvr.resource));
        }
        _ => {}
    }
    if counts_generations(resource) {
        crate::meta::of(object).insert("generation".into(), 1.into());
    }
}

/// Status fields that Go writes even when they are zero.
fn empty_status(resource: &str) -> Value {
    match resource {
        "daemonsets" => {
            serde_json::json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0})
        }
        "statefulsets" => serde_json::json!({"availableReplicas": 0, "replicas": 0}),
        "replicasets" => serde_json::json!({"replicas": 0}),
        _ => serde_json::json!({}),
    }
}

/// Which part of an object a write changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything; with a status subresource everything but status.
    Main,
    Status,
    /// `namespaces/finalize`: `spec.finalizers` only.
    Finalize,
    /// CSR `approval`: approval conditions only.
    Approval,
}

/// Takes from the client's object what the scope covers and the rest from the stored one.
pub fn begin_update(resource: &Resource, scope: Scope, object: &mut Value, old: &Value) {
    match scope {
        Scope::Main => {
            if resource.status_subresource {
                copy_field(object, old, "status");
            }
        }
        Scope::Status => keep_all_but(object, old, "status"),
        Scope::Finalize => keep_all_but(object, old, "spec"),
        Scope::Approval => {
            let mut conditions: Vec<Value> = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.retain(|c| matches!(c["type"].as_str(), Some("Approved" | "Denied")));
            let others = old["status"]["conditions"].as_array().into_iter().flatten();
            conditions.extend(others.filter(|c| !matches!(c["type"].as_str(), Some("Approved" | "Denied"))).cloned());
            keep_all_but(object, old, "status");
            let mut status = old.get("status").filter(|s| s.is_object()).cloned().unwrap_or_else(|| serde_json::json!({}));
            status["conditions"] = Value::Array(conditions);
            object["status"] = status;
        }
    }
}

fn copy_field(object: &mut Value, old: &Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        restore(fields, field, old.get(field));
    }
}

/// Makes a field what it was; most are that already.
fn restore(fields: &mut Map<String, Value>, field: &str, was: Option<&Value>) {
    match (fields.get_mut(field), was) {
        (Some(value), Some(was)) if value == was => {}
        (Some(value), Some(was)) => value.clone_from(was),
        (None, Some(was)) => drop(fields.insert(field.to_owned(), was.clone())),
        (Some(_), None) => drop(fields.remove(field)),
        (None, None) => {}
    }
}

/// Makes all fields but some what they were.
fn restore_all_but(kept: &[&str], fields: &mut Map<String, Value>, old: &Map<String, Value>) {
    fields.retain(|field, _| kept.contains(&field.as_str()) || old.contains_key(field));
    for (field, was) in old.iter().filter(|(field, _)| !kept.contains(&field.as_str())) {
        restore(fields, field, Some(was));
    }
}

/// Keeps one field (and the managers, the revision) of the client's object.
fn keep_all_but(object: &mut Value, old: &Value, field: &str) {
    let empty = Map::new();
    let old_metadata = old["metadata"].as_object().unwrap_or(&empty);
    restore_all_but(&["managedFields", "resourceVersion"], crate::meta::of(object), old_metadata);
    if let (Some(fields), Some(old)) = (object.as_object_mut(), old.as_object()) {
        restore_all_but(&[field, "metadata"], fields, old);
    }
}

/// Returns whether an update changed what the generation counts.
pub fn is_new_generation(resource: &Resource, object: &Value, old: &Value, touched: &Touched) -> bool {
    if !counts_generations(resource) {
        return false;
    }
    // as apps deployment strategy: its annotations count too.
    let annotations_count = resource.gvr.group == "apps" && resource.gvr.resource == "deployments";
    touched.has_any(|field| field != "metadata" && !(field == "status" && resource.status_subresource))
        || (annotations_count && object["metadata"]["annotations"] != old["metadata"]["annotations"])
}

/// Returns whether a deletion is announced on the object even when nothing holds it.
pub fn is_deleted_gracefully(resource: &Resource) -> bool {
    resource.gvr.group.is_empty() && resource.gvr.resource == "pods"
}

/// Returns how long the deletion of an object is announced before it happens.
pub fn grace_period_seconds(resource: &Resource, object: &Value, asked: Option<i64>) -> i64 {
    if is_deleted_gracefully(resource) {
        let is_scheduled = object["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
        let is_over = matches!(object["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        if !is_scheduled || is_over {
            return 0;
        }
        return asked.or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30).max(0);
    }
    0
}

/// Returns whether the object waits for something other than `metadata.finalizers`.
pub fn is_held(resource: &Resource, object: &Value) -> bool {
    resource.gvr.group.is_empty()
        && resource.gvr.resource == "namespaces"
        && object["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty())
}

//! What a real API server sets when an object is created, and keeps when it is updated.
//!
//! Run [`prepare_create`] after uid and name are given, [`prepare_update`] before validating. Cluster
//! IPs and node ports are not given here: that takes memory of what is taken.

use apimachinery::gvk::GroupVersionKind;
use serde_json::{Value, json};

use crate::edit::{each, ensure, fields, get, is_empty, items, put, set, text};
use crate::quantity::Quantity;

/// Completes a new object.
pub fn prepare_create(gvk: &GroupVersionKind, object: &mut Value) {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Namespace") => {
            put(object, "status", json!({"phase": "Active"}));
            let spec = ensure(object, "spec");
            if !items(spec, &["finalizers"]).iter().any(|f| f == "kubernetes") {
                put(spec, "finalizers", json!(["kubernetes"]));
            }
        }
        ("", "Pod") => {
            let class = quality_of_service(object);
            put(object, "status", json!({"phase": "Pending", "qosClass": class}));
        }
        ("batch", "Job") => job_selector(object),
        _ => {}
    }
}

/// Keeps what an update must not lose or may not change silently.
pub fn prepare_update(gvk: &GroupVersionKind, object: &mut Value, old: &Value) {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Service") => keep_allocated(object, old),
        // The request for a certificate is what was signed; approval and status come by their paths.
        ("certificates.k8s.io", "CertificateSigningRequest") => put(object, "spec", get(old, &["spec"]).clone()),
        _ => {}
    }
}

/// A job selects by its uid, unless it says how itself.
fn job_selector(job: &mut Value) {
    let uid = text(job, &["metadata", "uid"]).to_owned();
    let name = text(job, &["metadata", "name"]).to_owned();
    if get(job, &["spec", "manualSelector"]) == &json!(true) || uid.is_empty() {
        return;
    }
    let spec = ensure(job, "spec");
    let labels = ensure(ensure(ensure(spec, "template"), "metadata"), "labels");
    // The unprefixed names are those of before 1.27, still read by many.
    for (key, value) in [("batch.kubernetes.io/controller-uid", &uid), ("controller-uid", &uid)] {
        set(labels, key, value.as_str());
    }
    for key in ["batch.kubernetes.io/job-name", "job-name"] {
        set(labels, key, name.as_str());
    }
    let selector = ensure(ensure(spec, "selector"), "matchLabels");
    set(selector, "batch.kubernetes.io/controller-uid", uid);
}

/// Takes over addresses and ports that an update leaves out: clients that replace a service do not
/// know them.
fn keep_allocated(service: &mut Value, old: &Value) {
    let kind = text(service, &["spec", "type"]).to_owned();
    let needs_ip = |kind: &str| kind != "ExternalName";
    let needs_ports = |kind: &str| ["NodePort", "LoadBalancer"].contains(&kind);
    let old_kind = text(old, &["spec", "type"]);
    let spec = ensure(service, "spec");
    if needs_ip(&kind) && needs_ip(old_kind) && is_empty(get(spec, &["clusterIP"])) && is_empty(get(spec, &["clusterIPs"])) {
        for field in ["clusterIP", "clusterIPs"] {
            let before = get(old, &["spec", field]);
            if !before.is_null() {
                put(spec, field, before.clone());
            }
        }
    }
    if !(needs_ports(&kind) && needs_ports(old_kind)) {
        return;
    }
    for port in each(spec, "ports").filter(|port| matches!(get(port, &["nodePort"]).as_i64(), None | Some(0))) {
        let same = |other: &&Value| ["port", "protocol"].iter().all(|field| get(other, &[field]) == get(port, &[field]));
        let before = items(old, &["spec", "ports"]).iter().find(same).map(|other| get(other, &["nodePort"]).clone());
        if let Some(number) = before.filter(|number| !number.is_null()) {
            put(port, "nodePort", number);
        }
    }
    let health = get(old, &["spec", "healthCheckNodePort"]);
    if kind == "LoadBalancer" && text(spec, &["externalTrafficPolicy"]) == "Local" && !health.is_null() {
        set(spec, "healthCheckNodePort", health.clone());
    }
}

/// Returns Guaranteed, Burstable or BestEffort.
fn quality_of_service(pod: &Value) -> &'static str {
    let containers = || ["initContainers", "containers"].into_iter().flat_map(|list| items(pod, &["spec", list]));
    let amount = |container: &Value, of: &str, name: &str| {
        let value = get(container, &["resources", of, name]);
        value.as_str().and_then(Quantity::parse).map(|q| q.nanos()).filter(|nanos| *nanos > 0)
    };
    let names = ["cpu", "memory"];
    let says = |c: &Value| names.iter().any(|name| amount(c, "limits", name).or(amount(c, "requests", name)).is_some());
    let is_exact = |c: &Value| {
        names.iter().all(|name| {
            let limit = amount(c, "limits", name);
            limit.is_some() && (limit == amount(c, "requests", name) || fields(c, &["resources", "requests"]).is_none())
        })
    };
    if !containers().any(says) {
        "BestEffort"
    } else if containers().all(is_exact) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

//! Defaults of the core group beside pods. As kubernetes `pkg/apis/core/v1/defaults.go`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::pod::volume_source;
use crate::edit::{at, each, ensure, get, is_empty, items, put, remove, set, text};

/// Three hours.
const AFFINITY_SECONDS: i32 = 10_800;

pub fn service(service: &mut Value) {
    let spec = ensure(service, "spec");
    set(spec, "sessionAffinity", "None");
    match text(spec, &["sessionAffinity"]) {
        "ClientIP" => set(ensure(ensure(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds", AFFINITY_SECONDS),
        _ => drop(remove(spec, "sessionAffinityConfig")),
    }
    set(spec, "type", "ClusterIP");
    for port in each(spec, "ports") {
        set(port, "protocol", "TCP");
        let number = get(port, &["port"]).clone();
        if [json!(0), json!("")].contains(get(port, &["targetPort"])) {
            remove(port, "targetPort");
        }
        if !number.is_null() {
            set(port, "targetPort", number);
        }
    }
    let kind = text(spec, &["type"]).to_owned();
    if ["NodePort", "LoadBalancer"].contains(&kind.as_str()) {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
    }
    if kind != "ExternalName" {
        set(spec, "internalTrafficPolicy", "Cluster");
        addresses(spec);
    }
    set(ensure(service, "status"), "loadBalancer", json!({}));
}

/// `clusterIP` and `clusterIPs` say the same; families follow from them where they are given.
fn addresses(spec: &mut Value) {
    let first = text(spec, &["clusterIP"]).to_owned();
    if !first.is_empty() {
        set(spec, "clusterIPs", json!([first]));
    } else if let Some(first) = items(spec, &["clusterIPs"]).first().cloned() {
        set(spec, "clusterIP", first);
    }
    let of = |ip: &Value| if ip.as_str().is_some_and(|ip| ip.contains(':')) { "IPv6" } else { "IPv4" };
    let families: Vec<&str> = items(spec, &["clusterIPs"]).iter().map(of).collect();
    set(spec, "ipFamilyPolicy", if families.len() > 1 { "RequireDualStack" } else { "SingleStack" });
    set(spec, "ipFamilies", if families.is_empty() { json!(["IPv4"]) } else { json!(families) });
}

pub fn endpoints(endpoints: &mut Value) {
    for subset in each(endpoints, "subsets") {
        each(subset, "ports").for_each(|port| set(port, "protocol", "TCP"));
    }
}

/// `stringData` is for writing only: it ends in `data`.
pub fn secret(secret: &mut Value) {
    set(secret, "type", "Opaque");
    let Some(Value::Object(texts)) = remove(secret, "stringData") else { return };
    for (key, text) in texts {
        put(ensure(secret, "data"), &key, STANDARD.encode(text.as_str().unwrap_or_default()));
    }
}

pub fn namespace(namespace: &mut Value) {
    let name = text(namespace, &["metadata", "name"]).to_owned();
    if !name.is_empty() {
        put(ensure(ensure(namespace, "metadata"), "labels"), "kubernetes.io/metadata.name", name);
    }
    set(ensure(namespace, "status"), "phase", "Active");
}

pub fn node(node: &mut Value) {
    let capacity = get(node, &["status", "capacity"]).clone();
    if !is_empty(&capacity) {
        set(ensure(node, "status"), "allocatable", capacity);
    }
}

pub fn persistent_volume(volume: &mut Value) {
    let spec = ensure(volume, "spec");
    set(spec, "persistentVolumeReclaimPolicy", "Retain");
    set(spec, "volumeMode", "Filesystem");
    volume_source(spec);
    set(ensure(volume, "status"), "phase", "Pending");
}

pub fn persistent_volume_claim(claim: &mut Value) {
    set(ensure(claim, "spec"), "volumeMode", "Filesystem");
    set(ensure(claim, "status"), "phase", "Pending");
}

/// A maximum is the default limit, a limit or else a minimum the default request.
pub fn limit_range(limit_range: &mut Value) {
    let Some(spec) = at(limit_range, &["spec"]) else { return };
    for limit in each(spec, "limits").filter(|limit| text(limit, &["type"]) == "Container") {
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let source: Map<String, Value> = get(limit, &[from]).as_object().cloned().unwrap_or_default();
            for (name, value) in source {
                set(ensure(limit, to), &name, value);
            }
        }
    }
}

//! The core group beside pods.

use std::collections::BTreeSet;

use apimachinery::names;
use apimachinery::status::Cause;
use serde_json::{Value, json};

use super::check::{Check, each};
use super::pod::port_name;
use crate::edit::{at, fields, get, is_empty, items, put, remove, text};
use crate::quantity::Quantity;

/// All values of a ConfigMap or Secret together.
const DATA_MAX: usize = 1024 * 1024;
const KEY_MAX: usize = 253;
const FROZEN: &str = "field is immutable when `immutable` is set";

pub fn config_map(check: &mut Check, map: &Value) {
    let mut size = 0;
    for (list, is_binary) in [("data", false), ("binaryData", true)] {
        for (key, value) in fields(map, &[list]).into_iter().flatten() {
            data_key(check, list, key);
            let length = value.as_str().unwrap_or_default().len();
            size += if is_binary { decoded_length(value) } else { length };
            if is_binary && !get(map, &["data", key]).is_null() {
                check.push(Cause::duplicate(format!("{list}[{key}]"), &json!(key)));
            }
        }
    }
    if size > DATA_MAX {
        check.push(Cause::too_long("", DATA_MAX as u64));
    }
}

pub fn secret(check: &mut Check, secret: &Value) {
    let mut size = 0;
    for (key, value) in fields(secret, &["data"]).into_iter().flatten() {
        data_key(check, "data", key);
        size += decoded_length(value);
    }
    if size > DATA_MAX {
        check.push(Cause::too_long("data", DATA_MAX as u64));
    }
    let wanted: &[&str] = match text(secret, &["type"]) {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/service-account-token" => {
            let account = get(secret, &["metadata", "annotations", "kubernetes.io/service-account.name"]);
            check.required("metadata.annotations[kubernetes.io/service-account.name]", account, "");
            &[]
        }
        "kubernetes.io/basic-auth" => {
            if ["username", "password"].iter().all(|key| get(secret, &["data", key]).is_null()) {
                check.push(Cause::required("data[username]", "or data[password]"));
            }
            &[]
        }
        _ => &[],
    };
    for key in wanted {
        if get(secret, &["data", key]).is_null() {
            check.push(Cause::required(format!("data[{key}]"), ""));
        }
    }
}

fn data_key(check: &mut Check, list: &str, key: &str) {
    let is_fine = !key.is_empty()
        && key.len() <= KEY_MAX
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && key != "."
        && !key.starts_with("..");
    if !is_fine {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or \
                       'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
        check.invalid(format!("{list}[{key}]"), &json!(key), message);
    }
}

/// Returns the bytes that base64 text stands for.
fn decoded_length(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

pub fn config_map_update(check: &mut Check, new: &Value, old: &Value) {
    frozen(check, new, old, &["data", "binaryData"]);
}

pub fn secret_update(check: &mut Check, new: &Value, old: &Value) {
    check.immutable("type", get(new, &["type"]), get(old, &["type"]));
    frozen(check, new, old, &["data"]);
}

fn frozen(check: &mut Check, new: &Value, old: &Value, lists: &[&str]) {
    if get(old, &["immutable"]) != &json!(true) {
        return;
    }
    if get(new, &["immutable"]) != &json!(true) {
        check.forbidden("immutable", FROZEN);
    }
    for list in lists {
        if get(new, &[list]) != get(old, &[list]) {
            check.forbidden(*list, FROZEN);
        }
    }
}

pub fn service(check: &mut Check, service: &Value) {
    let spec = get(service, &["spec"]);
    let kind = text(spec, &["type"]);
    check.one_of("spec.type", get(spec, &["type"]), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    check.one_of("spec.sessionAffinity", get(spec, &["sessionAffinity"]), &["ClientIP", "None"]);
    let ports = items(spec, &["ports"]);
    let is_headless = text(spec, &["clusterIP"]) == "None";
    if kind == "ExternalName" {
        let name = get(spec, &["externalName"]);
        if check.required("spec.externalName", name, "") {
            check.name("spec.externalName", name, |name| names::dns1123_subdomain(name.trim_end_matches('.')));
        }
    } else if ports.is_empty() && !is_headless {
        check.push(Cause::required("spec.ports", ""));
    }
    if is_headless && ["NodePort", "LoadBalancer"].contains(&kind) {
        check.invalid("spec.clusterIPs[0]", &json!("None"), &format!("may not be set to 'None' for {kind} services"));
    }
    check.distinct("spec.ports", ports, "name");
    let mut seen = BTreeSet::new();
    for (path, port) in each(spec, "spec", "ports") {
        let name = get(port, &["name"]);
        if ports.len() > 1 {
            check.required(format!("{path}.name"), name, "");
        }
        check.name(format!("{path}.name"), name, names::dns1123_label);
        check.port(format!("{path}.port"), get(port, &["port"]));
        check.one_of(format!("{path}.protocol"), get(port, &["protocol"]), &["SCTP", "TCP", "UDP"]);
        let target = get(port, &["targetPort"]);
        check.port(format!("{path}.targetPort"), target);
        check.name(format!("{path}.targetPort"), target, port_name);
        if is_headless && !target.is_null() && target.is_i64() && target != get(port, &["port"]) && is_empty(get(spec, &["selector"])) {
            check.invalid(format!("{path}.targetPort"), target, "must be equal to the value of 'port' when clusterIP = None");
        }
        if !seen.insert((get(port, &["protocol"]).to_string(), get(port, &["port"]).to_string())) {
            let value = json!({"port": get(port, &["port"]), "protocol": get(port, &["protocol"])});
            check.push(Cause::duplicate(path, &value));
        }
    }
}

pub fn service_update(check: &mut Check, new: &Value, old: &Value) {
    let kinds = [new, old].map(|service| text(service, &["spec", "type"]));
    let (ip, before) = (get(new, &["spec", "clusterIP"]), get(old, &["spec", "clusterIP"]));
    if !kinds.contains(&"ExternalName") && !is_empty(before) && ip != before {
        check.invalid("spec.clusterIPs[0]", ip, "may not change once set");
    }
}

pub fn claim(check: &mut Check, claim: &Value) {
    let spec = get(claim, &["spec"]);
    check.required("spec.accessModes", get(spec, &["accessModes"]), "at least 1 access mode is required");
    for (index, mode) in items(spec, &["accessModes"]).iter().enumerate() {
        check.one_of(format!("spec.accessModes[{index}]"), mode, &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]);
    }
    let storage = get(spec, &["resources", "requests", "storage"]);
    check.required("spec.resources[storage]", storage, "");
    if storage.as_str().and_then(Quantity::parse).is_some_and(|amount| amount.nanos() <= 0) {
        check.invalid("spec.resources[storage]", storage, "must be greater than zero");
    }
}

/// A claim may be bound once, and then grow.
pub fn claim_update(check: &mut Check, new: &Value, old: &Value) {
    let storage = |claim: &Value| text(claim, &["spec", "resources", "requests", "storage"]).to_owned();
    let (wanted, before) = (storage(new), storage(old));
    let (mut spec, old_spec) = (get(new, &["spec"]).clone(), get(old, &["spec"]));
    if is_empty(get(old_spec, &["volumeName"])) {
        remove(&mut spec, "volumeName");
    }
    // A class given later by the default class.
    if get(old_spec, &["storageClassName"]).is_null() {
        remove(&mut spec, "storageClassName");
    }
    put(&mut spec, "volumeAttributesClassName", get(old_spec, &["volumeAttributesClassName"]).clone());
    let is_bound = text(old, &["status", "phase"]) == "Bound";
    if let (true, Some(requests)) = (is_bound, at(&mut spec, &["resources", "requests"])) {
        put(requests, "storage", before.clone());
    }
    let mut expected = old_spec.clone();
    put(&mut expected, "volumeAttributesClassName", get(old_spec, &["volumeAttributesClassName"]).clone());
    if spec != expected {
        let message = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        check.forbidden("spec", message);
    } else if let (Some(wanted), Some(before)) = (Quantity::parse(&wanted), Quantity::parse(&before))
        && wanted.nanos() < before.nanos()
    {
        check.forbidden("spec.resources.requests.storage", "field can not be less than previous value");
    }
}

//! Pods and pod templates.

use std::collections::BTreeSet;

use apimachinery::names;
use apimachinery::status::Cause;
use serde_json::{Value, json};

use super::check::{Check, each};
use crate::edit::{at, each as each_mut, fields, get, is_empty, items, put, remove, text};
use crate::quantity::Quantity;

pub const ALWAYS: &[&str] = &["Always"];
pub const ENDS: &[&str] = &["OnFailure", "Never"];
const ANY: &[&str] = &["Always", "OnFailure", "Never"];
const HANDLERS: &[&str] = &["exec", "grpc", "httpGet", "tcpSocket"];

pub fn pod(check: &mut Check, pod: &Value) {
    spec(check, get(pod, &["spec"]), "spec", ANY, &[]);
}

/// Checks a pod's spec; `claims` are names of volumes that the owner adds.
pub fn spec(check: &mut Check, spec: &Value, path: &str, restart: &[&str], claims: &[&str]) {
    if !spec.is_object() {
        return;
    }
    check.not_empty(format!("{path}.containers"), get(spec, &["containers"]));
    check.one_of(format!("{path}.restartPolicy"), get(spec, &["restartPolicy"]), restart);
    check.one_of(format!("{path}.dnsPolicy"), get(spec, &["dnsPolicy"]), &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]);
    check.not_negative(format!("{path}.terminationGracePeriodSeconds"), get(spec, &["terminationGracePeriodSeconds"]));
    check.distinct(&format!("{path}.volumes"), items(spec, &["volumes"]), "name");
    let mut volumes: BTreeSet<&str> = claims.iter().copied().collect();
    for (path, volume) in each(spec, path, "volumes") {
        if check.not_empty(format!("{path}.name"), get(volume, &["name"])) {
            check.name(format!("{path}.name"), get(volume, &["name"]), names::dns1123_label);
        }
        volumes.insert(text(volume, &["name"]));
        let sources = volume.as_object().map_or(0, |fields| fields.iter().filter(|(name, v)| *name != "name" && !v.is_null()).count());
        if sources > 1 {
            check.forbidden(path, "may not specify more than 1 volume type");
        }
    }
    let mut seen = BTreeSet::new();
    for list in ["initContainers", "containers"] {
        for (path, container) in each(spec, path, list) {
            let name = get(container, &["name"]);
            if name.as_str().is_some_and(|name| !name.is_empty() && !seen.insert(name)) {
                check.push(Cause::duplicate(format!("{path}.name"), name));
            }
            self::container(check, container, &path, &volumes, get(spec, &["hostNetwork"]) == &json!(true));
        }
    }
}

fn container(check: &mut Check, container: &Value, path: &str, volumes: &BTreeSet<&str>, on_host: bool) {
    let at = |field: &str| format!("{path}.{field}");
    if check.not_empty(at("name"), get(container, &["name"])) {
        check.name(at("name"), get(container, &["name"]), names::dns1123_label);
    }
    let image = get(container, &["image"]);
    if check.required(at("image"), image, "") && image.as_str().is_some_and(|text| text != text.trim()) {
        check.invalid(at("image"), image, "must not have leading or trailing whitespace");
    }
    check.one_of(at("imagePullPolicy"), get(container, &["imagePullPolicy"]), &["Always", "IfNotPresent", "Never"]);
    ports(check, container, path, on_host);
    for (path, variable) in each(container, path, "env") {
        check.not_empty(format!("{path}.name"), get(variable, &["name"]));
        if !is_empty(get(variable, &["value"])) && !is_empty(get(variable, &["valueFrom"])) {
            check.invalid(format!("{path}.valueFrom"), &json!(""), "may not be specified when `value` is not empty");
        }
    }
    let mut mounted = BTreeSet::new();
    for (path, mount) in each(container, path, "volumeMounts") {
        let (name, place) = (get(mount, &["name"]), get(mount, &["mountPath"]));
        if check.not_empty(format!("{path}.name"), name) && !name.as_str().is_some_and(|name| volumes.contains(name)) {
            check.push(Cause { reason: "FieldValueNotFound", message: format!("Not found: {name}"), field: format!("{path}.name") });
        }
        if check.not_empty(format!("{path}.mountPath"), place) && !mounted.insert(place.to_string()) {
            check.invalid(format!("{path}.mountPath"), place, "must be unique");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = get(container, &[name]);
        let handlers = HANDLERS.iter().filter(|kind| !get(probe, &[kind]).is_null()).count();
        match handlers {
            _ if !probe.is_object() => {}
            0 => check.push(Cause::required(at(name), "must specify a handler type")),
            1 => {}
            _ => check.forbidden(at(name), "may not specify more than 1 handler type"),
        }
    }
    resources(check, get(container, &["resources"]), &at("resources"));
}

fn ports(check: &mut Check, container: &Value, path: &str, on_host: bool) {
    check.distinct(&format!("{path}.ports"), items(container, &["ports"]), "name");
    for (path, port) in each(container, path, "ports") {
        let (number, host) = (get(port, &["containerPort"]), get(port, &["hostPort"]));
        match number.as_i64() {
            Some(0) => check.push(Cause::required(format!("{path}.containerPort"), "")),
            _ => check.port(format!("{path}.containerPort"), number),
        }
        check.port(format!("{path}.hostPort"), host);
        check.name(format!("{path}.name"), get(port, &["name"]), port_name);
        check.one_of(format!("{path}.protocol"), get(port, &["protocol"]), &["SCTP", "TCP", "UDP"]);
        if on_host && host.is_i64() && host != number {
            check.invalid(format!("{path}.hostPort"), host, "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

/// Names of ports are those of IANA services.
pub fn port_name(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > 15 {
        wrong.push("must be no more than 15 characters".to_owned());
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if name.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if name.starts_with('-') || name.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

fn resources(check: &mut Check, resources: &Value, path: &str) {
    let amount = |value: &Value| value.as_str().and_then(Quantity::parse);
    for of in ["limits", "requests"] {
        for (name, value) in fields(resources, &[of]).into_iter().flatten() {
            if amount(value).is_some_and(|amount| amount.nanos() < 0) {
                check.invalid(format!("{path}.{of}[{name}]"), value, "must be greater than or equal to 0");
            }
        }
    }
    for (name, request) in fields(resources, &["requests"]).into_iter().flatten() {
        let limit = get(resources, &["limits", name]);
        if let (Some(wanted), Some(most)) = (amount(request), amount(limit))
            && wanted.nanos() > most.nanos()
        {
            let message = format!("must be less than or equal to {name} limit of {}", limit.as_str().unwrap_or_default());
            check.invalid(format!("{path}.requests"), request, &message);
        }
    }
}

/// A running pod changes in few ways: images, deadline, grace period, more tolerations, a node once.
pub fn update(check: &mut Check, new: &Value, old: &Value) {
    if get(new, &["spec"]) == get(old, &["spec"]) {
        return;
    }
    let (mut new, old) = (get(new, &["spec"]).clone(), get(old, &["spec"]));
    for list in ["containers", "initContainers"] {
        let before = items(old, &[list]);
        for (container, before) in each_mut(&mut new, list).zip(before) {
            put(container, "image", get(before, &["image"]).clone());
        }
    }
    if is_empty(get(old, &["nodeName"])) {
        remove(&mut new, "nodeName");
    }
    let had: &[Value] = items(old, &["tolerations"]);
    if let Some(Value::Array(tolerations)) = at(&mut new, &["tolerations"]) {
        tolerations.retain(|toleration| had.contains(toleration));
    }
    let free = ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "schedulingGates", "ephemeralContainers"];
    let names: BTreeSet<&String> = [&new, old].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys()).collect();
    let changed: Vec<&str> = names
        .into_iter()
        .map(String::as_str)
        .filter(|name| !free.contains(name) && get(&new, &[name]) != get(old, &[name]))
        .filter(|name| !(is_empty(get(&new, &[name])) && is_empty(get(old, &[name]))))
        .collect();
    if !changed.is_empty() {
        let message = format!(
            "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, \
             `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing tolerations), \
             `spec.terminationGracePeriodSeconds`; changed: {}",
            changed.join(", ")
        );
        check.forbidden("spec", &message);
    }
}

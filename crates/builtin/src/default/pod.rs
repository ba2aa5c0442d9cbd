//! Defaults of pods and of everything that holds a pod template.
//! As kubernetes `pkg/apis/core/v1/defaults.go`.

use serde_json::{Map, Value, json};

use crate::edit::{at, each, ensure, get, is_empty, remove, set, text};

/// The mode of files in volumes made from objects: 0644.
const FILE_MODE: i32 = 420;
const TOKEN_SECONDS: i32 = 3600;

pub fn pod(pod: &mut Value) {
    // Only pods: templates leave both to the pods made from them.
    for list in ["initContainers", "containers"] {
        if let Some(spec) = at(pod, &["spec"]) {
            each(spec, list).for_each(requests_from_limits);
        }
    }
    let spec = ensure(pod, "spec");
    set(spec, "enableServiceLinks", true);
    pod_spec(spec);
}

pub fn pod_template(object: &mut Value) {
    template(object);
}

/// Fills in the `template` of an object.
pub fn template(object: &mut Value) {
    if let Some(template) = at(object, &["template"]) {
        pod_spec(ensure(template, "spec"));
    }
}

fn pod_spec(spec: &mut Value) {
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "restartPolicy", "Always");
    set(spec, "schedulerName", "default-scheduler");
    set(spec, "securityContext", json!({}));
    set(spec, "terminationGracePeriodSeconds", 30);
    // Two names of one field; both are always answered.
    for (from, to) in [("serviceAccountName", "serviceAccount"), ("serviceAccount", "serviceAccountName")] {
        let account = text(spec, &[from]).to_owned();
        if !account.is_empty() {
            set(spec, to, account);
        }
    }
    let on_host = get(spec, &["hostNetwork"]) == &json!(true);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, list).for_each(|c| container(c, on_host));
    }
    each(spec, "volumes").for_each(volume);
}

fn container(container: &mut Value, on_host: bool) {
    let policy = if is_latest(text(container, &["image"])) { "Always" } else { "IfNotPresent" };
    set(container, "imagePullPolicy", policy);
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    set(container, "resources", json!({}));
    for port in each(container, "ports") {
        set(port, "protocol", "TCP");
        let number = get(port, &["containerPort"]).clone();
        if on_host && !number.is_null() {
            set(port, "hostPort", number);
        }
    }
    for variable in each(container, "env") {
        if let Some(source) = at(variable, &["valueFrom"]) {
            field_source(source);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = at(container, &[name]) {
            for (field, value) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)] {
                set_unless_positive(probe, field, value);
            }
            handler(probe);
        }
    }
    for name in ["postStart", "preStop"] {
        if let Some(hook) = at(container, &["lifecycle", name]) {
            handler(hook);
        }
    }
}

/// Go cannot tell zero from unset here, so zero takes the default too.
fn set_unless_positive(object: &mut Value, field: &str, value: i64) {
    if get(object, &[field]).as_i64() == Some(0) {
        remove(object, field);
    }
    set(object, field, value);
}

fn handler(handler: &mut Value) {
    if let Some(http) = at(handler, &["httpGet"]) {
        set(http, "path", "/");
        set(http, "scheme", "HTTP");
    }
    if let Some(grpc) = at(handler, &["grpc"]) {
        set(grpc, "service", "");
    }
}

fn field_source(source: &mut Value) {
    if let Some(field) = at(source, &["fieldRef"]) {
        set(field, "apiVersion", "v1");
    }
    if let Some(resource) = at(source, &["resourceFieldRef"]) {
        set(resource, "divisor", "0");
    }
}

pub fn volume(volume: &mut Value) {
    let has_source = volume.as_object().is_some_and(|fields| fields.keys().any(|field| field != "name"));
    if !has_source {
        set(volume, "emptyDir", json!({}));
    }
    for kind in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = at(volume, &[kind]) {
            set(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(downward) = at(volume, &["downwardAPI"]) {
        each(downward, "items").for_each(field_source);
    }
    if let Some(projected) = at(volume, &["projected"]) {
        for source in each(projected, "sources") {
            if let Some(token) = at(source, &["serviceAccountToken"]) {
                set(token, "expirationSeconds", TOKEN_SECONDS);
            }
            if let Some(downward) = at(source, &["downwardAPI"]) {
                each(downward, "items").for_each(field_source);
            }
        }
    }
    // A claim made with the pod is a claim like others, but for its status.
    if let Some(spec) = at(volume, &["ephemeral", "volumeClaimTemplate", "spec"]) {
        set(spec, "volumeMode", "Filesystem");
    }
    volume_source(volume);
}

/// Fills in sources that pods and persistent volumes share.
pub fn volume_source(volume: &mut Value) {
    if let Some(path) = at(volume, &["hostPath"]) {
        set(path, "type", "");
    }
}

fn requests_from_limits(container: &mut Value) {
    let limits: Map<String, Value> = get(container, &["resources", "limits"]).as_object().cloned().unwrap_or_default();
    if limits.is_empty() {
        return;
    }
    if let Some(resources) = at(container, &["resources"]) {
        let requests = ensure(resources, "requests");
        for (name, limit) in limits {
            set(requests, &name, limit);
        }
    }
}

/// Whether an image is named without tag and digest, or by the tag `latest`.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !is_empty(&json!(image)),
    }
}

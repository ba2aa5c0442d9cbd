//! Kinds that configure: RBAC, autoscaling, network, leases, webhooks.

use apimachinery::names;
use apimachinery::status::Cause;
use serde_json::{Value, json};

use super::check::{Check, each};
use super::selector;
use crate::edit::{get, is_empty, items, text};

const RBAC: &str = "rbac.authorization.k8s.io";

pub fn role(check: &mut Check, role: &Value) {
    rules(check, role, true);
}

pub fn cluster_role(check: &mut Check, role: &Value) {
    rules(check, role, false);
}

fn rules(check: &mut Check, role: &Value, is_namespaced: bool) {
    for (path, rule) in each_at_root(role, "rules") {
        let is_set = |field: &str| !is_empty(get(rule, &[field]));
        check.not_empty(format!("{path}.verbs"), get(rule, &["verbs"]));
        if is_set("nonResourceURLs") {
            if is_namespaced {
                let value = get(rule, &["nonResourceURLs"]);
                check.invalid(format!("{path}.nonResourceURLs"), value, "namespaced rules cannot apply to non-resource URLs");
            } else if is_set("apiGroups") || is_set("resources") || is_set("resourceNames") {
                let value = get(rule, &["nonResourceURLs"]);
                check.invalid(
                    format!("{path}.nonResourceURLs"),
                    value,
                    "rules cannot apply to both regular resources and non-resource URLs",
                );
            }
            continue;
        }
        check.required(format!("{path}.apiGroups"), get(rule, &["apiGroups"]), "resource rules must supply at least one api group");
        check.required(format!("{path}.resources"), get(rule, &["resources"]), "resource rules must supply at least one resource");
    }
}

pub fn role_binding(check: &mut Check, binding: &Value) {
    let role = get(binding, &["roleRef"]);
    check.one_of("roleRef.apiGroup", get(role, &["apiGroup"]), &[RBAC]);
    let kinds: &[&str] = if text(binding, &["kind"]) == "ClusterRoleBinding" { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    check.one_of("roleRef.kind", get(role, &["kind"]), kinds);
    check.not_empty("roleRef.name", get(role, &["name"]));
    for (path, subject) in each_at_root(binding, "subjects") {
        check.not_empty(format!("{path}.name"), get(subject, &["name"]));
        match text(subject, &["kind"]) {
            "ServiceAccount" => {
                check.name(format!("{path}.name"), get(subject, &["name"]), names::dns1123_subdomain);
                check.required(format!("{path}.namespace"), get(subject, &["namespace"]), "");
                check.one_of(format!("{path}.apiGroup"), get(subject, &["apiGroup"]), &[""]);
            }
            "User" | "Group" => check.one_of(format!("{path}.apiGroup"), get(subject, &["apiGroup"]), &[RBAC]),
            _ => check.one_of(format!("{path}.kind"), get(subject, &["kind"]), &["Group", "ServiceAccount", "User"]),
        }
    }
}

pub fn role_binding_update(check: &mut Check, new: &Value, old: &Value) {
    let (role, before) = (get(new, &["roleRef"]), get(old, &["roleRef"]));
    if role != before {
        check.invalid("roleRef", role, "cannot change roleRef");
    }
}

pub fn autoscaler(check: &mut Check, autoscaler: &Value) {
    let spec = get(autoscaler, &["spec"]);
    let (most, least) = (get(spec, &["maxReplicas"]), get(spec, &["minReplicas"]));
    if most.as_i64().is_some_and(|most| most < 1) {
        check.invalid("spec.maxReplicas", most, "must be greater than 0");
    }
    if least.as_i64().is_some_and(|least| least < 1) {
        check.invalid("spec.minReplicas", least, "must be greater than or equal to 1");
    }
    if let (Some(top), Some(bottom)) = (most.as_i64(), least.as_i64())
        && top < bottom
    {
        check.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`");
    }
    for field in ["kind", "name"] {
        check.not_empty(format!("spec.scaleTargetRef.{field}"), get(spec, &["scaleTargetRef", field]));
    }
}

pub fn disruption_budget(check: &mut Check, budget: &Value) {
    let spec = get(budget, &["spec"]);
    if !get(spec, &["minAvailable"]).is_null() && !get(spec, &["maxUnavailable"]).is_null() {
        check.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        check.int_or_percent(format!("spec.{field}"), get(spec, &[field]));
    }
    selector::well_formed(check, get(spec, &["selector"]), "spec.selector");
}

pub fn ingress(check: &mut Check, ingress: &Value) {
    let spec = get(ingress, &["spec"]);
    if is_empty(get(spec, &["rules"])) && is_empty(get(spec, &["defaultBackend"])) {
        check.invalid("spec", &json!([]), "either `defaultBackend` or `rules` must be specified");
    }
    for (path, rule) in each(spec, "spec", "rules") {
        let host = get(rule, &["host"]);
        check.name(format!("{path}.host"), host, |host| names::dns1123_subdomain(host.strip_prefix("*.").unwrap_or(host)));
        for (index, entry) in items(rule, &["http", "paths"]).iter().enumerate() {
            let path = format!("{path}.http.paths[{index}]");
            let kind = get(entry, &["pathType"]);
            check.one_of(format!("{path}.pathType"), kind, &["Exact", "ImplementationSpecific", "Prefix"]);
            let place = get(entry, &["path"]);
            let is_absolute = place.as_str().is_some_and(|place| place.starts_with('/'));
            if ["Exact", "Prefix"].contains(&text(entry, &["pathType"])) && !is_absolute {
                check.invalid(format!("{path}.path"), place, "must be an absolute path");
            }
            let backend = get(entry, &["backend"]);
            let kinds = ["service", "resource"].iter().filter(|kind| !get(backend, &[kind]).is_null()).count();
            match kinds {
                _ if !backend.is_object() => {}
                0 => check.push(Cause::required(format!("{path}.backend"), "specify service or resource")),
                1 => {}
                _ => check.invalid(format!("{path}.backend"), &json!(""), "cannot set both resource and service backends"),
            }
        }
    }
}

pub fn network_policy(check: &mut Check, policy: &Value) {
    let spec = get(policy, &["spec"]);
    selector::well_formed(check, get(spec, &["podSelector"]), "spec.podSelector");
    for (index, kind) in items(spec, &["policyTypes"]).iter().enumerate() {
        check.one_of(format!("spec.policyTypes[{index}]"), kind, &["Egress", "Ingress"]);
    }
}

pub fn lease(check: &mut Check, lease: &Value) {
    let spec = get(lease, &["spec"]);
    let duration = get(spec, &["leaseDurationSeconds"]);
    if duration.as_i64().is_some_and(|seconds| seconds <= 0) {
        check.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0");
    }
    check.not_negative("spec.leaseTransitions", get(spec, &["leaseTransitions"]));
}

pub fn webhooks(check: &mut Check, configuration: &Value) {
    check.distinct("webhooks", items(configuration, &["webhooks"]), "name");
    for (path, webhook) in each_at_root(configuration, "webhooks") {
        let name = get(webhook, &["name"]);
        if name.as_str().is_some_and(|name| name.split('.').count() < 3) {
            check.invalid(format!("{path}.name"), name, "should be a domain with at least three segments separated by dots");
        }
        check.not_empty(format!("{path}.admissionReviewVersions"), get(webhook, &["admissionReviewVersions"]));
        check.one_of(format!("{path}.sideEffects"), get(webhook, &["sideEffects"]), &["None", "NoneOnDryRun"]);
        check.one_of(format!("{path}.failurePolicy"), get(webhook, &["failurePolicy"]), &["Fail", "Ignore"]);
        check.one_of(format!("{path}.matchPolicy"), get(webhook, &["matchPolicy"]), &["Equivalent", "Exact"]);
        let timeout = get(webhook, &["timeoutSeconds"]);
        if timeout.as_i64().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
            check.invalid(format!("{path}.timeoutSeconds"), timeout, "the timeout value must be between 1 and 30 seconds");
        }
        let client = get(webhook, &["clientConfig"]);
        if client.is_object() && get(client, &["url"]).is_null() == get(client, &["service"]).is_null() {
            check.push(Cause::required(format!("{path}.clientConfig"), "exactly one of url or service is required"));
        }
    }
}

fn each_at_root<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (String, &'a Value)> + use<'a> {
    let field = field.to_owned();
    items(object, &[field.as_str()]).iter().enumerate().map(move |(index, item)| (format!("{field}[{index}]"), item))
}

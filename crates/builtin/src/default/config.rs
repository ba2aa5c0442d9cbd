//! Defaults of kinds that configure: RBAC, network, storage, admission, CRDs, flow control.

use serde_json::{Value, json};

use crate::edit::{at, each, ensure, get, is_empty, set, text};

const RBAC: &str = "rbac.authorization.k8s.io";
const HTTPS: i32 = 443;

pub fn role_binding(binding: &mut Value) {
    if let Some(role) = at(binding, &["roleRef"]) {
        set(role, "apiGroup", RBAC);
    }
    for subject in each(binding, "subjects") {
        if ["User", "Group"].contains(&text(subject, &["kind"])) {
            set(subject, "apiGroup", RBAC);
        }
    }
}

pub fn network_policy(policy: &mut Value) {
    let spec = ensure(policy, "spec");
    set(spec, "podSelector", json!({}));
    for rules in ["ingress", "egress"] {
        for rule in each(spec, rules) {
            each(rule, "ports").for_each(|port| set(port, "protocol", "TCP"));
        }
    }
    let egress = !is_empty(get(spec, &["egress"]));
    set(spec, "policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
}

pub fn ingress_class(class: &mut Value) {
    if let Some(parameters) = at(class, &["spec", "parameters"]) {
        set(parameters, "scope", "Cluster");
    }
}

pub fn endpoint_slice(slice: &mut Value) {
    for port in each(slice, "ports") {
        set(port, "name", "");
        set(port, "protocol", "TCP");
    }
}

pub fn storage_class(class: &mut Value) {
    set(class, "reclaimPolicy", "Delete");
    set(class, "volumeBindingMode", "Immediate");
}

pub fn csi_driver(driver: &mut Value) {
    let spec = ensure(driver, "spec");
    set(spec, "attachRequired", true);
    set(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    set(spec, "podInfoOnMount", false);
    set(spec, "requiresRepublish", false);
    set(spec, "seLinuxMount", false);
    set(spec, "storageCapacity", false);
    set(spec, "volumeLifecycleModes", json!(["Persistent"]));
}

pub fn priority_class(class: &mut Value) {
    set(class, "preemptionPolicy", "PreemptLowerPriority");
}

pub fn validating_webhooks(configuration: &mut Value) {
    for webhook in each(configuration, "webhooks") {
        set(webhook, "failurePolicy", "Fail");
        set(webhook, "timeoutSeconds", 10);
        matches(webhook, "rules");
        if let Some(service) = at(webhook, &["clientConfig", "service"]) {
            set(service, "port", HTTPS);
        }
    }
}

pub fn mutating_webhooks(configuration: &mut Value) {
    validating_webhooks(configuration);
    each(configuration, "webhooks").for_each(|webhook| set(webhook, "reinvocationPolicy", "Never"));
}

pub fn validating_policy(policy: &mut Value) {
    let spec = ensure(policy, "spec");
    set(spec, "failurePolicy", "Fail");
    if let Some(constraints) = at(spec, &["matchConstraints"]) {
        match_resources(constraints);
    }
}

pub fn validating_policy_binding(binding: &mut Value) {
    if let Some(resources) = at(binding, &["spec", "matchResources"]) {
        match_resources(resources);
    }
}

fn match_resources(resources: &mut Value) {
    matches(resources, "resourceRules");
    each(resources, "excludeResourceRules").for_each(|rule| set(rule, "scope", "*"));
}

/// What is matched unless said otherwise: everything, in every version.
fn matches(object: &mut Value, rules: &str) {
    set(object, "matchPolicy", "Equivalent");
    set(object, "namespaceSelector", json!({}));
    set(object, "objectSelector", json!({}));
    each(object, rules).for_each(|rule| set(rule, "scope", "*"));
}

pub fn custom_resource_definition(crd: &mut Value) {
    let spec = ensure(crd, "spec");
    let names = ensure(spec, "names");
    let kind = text(names, &["kind"]).to_owned();
    if !kind.is_empty() {
        set(names, "singular", kind.to_lowercase());
        set(names, "listKind", format!("{kind}List"));
    }
    let conversion = ensure(spec, "conversion");
    set(conversion, "strategy", "None");
    if let Some(service) = at(conversion, &["webhook", "clientConfig", "service"]) {
        set(service, "port", HTTPS);
    }
}

pub fn api_service(service: &mut Value) {
    if let Some(target) = at(service, &["spec", "service"]) {
        set(target, "port", HTTPS);
    }
}

pub fn token_request(request: &mut Value) {
    set(ensure(request, "spec"), "expirationSeconds", 3600);
}

pub fn flow_schema(schema: &mut Value) {
    set(ensure(schema, "spec"), "matchingPrecedence", 1000);
}

pub fn priority_level(level: &mut Value) {
    if let Some(exempt) = at(level, &["spec", "exempt"]) {
        set(exempt, "nominalConcurrencyShares", 0);
        set(exempt, "lendablePercent", 0);
    }
    if let Some(limited) = at(level, &["spec", "limited"]) {
        set(limited, "nominalConcurrencyShares", 30);
        set(limited, "lendablePercent", 0);
        if let Some(queuing) = at(limited, &["limitResponse", "queuing"]) {
            for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                set(queuing, field, value);
            }
        }
    }
}

//! The named functions of columns; `builtin::COLUMN_FUNCTIONS` says what each computes.

use apimachinery::selector::LabelSelector;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::durations::{human, since};
use super::pod;
use super::text::{NONE, UNSET, at, condition, first_three, list, number, or, pairs, plain, text};

pub type Function = fn(&Value, Timestamp) -> Value;

/// Returns the function of a name.
pub fn find(name: &str) -> Option<Function> {
    Some(match name {
        "age" => |o, now| age(text(o, "metadata.creationTimestamp"), now, "<unknown>"),
        "apiservice-available" => |o, _| match condition(o, "Available") {
            Some(c) if c["status"] == "True" => json!("True"),
            Some(c) => json!(format!("{} ({})", text(c, "status"), text(c, "reason"))),
            None => json!("Unknown"),
        },
        "apiservice-target" => |o, _| match at(o, "spec.service") {
            Value::Null => json!("Local"),
            service => json!(format!("{}/{}", text(service, "namespace"), text(service, "name"))),
        },
        "container-images" => |o, _| json!(containers(o).iter().map(|c| text(c, "image")).collect::<Vec<_>>().join(",")),
        "container-names" => |o, _| json!(containers(o).iter().map(|c| text(c, "name")).collect::<Vec<_>>().join(",")),
        "controller" => |o, _| controller(o),
        "cronjob-last-schedule" => |o, now| age(text(o, "status.lastScheduleTime"), now, NONE),
        "csidriver-modes" => |o, _| json!(or(&joined(list(o, "spec.volumeLifecycleModes"), ","), "Persistent")),
        "csidriver-tokens" => |o, _| {
            let audiences: Vec<&str> = list(o, "spec.tokenRequests").iter().map(|t| text(t, "audience")).collect();
            json!(or(&audiences.join(","), UNSET))
        },
        "csr-condition" => |o, _| csr_condition(o),
        "csr-duration" => |o, _| at(o, "spec.expirationSeconds").as_i64().map_or(json!(NONE), |s| json!(human(s))),
        "data-count" => |o, _| json!(o["data"].as_object().map_or(0, |d| d.len()) + o["binaryData"].as_object().map_or(0, |d| d.len())),
        "deployment-ready" | "replicas-ready" => {
            |o, _| json!(format!("{}/{}", number(o, "status.readyReplicas"), number(o, "spec.replicas")))
        }
        "endpoints" => |o, _| json!(first_three(&endpoints(o), NONE)),
        "endpointslice-endpoints" => |o, _| {
            let addresses: Vec<String> = list(o, "endpoints").iter().flat_map(|e| list(e, "addresses")).map(plain).collect();
            json!(first_three(&addresses, UNSET))
        },
        "endpointslice-ports" => |o, _| {
            let ports: Vec<String> = list(o, "ports").iter().map(|p| p["port"].as_i64().map_or("*".into(), |n| n.to_string())).collect();
            json!(first_three(&ports, UNSET))
        },
        "event-count" => |o, _| json!(at(o, "series.count").as_i64().or(o["count"].as_i64()).filter(|n| *n > 0).unwrap_or(1)),
        "event-first-seen" => |o, now| age(first_of(o, &["firstTimestamp", "eventTime"]), now, "<unknown>"),
        "event-last-seen" => |o, now| age(first_of(o, &["series.lastObservedTime", "lastTimestamp", "eventTime"]), now, "<unknown>"),
        "event-message" => |o, _| json!(first_of(o, &["message", "note"]).trim()),
        "event-object" => |o, _| json!(format!("{}/{}", text(concerned(o), "kind").to_lowercase(), text(concerned(o), "name"))),
        "event-source" => |o, _| {
            let parts = [
                first_of(o, &["source.component", "deprecatedSource.component", "reportingComponent", "reportingController"]),
                first_of(o, &["source.host", "deprecatedSource.host"]),
            ];
            json!(parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(", "))
        },
        "event-subobject" => |o, _| json!(text(concerned(o), "fieldPath")),
        "hpa-reference" => |o, _| json!(format!("{}/{}", text(o, "spec.scaleTargetRef.kind"), text(o, "spec.scaleTargetRef.name"))),
        "hpa-targets" => |o, _| json!(hpa_targets(o)),
        "ingress-address" => |o, _| json!(balancer(o).join(",")),
        "ingress-hosts" => |o, _| {
            let hosts: Vec<String> = list(o, "spec.rules").iter().map(|r| text(r, "host").to_owned()).filter(|h| !h.is_empty()).collect();
            json!(first_three(&hosts, "*"))
        },
        "ingress-ports" => |o, _| json!(if list(o, "spec.tls").is_empty() { "80" } else { "80, 443" }),
        "ingressclass-parameters" => |o, _| match at(o, "spec.parameters") {
            Value::Null => json!(NONE),
            p if text(p, "apiGroup").is_empty() => json!(format!("{}/{}", text(p, "kind"), text(p, "name"))),
            p => json!(format!("{}.{}/{}", text(p, "kind"), text(p, "apiGroup"), text(p, "name"))),
        },
        "job-completions" => |o, _| json!(job_completions(o)),
        "job-duration" => |o, now| job_duration(o, now),
        "job-status" => |o, _| json!(job_status(o)),
        "element-count" => |o, _| json!(element_count(o)),
        "label-selector" => |o, _| json!(label_selector(o)),
        "node-external-ip" => |o, _| json!(node_address(o, "ExternalIP")),
        "node-internal-ip" => |o, _| json!(node_address(o, "InternalIP")),
        "node-roles" => |o, _| json!(node_roles(o)),
        "node-selector" => |o, _| json!(pairs(at(o, "spec.template.spec.nodeSelector").as_object())),
        "node-status" => |o, _| {
            let ready = match condition(o, "Ready").map(|c| text(c, "status")) {
                Some("True") => "Ready",
                Some("False" | "Unknown") => "NotReady",
                _ => "Unknown",
            };
            json!(if at(o, "spec.unschedulable") == true { format!("{ready},SchedulingDisabled") } else { ready.to_owned() })
        },
        "pod-labels" => |o, _| json!(pairs(at(o, "template.metadata.labels").as_object())),
        "pod-nominated-node" => |o, _| json!(or(text(o, "status.nominatedNodeName"), NONE)),
        "pod-node" => |o, _| json!(or(text(o, "spec.nodeName"), NONE)),
        "pod-ip" => |o, _| json!(or(list(o, "status.podIPs").first().map_or(text(o, "status.podIP"), |ip| text(ip, "ip")), NONE)),
        "pod-readiness-gates" => |o, _| {
            let gates = list(o, "spec.readinessGates");
            let met = gates.iter().filter(|g| condition(o, text(g, "conditionType")).is_some_and(|c| c["status"] == "True")).count();
            json!(if gates.is_empty() { NONE.to_owned() } else { format!("{met}/{}", gates.len()) })
        },
        "pod-ready" => |o, _| json!(pod::ready(o)),
        "pod-restarts" => |o, now| json!(pod::restarts(o, now)),
        "pod-status" => |o, _| json!(pod::status(o)),
        "policybinding-param-ref" => |o, _| match at(o, "spec.paramRef") {
            Value::Null => json!(UNSET),
            p if text(p, "name").is_empty() => json!("*"),
            p => json!(format!("{}/{}", or(text(p, "namespace"), "*"), text(p, "name"))),
        },
        "policy-param-kind" => |o, _| match at(o, "spec.paramKind") {
            Value::Null => json!(UNSET),
            p => json!(format!("{}/{}", text(p, "apiVersion"), text(p, "kind"))),
        },
        "pdb-max-unavailable" => |o, _| json!(or(&plain(at(o, "spec.maxUnavailable")), "N/A")),
        "pdb-min-available" => |o, _| json!(or(&plain(at(o, "spec.minAvailable")), "N/A")),
        "pv-access-modes" => |o, _| json!(access_modes(o)),
        "pv-claim" => |o, _| match at(o, "spec.claimRef") {
            Value::Null => json!(""),
            claim => json!(format!("{}/{}", text(claim, "namespace"), text(claim, "name"))),
        },
        "pvc-capacity" => |o, _| json!(if text(o, "spec.volumeName").is_empty() { "" } else { text(o, "status.capacity.storage") }),
        "pvc-status" | "pv-status" => {
            |o, _| json!(if text(o, "metadata.deletionTimestamp").is_empty() { text(o, "status.phase") } else { "Terminating" })
        }
        "quota-limits" => |o, _| json!(quota(o, true)),
        "quota-requests" => |o, _| json!(quota(o, false)),
        "role-ref" => |o, _| json!(format!("{}/{}", text(o, "roleRef.kind"), text(o, "roleRef.name"))),
        "service-external-ip" => |o, _| json!(service_external_ip(o)),
        "service-ports" => |o, _| json!(service_ports(o)),
        "subjects-group" => |o, _| json!(subjects(o, "Group")),
        "subjects-serviceaccount" => |o, _| json!(subjects(o, "ServiceAccount")),
        "subjects-user" => |o, _| json!(subjects(o, "User")),
        "flowschema-dangling" => |o, _| json!(condition(o, "Dangling").map_or("?", |c| text(c, "status"))),
        _ => return None,
    })
}

fn age(at: &str, now: Timestamp, none: &str) -> Value {
    match at.parse::<Timestamp>() {
        Ok(at) => json!(since(at, now)),
        Err(_) => json!(none),
    }
}

fn joined(values: &[Value], by: &str) -> String {
    values.iter().map(plain).collect::<Vec<_>>().join(by)
}

/// Returns the first of some fields that says something.
fn first_of<'a>(object: &'a Value, paths: &[&str]) -> &'a str {
    paths.iter().map(|p| text(object, p)).find(|t| !t.is_empty()).unwrap_or_default()
}

fn containers(object: &Value) -> &[Value] {
    let paths =
        ["spec.template.spec.containers", "spec.jobTemplate.spec.template.spec.containers", "template.spec.containers", "spec.containers"];
    paths.iter().map(|p| list(object, p)).find(|c| !c.is_empty()).unwrap_or_default()
}

fn controller(object: &Value) -> Value {
    let Some(owner) = list(object, "metadata.ownerReferences").iter().find(|o| o["controller"] == true) else { return json!(NONE) };
    let group = text(owner, "apiVersion").split_once('/').map(|(g, _)| format!(".{g}")).unwrap_or_default();
    json!(format!("{}{group}/{}", text(owner, "kind").to_lowercase(), text(owner, "name")))
}

fn csr_condition(csr: &Value) -> Value {
    let has = |ty: &str| condition(csr, ty).is_some();
    let mut shown = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    }
    .to_owned();
    if has("Failed") {
        shown.push_str(",Failed");
    }
    if !text(csr, "status.certificate").is_empty() {
        shown.push_str(",Issued");
    }
    json!(shown)
}

fn endpoints(object: &Value) -> Vec<String> {
    let subset = |s: &Value| -> Vec<String> {
        let addresses = list(s, "addresses").iter().map(|a| text(a, "ip").to_owned());
        let ports = list(s, "ports");
        addresses
            .flat_map(|ip| if ports.is_empty() { vec![ip] } else { ports.iter().map(|p| format!("{ip}:{}", number(p, "port"))).collect() })
            .collect()
    };
    list(object, "subsets").iter().flat_map(subset).collect()
}

fn concerned(event: &Value) -> &Value {
    if event["involvedObject"].is_null() { &event["regarding"] } else { &event["involvedObject"] }
}

fn hpa_targets(hpa: &Value) -> String {
    let metrics = list(hpa, "spec.metrics");
    if metrics.is_empty() {
        // autoscaling/v1
        let target = at(hpa, "spec.targetCPUUtilizationPercentage").as_i64().map(|n| format!("{n}%"));
        let current = at(hpa, "status.currentCPUUtilizationPercentage").as_i64().map_or("<unknown>".into(), |n| format!("{n}%"));
        return target.map_or(NONE.into(), |t| format!("cpu: {current}/{t}"));
    }
    let one = |(i, metric): (usize, &Value)| {
        let ty = text(metric, "type");
        let field = format!("{}{}", ty[..ty.len().min(1)].to_lowercase(), ty.get(1..).unwrap_or_default());
        let target = &metric[&field]["target"];
        let current = &list(hpa, "status.currentMetrics").get(i).unwrap_or(&Value::Null)[&field]["current"];
        let shown = |v: &Value| match v["averageUtilization"].as_i64() {
            Some(percent) => format!("{percent}%"),
            None => or(first_of(v, &["averageValue", "value"]), "<unknown>").to_owned(),
        };
        let name = text(&metric[&field], "name");
        let prefix = if ty == "Resource" && !name.is_empty() { format!("{name}: ") } else { String::new() };
        format!("{prefix}{}/{}", shown(current), shown(target))
    };
    metrics.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

fn balancer(object: &Value) -> Vec<String> {
    list(object, "status.loadBalancer.ingress")
        .iter()
        .map(|i| first_of(i, &["ip", "hostname"]).to_owned())
        .filter(|a| !a.is_empty())
        .collect()
}

fn job_completions(job: &Value) -> String {
    let succeeded = number(job, "status.succeeded");
    match (at(job, "spec.completions").as_i64(), at(job, "spec.parallelism").as_i64()) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, Some(parallelism)) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        _ => format!("{succeeded}/1"),
    }
}

fn job_duration(job: &Value, now: Timestamp) -> Value {
    let Ok(start) = text(job, "status.startTime").parse::<Timestamp>() else { return json!("") };
    let end = text(job, "status.completionTime").parse().unwrap_or(now);
    json!(since(start, end))
}

fn job_status(job: &Value) -> &'static str {
    let is = |ty: &str| condition(job, ty).is_some_and(|c| c["status"] == "True");
    let known = ["Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"];
    match known.into_iter().find(|ty| is(ty)) {
        Some(ty) => ty,
        None if !text(job, "metadata.deletionTimestamp").is_empty() => "Terminating",
        None => "Running",
    }
}

fn element_count(object: &Value) -> usize {
    ["secrets", "webhooks", "spec.drivers", "spec.validations", "status.active"]
        .iter()
        .map(|p| list(object, p).len())
        .find(|n| *n > 0)
        .unwrap_or(0)
}

fn label_selector(object: &Value) -> String {
    let selector = if object["kind"] == "NetworkPolicy" { at(object, "spec.podSelector") } else { at(object, "spec.selector") };
    // Services and replication controllers select by a plain map.
    let is_plain = selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none();
    let shown =
        if is_plain { pairs(selector.as_object()) } else { LabelSelector::from_value(selector).map(|s| s.to_string()).unwrap_or_default() };
    or(&shown, NONE).to_owned()
}

fn node_address(node: &Value, ty: &str) -> String {
    let found = list(node, "status.addresses").iter().find(|a| a["type"] == ty).map(|a| text(a, "address"));
    or(found.unwrap_or_default(), NONE).to_owned()
}

fn node_roles(node: &Value) -> String {
    let labels = at(node, "metadata.labels").as_object().into_iter().flatten();
    let mut roles: Vec<&str> = labels.filter_map(|(k, _)| k.strip_prefix("node-role.kubernetes.io/")).filter(|r| !r.is_empty()).collect();
    roles.sort_unstable();
    or(&roles.join(","), NONE).to_owned()
}

fn access_modes(object: &Value) -> String {
    let modes = if text(object, "status.phase") == "Bound" && !list(object, "status.accessModes").is_empty() {
        list(object, "status.accessModes")
    } else {
        list(object, "spec.accessModes")
    };
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        Some("ReadWriteOncePod") => "RWOP",
        _ => "",
    };
    modes.iter().map(short).filter(|m| !m.is_empty()).collect::<Vec<_>>().join(",")
}

fn quota(object: &Value, limits: bool) -> String {
    let hard = at(object, "status.hard").as_object().into_iter().flatten();
    let chosen = hard.filter(|(name, _)| name.starts_with("limits.") == limits);
    chosen.map(|(name, hard)| format!("{name}: {}/{}", plain(&object["status"]["used"][name]), plain(hard))).collect::<Vec<_>>().join(", ")
}

fn service_external_ip(service: &Value) -> String {
    let external = joined(list(service, "spec.externalIPs"), ",");
    match text(service, "spec.type") {
        "ExternalName" => text(service, "spec.externalName").to_owned(),
        "LoadBalancer" => {
            let addresses = balancer(service).into_iter().chain(Some(external).filter(|e| !e.is_empty())).collect::<Vec<_>>().join(",");
            or(&addresses, "<pending>").to_owned()
        }
        _ => or(&external, NONE).to_owned(),
    }
}

fn service_ports(service: &Value) -> String {
    let one = |port: &Value| {
        let protocol = or(text(port, "protocol"), "TCP");
        match port["nodePort"].as_i64().filter(|n| *n > 0) {
            Some(node_port) => format!("{}:{node_port}/{protocol}", number(port, "port")),
            None => format!("{}/{protocol}", number(port, "port")),
        }
    };
    or(&list(service, "spec.ports").iter().map(one).collect::<Vec<_>>().join(","), NONE).to_owned()
}

fn subjects(binding: &Value, kind: &str) -> String {
    let named = list(binding, "subjects").iter().filter(|s| s["kind"] == kind);
    let shown = named.map(|s| {
        if kind == "ServiceAccount" { format!("{}/{}", text(s, "namespace"), text(s, "name")) } else { text(s, "name").to_owned() }
    });
    shown.collect::<Vec<_>>().join(", ")
}

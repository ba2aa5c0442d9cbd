//! Scheduling: which node a pod runs on.
//!
//! Looks at node selectors, a pinned node (as DaemonSet pods have), cordons, claims, and requested CPU and
//! memory; of the nodes that fit takes the one with the fewest pods. Not looked at: taints, spread, other affinity.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Action, Plan, api_time, condition};
use crate::faults::{Fault, Table};
use crate::kind::Kind;
use crate::model::{Node, Pod, PodSpec};

/// A pod without a node, and what decides where it can go.
pub struct Observed<'a> {
    pub pod: &'a Pod,
    pub nodes: Vec<&'a Node>,
    pub pods: Vec<&'a Pod>,
    /// Claims of the pod's namespace: name and whether bound.
    pub claims: Vec<(&'a str, bool)>,
    pub faults: &'a Table,
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (pod, meta) = (seen.pod, &seen.pod.metadata);
    if !pod.spec.node_name.is_empty() || pod.is_finished() || !pod.spec.scheduling_gates.is_empty() {
        return plan;
    }
    if meta.is_being_deleted() {
        // No kubelet has it, so nothing needs time to stop.
        plan.act(Action::Delete {
            kind: Kind::Pod,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            grace_period_seconds: Some(0),
        });
        return plan;
    }
    match choose(seen) {
        Ok(node) => {
            plan.inform(Kind::Pod, meta, "Scheduled", format!("Successfully assigned {}/{} to {node}", meta.namespace, meta.name));
            plan.act(Action::Bind { namespace: meta.namespace.clone(), name: meta.name.clone(), node });
        }
        Err(why) => {
            let before = pod.status.json.value();
            let old = condition(&before, "PodScheduled");
            if old["status"] == "False" && old["message"] == *why {
                return plan;
            }
            let since = if old["status"] == "False" { old["lastTransitionTime"].clone() } else { api_time(now) };
            let scheduled = json!({
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why, "lastTransitionTime": since,
            });
            plan.warn(Kind::Pod, meta, "FailedScheduling", why);
            plan.set_status(Kind::Pod, meta, &pod.status.json, json!({"phase": "Pending", "conditions": [scheduled]}));
        }
    }
    plan
}

fn choose(seen: &Observed) -> Result<String, String> {
    let pod = seen.pod;
    for claim in pod.spec.volumes.iter().filter_map(|v| v.persistent_volume_claim.as_ref()) {
        match seen.claims.iter().find(|(name, _)| *name == claim.claim_name) {
            None => return Err(unavailable(seen, &format!("persistentvolumeclaim {:?} not found", claim.claim_name))),
            Some((_, false)) => return Err(unavailable(seen, "pod has unbound immediate PersistentVolumeClaims")),
            Some((_, true)) => {}
        }
    }
    if seen.faults.pod_fault(pod) == Some(Fault::Unschedulable) {
        return Err(unavailable(seen, "1 Insufficient cpu"));
    }
    let mut reasons: Vec<&str> = Vec::new();
    let mut best: Option<(usize, &str)> = None;
    let (cpu, memory) = requests(&pod.spec);
    for node in &seen.nodes {
        if let Err(why) = fits(&pod.spec, node) {
            reasons.push(why);
            continue;
        }
        let there: Vec<&&Pod> = seen.pods.iter().filter(|p| p.spec.node_name == node.metadata.name && !p.is_finished()).collect();
        let used = there.iter().map(|p| requests(&p.spec)).fold((0, 0), |sum, r| (sum.0 + r.0, sum.1 + r.1));
        let (cpu_all, memory_all) = allocatable(node);
        if used.0 + cpu > cpu_all {
            reasons.push("Insufficient cpu");
        } else if used.1 + memory > memory_all {
            reasons.push("Insufficient memory");
        } else if best.is_none_or(|(count, _)| there.len() < count) {
            best = Some((there.len(), &node.metadata.name));
        }
    }
    best.map(|(_, node)| node.to_owned()).ok_or_else(|| {
        reasons.sort_unstable();
        let mut counted: Vec<String> = Vec::new();
        for group in reasons.chunk_by(|a, b| a == b) {
            counted.push(format!("{} {}", group.len(), group[0]));
        }
        unavailable(seen, &counted.join(", "))
    })
}

fn unavailable(seen: &Observed, why: &str) -> String {
    let why = if why.is_empty() { "no nodes available to schedule pods" } else { why };
    format!("0/{} nodes are available: {why}.", seen.nodes.len())
}

/// Returns whether a pod's own rules allow the node; DaemonSets ask this for their template.
pub fn may_run_on(spec: &PodSpec, node: &Node) -> bool {
    selector_matches(spec, node)
}

fn selector_matches(spec: &PodSpec, node: &Node) -> bool {
    spec.node_selector.iter().all(|(key, value)| node.metadata.labels.get(key) == Some(value))
        && (spec.node_name.is_empty() || spec.node_name == node.metadata.name)
}

fn fits(spec: &PodSpec, node: &Node) -> Result<(), &'static str> {
    let pinned = pinned_node(spec);
    match &pinned {
        Some(name) if *name != node.metadata.name => return Err("node(s) didn't satisfy plugin(s) [NodeAffinity]"),
        // Daemons tolerate cordons.
        Some(_) => {}
        None if node.spec.unschedulable => return Err("node(s) were unschedulable"),
        None => {}
    }
    if !selector_matches(spec, node) {
        return Err("node(s) didn't match Pod's node affinity/selector");
    }
    if condition(&node.status.value(), "Ready")["status"] == "False" && pinned.is_none() {
        return Err("node(s) had untolerated taint {node.kubernetes.io/not-ready: }");
    }
    Ok(())
}

/// Returns the node that a pod's affinity names, as the DaemonSet controller writes it.
pub fn pinned_node(spec: &PodSpec) -> Option<String> {
    if !spec.affinity.text().contains("metadata.name") {
        return None;
    }
    let affinity = spec.affinity.value();
    let field = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchFields"][0];
    (field["key"] == "metadata.name").then(|| field["values"][0].as_str().map(str::to_owned)).flatten()
}

/// Returns millicores and bytes that a pod asks for.
fn requests(spec: &PodSpec) -> (i64, i64) {
    spec.containers.iter().fold((0, 0), |(cpu, memory), container| {
        let requests = &container.resources.requests;
        (cpu + milli(requests.cpu.as_deref()), memory + milli(requests.memory.as_deref()) / 1000)
    })
}

fn allocatable(node: &Node) -> (i64, i64) {
    let status: Value = node.status.value();
    let of = |name: &str| milli(status["allocatable"][name].as_str());
    (of("cpu"), of("memory") / 1000)
}

/// Returns a quantity in thousandths; 0 for none or nonsense, which the API server refuses anyway.
fn milli(quantity: Option<&str>) -> i64 {
    let Some(text) = quantity else { return 0 };
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let factor: f64 = match &text[split..] {
        "m" => 0.001,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return 0,
    };
    (text[..split].parse::<f64>().unwrap_or(0.0) * factor * 1000.0) as i64
}

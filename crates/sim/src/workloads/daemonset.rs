//! DaemonSet: one pod on every node that the template allows.
//!
//! As kube-controller-manager `pkg/controller/daemon`: RollingUpdate by maxUnavailable, or OnDelete. maxSurge
//! is treated as a way to need no unavailable pod at all: the new pod is made before the old one goes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::statefulset::{REVISION_HASH, forget_revisions, remember_template};
use super::{Action, Plan, nonzero, pod_from_template, pod_suffix, scheduler, template_hash};
use crate::kind::Kind;
use crate::model::{ControllerRevision, DaemonSet, Node, Pod, PodSpec};

/// A DaemonSet with its pods and remembered templates, and all nodes.
pub struct Observed<'a> {
    pub set: &'a DaemonSet,
    pub pods: Vec<&'a Pod>,
    pub revisions: Vec<&'a ControllerRevision>,
    pub nodes: Vec<&'a Node>,
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (set, meta) = (seen.set, &seen.set.metadata);
    let hash = template_hash(set.spec.template.text());
    let revision = format!("{}-{hash}", meta.name);
    let template = set.spec.template.value();
    let spec: PodSpec = serde_json::from_value(template["spec"].clone()).unwrap_or_default();
    let nodes: Vec<&Node> = seen.nodes.iter().copied().filter(|node| scheduler::may_run_on(&spec, node)).collect();
    let mut on_node: OnNode = BTreeMap::new();
    for pod in &seen.pods {
        on_node.entry(node_of(pod)).or_default().push(pod);
    }
    if !meta.is_being_deleted() {
        remember_template(Kind::DaemonSet, meta, &set.spec.template, &seen.revisions, &revision, &mut plan);
        converge(seen, &template, &hash, &nodes, &on_node, now, &mut plan);
        let limit = set.spec.revision_history_limit.unwrap_or(10).max(0) as usize;
        forget_revisions(&seen.revisions, &seen.pods, &[&revision], limit, &mut plan);
    }
    report(seen, &hash, &nodes, &on_node, now, &mut plan);
    plan
}

/// Pods by the node they are on or meant for.
type OnNode<'a> = BTreeMap<String, Vec<&'a Pod>>;

/// Returns the node a pod is on, or is meant for.
fn node_of(pod: &Pod) -> String {
    if pod.spec.node_name.is_empty() { scheduler::pinned_node(&pod.spec).unwrap_or_default() } else { pod.spec.node_name.clone() }
}

fn is_available(set: &DaemonSet, pod: &Pod, now: Timestamp) -> bool {
    !pod.metadata.is_being_deleted() && pod.available_at(set.spec.min_ready_seconds).is_some_and(|at| at <= now)
}

fn is_current(pod: &Pod, hash: &str) -> bool {
    pod.metadata.labels.get(REVISION_HASH).is_some_and(|h| h == hash)
}

#[allow(clippy::too_many_arguments)]
fn converge(seen: &Observed, template: &Value, hash: &str, nodes: &[&Node], on_node: &OnNode, now: Timestamp, plan: &mut Plan) {
    let set = seen.set;
    let none = Vec::new();
    // 1. Pods where none belongs go; finished ones are replaced.
    for (node, pods) in on_node {
        let belongs = nodes.iter().any(|n| n.metadata.name == *node);
        for pod in pods.iter().filter(|pod| !pod.metadata.is_being_deleted() && (!belongs || pod.is_finished())) {
            plan.delete(Kind::Pod, &pod.metadata);
        }
    }
    // 2. A node without a pod gets one.
    let mut unavailable = 0;
    for (ordinal, node) in nodes.iter().enumerate() {
        let pods = on_node.get(node.metadata.name.as_str()).unwrap_or(&none);
        if pods.is_empty() {
            create(seen, template, hash, ordinal, &node.metadata.name, now, plan);
        }
        if !pods.iter().any(|pod| is_available(set, pod, now)) {
            unavailable += 1;
        }
    }
    if set.spec.update_strategy.kind == "OnDelete" {
        return;
    }
    // 3. Old pods are replaced, as many at once as may be unavailable; those that do not serve first.
    let rolling = &set.spec.update_strategy.rolling_update;
    let total = nodes.len() as i64;
    let surge = rolling.max_surge.as_ref().map_or(0, |s| s.of(total, true));
    let most = rolling.max_unavailable.as_ref().map_or(1, |m| m.of(total, true)).max(i64::from(surge == 0));
    let mut room = most - unavailable;
    let mut surge_room = surge;
    for (ordinal, node) in nodes.iter().enumerate() {
        let pods = on_node.get(node.metadata.name.as_str()).unwrap_or(&none);
        let old: Vec<_> = pods.iter().filter(|pod| pod.is_active() && !is_current(pod, hash)).collect();
        let new_serves = pods.iter().any(|pod| is_current(pod, hash) && is_available(set, pod, now));
        let has_new = pods.iter().any(|pod| pod.is_active() && is_current(pod, hash));
        for pod in old {
            let serves = is_available(set, pod, now);
            if new_serves || !serves || (surge == 0 && room > 0) {
                room -= i64::from(serves && !new_serves);
                plan.delete(Kind::Pod, &pod.metadata);
            } else if surge_room > 0 && !has_new {
                surge_room -= 1;
                create(seen, template, hash, ordinal, &node.metadata.name, now, plan);
            }
        }
    }
}

fn create(seen: &Observed, template: &Value, hash: &str, ordinal: usize, node: &str, now: Timestamp, plan: &mut Plan) {
    let meta = &seen.set.metadata;
    let name = format!("{}-{}", meta.name, pod_suffix(meta, ordinal, now, &seen.pods));
    let mut pod = pod_from_template(template, meta, "apps/v1", "DaemonSet", &name);
    pod["metadata"]["labels"][REVISION_HASH] = json!(hash);
    pod["metadata"]["labels"]["pod-template-generation"] = json!(meta.generation.to_string());
    pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    ]}}});
    plan.act(Action::Create { kind: Kind::Pod, object: pod });
    plan.inform(Kind::DaemonSet, meta, "SuccessfulCreate", format!("Created pod: {name}"));
}

fn report(seen: &Observed, hash: &str, nodes: &[&Node], on_node: &OnNode, now: Timestamp, plan: &mut Plan) {
    let set = seen.set;
    let none = Vec::new();
    let (mut scheduled, mut ready, mut available, mut updated) = (0, 0, 0, 0);
    for node in nodes {
        let pods: Vec<&&Pod> = on_node.get(node.metadata.name.as_str()).unwrap_or(&none).iter().filter(|pod| pod.is_active()).collect();
        scheduled += i64::from(!pods.is_empty());
        ready += i64::from(pods.iter().any(|pod| pod.status.ready));
        available += i64::from(pods.iter().any(|pod| is_available(set, pod, now)));
        updated += i64::from(pods.iter().any(|pod| is_current(pod, hash)));
        for at in pods.iter().filter_map(|pod| pod.available_at(set.spec.min_ready_seconds)).filter(|at| *at > now) {
            plan.look_again(at);
        }
    }
    let desired = nodes.len() as i64;
    let misplaced = on_node.iter().filter(|(node, _)| !nodes.iter().any(|n| n.metadata.name == **node));
    let status = json!({
        "observedGeneration": set.metadata.generation,
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": scheduled,
        "numberMisscheduled": misplaced.map(|(_, pods)| pods.len()).sum::<usize>(),
        "numberReady": ready,
        "numberAvailable": nonzero(available),
        "numberUnavailable": nonzero(desired - available),
        "updatedNumberScheduled": nonzero(updated),
    });
    plan.set_status(Kind::DaemonSet, &set.metadata, &set.status, status);
}

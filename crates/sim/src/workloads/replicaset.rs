//! ReplicaSet: as many pods of one template as wanted.

use jiff::Timestamp;
use serde_json::json;

use super::{Action, Plan, deletion_rank, nonzero, pod_from_template, pod_suffix};
use crate::kind::Kind;
use crate::model::{Json, Pod, ReplicaSet};

/// A ReplicaSet and the pods it controls.
pub struct Observed<'a> {
    pub set: &'a ReplicaSet,
    pub pods: Vec<&'a Pod>,
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (set, meta) = (seen.set, &seen.set.metadata);
    let active: Vec<&Pod> = seen.pods.iter().copied().filter(|pod| pod.is_active()).collect();
    let wanted = set.spec.replicas.unwrap_or(1).max(0) as usize;
    if !meta.is_being_deleted() {
        scale(seen, &active, wanted, now, &mut plan);
    }
    let labels = set.spec.template.value()["metadata"]["labels"].clone();
    let fully_labeled = active
        .iter()
        .filter(|pod| {
            labels.as_object().is_none_or(|l| l.iter().all(|(k, v)| pod.metadata.labels.get(k).map(String::as_str) == v.as_str()))
        })
        .count();
    let ready = active.iter().filter(|pod| pod.status.ready).count();
    let mut available = 0;
    for at in active.iter().filter_map(|pod| pod.available_at(set.spec.min_ready_seconds)) {
        if at <= now {
            available += 1;
        } else {
            plan.look_again(at);
        }
    }
    let status = json!({
        "replicas": active.len(),
        "fullyLabeledReplicas": nonzero(fully_labeled as i64),
        "readyReplicas": nonzero(ready as i64),
        "availableReplicas": nonzero(available),
        "observedGeneration": meta.generation,
    });
    let before = &set.status;
    let same = before.replicas == active.len() as i64
        && before.fully_labeled_replicas == fully_labeled as i64
        && before.ready_replicas == ready as i64
        && before.available_replicas == available
        && before.observed_generation == meta.generation;
    if !same {
        plan.set_status(Kind::ReplicaSet, meta, &Json::default(), status);
    }
    plan
}

fn scale(seen: &Observed, active: &[&Pod], wanted: usize, now: Timestamp, plan: &mut Plan) {
    let meta = &seen.set.metadata;
    if active.len() < wanted {
        let template = seen.set.spec.template.value();
        for ordinal in active.len()..wanted {
            let name = format!("{}-{}", meta.name, pod_suffix(meta, ordinal, now, &seen.pods));
            plan.act(Action::Create { kind: Kind::Pod, object: pod_from_template(&template, meta, "apps/v1", "ReplicaSet", &name) });
            plan.inform(Kind::ReplicaSet, meta, "SuccessfulCreate", format!("Created pod: {name}"));
        }
    } else {
        let mut victims = active.to_vec();
        victims.sort_by_key(|pod| deletion_rank(pod));
        for pod in victims.into_iter().take(active.len() - wanted) {
            plan.delete(Kind::Pod, &pod.metadata);
            plan.inform(Kind::ReplicaSet, meta, "SuccessfulDelete", format!("Deleted pod: {}", pod.metadata.name));
        }
    }
}

//! StatefulSet: pods with stable names and claims, made and replaced in order.
//!
//! As kube-controller-manager `pkg/controller/statefulset`: OrderedReady or Parallel, RollingUpdate with
//! a partition or OnDelete, templates remembered as ControllerRevisions, one claim per pod and template.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Action, Plan, nonzero, pod_from_template, template_hash};
use crate::kind::Kind;
use crate::model::{ControllerRevision, Json, Pod, StatefulSet};

pub const REVISION_HASH: &str = "controller-revision-hash";

/// A StatefulSet with its pods, its remembered templates, and the names of the claims in its namespace.
pub struct Observed<'a> {
    pub set: &'a StatefulSet,
    pub pods: Vec<&'a Pod>,
    pub revisions: Vec<&'a ControllerRevision>,
    pub claims: Vec<&'a str>,
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (set, meta) = (seen.set, &seen.set.metadata);
    let before = set.status.value();
    let update = format!("{}-{}", meta.name, template_hash(set.spec.template.text()));
    let current = before["currentRevision"]
        .as_str()
        .filter(|name| seen.revisions.iter().any(|r| r.metadata.name == *name))
        .unwrap_or(&update)
        .to_owned();
    let names = Names { current: &current, update: &update };
    if !meta.is_being_deleted() {
        remember(seen, &update, &mut plan);
        converge(seen, &names, now, &mut plan);
        forget(seen, &names, &mut plan);
    }
    report(seen, &names, &before, now, &mut plan);
    plan
}

/// Names of the revision that the pods come from, and of the one they go to.
struct Names<'a> {
    current: &'a str,
    update: &'a str,
}

/// Creates the revision of the template, or makes it the newest again after a roll-back.
fn remember(seen: &Observed, update: &str, plan: &mut Plan) {
    remember_template(Kind::StatefulSet, &seen.set.metadata, &seen.set.spec.template, &seen.revisions, update, plan);
}

/// Keeps a template as the newest ControllerRevision of its owner.
pub(super) fn remember_template(
    kind: Kind,
    owner: &crate::model::Meta,
    template: &Json,
    revisions: &[&ControllerRevision],
    name: &str,
    plan: &mut Plan,
) {
    let newest = revisions.iter().map(|r| r.revision).max().unwrap_or(0);
    match revisions.iter().find(|r| r.metadata.name == name) {
        Some(known) if known.revision == newest => {}
        Some(known) => plan.patch(Kind::ControllerRevision, &known.metadata, json!({"revision": newest + 1})),
        None => {
            let template = template.value();
            let mut labels = template["metadata"]["labels"].clone();
            labels[REVISION_HASH] = json!(name.rsplit('-').next().unwrap_or(name));
            let mut patch = template;
            patch["$patch"] = json!("replace");
            plan.act(Action::Create {
                kind: Kind::ControllerRevision,
                object: json!({
                    "apiVersion": "apps/v1", "kind": "ControllerRevision",
                    "metadata": {
                        "name": name, "namespace": owner.namespace, "labels": labels,
                        "ownerReferences": [owner.owner_reference("apps/v1", kind.name())],
                    },
                    "data": {"spec": {"template": patch}},
                    "revision": newest + 1,
                }),
            });
        }
    }
}

/// Drops the oldest revisions that no pod has, beyond the limit.
fn forget(seen: &Observed, names: &Names, plan: &mut Plan) {
    let limit = seen.set.spec.revision_history_limit.unwrap_or(10).max(0) as usize;
    forget_revisions(&seen.revisions, &seen.pods, &[names.current, names.update], limit, plan);
}

pub(super) fn forget_revisions(revisions: &[&ControllerRevision], pods: &[&Pod], live: &[&str], limit: usize, plan: &mut Plan) {
    let mut idle: Vec<_> = revisions
        .iter()
        .filter(|r| !live.contains(&r.metadata.name.as_str()))
        .filter(|r| !pods.iter().any(|pod| r.metadata.name.ends_with(revision_of(pod)) && !revision_of(pod).is_empty()))
        .collect();
    idle.sort_by_key(|r| r.revision);
    for revision in idle.iter().take(idle.len().saturating_sub(limit)) {
        plan.delete(Kind::ControllerRevision, &revision.metadata);
    }
}

fn revision_of(pod: &Pod) -> &str {
    pod.metadata.labels.get(REVISION_HASH).map(String::as_str).unwrap_or_default()
}

fn ordinal_of(set: &StatefulSet, pod: &Pod) -> Option<i64> {
    pod.metadata.name.strip_prefix(&set.metadata.name)?.strip_prefix('-')?.parse().ok()
}

fn is_available(set: &StatefulSet, pod: &Pod, now: Timestamp) -> bool {
    pod.available_at(set.spec.min_ready_seconds).is_some_and(|at| at <= now)
}

fn converge(seen: &Observed, names: &Names, now: Timestamp, plan: &mut Plan) {
    let set = seen.set;
    let is_parallel = set.spec.pod_management_policy == "Parallel";
    let (start, replicas) = (set.spec.ordinals.start, set.spec.replicas.unwrap_or(1));
    let wanted = start..start + replicas;
    let mut by_ordinal: Vec<(i64, &Pod)> = seen.pods.iter().filter_map(|pod| Some((ordinal_of(set, pod)?, *pod))).collect();
    by_ordinal.sort_by_key(|(ordinal, _)| *ordinal);
    // 1. In order from the first: a missing pod is made, a finished one replaced; an ordered set waits for each.
    for ordinal in wanted.clone() {
        let pod = by_ordinal.iter().find(|(o, _)| *o == ordinal).map(|(_, pod)| *pod);
        let settled = match pod {
            None => {
                create(seen, names, ordinal, plan);
                false
            }
            Some(pod) if pod.is_finished() && !pod.metadata.is_being_deleted() => {
                plan.delete(Kind::Pod, &pod.metadata);
                false
            }
            Some(pod) => !pod.metadata.is_being_deleted() && is_available(set, pod, now),
        };
        if !settled && !is_parallel {
            return;
        }
    }
    // 2. From the last: pods that are too many, one at a time.
    let too_many: Vec<_> = by_ordinal.iter().rev().filter(|(o, _)| !wanted.contains(o)).collect();
    for (_, pod) in &too_many {
        if !pod.metadata.is_being_deleted() {
            plan.delete(Kind::Pod, &pod.metadata);
        }
        if !is_parallel {
            return;
        }
    }
    // 3. From the last: pods of another revision, one at a time, as far as the partition allows.
    if set.spec.update_strategy.kind == "OnDelete" {
        return;
    }
    let partition = set.spec.update_strategy.rolling_update.partition;
    let most = set.spec.update_strategy.rolling_update.max_unavailable.as_ref().map_or(1, |m| m.of(replicas, true).max(1));
    let mut unavailable = 0;
    for (ordinal, pod) in by_ordinal.iter().rev().filter(|(o, _)| wanted.contains(o)) {
        if *ordinal < start + partition || unavailable >= most {
            return;
        }
        if pod.metadata.is_being_deleted() || !is_available(set, pod, now) && revision_of(pod) == names.update {
            unavailable += 1;
        } else if revision_of(pod) != names.update {
            plan.delete(Kind::Pod, &pod.metadata);
            plan.inform(Kind::StatefulSet, &set.metadata, "SuccessfulDelete", format!("delete Pod {} successful", pod.metadata.name));
            unavailable += 1;
        }
    }
}

fn create(seen: &Observed, names: &Names, ordinal: i64, plan: &mut Plan) {
    let (set, meta) = (seen.set, &seen.set.metadata);
    let name = format!("{}-{ordinal}", meta.name);
    let partition = set.spec.update_strategy.rolling_update.partition;
    let is_kept_back = set.spec.update_strategy.kind != "OnDelete" && ordinal < set.spec.ordinals.start + partition;
    let remembered = seen.revisions.iter().find(|r| r.metadata.name == names.current).filter(|_| is_kept_back);
    let (template, revision) = match remembered {
        Some(revision) => (revision.data.value()["spec"]["template"].clone(), names.current),
        None => (set.spec.template.value(), names.update),
    };
    let mut pod = pod_from_template(&template, meta, "apps/v1", "StatefulSet", &name);
    pod["metadata"]["labels"][REVISION_HASH] = json!(revision);
    pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
    pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
    pod["spec"]["hostname"] = json!(name);
    if !set.spec.service_name.is_empty() {
        pod["spec"]["subdomain"] = json!(set.spec.service_name);
    }
    let mut volumes: Vec<Value> = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    for claim_template in &set.spec.volume_claim_templates {
        let template = claim_template.value();
        let volume = template["metadata"]["name"].as_str().unwrap_or("data").to_owned();
        let claim = format!("{volume}-{name}");
        if !seen.claims.contains(&claim.as_str()) {
            plan.act(Action::Create { kind: Kind::PersistentVolumeClaim, object: claim_object(seen, &template, &claim) });
        }
        volumes.retain(|v| v["name"] != *volume);
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
    }
    if !volumes.is_empty() {
        pod["spec"]["volumes"] = Value::Array(volumes);
    }
    plan.act(Action::Create { kind: Kind::Pod, object: pod });
    plan.inform(Kind::StatefulSet, meta, "SuccessfulCreate", format!("create Pod {name} in StatefulSet {} successful", meta.name));
}

fn claim_object(seen: &Observed, template: &Value, name: &str) -> Value {
    let (set, meta) = (seen.set, &seen.set.metadata);
    let mut labels = json!(set.spec.selector.match_labels);
    if let Some(own) = template["metadata"]["labels"].as_object() {
        for (key, value) in own {
            labels[key] = value.clone();
        }
    }
    let mut metadata = json!({"name": name, "namespace": meta.namespace, "labels": labels});
    if template["metadata"]["annotations"].is_object() {
        metadata["annotations"] = template["metadata"]["annotations"].clone();
    }
    if set.spec.persistent_volume_claim_retention_policy.when_deleted == "Delete" {
        metadata["ownerReferences"] = json!([meta.owner_reference("apps/v1", "StatefulSet")]);
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]})
}

fn report(seen: &Observed, names: &Names, before: &Value, now: Timestamp, plan: &mut Plan) {
    let set = seen.set;
    let replicas = set.spec.replicas.unwrap_or(1);
    let live: Vec<&Pod> = seen.pods.iter().copied().filter(|pod| !pod.is_finished()).collect();
    let count = |of: &dyn Fn(&Pod) -> bool| live.iter().filter(|pod| of(pod)).count() as i64;
    let of_revision = |revision: &str| count(&|pod| revision_of(pod) == revision && !pod.metadata.is_being_deleted());
    let ready = count(&|pod| pod.status.ready && !pod.metadata.is_being_deleted());
    let available = count(&|pod| is_available(set, pod, now) && !pod.metadata.is_being_deleted());
    for at in live.iter().filter_map(|pod| pod.available_at(set.spec.min_ready_seconds)).filter(|at| *at > now) {
        plan.look_again(at);
    }
    let updated = of_revision(names.update);
    // The update is the current revision once every pod has it and is ready.
    let is_complete = updated == replicas && ready == replicas && live.len() as i64 == replicas;
    let is_first = before["currentRevision"].is_null();
    let current = if is_complete || is_first { names.update } else { names.current };
    let status = json!({
        "observedGeneration": set.metadata.generation,
        "replicas": live.len(),
        "readyReplicas": nonzero(ready),
        "availableReplicas": available,
        "currentReplicas": nonzero(of_revision(current)),
        "updatedReplicas": nonzero(updated),
        "currentRevision": current,
        "updateRevision": names.update,
        "collisionCount": 0,
    });
    plan.set_status(Kind::StatefulSet, &set.metadata, &set.status, status);
}

//! Deployment: ReplicaSets of one template each, and the way from one to the next.
//!
//! As kube-controller-manager `pkg/controller/deployment`: rolling by maxSurge and maxUnavailable or
//! recreating, revisions as annotations, conditions `Available` and `Progressing` with its reasons.
//! It never looks at pods, but through the status of their ReplicaSets.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Action, Condition, Plan, api_time, condition, nonzero, template_hash};
use crate::kind::Kind;
use crate::model::{Deployment, Meta, ReplicaSet};

pub const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const TEMPLATE_HASH: &str = "pod-template-hash";

/// A Deployment and the ReplicaSets it controls.
pub struct Observed<'a> {
    pub deployment: &'a Deployment,
    pub replica_sets: Vec<&'a ReplicaSet>,
}

/// One rollout, with what is derived from the spec once.
struct Rollout<'a> {
    deployment: &'a Deployment,
    hash: String,
    current: Option<&'a ReplicaSet>,
    /// Oldest first.
    old: Vec<&'a ReplicaSet>,
    replicas: i64,
    max_surge: i64,
    max_unavailable: i64,
    now: Timestamp,
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if seen.deployment.metadata.is_being_deleted() {
        return plan;
    }
    let rollout = Rollout::new(seen, now);
    rollout.set_revision(&mut plan);
    // 1. A paused Deployment, or one whose size changed, is only resized: the rollout goes on from there.
    if seen.deployment.spec.paused || rollout.is_resized() {
        rollout.resize(&mut plan);
    } else if seen.deployment.spec.strategy.kind == "Recreate" {
        rollout.recreate(&mut plan);
    } else {
        rollout.roll(&mut plan);
    }
    // 2. What nobody needs any more goes.
    if rollout.is_complete() {
        rollout.forget_history(&mut plan);
    }
    rollout.report(&mut plan);
    plan
}

fn wanted(set: &ReplicaSet) -> i64 {
    set.spec.replicas.unwrap_or(1)
}

fn sum(sets: &[&ReplicaSet], of: impl Fn(&ReplicaSet) -> i64) -> i64 {
    sets.iter().map(|set| of(set)).sum()
}

fn revision(meta: &Meta) -> i64 {
    meta.annotations.get(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

impl<'a> Rollout<'a> {
    fn new(seen: &Observed<'a>, now: Timestamp) -> Self {
        let deployment = seen.deployment;
        let spec = &deployment.spec;
        let hash = template_hash(spec.template.text());
        let mut old = seen.replica_sets.clone();
        old.sort_by_key(|set| (set.metadata.created_at(), revision(&set.metadata), set.metadata.name.clone()));
        let current = old.iter().position(|set| set.metadata.labels.get(TEMPLATE_HASH) == Some(&hash)).map(|i| old.remove(i));
        let replicas = spec.replicas.unwrap_or(1);
        let (mut max_surge, mut max_unavailable) = (0, replicas);
        if spec.strategy.kind != "Recreate" {
            let rolling = &spec.strategy.rolling_update;
            max_surge = rolling.max_surge.as_ref().map_or((replicas + 3) / 4, |s| s.of(replicas, true));
            max_unavailable = rolling.max_unavailable.as_ref().map_or(replicas / 4, |s| s.of(replicas, false)).min(replicas);
            if max_surge == 0 && max_unavailable == 0 {
                max_unavailable = 1;
            }
        }
        Self { deployment, hash, current, old, replicas, max_surge, max_unavailable, now }
    }

    fn meta(&self) -> &Meta {
        &self.deployment.metadata
    }

    fn all(&self) -> Vec<&'a ReplicaSet> {
        self.old.iter().copied().chain(self.current).collect()
    }

    fn active(&self) -> Vec<&'a ReplicaSet> {
        self.all().into_iter().filter(|set| wanted(set) > 0).collect()
    }

    fn is_resized(&self) -> bool {
        let desired = self.replicas.to_string();
        self.active().iter().any(|set| set.metadata.annotations.get(DESIRED_REPLICAS).is_some_and(|d| *d != desired))
    }

    // ---- revisions ----

    fn next_revision(&self) -> i64 {
        self.old.iter().map(|set| revision(&set.metadata)).max().unwrap_or(0) + 1
    }

    /// Makes the current ReplicaSet the newest revision, and the Deployment say so.
    fn set_revision(&self, plan: &mut Plan) {
        let Some(current) = self.current else { return };
        let newest = self.next_revision().max(revision(&current.metadata));
        if revision(&current.metadata) < newest {
            plan.patch(Kind::ReplicaSet, &current.metadata, json!({"metadata": {"annotations": {REVISION: newest.to_string()}}}));
        }
        if revision(self.meta()) != newest {
            plan.patch(Kind::Deployment, self.meta(), json!({"metadata": {"annotations": {REVISION: newest.to_string()}}}));
        }
    }

    /// Returns the annotations of a ReplicaSet: the Deployment's, and the size it is part of.
    fn annotations(&self, revision: i64) -> BTreeMap<String, String> {
        let mut annotations = self.meta().annotations.clone();
        annotations.insert(REVISION.into(), revision.to_string());
        annotations.insert(DESIRED_REPLICAS.into(), self.replicas.to_string());
        annotations.insert(MAX_REPLICAS.into(), (self.replicas + self.max_surge).to_string());
        annotations
    }

    fn create_current(&self, plan: &mut Plan, replicas: i64) {
        let name = format!("{}-{}", self.meta().name, self.hash);
        let mut template = self.deployment.spec.template.value();
        template["metadata"]["labels"][TEMPLATE_HASH] = json!(self.hash);
        let mut selector = self.deployment.spec.selector.value();
        selector["matchLabels"][TEMPLATE_HASH] = json!(self.hash);
        let labels = template["metadata"]["labels"].clone();
        plan.act(Action::Create {
            kind: Kind::ReplicaSet,
            object: json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {
                    "name": name, "namespace": self.meta().namespace, "labels": labels,
                    "annotations": self.annotations(self.next_revision()),
                    "ownerReferences": [self.meta().owner_reference("apps/v1", "Deployment")],
                },
                "spec": {
                    "replicas": replicas, "minReadySeconds": self.deployment.spec.min_ready_seconds,
                    "selector": selector, "template": template,
                },
            }),
        });
        if revision(self.meta()) != self.next_revision() {
            let annotation = json!({"metadata": {"annotations": {REVISION: self.next_revision().to_string()}}});
            plan.patch(Kind::Deployment, self.meta(), annotation);
        }
        plan.inform(Kind::Deployment, self.meta(), "ScalingReplicaSet", format!("Scaled up replica set {name} from 0 to {replicas}"));
    }

    // ---- sizes ----

    /// Sets a ReplicaSet's size, and the annotations that say which size of the Deployment it is part of.
    fn scale(&self, plan: &mut Plan, set: &ReplicaSet, to: i64) {
        let annotations = &set.metadata.annotations;
        let from = wanted(set);
        let desired = self.replicas.to_string();
        if from == to && annotations.get(DESIRED_REPLICAS) == Some(&desired) {
            return;
        }
        let max = (self.replicas + self.max_surge).to_string();
        let patch = json!({
            "metadata": {"annotations": {DESIRED_REPLICAS: desired, MAX_REPLICAS: max}},
            "spec": {"replicas": to},
        });
        plan.patch(Kind::ReplicaSet, &set.metadata, patch);
        if from != to {
            let direction = if to > from { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {} from {from} to {to}", set.metadata.name);
            plan.inform(Kind::Deployment, self.meta(), "ScalingReplicaSet", message);
        }
    }

    /// Spreads a new size over the ReplicaSets there are, in proportion to what they have.
    fn resize(&self, plan: &mut Plan) {
        let active = self.active();
        let only = match active.as_slice() {
            [] => self.current.or(self.old.last().copied()),
            [one] => Some(*one),
            _ => None,
        };
        if let Some(only) = only {
            return self.scale(plan, only, self.replicas);
        }
        if self.current.is_some_and(|c| c.status.available_replicas >= self.replicas && wanted(c) == self.replicas) {
            for set in &self.old {
                self.scale(plan, set, 0);
            }
            return;
        }
        let have = sum(&active, wanted);
        let allowed = if self.replicas > 0 { self.replicas + self.max_surge } else { 0 };
        let mut rest = allowed - have;
        let mut sizes: Vec<(&ReplicaSet, i64)> = Vec::new();
        for set in active {
            let share = (wanted(set) as f64 * (allowed - have) as f64 / have.max(1) as f64).round() as i64;
            let share = if rest >= 0 { share.clamp(0, rest) } else { share.clamp(rest, 0) };
            rest -= share;
            sizes.push((set, wanted(set) + share));
        }
        // What rounding left goes to the largest.
        if let Some(largest) = sizes.iter_mut().max_by_key(|(set, _)| wanted(set)) {
            largest.1 = (largest.1 + rest).max(0);
        }
        for (set, size) in sizes {
            self.scale(plan, set, size);
        }
    }

    fn recreate(&self, plan: &mut Plan) {
        let scaled_down: Vec<_> = self.old.iter().filter(|set| wanted(set) > 0).collect();
        for set in &scaled_down {
            self.scale(plan, set, 0);
        }
        if !scaled_down.is_empty() || sum(&self.old, |set| set.status.replicas) > 0 {
            return;
        }
        match self.current {
            Some(current) => self.scale(plan, current, self.replicas),
            None => self.create_current(plan, self.replicas),
        }
    }

    fn roll(&self, plan: &mut Plan) {
        let have = sum(&self.all(), wanted);
        let room = (self.replicas + self.max_surge - have).max(0);
        let Some(current) = self.current else {
            return self.create_current(plan, room.min(self.replicas));
        };
        let size = wanted(current);
        let target = if size > self.replicas { self.replicas } else { size + room.min(self.replicas - size) };
        self.scale(plan, current, target);
        if target == size {
            self.scale_down_old(plan, current, have);
        }
    }

    /// Takes away old pods as far as enough stay available: first those that do not serve anyway.
    fn scale_down_old(&self, plan: &mut Plan, current: &ReplicaSet, have: i64) {
        let min_available = self.replicas - self.max_unavailable;
        let current_unavailable = wanted(current) - current.status.available_replicas;
        let mut cleanable = (have - min_available - current_unavailable).max(0);
        let available: i64 = sum(&self.all(), |set| set.status.available_replicas);
        let mut expendable = (available - min_available).max(0);
        let mut left = cleanable;
        for set in self.old.iter().filter(|set| wanted(set) > 0) {
            let unhealthy = (wanted(set) - set.status.available_replicas).clamp(0, cleanable);
            cleanable -= unhealthy;
            let healthy = (wanted(set) - unhealthy).min(expendable).min(left - unhealthy).max(0);
            expendable -= healthy;
            left -= unhealthy + healthy;
            if unhealthy + healthy > 0 {
                self.scale(plan, set, wanted(set) - unhealthy - healthy);
            }
        }
    }

    fn forget_history(&self, plan: &mut Plan) {
        let limit = self.deployment.spec.revision_history_limit.unwrap_or(10).max(0) as usize;
        let mut idle: Vec<_> =
            self.old.iter().filter(|set| wanted(set) == 0 && set.status.replicas == 0 && !set.metadata.is_being_deleted()).collect();
        idle.sort_by_key(|set| revision(&set.metadata));
        for set in idle.iter().take(idle.len().saturating_sub(limit)) {
            plan.delete(Kind::ReplicaSet, &set.metadata);
        }
    }

    // ---- status ----

    fn updated(&self) -> i64 {
        self.current.map_or(0, |c| c.status.replicas)
    }

    fn is_complete(&self) -> bool {
        let all = self.all();
        self.updated() == self.replicas
            && sum(&all, |s| s.status.replicas) == self.replicas
            && sum(&all, |s| s.status.available_replicas) == self.replicas
    }

    fn report(&self, plan: &mut Plan) {
        let before = self.deployment.status.value();
        let all = self.all();
        let (replicas, ready) = (sum(&all, |s| s.status.replicas), sum(&all, |s| s.status.ready_replicas));
        let available = sum(&all, |s| s.status.available_replicas);
        let counts = Counts { replicas, updated: self.updated(), ready, available };
        let available_condition = if available >= self.replicas - self.max_unavailable {
            Condition {
                kind: "Available",
                status: "True",
                reason: "MinimumReplicasAvailable",
                message: "Deployment has minimum availability.".into(),
            }
        } else {
            Condition {
                kind: "Available",
                status: "False",
                reason: "MinimumReplicasUnavailable",
                message: "Deployment does not have minimum availability.".into(),
            }
        };
        let mut conditions = vec![self.stamped(&before, available_condition)];
        conditions.extend(self.progressing(&before, &counts, plan));
        // Upstream appends what changed; by type is as good for every reader, and stable.
        let status = json!({
            "observedGeneration": self.meta().generation,
            "replicas": nonzero(replicas),
            "updatedReplicas": nonzero(counts.updated),
            "readyReplicas": nonzero(ready),
            "availableReplicas": nonzero(available),
            "unavailableReplicas": nonzero((sum(&all, wanted) - available).max(0)),
            "conditions": conditions,
        });
        plan.set_status(Kind::Deployment, self.meta(), &self.deployment.status, status);
    }

    /// Returns the condition with its times: the old ones where nothing changed.
    fn stamped(&self, before: &Value, wanted: Condition) -> Value {
        let old = condition(before, wanted.kind);
        if old["status"] == wanted.status && old["reason"] == wanted.reason && old["message"] == *wanted.message {
            return old.clone();
        }
        self.stamp(old, wanted)
    }

    fn stamp(&self, old: &Value, wanted: Condition) -> Value {
        let now = api_time(self.now);
        let transition = if old["status"] == wanted.status { old["lastTransitionTime"].clone() } else { now.clone() };
        json!({
            "type": wanted.kind, "status": wanted.status, "reason": wanted.reason, "message": wanted.message,
            "lastUpdateTime": now, "lastTransitionTime": transition,
        })
    }

    fn progressing(&self, before: &Value, counts: &Counts, plan: &mut Plan) -> Option<Value> {
        let old = condition(before, "Progressing");
        let deadline = self.deployment.spec.progress_deadline_seconds.unwrap_or(600);
        let set_name = self.current.map(|c| c.metadata.name.clone());
        let progressing =
            |status: &'static str, reason: &'static str, message: String| Condition { kind: "Progressing", status, reason, message };
        if self.deployment.spec.paused {
            return Some(self.stamped(before, progressing("Unknown", "DeploymentPaused", "Deployment is paused".into())));
        }
        let Some(set_name) = set_name else {
            let name = format!("{}-{}", self.meta().name, self.hash);
            if plan.actions.iter().any(|a| matches!(a, Action::Create { kind: Kind::ReplicaSet, .. })) {
                let message = format!("Created new replica set \"{name}\"");
                return Some(self.stamped(before, progressing("True", "NewReplicaSetCreated", message)));
            }
            return (!old.is_null()).then(|| old.clone());
        };
        if old["reason"] == "DeploymentPaused" {
            return Some(self.stamped(before, progressing("Unknown", "DeploymentResumed", "Deployment is resumed".into())));
        }
        // 1. Done, and already said so: later trouble of pods is no failed rollout.
        let message = format!("ReplicaSet \"{set_name}\" has successfully progressed.");
        if old["reason"] == "NewReplicaSetAvailable" && counts.replicas == counts.updated && old["message"] == *message {
            return Some(old.clone());
        }
        if self.is_complete() {
            return Some(self.stamped(before, progressing("True", "NewReplicaSetAvailable", message)));
        }
        // 2. Something moved since the last status: the deadline starts anew.
        let was = |field: &str| before[field].as_i64().unwrap_or(0);
        let moved = counts.updated > was("updatedReplicas")
            || counts.replicas - counts.updated < was("replicas") - was("updatedReplicas")
            || counts.ready > was("readyReplicas")
            || counts.available > was("availableReplicas");
        let is_new_set = old["reason"] == "NewReplicaSetAvailable";
        if moved || is_new_set || old.is_null() {
            let message = format!("ReplicaSet \"{set_name}\" is progressing.");
            return Some(self.stamp(old, progressing("True", "ReplicaSetUpdated", message)));
        }
        // 3. Nothing moved: past the deadline it failed, before it we look again then.
        if old["reason"] == "ProgressDeadlineExceeded" {
            return Some(old.clone());
        }
        let since = old["lastUpdateTime"].as_str().and_then(|t| t.parse::<Timestamp>().ok()).unwrap_or(self.now);
        let due = since + SignedDuration::from_secs(deadline + 1);
        if self.now < due {
            plan.look_again(due);
            return Some(old.clone());
        }
        let message = format!("ReplicaSet \"{set_name}\" has timed out progressing.");
        Some(self.stamped(before, progressing("False", "ProgressDeadlineExceeded", message)))
    }
}

struct Counts {
    replicas: i64,
    updated: i64,
    ready: i64,
    available: i64,
}

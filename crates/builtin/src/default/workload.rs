//! Defaults of the kinds that make pods. As kubernetes `pkg/apis/{apps,batch}/v1/defaults.go`.

use serde_json::{Value, json};

use super::core::persistent_volume_claim;
use super::pod::template;
use crate::edit::{at, each, ensure, get, is_empty, put, set, text};

pub fn deployment(deployment: &mut Value) {
    let spec = ensure(deployment, "spec");
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
    let strategy = ensure(spec, "strategy");
    set(strategy, "type", "RollingUpdate");
    if text(strategy, &["type"]) == "RollingUpdate" {
        let rolling = ensure(strategy, "rollingUpdate");
        set(rolling, "maxSurge", "25%");
        set(rolling, "maxUnavailable", "25%");
    }
    template(spec);
}

pub fn replica_set(replica_set: &mut Value) {
    let spec = ensure(replica_set, "spec");
    set(spec, "replicas", 1);
    template(spec);
}

/// The oldest of them also labels and selects by its template.
pub fn replication_controller(controller: &mut Value) {
    let labels = get(controller, &["spec", "template", "metadata", "labels"]).clone();
    if !is_empty(&labels) {
        if is_empty(get(controller, &["spec", "selector"])) {
            put(ensure(controller, "spec"), "selector", labels.clone());
        }
        if is_empty(get(controller, &["metadata", "labels"])) {
            put(ensure(controller, "metadata"), "labels", labels);
        }
    }
    replica_set(controller);
}

pub fn stateful_set(stateful_set: &mut Value) {
    let spec = ensure(stateful_set, "spec");
    set(spec, "podManagementPolicy", "OrderedReady");
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    let strategy = ensure(spec, "updateStrategy");
    set(strategy, "type", "RollingUpdate");
    if text(strategy, &["type"]) == "RollingUpdate" {
        set(ensure(strategy, "rollingUpdate"), "partition", 0);
    }
    let retention = ensure(spec, "persistentVolumeClaimRetentionPolicy");
    set(retention, "whenDeleted", "Retain");
    set(retention, "whenScaled", "Retain");
    for claim in each(spec, "volumeClaimTemplates") {
        set(claim, "apiVersion", "v1");
        set(claim, "kind", "PersistentVolumeClaim");
        persistent_volume_claim(claim);
    }
    template(spec);
}

pub fn daemon_set(daemon_set: &mut Value) {
    let spec = ensure(daemon_set, "spec");
    set(spec, "revisionHistoryLimit", 10);
    let strategy = ensure(spec, "updateStrategy");
    set(strategy, "type", "RollingUpdate");
    if text(strategy, &["type"]) == "RollingUpdate" {
        let rolling = ensure(strategy, "rollingUpdate");
        set(rolling, "maxUnavailable", 1);
        set(rolling, "maxSurge", 0);
    }
    template(spec);
}

pub fn job(job: &mut Value) {
    let labels = get(job, &["spec", "template", "metadata", "labels"]).clone();
    if !is_empty(&labels) && is_empty(get(job, &["metadata", "labels"])) {
        put(ensure(job, "metadata"), "labels", labels);
    }
    let spec = ensure(job, "spec");
    // Parallelism alone is a work queue: its end is not a count.
    if get(spec, &["parallelism"]).is_null() {
        set(spec, "completions", 1);
        set(spec, "parallelism", 1);
    }
    let per_index = !get(spec, &["backoffLimitPerIndex"]).is_null();
    set(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
    set(spec, "completionMode", "NonIndexed");
    set(spec, "manualSelector", false);
    set(spec, "suspend", false);
    let failed = !get(spec, &["podFailurePolicy"]).is_null();
    set(spec, "podReplacementPolicy", if failed { "Failed" } else { "TerminatingOrFailed" });
    if let Some(policy) = at(spec, &["podFailurePolicy"]) {
        for rule in each(policy, "rules") {
            each(rule, "onPodConditions").for_each(|pattern| set(pattern, "status", "True"));
        }
    }
    template(spec);
}

pub fn cron_job(cron_job: &mut Value) {
    let spec = ensure(cron_job, "spec");
    set(spec, "concurrencyPolicy", "Allow");
    set(spec, "suspend", false);
    set(spec, "successfulJobsHistoryLimit", 3);
    set(spec, "failedJobsHistoryLimit", 1);
    // The job's own defaults come when it is made.
    if let Some(job) = at(spec, &["jobTemplate"]) {
        set(job, "metadata", json!({}));
        template(ensure(job, "spec"));
    }
}

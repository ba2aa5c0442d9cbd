//! Kinds that make pods: selectors, templates, strategies, and what may not change.

use serde_json::{Value, json};

use super::check::{Check, IMMUTABLE, is_none};
use super::pod::{self, ALWAYS, ENDS};
use super::selector;
use crate::edit::{get, is_empty, items, put, remove, text};

/// Room for the suffix of a job's name in 63 bytes.
const CRON_NAME_MAX: usize = 52;

pub fn deployment(check: &mut Check, deployment: &Value) {
    let spec = get(deployment, &["spec"]);
    controller(check, spec, "deployment", &[]);
    let strategy = get(spec, &["strategy"]);
    check.one_of("spec.strategy.type", get(strategy, &["type"]), &["Recreate", "RollingUpdate"]);
    let rolling = get(strategy, &["rollingUpdate"]);
    match text(strategy, &["type"]) {
        "Recreate" if !rolling.is_null() => {
            check.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'");
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (get(rolling, &["maxUnavailable"]), get(rolling, &["maxSurge"]));
            check.int_or_percent("spec.strategy.rollingUpdate.maxUnavailable", unavailable);
            check.int_or_percent("spec.strategy.rollingUpdate.maxSurge", surge);
            if is_none(unavailable) && is_none(surge) {
                check.invalid("spec.strategy.rollingUpdate.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0");
            }
        }
        _ => {}
    }
    let (deadline, ready) = (get(spec, &["progressDeadlineSeconds"]), get(spec, &["minReadySeconds"]));
    if deadline.as_i64().is_some_and(|deadline| deadline <= ready.as_i64().unwrap_or(0)) {
        check.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds");
    }
}

pub fn replica_set(check: &mut Check, replica_set: &Value) {
    controller(check, get(replica_set, &["spec"]), "replica set", &[]);
}

pub fn daemon_set(check: &mut Check, daemon_set: &Value) {
    let spec = get(daemon_set, &["spec"]);
    controller(check, spec, "daemonset", &[]);
    check.one_of("spec.updateStrategy.type", get(spec, &["updateStrategy", "type"]), &["OnDelete", "RollingUpdate"]);
}

pub fn stateful_set(check: &mut Check, stateful_set: &Value) {
    let spec = get(stateful_set, &["spec"]);
    let claims: Vec<&str> = items(spec, &["volumeClaimTemplates"]).iter().map(|claim| text(claim, &["metadata", "name"])).collect();
    controller(check, spec, "statefulset", &claims);
    check.one_of("spec.podManagementPolicy", get(spec, &["podManagementPolicy"]), &["OrderedReady", "Parallel"]);
    check.one_of("spec.updateStrategy.type", get(spec, &["updateStrategy", "type"]), &["OnDelete", "RollingUpdate"]);
}

pub fn replication_controller(check: &mut Check, controller: &Value) {
    let spec = get(controller, &["spec"]);
    check.not_negative("spec.replicas", get(spec, &["replicas"]));
    if check.required("spec.selector", get(spec, &["selector"]), "") && check.required("spec.template", get(spec, &["template"]), "") {
        template(check, spec, &json!({"matchLabels": get(spec, &["selector"])}), &[]);
    }
}

/// What Deployment, ReplicaSet, StatefulSet and DaemonSet share.
fn controller(check: &mut Check, spec: &Value, what: &str, claims: &[&str]) {
    check.not_negative("spec.replicas", get(spec, &["replicas"]));
    check.not_negative("spec.minReadySeconds", get(spec, &["minReadySeconds"]));
    check.not_negative("spec.revisionHistoryLimit", get(spec, &["revisionHistoryLimit"]));
    let selector = get(spec, &["selector"]);
    if selector.is_object() {
        selector::well_formed(check, selector, "spec.selector");
        if ["matchLabels", "matchExpressions"].iter().all(|part| is_empty(get(selector, &[part]))) {
            check.invalid("spec.selector", selector, &format!("empty selector is invalid for {what}"));
        }
    }
    template(check, spec, selector, claims);
}

fn template(check: &mut Check, spec: &Value, selector: &Value, claims: &[&str]) {
    if !get(spec, &["template"]).is_object() {
        return;
    }
    let labels = get(spec, &["template", "metadata", "labels"]);
    if selector.is_object() && !selector::matches(selector, labels) {
        let shown = if labels.is_null() { json!({}) } else { labels.clone() };
        check.invalid("spec.template.metadata.labels", &shown, "`selector` does not match template `labels`");
    }
    pod::spec(check, get(spec, &["template", "spec"]), "spec.template.spec", ALWAYS, claims);
}

pub fn stateful_set_update(check: &mut Check, new: &Value, old: &Value) {
    const FREE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |object: &Value| {
        let mut spec = get(object, &["spec"]).clone();
        FREE.iter().for_each(|field| drop(remove(&mut spec, field)));
        spec
    };
    if fixed(new) != fixed(old) {
        let list = FREE.map(|field| format!("'{field}'"));
        let [most @ .., last] = &list;
        let message = format!("updates to statefulset spec for fields other than {} and {last} are forbidden", most.join(", "));
        check.forbidden("spec", &message);
    }
}

pub fn job(check: &mut Check, job: &Value) {
    let spec = get(job, &["spec"]);
    job_spec(check, spec, "spec");
    let selector = get(spec, &["selector"]);
    let labels = get(spec, &["template", "metadata", "labels"]);
    if selector.is_object() && !selector::matches(selector, labels) {
        check.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`");
    }
}

fn job_spec(check: &mut Check, spec: &Value, path: &str) {
    for field in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        check.not_negative(format!("{path}.{field}"), get(spec, &[field]));
    }
    check.one_of(format!("{path}.completionMode"), get(spec, &["completionMode"]), &["Indexed", "NonIndexed"]);
    if text(spec, &["completionMode"]) == "Indexed" {
        check.required(format!("{path}.completions"), get(spec, &["completions"]), "when completion mode is Indexed");
    }
    pod::spec(check, get(spec, &["template", "spec"]), &format!("{path}.template.spec"), ENDS, &[]);
}

pub fn job_update(check: &mut Check, new: &Value, old: &Value) {
    for field in ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        check.immutable(&format!("spec.{field}"), get(new, &["spec", field]), get(old, &["spec", field]));
    }
    let (completions, before) = (get(new, &["spec", "completions"]), get(old, &["spec", "completions"]));
    // An indexed job grows and shrinks with its parallelism.
    let is_elastic = text(new, &["spec", "completionMode"]) == "Indexed" && completions == get(new, &["spec", "parallelism"]);
    if completions != before && !is_elastic {
        check.invalid("spec.completions", completions, IMMUTABLE);
    }
    let (mut template, mut before) = (get(new, &["spec", "template"]).clone(), get(old, &["spec", "template"]).clone());
    if get(old, &["spec", "suspend"]) == &json!(true) && get(old, &["status", "startTime"]).is_null() {
        // A job that never started may still be told where to run.
        for side in [&mut template, &mut before] {
            if let Some(spec) = side.get_mut("spec") {
                ["affinity", "nodeSelector", "tolerations", "schedulingGates"].iter().for_each(|field| drop(remove(spec, field)));
            }
            if let Some(metadata) = side.get_mut("metadata") {
                ["annotations", "labels"].iter().for_each(|field| put(metadata, field, Value::Null));
            }
        }
    }
    check.immutable("spec.template", &template, &before);
}

pub fn cron_job(check: &mut Check, cron_job: &Value) {
    let name = get(cron_job, &["metadata", "name"]);
    if name.as_str().is_some_and(|name| name.len() > CRON_NAME_MAX) {
        check.invalid("metadata.name", name, &format!("must be no more than {CRON_NAME_MAX} characters"));
    }
    let spec = get(cron_job, &["spec"]);
    let schedule = get(spec, &["schedule"]);
    if check.not_empty("spec.schedule", schedule) && !schedule.as_str().is_some_and(is_schedule) {
        check.invalid(
            "spec.schedule",
            schedule,
            "must be five fields (minute, hour, day of month, month, day of week) or @hourly and the like",
        );
    }
    check.one_of("spec.concurrencyPolicy", get(spec, &["concurrencyPolicy"]), &["Allow", "Forbid", "Replace"]);
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check.not_negative(format!("spec.{field}"), get(spec, &[field]));
    }
    job_spec(check, get(spec, &["jobTemplate", "spec"]), "spec.jobTemplate.spec");
}

/// Whether a text has the form of a schedule; ranges of numbers are its reader's.
fn is_schedule(text: &str) -> bool {
    if let Some(name) = text.strip_prefix('@') {
        return ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"].contains(&name) || name.starts_with("every ");
    }
    let is_field = |field: &str| field.chars().all(|c| c.is_ascii_alphanumeric() || "*/,-?".contains(c));
    text.split_whitespace().count() == 5 && text.split_whitespace().all(is_field)
}

//! Job: pods that run to their end, as many as wanted, with a limit to failures.
//!
//! As kube-controller-manager `pkg/controller/job`, counting the pods that are there (no tracking
//! finalizers): parallelism and completions, Indexed mode, backoffLimit, activeDeadlineSeconds, suspend,
//! ttlSecondsAfterFinished. Not done: podFailurePolicy, successPolicy, per-index back-off; a Job that has them
//! runs without.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Action, Plan, api_time, condition, nonzero, pod_from_template, pod_suffix};
use crate::kind::Kind;
use crate::model::{Job, Pod};

const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
const BACKOFF_FIRST: SignedDuration = SignedDuration::from_secs(10);
const BACKOFF_MOST: SignedDuration = SignedDuration::from_secs(600);

/// A Job and the pods it controls.
pub struct Observed<'a> {
    pub job: &'a Job,
    pub pods: Vec<&'a Pod>,
}

/// How a Job ended, or that it must.
enum Outcome {
    Complete,
    Failed(&'static str, String),
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (job, meta) = (seen.job, &seen.job.metadata);
    let before = job.status.value();
    if meta.is_being_deleted() {
        return plan;
    }
    if is_finished(&before) {
        clean_up(seen, &before, now, &mut plan);
        return plan;
    }
    if job.spec.selector.is_none() {
        set_selector(job, &mut plan);
    }
    let active: Vec<&Pod> = seen.pods.iter().copied().filter(|pod| pod.is_active()).collect();
    let ended = |phase: &str| seen.pods.iter().filter(|pod| pod.status.phase == phase).count() as i64;
    let indexes = completed_indexes(seen);
    let is_indexed = job.spec.completion_mode == "Indexed";
    let succeeded = if is_indexed { indexes.len() as i64 } else { ended("Succeeded") };
    let failed = ended("Failed");
    let started_at = before["startTime"].as_str().and_then(|t| t.parse::<Timestamp>().ok());
    let outcome = outcome(seen, succeeded, failed, active.len() as i64, started_at, now, &mut plan);
    let mut made = 0;
    match &outcome {
        Some(_) => active.iter().for_each(|pod| plan.delete(Kind::Pod, &pod.metadata)),
        None if job.spec.suspend => active.iter().for_each(|pod| plan.delete(Kind::Pod, &pod.metadata)),
        None => made = run(seen, &active, succeeded, &indexes, now, &mut plan),
    }
    let is_over = outcome.is_some() || job.spec.suspend;
    let mut status = json!({
        "active": nonzero(if is_over { 0 } else { active.len() as i64 + made }),
        "ready": if is_over { 0 } else { active.iter().filter(|pod| pod.status.ready).count() },
        "succeeded": nonzero(succeeded),
        "failed": nonzero(failed + if is_over { active.len() as i64 } else { 0 } * i64::from(matches!(outcome, Some(Outcome::Failed(..))))),
        "terminating": 0,
        "uncountedTerminatedPods": {},
        "startTime": match (job.spec.suspend, &before["startTime"]) {
            (true, _) => Value::Null,
            (false, Value::Null) => api_time(now),
            (false, since) => since.clone(),
        },
    });
    if is_indexed && !indexes.is_empty() {
        status["completedIndexes"] = json!(ranges(&indexes));
    }
    let conditions = conditions(job, &before, outcome.as_ref(), now);
    if !conditions.is_empty() {
        status["conditions"] = Value::Array(conditions);
    }
    if let Some(Outcome::Complete) = outcome {
        status["completionTime"] = api_time(now);
        plan.inform(Kind::Job, meta, "Completed", "Job completed".into());
    }
    if let Some(Outcome::Failed(reason, message)) = &outcome {
        plan.warn(Kind::Job, meta, reason, message.clone());
    }
    plan.set_status(Kind::Job, meta, &job.status, status);
    plan
}

/// Returns whether the status says that the Job ended.
pub(super) fn is_finished(status: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|kind| condition(status, kind)["status"] == "True")
}

fn clean_up(seen: &Observed, status: &Value, now: Timestamp, plan: &mut Plan) {
    let Some(ttl) = seen.job.spec.ttl_seconds_after_finished else { return };
    let ended = ["Complete", "Failed"].iter().find_map(|kind| condition(status, kind)["lastTransitionTime"].as_str());
    let ended = ended.and_then(|t| t.parse::<Timestamp>().ok()).unwrap_or(now);
    let due = ended + SignedDuration::from_secs(ttl);
    if due <= now { plan.delete(Kind::Job, &seen.job.metadata) } else { plan.look_again(due) }
}

/// Gives the Job the selector that kubectl looks pods up by, if the API server did not.
fn set_selector(job: &Job, plan: &mut Plan) {
    let uid = &job.metadata.uid;
    let labels = json!({"batch.kubernetes.io/controller-uid": uid});
    let own = pod_labels(job);
    plan.patch(Kind::Job, &job.metadata, json!({"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": own}}}}));
}

fn pod_labels(job: &Job) -> Value {
    json!({
        "batch.kubernetes.io/controller-uid": job.metadata.uid, "controller-uid": job.metadata.uid,
        "batch.kubernetes.io/job-name": job.metadata.name, "job-name": job.metadata.name,
    })
}

fn outcome(
    seen: &Observed,
    succeeded: i64,
    failed: i64,
    active: i64,
    started_at: Option<Timestamp>,
    now: Timestamp,
    plan: &mut Plan,
) -> Option<Outcome> {
    let spec = &seen.job.spec;
    if let Some(completions) = spec.completions.or_else(|| spec.parallelism.is_none().then_some(1)) {
        if succeeded >= completions {
            return Some(Outcome::Complete);
        }
    } else if succeeded > 0 && active == 0 {
        return Some(Outcome::Complete);
    }
    let restarts: i64 = seen.pods.iter().filter(|pod| pod.spec.restart_policy == "OnFailure").map(|pod| pod.status.restarts).sum();
    let limit = spec.backoff_limit.unwrap_or(6);
    if failed > limit || (restarts > 0 && restarts >= limit.max(1)) {
        return Some(Outcome::Failed("BackoffLimitExceeded", "Job has reached the specified backoff limit".into()));
    }
    if let (Some(deadline), Some(started_at), false) = (spec.active_deadline_seconds, started_at, spec.suspend) {
        let due = started_at + SignedDuration::from_secs(deadline);
        if due <= now {
            return Some(Outcome::Failed("DeadlineExceeded", "Job was active longer than specified deadline".into()));
        }
        plan.look_again(due);
    }
    None
}

/// Makes or removes pods until as many run as may; returns how many were made.
fn run(seen: &Observed, active: &[&Pod], succeeded: i64, done: &BTreeSet<i64>, now: Timestamp, plan: &mut Plan) -> i64 {
    let (job, meta) = (seen.job, &seen.job.metadata);
    let parallelism = job.spec.parallelism.unwrap_or(1).max(0);
    let wanted = match job.spec.completions.or_else(|| job.spec.parallelism.is_none().then_some(1)) {
        Some(completions) => parallelism.min(completions - succeeded),
        // A work queue: one success means that no new pod starts.
        None if succeeded > 0 => active.len() as i64,
        None => parallelism,
    };
    let missing = wanted - active.len() as i64;
    if missing <= 0 {
        for pod in active.iter().take((-missing) as usize) {
            plan.delete(Kind::Pod, &pod.metadata);
        }
        return 0;
    }
    if let Some(until) = backoff_until(seen).filter(|until| *until > now) {
        plan.look_again(until);
        return 0;
    }
    let busy: BTreeSet<i64> = active.iter().filter_map(|pod| index_of(pod)).collect();
    let mut free = (0i64..).filter(|i| !done.contains(i) && !busy.contains(i));
    let template = job.spec.template.value();
    for ordinal in 0..missing as usize {
        let suffix = pod_suffix(meta, ordinal + active.len(), now, &seen.pods);
        let index = (job.spec.completion_mode == "Indexed").then(|| free.next()).flatten();
        let name = match index {
            Some(index) => format!("{}-{index}-{suffix}", meta.name),
            None => format!("{}-{suffix}", meta.name),
        };
        let mut pod = pod_from_template(&template, meta, "batch/v1", "Job", &name);
        if let Some(labels) = pod_labels(job).as_object() {
            for (key, value) in labels {
                pod["metadata"]["labels"][key] = value.clone();
            }
        }
        if let Some(index) = index {
            pod["metadata"]["annotations"][COMPLETION_INDEX] = json!(index.to_string());
            pod["metadata"]["labels"][COMPLETION_INDEX] = json!(index.to_string());
            pod["spec"]["hostname"] = json!(format!("{}-{index}", meta.name));
        }
        plan.act(Action::Create { kind: Kind::Pod, object: pod });
        plan.inform(Kind::Job, meta, "SuccessfulCreate", format!("Created pod: {name}"));
    }
    missing
}

/// Returns until when no pod is made after failures: 10 s, doubled by each failure since the last success.
fn backoff_until(seen: &Observed) -> Option<Timestamp> {
    let last_success = seen.pods.iter().filter(|p| p.status.phase == "Succeeded").filter_map(|p| p.status.finished_at).max();
    let failures: Vec<Timestamp> = seen
        .pods
        .iter()
        .filter(|pod| pod.status.phase == "Failed")
        .map(|pod| pod.status.finished_at.unwrap_or(pod.metadata.created_at()))
        .filter(|at| last_success.is_none_or(|success| *at > success))
        .collect();
    let last = *failures.iter().max()?;
    let doublings = (failures.len() as u32 - 1).min(6);
    Some(last + (BACKOFF_FIRST * 2i32.pow(doublings)).min(BACKOFF_MOST))
}

fn index_of(pod: &Pod) -> Option<i64> {
    pod.metadata.annotations.get(COMPLETION_INDEX)?.parse().ok()
}

fn completed_indexes(seen: &Observed) -> BTreeSet<i64> {
    seen.pods.iter().filter(|pod| pod.status.phase == "Succeeded").filter_map(|pod| index_of(pod)).collect()
}

/// Prints `{0,1,2,5}` as `0-2,5`.
fn ranges(indexes: &BTreeSet<i64>) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for &index in indexes {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == index => *end = index,
            _ => runs.push((index, index)),
        }
    }
    let texts: Vec<String> = runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
    texts.join(",")
}

fn conditions(job: &Job, before: &Value, outcome: Option<&Outcome>, now: Timestamp) -> Vec<Value> {
    let mut all: Vec<Value> = before["conditions"].as_array().cloned().unwrap_or_default();
    let mut set = |kind: &str, status: &str, reason: &str, message: &str| {
        let at = api_time(now);
        let wanted = json!({
            "type": kind, "status": status, "reason": reason, "message": message, "lastProbeTime": at, "lastTransitionTime": at,
        });
        match all.iter_mut().find(|c| c["type"] == kind) {
            Some(old) if old["status"] == status => {}
            Some(old) => *old = wanted,
            None => all.push(wanted),
        }
    };
    match outcome {
        Some(Outcome::Complete) => {
            let message = "Reached expected number of succeeded pods";
            set("SuccessCriteriaMet", "True", "CompletionsReached", message);
            set("Complete", "True", "CompletionsReached", message);
        }
        Some(Outcome::Failed(reason, message)) => {
            set("FailureTarget", "True", reason, message);
            set("Failed", "True", reason, message);
        }
        None if job.spec.suspend => set("Suspended", "True", "JobSuspended", "Job suspended"),
        None if condition(before, "Suspended")["status"] == "True" => set("Suspended", "False", "JobResumed", "Job resumed"),
        None => {}
    }
    all
}

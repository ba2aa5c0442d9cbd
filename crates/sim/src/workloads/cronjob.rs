//! CronJob: Jobs on a schedule.
//!
//! As kube-controller-manager `pkg/controller/cronjob`: time zone, concurrency policy, starting deadline,
//! history limits; at most one Job is made for all times missed.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{Action, Plan, api_time, condition, job};
use crate::cron::Schedule;
use crate::kind::Kind;
use crate::model::{CronJob, Job};

/// A CronJob and the Jobs it controls.
pub struct Observed<'a> {
    pub cron_job: &'a CronJob,
    pub jobs: Vec<&'a Job>,
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (cron_job, meta) = (seen.cron_job, &seen.cron_job.metadata);
    if meta.is_being_deleted() {
        return plan;
    }
    let before = cron_job.status.value();
    let (finished, active): (Vec<&Job>, Vec<&Job>) = seen.jobs.iter().partition(|j| job::is_finished(&j.status.value()));
    trim_history(seen, &finished, &mut plan);
    let mut last_scheduled = before["lastScheduleTime"].as_str().and_then(|t| t.parse::<Timestamp>().ok());
    let mut active: Vec<Value> = active.iter().map(|j| reference(&j.metadata.namespace, &j.metadata.name, &j.metadata.uid)).collect();
    if !cron_job.spec.suspend {
        match due(cron_job, last_scheduled, now) {
            Ok(Due { at: Some(at), next }) => {
                next.into_iter().for_each(|next| plan.look_again(next));
                if start(seen, &mut active, at, &mut plan) {
                    last_scheduled = Some(at);
                }
            }
            Ok(Due { at: None, next }) => next.into_iter().for_each(|next| plan.look_again(next)),
            Err(problem) => plan.warn(Kind::CronJob, meta, "UnparseableSchedule", problem),
        }
    }
    let succeeded = finished.iter().map(|j| j.status.value()).filter_map(|s| s["completionTime"].as_str().map(str::to_owned)).max();
    let mut status = Map::new();
    if !active.is_empty() {
        status.insert("active".into(), Value::Array(active));
    }
    if let Some(at) = last_scheduled {
        status.insert("lastScheduleTime".into(), api_time(at));
    }
    if let Some(at) = succeeded.or_else(|| before["lastSuccessfulTime"].as_str().map(str::to_owned)) {
        status.insert("lastSuccessfulTime".into(), json!(at));
    }
    plan.set_status(Kind::CronJob, meta, &cron_job.status, Value::Object(status));
    plan
}

fn reference(namespace: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "namespace": namespace, "name": name, "uid": uid})
}

/// The latest time that is due, and the next to come.
struct Due {
    at: Option<Timestamp>,
    next: Option<Timestamp>,
}

fn due(cron_job: &CronJob, last_scheduled: Option<Timestamp>, now: Timestamp) -> Result<Due, String> {
    let spec = &cron_job.spec;
    let schedule = Schedule::parse(&spec.schedule).map_err(|e| format!("unparseable schedule: {:?} : {e}", spec.schedule))?;
    let zone = match &spec.time_zone {
        Some(name) => TimeZone::get(name).map_err(|_| format!("invalid timeZone: {name:?}: unknown time zone"))?,
        None => TimeZone::UTC,
    };
    let mut from = last_scheduled.unwrap_or(cron_job.metadata.created_at());
    if let Some(deadline) = spec.starting_deadline_seconds {
        from = from.max(now - SignedDuration::from_secs(deadline));
    }
    // Only the latest missed time counts. It is mostly in the last day; a schedule that is silent
    // for a day has few times in all.
    let recent = from.max(now - SignedDuration::from_hours(24));
    let mut found = latest_due(&schedule, &zone, recent, now);
    if found.at.is_none() && recent > from {
        found.at = latest_due(&schedule, &zone, from, now).at;
    }
    Ok(found)
}

fn latest_due(schedule: &Schedule, zone: &TimeZone, from: Timestamp, now: Timestamp) -> Due {
    let mut latest = None;
    let mut next = schedule.next_after(from, zone);
    while let Some(at) = next.filter(|at| *at <= now) {
        latest = Some(at);
        next = schedule.next_after(at, zone);
    }
    Due { at: latest, next }
}

/// Makes the Job for a time, as the concurrency policy allows; returns whether it did.
fn start(seen: &Observed, active: &mut Vec<Value>, at: Timestamp, plan: &mut Plan) -> bool {
    let (cron_job, meta) = (seen.cron_job, &seen.cron_job.metadata);
    // The name says the time, so that the same time never makes two.
    let name = format!("{}-{}", meta.name, at.as_second() / 60);
    if seen.jobs.iter().any(|j| j.metadata.name == name) {
        return true;
    }
    match cron_job.spec.concurrency_policy.as_str() {
        "Forbid" if !active.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.inform(Kind::CronJob, meta, "JobAlreadyActive", message.into());
            return false;
        }
        "Replace" => {
            for running in seen.jobs.iter().filter(|j| !job::is_finished(&j.status.value())) {
                plan.delete(Kind::Job, &running.metadata);
            }
            active.clear();
        }
        _ => {}
    }
    let template = cron_job.spec.job_template.value();
    let mut metadata = template["metadata"].as_object().cloned().unwrap_or_default();
    metadata.retain(|key, _| matches!(key.as_str(), "labels" | "annotations"));
    metadata.insert("name".into(), json!(name));
    metadata.insert("namespace".into(), json!(meta.namespace));
    metadata.insert("ownerReferences".into(), json!([meta.owner_reference("batch/v1", "CronJob")]));
    let mut object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]});
    object["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] = api_time(at);
    plan.act(Action::Create { kind: Kind::Job, object });
    plan.inform(Kind::CronJob, meta, "SuccessfulCreate", format!("Created job {name}"));
    active.push(json!({"apiVersion": "batch/v1", "kind": "Job", "namespace": meta.namespace, "name": name}));
    true
}

fn trim_history(seen: &Observed, finished: &[&Job], plan: &mut Plan) {
    let spec = &seen.cron_job.spec;
    let limits = [("Complete", spec.successful_jobs_history_limit.unwrap_or(3)), ("Failed", spec.failed_jobs_history_limit.unwrap_or(1))];
    for (kind, limit) in limits {
        let mut of_kind: Vec<&&Job> = finished.iter().filter(|j| condition(&j.status.value(), kind)["status"] == "True").collect();
        of_kind.sort_by_key(|j| (j.metadata.created_at(), j.metadata.name.clone()));
        for old in of_kind.iter().take(of_kind.len().saturating_sub(limit.max(0) as usize)) {
            plan.delete(Kind::Job, &old.metadata);
        }
    }
}

use serde_json::{Value, json};

use super::super::{condition, cronjob, job};
use super::{at, from, reasons, show, status};
use crate::model::{CronJob, Job, Pod};

fn job(spec: Value, status: Value) -> Job {
    let mut full = json!({"selector": {}, "template": {"metadata": {"labels": {}}, "spec": {"restartPolicy": "Never"}}});
    for (key, value) in spec.as_object().expect("a spec") {
        full[key] = value.clone();
    }
    from(json!({"metadata": {"name": "load", "namespace": "shop", "uid": "j"}, "spec": full, "status": status}))
}

fn ended(name: &str, phase: &str, seconds: i64) -> Pod {
    from(json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": at(0).to_string()},
        "spec": {"restartPolicy": "Never"},
        "status": {"phase": phase, "containerStatuses": [{"state": {"terminated": {"finishedAt": at(seconds).to_string()}}}]},
    }))
}

fn settle(job: &Job, pods: &[Pod], now: i64) -> super::Plan {
    job::reconcile(&job::Observed { job, pods: pods.iter().collect() }, at(now))
}

#[test]
fn a_job_runs_until_it_has_its_completions() {
    let wanted = job(json!({"completions": 3, "parallelism": 2}), json!({}));
    let plan = settle(&wanted, &[], 0);
    assert_eq!((show(&plan).len(), &status(&plan)["active"]), (2, &json!(2)));
    let plan = settle(&wanted, &[ended("a", "Succeeded", 1), ended("b", "Succeeded", 1)], 2);
    assert_eq!((show(&plan).len(), &status(&plan)["succeeded"]), (1, &json!(2)));
    let done = [ended("a", "Succeeded", 1), ended("b", "Succeeded", 1), ended("c", "Succeeded", 2)];
    let plan = settle(&wanted, &done, 3);
    assert!(show(&plan).is_empty());
    assert_eq!(condition(&status(&plan), "Complete")["reason"], "CompletionsReached");
    assert_eq!(condition(&status(&plan), "SuccessCriteriaMet")["status"], "True");
    assert_eq!(status(&plan)["completionTime"], json!(at(3).to_string()));
}

#[test]
fn a_failing_job_backs_off_and_then_fails() {
    let wanted = job(json!({"backoffLimit": 1}), json!({}));
    let plan = settle(&wanted, &[ended("a", "Failed", 5)], 6);
    assert_eq!((show(&plan).len(), plan.again_at), (0, Some(at(15))));
    assert_eq!(show(&settle(&wanted, &[ended("a", "Failed", 5)], 15)).len(), 1);
    let plan = settle(&wanted, &[ended("a", "Failed", 5), ended("b", "Failed", 20)], 21);
    assert_eq!(condition(&status(&plan), "Failed")["reason"], "BackoffLimitExceeded");
    assert!(reasons(&plan).contains(&"BackoffLimitExceeded"));
}

#[test]
fn a_suspended_job_runs_nothing_and_an_old_one_goes() {
    let suspended = job(json!({"suspend": true}), json!({}));
    let plan = settle(&suspended, &[], 0);
    assert!(show(&plan).is_empty());
    assert_eq!(condition(&status(&plan), "Suspended")["reason"], "JobSuspended");
    assert_eq!(status(&plan)["startTime"], Value::Null);
    let done = json!({"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": at(0).to_string()}]});
    let finished = job(json!({"ttlSecondsAfterFinished": 60}), done);
    assert_eq!(settle(&finished, &[], 10).again_at, Some(at(60)));
    assert_eq!(show(&settle(&finished, &[], 60)), ["delete Job load"]);
}

#[test]
fn an_indexed_job_runs_each_index_once() {
    let wanted = job(json!({"completions": 4, "parallelism": 2, "completionMode": "Indexed"}), json!({}));
    let mut pods = [ended("a", "Succeeded", 1), ended("b", "Succeeded", 1)];
    for (pod, index) in pods.iter_mut().zip(["0", "1"]) {
        pod.metadata.annotations.insert("batch.kubernetes.io/job-completion-index".into(), index.into());
    }
    let plan = settle(&wanted, &pods, 2);
    assert_eq!(status(&plan)["completedIndexes"], "0-1");
    assert!(show(&plan)[0].starts_with("create Pod load-2-") && show(&plan)[1].starts_with("create Pod load-3-"));
}

fn cron(spec: Value, status: Value) -> CronJob {
    let mut full = json!({"schedule": "*/5 * * * *", "jobTemplate": {"spec": {}}});
    for (key, value) in spec.as_object().expect("a spec") {
        full[key] = value.clone();
    }
    let metadata = json!({"name": "nightly", "namespace": "shop", "uid": "c", "creationTimestamp": at(1).to_string()});
    from(json!({"metadata": metadata, "spec": full, "status": status}))
}

fn tick(cron_job: &CronJob, jobs: &[Job], now: i64) -> super::Plan {
    cronjob::reconcile(&cronjob::Observed { cron_job, jobs: jobs.iter().collect() }, at(now))
}

#[test]
fn a_cron_job_makes_one_job_for_all_times_missed() {
    let every_five = cron(json!({}), json!({}));
    let plan = tick(&every_five, &[], 10);
    assert_eq!((show(&plan).len(), plan.again_at), (0, Some(at(300))));
    let plan = tick(&every_five, &[], 3601);
    let minute = at(3600).as_second() / 60;
    assert_eq!(show(&plan), [format!("create Job nightly-{minute}")]);
    assert_eq!(plan.again_at, Some(at(3900)));
    assert_eq!(status(&plan)["lastScheduleTime"], json!(at(3600).to_string()));
    // A month away: still one.
    assert_eq!(show(&tick(&every_five, &[], 31 * 86400)).len(), 1);
}

#[test]
fn a_cron_job_obeys_concurrency_suspension_and_zone() {
    let mut running = job(json!({}), json!({}));
    running.metadata.name = "nightly-1".into();
    let forbid = cron(json!({"concurrencyPolicy": "Forbid"}), json!({}));
    assert_eq!(reasons(&tick(&forbid, std::slice::from_ref(&running), 400)), ["JobAlreadyActive"]);
    let replace = cron(json!({"concurrencyPolicy": "Replace"}), json!({}));
    let actions = show(&tick(&replace, std::slice::from_ref(&running), 400));
    assert!(actions[0] == "delete Job nightly-1" && actions[1].starts_with("create Job"), "{actions:?}");
    assert!(show(&tick(&cron(json!({"suspend": true}), json!({})), &[], 400)).is_empty());
    let chicago = cron(json!({"schedule": "0 2 * * *", "timeZone": "America/Chicago"}), json!({}));
    assert_eq!(tick(&chicago, &[], 10).again_at, Some(at(3600)));
    assert_eq!(reasons(&tick(&cron(json!({"schedule": "often"}), json!({})), &[], 10)), ["UnparseableSchedule"]);
}

#[test]
fn a_cron_job_keeps_three_good_and_one_bad_job() {
    let finished = |name: &str, kind: &str| {
        let mut done = job(json!({}), json!({"conditions": [{"type": kind, "status": "True"}]}));
        done.metadata.name = name.into();
        done
    };
    let jobs: Vec<Job> =
        ["a", "b", "c", "d"].map(|n| finished(n, "Complete")).into_iter().chain(["x", "y"].map(|n| finished(n, "Failed"))).collect();
    assert_eq!(show(&tick(&cron(json!({}), json!({})), &jobs, 10)), ["delete Job a", "delete Job x"]);
}

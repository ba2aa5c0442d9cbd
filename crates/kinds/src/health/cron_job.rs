//! CronJob: the last run's outcome, as far as its status tells (`resource_customizations/batch/CronJob`).

use serde_json::Value;

use super::{Health, degraded, healthy, progressing, suspended};
use crate::{items, text};

pub(super) fn health(object: &Value) -> Health {
    if object["spec"]["suspend"] == true {
        return suspended("suspended");
    }
    if object["status"].is_null() {
        return progressing("no status yet");
    }
    let [scheduled, succeeded] = ["/status/lastScheduleTime", "/status/lastSuccessfulTime"].map(|p| text(object, p));
    if scheduled.is_empty() {
        healthy("not scheduled yet")
    } else if succeeded.is_empty() {
        // It may be running for the first time: nobody can tell from the status.
        healthy("never completed yet; it may be failing")
    } else if !items(object, "/status/active").is_empty() {
        healthy("running; the run before may have failed")
    } else if succeeded < scheduled {
        degraded("the last run did not succeed")
    } else {
        healthy("the last run succeeded")
    }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn the_last_finished_run_decides() {
        let of = |status: &str| format!("{{apiVersion: batch/v1, kind: CronJob, spec: {{}}, status: {{{status}}}}}");
        check("{apiVersion: batch/v1, kind: CronJob, spec: {suspend: true}}", "Suspended: suspended");
        check("{apiVersion: batch/v1, kind: CronJob, spec: {}}", "Progressing: no status yet");
        check(&of(""), "Healthy: not scheduled yet");
        check(&of("lastScheduleTime: '2026-01-02T00:00:00Z'"), "Healthy: never completed yet; it may be failing");
        let failed = "lastScheduleTime: '2026-01-02T00:00:00Z', lastSuccessfulTime: '2026-01-01T00:00:10Z'";
        check(&of(failed), "Degraded: the last run did not succeed");
        check(&of(&format!("{failed}, active: [{{name: a}}]")), "Healthy: running; the run before may have failed");
        check(
            &of("lastScheduleTime: '2026-01-01T00:00:00Z', lastSuccessfulTime: '2026-01-01T00:00:10Z'"),
            "Healthy: the last run succeeded",
        );
    }
}

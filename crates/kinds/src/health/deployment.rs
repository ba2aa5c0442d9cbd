//! Deployment: paused, stale, past its deadline, then replica counts in the order a rollout moves them.

use serde_json::Value;

use super::{Health, degraded, healthy, is_stale, progressing, suspended};
use crate::{condition, number};

pub(super) fn health(object: &Value) -> Health {
    if object["spec"]["paused"] == true {
        return suspended("paused");
    }
    if is_stale(object) {
        return progressing("the rollout has not started: the latest spec is not observed yet");
    }
    if condition(object, "Progressing").is_some_and(|c| c["reason"] == "ProgressDeadlineExceeded") {
        return degraded("the rollout exceeded its progress deadline");
    }
    let [replicas, updated, available] =
        ["/status/replicas", "/status/updatedReplicas", "/status/availableReplicas"].map(|p| number(object, p));
    if let Some(wanted) = object["spec"]["replicas"].as_i64()
        && updated < wanted
    {
        return progressing(format!("{updated} of {wanted} replicas are updated"));
    }
    if replicas > updated {
        return progressing(format!("{} old replicas are still to end", replicas - updated));
    }
    if available < updated {
        return progressing(format!("{available} of {updated} updated replicas are available"));
    }
    healthy("")
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn a_rollout_is_progressing_until_all_new_replicas_are_available() {
        let of = |generation: u32, replicas: u32, updated: u32, available: u32| {
            format!(
                "{{apiVersion: apps/v1, kind: Deployment, metadata: {{generation: {generation}}}, spec: {{replicas: 2}}, \
                 status: {{observedGeneration: 1, replicas: {replicas}, updatedReplicas: {updated}, availableReplicas: {available}}}}}"
            )
        };
        check(&of(2, 2, 2, 2), "Progressing: the rollout has not started: the latest spec is not observed yet");
        check(&of(1, 2, 1, 2), "Progressing: 1 of 2 replicas are updated");
        check(&of(1, 3, 2, 2), "Progressing: 1 old replicas are still to end");
        check(&of(1, 2, 2, 1), "Progressing: 1 of 2 updated replicas are available");
        check(&of(1, 2, 2, 2), "Healthy");
    }

    #[test]
    fn paused_is_suspended_and_a_missed_deadline_is_degraded() {
        check("{apiVersion: apps/v1, kind: Deployment, spec: {paused: true}}", "Suspended: paused");
        check(
            "{apiVersion: apps/v1, kind: Deployment, status: {conditions: [{type: Progressing, reason: ProgressDeadlineExceeded}]}}",
            "Degraded: the rollout exceeded its progress deadline",
        );
    }
}

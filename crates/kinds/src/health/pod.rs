//! Pod: what its phase and containers say, read by how long it means to live.
//!
//! A pod that restarts always is healthy when ready; one that ends is progressing until it has ended.
//! A hook's container that waits for its image is no failure: it may yet run.

use serde_json::Value;

use super::{Health, degraded, healthy, progressing, unknown};
use crate::{condition, items, text};

const IGNORE_RESTART_POLICY: &str = "argocd.argoproj.io/ignore-restart-policy";
const HOOK: &str = "argocd.argoproj.io/hook";

pub(super) fn health(object: &Value) -> Health {
    let message = text(object, "/status/message");
    let containers = items(object, "/status/containerStatuses");
    if lives_on(object) {
        let stuck: Vec<&str> = containers.iter().filter(|c| is_stuck(text(c, "/state/waiting/reason"))).map(wait_message).collect();
        if !stuck.is_empty() {
            return degraded(stuck.join(", "));
        }
    }
    match text(object, "/status/phase") {
        "Pending" => progressing(message),
        "Succeeded" => healthy(message),
        "Failed" if !message.is_empty() => degraded(message),
        "Failed" => {
            let all = items(object, "/status/initContainerStatuses").iter().chain(containers);
            degraded(all.filter_map(failure).next().unwrap_or_default())
        }
        "Running" if !lives_on(object) => progressing(message),
        "Running" if condition(object, "Ready").is_some_and(|c| c["status"] == "True") => healthy(message),
        "Running" if containers.iter().any(|c| !c["lastState"]["terminated"].is_null()) => degraded(message),
        "Running" => progressing(message),
        _ => unknown(message),
    }
}

/// Returns whether the pod means to run for ever.
fn lives_on(object: &Value) -> bool {
    let annotations = &object["metadata"]["annotations"];
    let policy = text(object, "/spec/restartPolicy");
    policy == "Always" || policy.is_empty() || (annotations[IGNORE_RESTART_POLICY] == "true" && annotations[HOOK].is_null())
}

fn is_stuck(reason: &str) -> bool {
    reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff")
}

fn wait_message(container: &Value) -> &str {
    match text(container, "/state/waiting/message") {
        "" => text(container, "/state/waiting/reason"),
        message => message,
    }
}

/// Says why a container ended, if it ended badly.
fn failure(container: &Value) -> Option<String> {
    let ended = container["state"].get("terminated").filter(|t| !t.is_null())?;
    match (text(ended, "/message"), text(ended, "/reason"), crate::number(ended, "/exitCode")) {
        ("", "OOMKilled", _) => Some("OOMKilled".to_owned()),
        ("", _, 0) => None,
        ("", _, code) => Some(format!("container {:?} ended with exit code {code}", text(container, "/name"))),
        (message, _, _) => Some(message.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    fn of(policy: &str, status: &str) -> String {
        format!("{{apiVersion: v1, kind: Pod, spec: {{restartPolicy: {policy}}}, status: {{{status}}}}}")
    }

    #[test]
    fn a_pod_that_lives_on_is_healthy_when_ready() {
        check(&of("Always", "phase: Pending"), "Progressing");
        check(&of("Always", "phase: Running"), "Progressing");
        check(&of("Always", "phase: Running, conditions: [{type: Ready, status: 'True'}]"), "Healthy");
        check(&of("Always", "phase: Running, containerStatuses: [{lastState: {terminated: {exitCode: 1}}}]"), "Degraded");
        check(
            &of("Always", "phase: Running, containerStatuses: [{state: {waiting: {reason: CrashLoopBackOff, message: back-off 5m}}}]"),
            "Degraded: back-off 5m",
        );
        check(&of("Always", "phase: Odd"), "Unknown");
    }

    #[test]
    fn a_pod_that_ends_is_progressing_until_then() {
        check(&of("Never", "phase: Running, containerStatuses: [{state: {waiting: {reason: ImagePullBackOff}}}]"), "Progressing");
        check(&of("OnFailure", "phase: Succeeded"), "Healthy");
        check(
            &of(
                "Never",
                "phase: Failed, containerStatuses: [{name: a, state: {terminated: {exitCode: 0}}}, {name: b, state: {terminated: {exitCode: 3}}}]",
            ),
            "Degraded: container \"b\" ended with exit code 3",
        );
        check(
            &of("Never", "phase: Failed, containerStatuses: [{state: {terminated: {reason: OOMKilled, exitCode: 137}}}]"),
            "Degraded: OOMKilled",
        );
        check(&of("Never", "phase: Failed, message: evicted"), "Degraded: evicted");
    }

    #[test]
    fn the_restart_policy_can_be_ignored_but_not_for_hooks() {
        let of = |hook: &str| {
            format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{annotations: {{argocd.argoproj.io/ignore-restart-policy: 'true'{hook}}}}}, \
                 spec: {{restartPolicy: Never}}, status: {{phase: Running, conditions: [{{type: Ready, status: 'True'}}]}}}}"
            )
        };
        check(&of(""), "Healthy");
        check(&of(", argocd.argoproj.io/hook: PreSync"), "Progressing");
    }
}

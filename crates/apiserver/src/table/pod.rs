//! What a pod is doing, in one word.
//!
//! As `pkg/printers/internalversion/printers.go printPod`: the reason that matters most wins.

use jiff::Timestamp;
use serde_json::Value;

use super::durations::since;
use super::text::{condition, list, number, text};

/// Returns ready and all containers, restartable init containers included.
pub fn ready(pod: &Value) -> String {
    let sidecars: Vec<&str> =
        list(pod, "spec.initContainers").iter().filter(|c| c["restartPolicy"] == "Always").map(|c| text(c, "name")).collect();
    let all = list(pod, "spec.containers").len() + sidecars.len();
    let containers =
        list(pod, "status.containerStatuses").iter().filter(|s| s["ready"] == true && s["state"].get("running").is_some()).count();
    let started =
        list(pod, "status.initContainerStatuses").iter().filter(|s| s["ready"] == true && sidecars.contains(&text(s, "name"))).count();
    format!("{}/{all}", containers + started)
}

pub fn restarts(pod: &Value, now: Timestamp) -> String {
    let statuses = || list(pod, "status.containerStatuses").iter();
    let count: i64 = statuses().map(|s| number(s, "restartCount")).sum();
    let last = statuses().filter_map(|s| text(s, "lastState.terminated.finishedAt").parse::<Timestamp>().ok()).max();
    match last {
        Some(at) if count > 0 => format!("{count} ({} ago)", since(at, now)),
        _ => count.to_string(),
    }
}

pub fn status(pod: &Value) -> String {
    let mut reason = text(pod, "status.phase").to_owned();
    if !text(pod, "status.reason").is_empty() {
        reason = text(pod, "status.reason").to_owned();
    }
    if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
        reason = "SchedulingGated".into();
    }
    match initializing(pod) {
        Some(init) => reason = init,
        None => reason = of_containers(pod, reason),
    }
    if !text(pod, "metadata.deletionTimestamp").is_empty() {
        reason = if text(pod, "status.reason") == "NodeLost" { "Unknown".into() } else { "Terminating".into() };
    }
    reason
}

/// Returns what the first init container that is not done does.
fn initializing(pod: &Value) -> Option<String> {
    let all = list(pod, "spec.initContainers").len();
    for (i, status) in list(pod, "status.initContainerStatuses").iter().enumerate() {
        let terminated = status["state"].get("terminated");
        let is_sidecar = list(pod, "spec.initContainers").iter().any(|c| c["name"] == status["name"] && c["restartPolicy"] == "Always");
        if terminated.is_some_and(|t| number(t, "exitCode") == 0) || (is_sidecar && status["started"] == true) {
            continue;
        }
        let waiting = text(status, "state.waiting.reason");
        return Some(match terminated {
            Some(t) => format!("Init:{}", ended(t)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{i}/{all}"),
        });
    }
    None
}

fn of_containers(pod: &Value, mut reason: String) -> String {
    let mut has_running = false;
    for status in list(pod, "status.containerStatuses").iter().rev() {
        let waiting = text(status, "state.waiting.reason");
        if !waiting.is_empty() {
            reason = waiting.to_owned();
        } else if let Some(terminated) = status["state"].get("terminated") {
            reason = ended(terminated);
        } else if status["ready"] == true && status["state"].get("running").is_some() {
            has_running = true;
        }
    }
    if reason == "Completed" && has_running {
        let is_ready = condition(pod, "Ready").is_some_and(|c| c["status"] == "True");
        reason = if is_ready { "Running".into() } else { "NotReady".into() };
    }
    reason
}

fn ended(terminated: &Value) -> String {
    match (text(terminated, "reason"), number(terminated, "signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

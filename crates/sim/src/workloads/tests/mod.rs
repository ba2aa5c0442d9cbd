//! Decisions in rows: what is there, and what is decided.

mod deployment;
mod jobs;
mod pods;
mod sets;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Action, Plan};

fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of the kind")
}

fn at(seconds: i64) -> Timestamp {
    "2026-11-23T07:00:00Z".parse::<Timestamp>().expect("a time") + jiff::SignedDuration::from_secs(seconds)
}

/// Prints actions but statuses and events, one a line.
fn show(plan: &Plan) -> Vec<String> {
    plan.actions
        .iter()
        .filter_map(|action| match action {
            Action::Create { kind, object } => Some(format!("create {kind} {}", object["metadata"]["name"].as_str().unwrap_or("?"))),
            Action::Patch { kind, name, patch, .. } => Some(format!("patch {kind} {name} {patch}")),
            Action::Delete { kind, name, grace_period_seconds: Some(0), .. } => Some(format!("remove {kind} {name}")),
            Action::Delete { kind, name, .. } => Some(format!("delete {kind} {name}")),
            Action::Bind { name, node, .. } => Some(format!("bind {name} {node}")),
            Action::Status { .. } | Action::Event { .. } => None,
        })
        .collect()
}

/// Returns the status that a plan writes.
fn status(plan: &Plan) -> Value {
    plan.actions
        .iter()
        .find_map(|action| match action {
            Action::Status { status, .. } => Some(status.clone()),
            _ => None,
        })
        .unwrap_or(Value::Null)
}

fn reasons(plan: &Plan) -> Vec<&'static str> {
    plan.actions
        .iter()
        .filter_map(|action| match action {
            Action::Event { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect()
}

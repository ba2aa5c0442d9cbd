//! One object to its summary.

use api::report::Workload;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The annotation that Argo CD tracks objects by: `app:group/Kind:namespace/name`.
const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";

/// Returns the summary of a workload.
pub fn summary(kind: &str, mut object: Value) -> Workload {
    let api_version = object["apiVersion"].as_str().filter(|v| !v.is_empty()).unwrap_or_else(|| default_api_version(kind)).to_owned();
    let metadata = object["metadata"].take();
    object["apiVersion"] = api_version.clone().into();
    object["kind"] = kind.into();
    object["metadata"] = json!({"generation": metadata["generation"]});
    let health = kinds::health(&object);
    let (desired, ready) = counts(kind, &object);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    Workload {
        api_version,
        kind: kind.to_owned(),
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        images: kinds::images(&object).into_iter().collect(),
        desired,
        ready,
        health: health.as_ref().map_or("Unknown", |h| h.status.as_str()).to_owned(),
        message: health.map(|h| h.message).unwrap_or_default(),
        since: since(&object, metadata["creationTimestamp"].as_str().and_then(|at| at.parse().ok())),
        application: metadata["annotations"][TRACKING_ID].as_str().and_then(|id| id.split(':').next()).map(application),
        // `<64 hexadecimal digits>-<work>`
        manifest_work: owners
            .filter(|owner| owner["kind"] == "AppliedManifestWork")
            .find_map(|owner| owner["name"].as_str()?.split_once('-').map(|(_, work)| work.to_owned())),
        ..Workload::default()
    }
}

/// An Application outside the control plane's namespace is tracked as `<namespace>_<name>`.
fn application(tracked: &str) -> String {
    tracked.split_once('_').map_or_else(|| format!("argocd/{tracked}"), |(namespace, name)| format!("{namespace}/{name}"))
}

fn default_api_version(kind: &str) -> &'static str {
    match kind {
        "Job" | "CronJob" => "batch/v1",
        "Pod" => "v1",
        _ => "apps/v1",
    }
}

/// How many pods should be ready, and how many are.
fn counts(kind: &str, object: &Value) -> (i64, i64) {
    let number = |pointer: &str, default: i64| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(default);
    match kind {
        "DaemonSet" => (number("/status/desiredNumberScheduled", 0), number("/status/numberReady", 0)),
        "Job" => (number("/spec/completions", 1), number("/status/succeeded", 0)),
        "CronJob" => {
            let active = object.pointer("/status/active").and_then(Value::as_array).map_or(0, Vec::len);
            (i64::try_from(active).unwrap_or(i64::MAX), i64::try_from(active).unwrap_or(i64::MAX))
        }
        "Pod" => (1, i64::from(has_condition(object, "Ready"))),
        _ => (number("/spec/replicas", 1), number("/status/readyReplicas", 0)),
    }
}

fn has_condition(object: &Value, kind: &str) -> bool {
    conditions(object).any(|c| c["type"] == kind && c["status"] == "True")
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

/// The last time that a condition changed, else the creation: the best guess for what changed before we looked.
fn since(object: &Value, created: Option<Timestamp>) -> Option<Timestamp> {
    let times = conditions(object).filter_map(|c| c["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok());
    times.max().or(created)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, yaml: &str, expect: (i64, i64, &str)) -> Workload {
        let workload = summary(kind, serde_saphyr::from_str(yaml).unwrap());
        assert_eq!((workload.desired, workload.ready, workload.health.as_str()), expect, "{yaml}");
        workload
    }

    #[test]
    fn a_workload_is_summed_up() {
        let told = check(
            "Deployment",
            "
metadata:
  name: web
  namespace: shop
  generation: 2
  annotations: {argocd.argoproj.io/tracking-id: 'till:apps/Deployment:shop/web'}
  ownerReferences: [{apiVersion: v1, kind: AppliedManifestWork, name: abc-shop-work, uid: u}]
spec: {replicas: 2, template: {spec: {containers: [{name: c, image: 'web:1'}]}}}
status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2, conditions: [{type: Available, status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z'}]}
",
            (2, 2, "Healthy"),
        );
        assert_eq!(
            (told.images, told.application.as_deref(), told.manifest_work.as_deref()),
            (vec!["web:1".into()], Some("argocd/till"), Some("shop-work"))
        );
        assert_eq!(told.since, "2026-01-01T00:00:00Z".parse().ok());
        check("Job", "{metadata: {name: j}, spec: {completions: 3}, status: {succeeded: 1}}", (3, 1, "Progressing"));
        check(
            "DaemonSet",
            "{metadata: {name: d, generation: 1}, status: {observedGeneration: 1, desiredNumberScheduled: 2, numberReady: 1, updatedNumberScheduled: 2, numberAvailable: 1}}",
            (2, 1, "Progressing"),
        );
        check(
            "Pod",
            "{metadata: {name: p}, status: {phase: Running, conditions: [{type: Ready, status: 'False'}]}}",
            (1, 0, "Progressing"),
        );
    }
}

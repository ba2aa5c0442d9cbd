//! Conversion between the versions of a kind that share one storage.
//!
//! Two pairs: events of `v1` and `events.k8s.io/v1`, whose fields have other names, and
//! HorizontalPodAutoscalers of `autoscaling/v1` and `v2`. What version 1 of the latter cannot say (other
//! metrics, behavior, conditions) travels in annotations, as JSON of version 2.

use apimachinery::gvk::GroupVersionKind;
use serde_json::{Map, Value, json};

use crate::edit::{ensure, get, is_empty, put, text};

/// Field of core events and of `events.k8s.io`.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// Converts an object to another version of its kind. Returns whether it is of that version now; without
/// a conversion the object is left as it is.
pub fn convert(object: &mut Value, to: &GroupVersionKind) -> bool {
    let wanted = to.api_version();
    let from = text(object, &["apiVersion"]).to_owned();
    match (to.kind.as_str(), from.as_str(), wanted.as_str()) {
        (_, from, to) if from == to => return true,
        ("Event", "v1", "events.k8s.io/v1") => rename(object, EVENT_FIELDS.iter().copied()),
        ("Event", "events.k8s.io/v1", "v1") => rename(object, EVENT_FIELDS.iter().map(|(core, events)| (*events, *core))),
        ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2") => autoscaler_to_v2(object),
        ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1") => autoscaler_to_v1(object),
        _ => return false,
    }
    put(object, "apiVersion", wanted);
    true
}

fn rename(object: &mut Value, fields: impl Iterator<Item = (&'static str, &'static str)>) {
    let Value::Object(map) = object else { return };
    for (from, to) in fields {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

fn autoscaler_to_v2(object: &mut Value) {
    let mut metrics = take_annotation(object, METRICS);
    let behavior = take_annotation(object, BEHAVIOR);
    let conditions = take_annotation(object, CONDITIONS);
    let mut current = take_annotation(object, CURRENT_METRICS);
    if let Some(percent) = take(object, "spec", "targetCPUUtilizationPercentage") {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        push(&mut metrics, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    if let Some(percent) = take(object, "status", "currentCPUUtilizationPercentage") {
        push(&mut current, json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}));
    }
    for (place, field, value) in [
        ("spec", "metrics", metrics),
        ("spec", "behavior", behavior),
        ("status", "conditions", conditions),
        ("status", "currentMetrics", current),
    ] {
        if let Some(value) = value {
            put(ensure(object, place), field, value);
        }
    }
}

fn autoscaler_to_v1(object: &mut Value) {
    let mut metrics = take(object, "spec", "metrics");
    let mut current = take(object, "status", "currentMetrics");
    if let Some(percent) = take_cpu(&mut metrics, "target") {
        put(ensure(object, "spec"), "targetCPUUtilizationPercentage", percent);
    }
    if let Some(percent) = take_cpu(&mut current, "current") {
        put(ensure(object, "status"), "currentCPUUtilizationPercentage", percent);
    }
    let behavior = take(object, "spec", "behavior");
    let conditions = take(object, "status", "conditions");
    for (key, value) in [(METRICS, metrics), (CURRENT_METRICS, current), (BEHAVIOR, behavior), (CONDITIONS, conditions)] {
        if let Some(value) = value.filter(|value| !is_empty(value)) {
            put(ensure(ensure(object, "metadata"), "annotations"), key, value.to_string());
        }
    }
}

fn push(list: &mut Option<Value>, item: Value) {
    match list {
        Some(Value::Array(items)) => items.insert(0, item),
        _ => *list = Some(json!([item])),
    }
}

/// Takes the first metric of CPU utilization out of a list.
fn take_cpu(metrics: &mut Option<Value>, part: &str) -> Option<Value> {
    let list = metrics.as_mut()?.as_array_mut()?;
    let percent = |metric: &Value| get(metric, &["resource", part, "averageUtilization"]).clone();
    let at = list.iter().position(|metric| text(metric, &["resource", "name"]) == "cpu" && !percent(metric).is_null())?;
    // A current metric also says the amount behind the percentage; version 1 has no room for it.
    Some(percent(&list.remove(at)))
}

fn take(object: &mut Value, place: &str, field: &str) -> Option<Value> {
    object.get_mut(place)?.as_object_mut()?.remove(field)
}

fn take_annotation(object: &mut Value, key: &str) -> Option<Value> {
    let annotations: &mut Map<String, Value> = object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?;
    let parsed = serde_json::from_str(annotations.get(key)?.as_str()?).ok()?;
    annotations.remove(key);
    if annotations.is_empty() {
        take(object, "metadata", "annotations");
    }
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(mut object: Value, api_version: &str) -> Value {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        assert!(convert(&mut object, &GroupVersionKind::from_api_version(api_version, &kind)));
        object
    }

    fn round(object: Value, through: &str) {
        let converted = to(object.clone(), through);
        assert_ne!(converted, object);
        assert_eq!(to(converted, object["apiVersion"].as_str().expect("a version")), object);
    }

    #[test]
    fn events_come_back_the_same() {
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "involvedObject": {"kind": "Pod"},
            "message": "m", "reason": "r", "source": {"component": "c"}, "firstTimestamp": "t", "lastTimestamp": "t", "count": 2,
            "reportingComponent": "c", "reportingInstance": "i", "type": "Normal"});
        round(event, "events.k8s.io/v1");
    }

    #[test]
    fn autoscalers_come_back_the_same() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
        let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
            "spec": {"minReplicas": 1, "maxReplicas": 3, "metrics": [cpu, memory], "behavior": {"scaleUp": {"selectPolicy": "Max"}}},
            "status": {"conditions": [{"type": "AbleToScale", "status": "True"}]}});
        let first = to(autoscaler.clone(), "autoscaling/v1");
        assert!(first["spec"].get("metrics").is_none());
        assert_eq!(first["spec"]["targetCPUUtilizationPercentage"], 50);
        round(autoscaler, "autoscaling/v1");
    }

    #[test]
    fn unrelated_versions_are_refused() {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod"});
        assert!(!convert(&mut pod, &GroupVersionKind::from_api_version("v2", "Pod")));
        assert_eq!(pod["apiVersion"], "v1");
    }
}

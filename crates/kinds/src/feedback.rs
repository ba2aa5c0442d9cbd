//! The status values Open Cluster Management calls well known (`pkg/work/spoke/statusfeedback/rules`).

use serde_json::Value;

use crate::{condition, group_of, kind_of};

/// Where a value stands.
enum From {
    Pointer(&'static str),
    /// The `status` of a condition.
    Condition(&'static str),
}

use From::{Condition, Pointer};

/// Returns the well-known values of an object by name, without those it does not have (yet);
/// nothing for a kind that has none.
pub fn well_known_feedback(object: &Value) -> Option<Vec<(&'static str, Value)>> {
    let rules: &[(&'static str, From)] = match (group_of(object), kind_of(object)) {
        ("apps", "Deployment") => &[
            ("ReadyReplicas", Pointer("/status/readyReplicas")),
            ("Replicas", Pointer("/status/replicas")),
            ("AvailableReplicas", Pointer("/status/availableReplicas")),
        ],
        ("apps", "DaemonSet") => &[
            ("NumberReady", Pointer("/status/numberReady")),
            ("DesiredNumberScheduled", Pointer("/status/desiredNumberScheduled")),
            ("NumberAvailable", Pointer("/status/numberAvailable")),
        ],
        ("batch", "Job") => &[("JobComplete", Condition("Complete")), ("JobSucceeded", Pointer("/status/succeeded"))],
        ("", "Pod") => &[("PodReady", Condition("Ready")), ("PodPhase", Pointer("/status/phase"))],
        _ => return None,
    };
    let found = rules.iter().filter_map(|(name, from)| {
        let value = match from {
            Pointer(pointer) => object.pointer(pointer),
            Condition(kind) => condition(object, kind).map(|c| &c["status"]),
        };
        Some((*name, value.filter(|v| !v.is_null())?.clone()))
    });
    Some(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_named_as_the_field_names_them_and_missing_ones_are_left_out() {
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 3, "readyReplicas": 2}});
        assert_eq!(well_known_feedback(&deployment), Some(vec![("ReadyReplicas", json!(2)), ("Replicas", json!(3))]));
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}});
        assert_eq!(well_known_feedback(&job), Some(vec![("JobComplete", json!("True")), ("JobSucceeded", json!(1))]));
        assert_eq!(well_known_feedback(&json!({"apiVersion": "v1", "kind": "ConfigMap"})), None);
    }
}

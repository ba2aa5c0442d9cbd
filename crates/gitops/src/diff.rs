//! Whether applying would change a live object, from a server-side dry run.
//!
//! The server has defaulted, converted and merged both sides, so what is left to do is small: drop what says nothing
//! about the desired state, and what the Application asks to ignore (`gitops-engine/pkg/diff`).

use api::argo::ResourceIgnoreDifferences;
use serde_json::{Map, Value};

use crate::Key;

/// Metadata that says nothing about the desired state.
pub(crate) const BOOKKEEPING: [&str; 6] = ["creationTimestamp", "managedFields", "resourceVersion", "generation", "uid", "selfLink"];
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Paths named per object, so that a condition stays readable.
const PATHS_MAX: usize = 5;

/// Returns the paths at which `predicted` (the dry run's answer) differs from `live`; none if they are the same.
pub fn differences(live: &Value, predicted: &Value, ignored: &[ResourceIgnoreDifferences]) -> Vec<String> {
    let key = Key::of(live);
    let (mut live, mut predicted) = (live.clone(), predicted.clone());
    for object in [&mut live, &mut predicted] {
        normalise(object);
        for rule in ignored.iter().filter(|rule| applies(rule, &key)) {
            for pointer in &rule.json_pointers {
                remove(object, pointer);
            }
        }
    }
    let mut paths = Vec::new();
    walk("", &live, &predicted, &mut paths);
    paths
}

/// Drops what never belongs to desired state; also what an agent need not send or keep.
pub fn prepare_live(object: &mut Value) {
    normalise(object);
}

fn normalise(object: &mut Value) {
    let kind = kinds::kind_of(object).to_owned();
    let Some(fields) = object.as_object_mut() else { return };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in BOOKKEEPING {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
        for field in ["annotations", "labels"] {
            if metadata.get(field).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
                metadata.remove(field);
            }
        }
    }
    if has_no_rules(&kind, fields) {
        fields.remove("rules");
    }
}

/// Whether the rules of a role are nobody's wish: those of an aggregated one are written by the cluster, and none are as good as no
/// field.
pub(crate) fn has_no_rules(kind: &str, fields: &Map<String, Value>) -> bool {
    match kind {
        "ClusterRole" if fields.get("aggregationRule").is_some_and(|rule| !rule.is_null()) => true,
        "ClusterRole" | "Role" => fields.get("rules").and_then(Value::as_array).is_some_and(Vec::is_empty),
        _ => false,
    }
}

fn applies(rule: &ResourceIgnoreDifferences, key: &Key) -> bool {
    let is = |wanted: &str, found: &str| wanted == "*" || wanted == found;
    is(&rule.group, &key.group)
        && is(&rule.kind, &key.kind)
        && (rule.name.is_empty() || rule.name == key.name)
        && (rule.namespace.is_empty() || rule.namespace == key.namespace)
}

/// Removes what a JSON pointer points at.
fn remove(object: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let last = last.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&last);
        }
        Some(Value::Array(items)) => {
            if let Ok(index) = last.parse::<usize>()
                && index < items.len()
            {
                items.remove(index);
            }
        }
        _ => {}
    }
}

fn walk(path: &str, live: &Value, predicted: &Value, paths: &mut Vec<String>) {
    if live == predicted || paths.len() >= PATHS_MAX {
        return;
    }
    match (live, predicted) {
        (Value::Object(a), Value::Object(b)) => {
            let mut fields: Vec<&String> = a.keys().chain(b.keys()).collect();
            fields.sort();
            fields.dedup();
            for field in fields {
                let missing = Value::Null;
                let inner = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
                walk(&inner, a.get(field).unwrap_or(&missing), b.get(field).unwrap_or(&missing), paths);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                walk(&format!("{path}[{index}]"), a, b, paths);
            }
        }
        _ => paths.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_named_by_path_and_noise_is_not() {
        let live = json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "a", "generation": 3, "resourceVersion": "7", "annotations": {}},
            "spec": {"replicas": 5, "containers": [{"image": "a:1"}]}, "status": {"ready": 1}});
        let mut predicted = live.clone();
        predicted["metadata"]["resourceVersion"] = json!("8");
        predicted["metadata"]["managedFields"] = json!([1]);
        assert_eq!(differences(&live, &predicted, &[]), [""; 0]);
        predicted["spec"]["containers"][0]["image"] = json!("a:2");
        predicted["spec"]["replicas"] = json!(3);
        assert_eq!(differences(&live, &predicted, &[]), ["spec.containers[0].image", "spec.replicas"]);
        let rule = ResourceIgnoreDifferences {
            group: "*".into(),
            kind: "Deployment".into(),
            json_pointers: vec!["/spec/replicas".into()],
            ..Default::default()
        };
        assert_eq!(differences(&live, &predicted, std::slice::from_ref(&rule)), ["spec.containers[0].image"]);
        let other = ResourceIgnoreDifferences { name: "b".into(), ..rule };
        assert_eq!(differences(&live, &predicted, &[other]).len(), 2);
    }
}

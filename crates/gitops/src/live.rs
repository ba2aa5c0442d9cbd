//! What is remembered of a live object: little, since an agent remembers all it manages.

use std::hash::{DefaultHasher, Hash, Hasher};

use api::argo::annotation::TRACKING_ID;
use jiff::Timestamp;
use kinds::Health;
use serde_json::Value;

use crate::Key;

/// Annotations the engine asks a live object for.
const KEPT_PREFIXES: [&str; 2] = ["argocd.argoproj.io/", "helm.sh/"];

/// A live object.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    pub key: Key,
    pub version: String,
    pub uid: String,
    pub resource_version: String,
    /// Changes when anything but `status` and bookkeeping does: what a dry run's answer depends on.
    pub content: u64,
    pub is_being_deleted: bool,
    /// Whether a running sync still holds it by the hook finalizer.
    pub is_held: bool,
    pub created_at: Option<Timestamp>,
    /// Argo's and Helm's annotations only.
    pub annotations: Value,
    pub health: Option<Health>,
    pub images: Vec<String>,
}

impl Live {
    /// Returns what matters of a live object; without `status` (a metadata watch) it has no health.
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let annotations = metadata["annotations"].as_object().into_iter().flatten();
        let kept = annotations.filter(|(key, _)| KEPT_PREFIXES.iter().any(|p| key.starts_with(p)));
        let finalizers = metadata["finalizers"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            key: Key::of(object),
            version: object["apiVersion"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned(),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            content: content_of(object),
            is_being_deleted: !metadata["deletionTimestamp"].is_null(),
            is_held: finalizers.iter().any(|f| f == kinds::health::HOOK_FINALIZER),
            created_at: metadata["creationTimestamp"].as_str().and_then(|at| at.parse().ok()),
            annotations: kept.map(|(key, value)| (key.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into(),
            health: kinds::health(object),
            images: kinds::images(object).into_iter().collect(),
        }
    }

    /// Returns the Application the object says it belongs to, and whether it says so of itself: a copy of a managed
    /// object carries the original's tracking id, and must never be pruned for it.
    pub fn tracked_by(&self) -> Option<(&str, bool)> {
        let id = self.annotations[TRACKING_ID].as_str()?;
        let (app, rest) = id.split_once(':')?;
        Some((app, rest == tracking_rest(&self.key)))
    }
}

/// A hash of what is not status; of the resourceVersion where only metadata is known.
fn content_of(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    let fields = object.as_object().map(|f| f.keys().any(|k| !matches!(k.as_str(), "apiVersion" | "kind" | "metadata")));
    if fields == Some(true) {
        let mut object = object.clone();
        crate::prepare_live(&mut object);
        object.hash(&mut hasher);
    } else {
        object["metadata"]["resourceVersion"].hash(&mut hasher);
    }
    hasher.finish()
}

/// The part of a tracking id after the Application's name.
pub(crate) fn tracking_rest(key: &Key) -> String {
    format!("{}/{}:{}/{}", key.group, key.kind, key.namespace, key.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_copy_with_anothers_tracking_id_is_told_apart() {
        let of = |name: &str| {
            Live::of(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
                "name": name, "namespace": "shop", "annotations": {TRACKING_ID: "web:apps/Deployment:shop/a", "other": "x"},
            }}))
        };
        assert_eq!(of("a").tracked_by(), Some(("web", true)));
        assert_eq!(of("copy").tracked_by(), Some(("web", false)));
        assert_eq!(of("a").annotations.as_object().map(|a| a.len()), Some(1));
        assert_eq!(of("a").version, "v1");
    }

    #[test]
    fn status_and_bookkeeping_are_not_content() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 1},
            "metadata": {"name": "a", "resourceVersion": "1", "generation": 1}, "status": {"replicas": 0}});
        let mut later = object.clone();
        later["status"]["replicas"] = json!(1);
        later["metadata"]["resourceVersion"] = json!("2");
        assert_eq!(Live::of(&object).content, Live::of(&later).content);
        later["spec"]["replicas"] = json!(2);
        assert_ne!(Live::of(&object).content, Live::of(&later).content);
        let metadata = |version: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "resourceVersion": version}});
        assert_ne!(Live::of(&metadata("1")).content, Live::of(&metadata("2")).content);
    }
}

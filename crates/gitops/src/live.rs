//! What is remembered of a live object: little, since an agent remembers all it manages.

use std::hash::{DefaultHasher, Hash, Hasher};

use api::argo::annotation::TRACKING_ID;
use jiff::Timestamp;
use kinds::Health;
use serde_json::Value;

use crate::diff::{BOOKKEEPING, LAST_APPLIED, has_no_rules};
use crate::{Key, Target};

/// Annotations the engine asks a live object for.
const KEPT_PREFIXES: [&str; 2] = ["argocd.argoproj.io/", "helm.sh/"];

/// What the Deployment controller counts: it changes with every rollout, and is nobody's wish but of a target that names it.
const ROLLOUT: &str = "deployment.kubernetes.io/revision";

/// What a newer state of an object says that the one before did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Nothing that is looked at.
    Nothing,
    /// Words only: how far a rollout is.
    Detail,
    /// What a decision may depend on.
    Change,
}

/// A live object.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    pub key: Key,
    pub version: String,
    pub uid: String,
    pub resource_version: String,
    /// Changes when anything but `status` and bookkeeping does: what a dry run's answer depends on.
    pub content: u64,
    /// The Deployment controller's count of rollouts, hashed; 0 where there is none.
    pub rollout: u64,
    pub is_being_deleted: bool,
    /// Whether a running sync still holds it by the hook finalizer.
    pub is_held: bool,
    pub created_at: Option<Timestamp>,
    /// Argo's and Helm's annotations only.
    pub annotations: Value,
    /// See [`Live::tracked_by`].
    tracked_by: Option<(String, bool)>,
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
        let key = Key::of(object);
        Self {
            tracked_by: tracked_by(metadata["annotations"][TRACKING_ID].as_str().unwrap_or_default(), &key),
            key,
            version: object["apiVersion"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned(),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            content: content_of(object),
            rollout: match &metadata["annotations"][ROLLOUT] {
                Value::Null => 0,
                count => hash(|hasher| count.hash(hasher)),
            },
            is_being_deleted: !metadata["deletionTimestamp"].is_null(),
            is_held: finalizers.iter().any(|f| f == kinds::health::HOOK_FINALIZER),
            created_at: metadata["creationTimestamp"].as_str().and_then(|at| at.parse().ok()),
            annotations: kept.map(|(key, value)| (key.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into(),
            health: kinds::health(object),
            images: kinds::images(object).into_iter().collect(),
        }
    }

    /// Returns what matters of an object whose kind is watched by metadata only.
    pub fn of_metadata(object: &Value) -> Self {
        Self { content: content_of_metadata(object), ..Self::of(object) }
    }

    /// Returns what a dry run's answer for a target depends on.
    pub fn content_for(&self, target: &Target) -> u64 {
        if target.annotations()[ROLLOUT].is_null() { self.content } else { self.content ^ self.rollout }
    }

    /// Returns what is new in comparison to what was known of the object.
    pub fn news_since(&self, before: &Self) -> News {
        let decisive = |l: &Self| (l.content, l.is_being_deleted, l.is_held, l.health.as_ref().map(|h| h.status));
        let is_same = self.uid == before.uid && decisive(self) == decisive(before) && self.annotations == before.annotations;
        let words = |l: &Self| (l.rollout, l.health.as_ref().map(|h| h.message.clone()));
        if !is_same || self.version != before.version || self.images != before.images {
            News::Change
        } else if words(self) != words(before) {
            News::Detail
        } else {
            News::Nothing
        }
    }

    /// Returns the Application the object says it belongs to, and whether it says so of itself: a copy of a managed
    /// object carries the original's tracking id, and must never be pruned for it.
    pub fn tracked_by(&self) -> Option<(&str, bool)> {
        self.tracked_by.as_ref().map(|(app, is_itself)| (app.as_str(), *is_itself))
    }
}

fn tracked_by(id: &str, key: &Key) -> Option<(String, bool)> {
    let (app, rest) = id.split_once(':')?;
    Some((app.to_owned(), rest == tracking_rest(key)))
}

fn hash(content: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    content(&mut hasher);
    hasher.finish()
}

/// A hash of what [`crate::prepare_live`] leaves of an object, without the count of rollouts.
fn content_of(object: &Value) -> u64 {
    let Some(fields) = object.as_object() else { return 0 };
    if fields.keys().all(|field| matches!(field.as_str(), "apiVersion" | "kind" | "metadata")) {
        return content_of_metadata(object);
    }
    let has_no_rules = has_no_rules(kinds::kind_of(object), fields);
    hash(|hasher| {
        for (field, value) in fields {
            match field.as_str() {
                "status" => {}
                "rules" if has_no_rules => {}
                "metadata" => hash_metadata(value, hasher),
                _ => (field, value).hash(hasher),
            }
        }
    })
}

/// A hash of the metadata, and of what says that there is another content: the resourceVersion, or the generation where that
/// counts all changes but the status's.
fn content_of_metadata(object: &Value) -> u64 {
    let metadata = &object["metadata"];
    let group = kinds::group_of(object);
    let is_custom = group.contains('.') && !group.ends_with(".k8s.io");
    let counts =
        metadata["generation"].is_number() && (is_custom || (group == "policy" && kinds::kind_of(object) == "PodDisruptionBudget"));
    hash(|hasher| {
        if counts {
            metadata["generation"].hash(hasher);
            hash_metadata(metadata, hasher);
        } else {
            metadata["resourceVersion"].hash(hasher);
        }
    })
}

fn hash_metadata(metadata: &Value, hasher: &mut DefaultHasher) {
    for (field, value) in metadata.as_object().into_iter().flatten() {
        match field.as_str() {
            name if BOOKKEEPING.contains(&name) => {}
            "annotations" | "labels" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if field != "annotations" || !matches!(key.as_str(), ROLLOUT | LAST_APPLIED) {
                        (field, key, value).hash(hasher);
                    }
                }
            }
            _ => (field, value).hash(hasher),
        }
    }
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
        later["spec"]["replicas"] = json!(1);
        later["metadata"]["annotations"] = json!({LAST_APPLIED: "{}"});
        later["metadata"]["labels"] = json!({});
        assert_eq!(Live::of(&object).content, Live::of(&later).content);
        later["metadata"]["labels"] = json!({"a": "b"});
        assert_ne!(Live::of(&object).content, Live::of(&later).content);
        let metadata = |version: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "resourceVersion": version}});
        assert_ne!(Live::of(&metadata("1")).content, Live::of(&metadata("2")).content);
    }

    #[test]
    fn what_is_watched_by_metadata_changes_with_its_generation_where_that_counts_the_content() {
        let of = |api_version: &str, kind: &str, version: &str, generation: i64| {
            let metadata = json!({"name": "a", "resourceVersion": version, "generation": generation});
            Live::of(&json!({"apiVersion": api_version, "kind": kind, "metadata": metadata})).content
        };
        for (api_version, kind) in [("policy/v1", "PodDisruptionBudget"), ("example.com/v1", "Widget")] {
            assert_eq!(of(api_version, kind, "1", 1), of(api_version, kind, "2", 1));
            assert_ne!(of(api_version, kind, "1", 1), of(api_version, kind, "2", 2));
        }
        assert_ne!(of("scheduling.k8s.io/v1", "PriorityClass", "1", 1), of("scheduling.k8s.io/v1", "PriorityClass", "2", 1));
        let whole = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "generation": 1}, "spec": {"a": 1}});
        let bare = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "generation": 1}});
        assert_eq!(Live::of_metadata(&whole).content, Live::of(&bare).content);
    }

    #[test]
    fn a_rollout_is_told_by_words_until_its_outcome_is_there() {
        let of = |version: &str, revision: &str, status: Value| {
            Live::of(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}, "status": status,
                "metadata": {"name": "a", "resourceVersion": version, "generation": 1, "annotations": {ROLLOUT: revision}}}))
        };
        let done = |updated: i64| json!({"observedGeneration": 1, "updatedReplicas": updated, "replicas": 2, "availableReplicas": updated});
        let first = of("1", "1", done(0));
        assert_eq!(of("2", "1", done(0)).news_since(&first), News::Nothing);
        assert_eq!(of("2", "1", done(1)).news_since(&first), News::Detail);
        assert_eq!(of("2", "1", done(2)).news_since(&first), News::Change, "it is healthy");
        assert_eq!(of("2", "2", done(0)).news_since(&first), News::Detail);
        assert_eq!(of("2", "2", done(0)).content, first.content);
        let target = |annotations: Value| Target {
            key: first.key.clone(),
            version: "v1".into(),
            object: json!({"metadata": {"annotations": annotations}}),
            is_kind_known: true,
            brings_kind_along: false,
        };
        let (plain, names_it) = (target(json!({})), target(json!({ROLLOUT: "1"})));
        assert_eq!(of("2", "2", done(0)).content_for(&plain), first.content_for(&plain));
        assert_ne!(of("2", "2", done(0)).content_for(&names_it), first.content_for(&names_it));
    }
}

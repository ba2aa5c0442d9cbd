//! kubectl's client-side apply annotation, when kubectl moves on to server-side apply.
//!
//! As upstream's `lastappliedmanager.go` and `lastappliedupdater.go`: fields kubectl itself applied before are no
//! conflict for it, and the annotation is kept current so that client-side apply still works.

use serde_json::Value;

use super::fieldset::FieldSet;
use super::shape::fieldset_of;
use crate::schema::Schema;

pub const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager this is about.
pub const MANAGER: &str = "kubectl";
/// All annotations of an object together, as upstream's validation.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

/// Returns the fields the annotation of `live` speaks of.
pub fn fields(schema: &Schema, live: &Value) -> Option<FieldSet> {
    let text = live.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()?;
    let applied: Value = serde_json::from_str(text).ok()?;
    Some(fieldset_of(schema, &applied))
}

/// Writes `config` into the annotation of `object`, if it has one.
pub fn refresh(object: &mut Value, config: &Value) {
    let Some(annotations) = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations")).and_then(Value::as_object_mut)
    else {
        return;
    };
    let others: usize =
        annotations.iter().filter(|(name, _)| *name != ANNOTATION).map(|(name, v)| name.len() + v.as_str().map_or(0, str::len)).sum();
    if let Some(annotation) = annotations.get_mut(ANNOTATION) {
        let mut applied = config.clone();
        if let Some(annotations) = applied.get_mut("metadata").and_then(|m| m.get_mut("annotations")).and_then(Value::as_object_mut) {
            annotations.remove(ANNOTATION);
        }
        let text = format!("{applied}\n");
        if others + ANNOTATION.len() + text.len() <= ANNOTATIONS_BYTES_MAX {
            *annotation = Value::String(text);
        }
    }
}

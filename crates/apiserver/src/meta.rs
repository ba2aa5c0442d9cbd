//! `metadata`: what the server sets, keeps and checks on every object of every kind.

use apimachinery::names;
use apimachinery::schema::Touched;
use apimachinery::status::Cause;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The largest sum of annotation keys and values, as apimachinery TotalAnnotationSizeLimitB.
const ANNOTATION_BYTES_MAX: usize = 256 * 1024;

/// Returns a time as Kubernetes writes `metav1.Time`.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns the metadata of an object, making it an object if it is not.
pub fn of(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let metadata = object.as_object_mut().expect("made an object above").entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata.as_object_mut().expect("made an object above")
}

pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

pub fn name(object: &Value) -> &str {
    text(object, "name")
}

pub fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

pub fn is_terminating(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// Sets what a new object gets from the server and drops what only the server may set.
pub fn begin_create(object: &mut Value, namespace: &str, uid: String, now: Timestamp) {
    let metadata = of(object);
    for field in ["resourceVersion", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), uid.into());
    metadata.insert("creationTimestamp".into(), time(now).into());
    if !namespace.is_empty() {
        metadata.insert("namespace".into(), namespace.into());
    }
    drop_empty(metadata);
}

/// Restores what a client cannot change.
pub fn begin_update(object: &mut Value, old: &Value) {
    let metadata = of(object);
    for field in ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace", "generateName"]
    {
        match old["metadata"].get(field) {
            Some(value) if metadata.get(field) == Some(value) => {}
            Some(value) => drop(metadata.insert(field.into(), value.clone())),
            None => drop(metadata.remove(field)),
        }
    }
    metadata.remove("selfLink");
    drop_empty(metadata);
}

/// Drops fields that Go's omitempty drops, so that equal objects are equal bytes.
fn drop_empty(metadata: &mut Map<String, Value>) {
    metadata.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    });
}

/// Returns what is wrong with the metadata, apart from the name's form, which depends on the kind.
pub fn validate(object: &Value, namespaced: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let metadata = &object["metadata"];
    let namespace = text(object, "namespace");
    if namespaced && namespace.is_empty() {
        causes.push(Cause::required("metadata.namespace", ""));
    } else if !namespaced && !namespace.is_empty() {
        causes.push(Cause::forbidden("metadata.namespace", "not allowed on this type"));
    }
    if let Some(labels) = metadata["labels"].as_object() {
        for (key, value) in labels {
            causes.extend(names::qualified_name(key).into_iter().map(|m| Cause::invalid("metadata.labels", &json!(key), &m)));
            if let Some(value) = value.as_str() {
                causes.extend(names::label_value(value).into_iter().map(|m| Cause::invalid("metadata.labels", &json!(value), &m)));
            }
        }
    }
    if let Some(annotations) = metadata["annotations"].as_object() {
        let mut size = 0;
        for (key, value) in annotations {
            size += key.len() + value.as_str().map_or(0, str::len);
            let lower = key.to_ascii_lowercase();
            causes.extend(names::qualified_name(&lower).into_iter().map(|m| Cause::invalid("metadata.annotations", &json!(key), &m)));
        }
        if size > ANNOTATION_BYTES_MAX {
            let message = format!("Too long: may not be more than {ANNOTATION_BYTES_MAX} bytes");
            causes.push(Cause { reason: "FieldValueTooLong", message, field: "metadata.annotations".into() });
        }
    }
    for finalizer in finalizers(object) {
        causes.extend(names::qualified_name(finalizer).into_iter().map(|m| Cause::invalid("metadata.finalizers", &json!(finalizer), &m)));
    }
    causes.extend(validate_owners(metadata));
    causes
}

fn validate_owners(metadata: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut controllers = 0;
    for (i, owner) in metadata["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                causes.push(Cause::required(format!("metadata.ownerReferences[{i}].{field}"), "must not be empty"));
            }
        }
        controllers += usize::from(owner["controller"] == json!(true));
    }
    if controllers > 1 {
        let owners = &metadata["ownerReferences"];
        causes.push(Cause::invalid("metadata.ownerReferences", owners, "Only one reference can have Controller set to true"));
    }
    causes
}

/// Returns what a client may not do to metadata in an update.
pub fn validate_update(object: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if name(object) != name(old) {
        causes.push(Cause::invalid("metadata.name", &object["metadata"]["name"], "field is immutable"));
    }
    if is_terminating(old) {
        let before = finalizers(old);
        let added: Vec<&str> = finalizers(object).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            let message = format!("no new finalizers can be added if the object is being deleted, found new finalizers {added:?}");
            causes.push(Cause::forbidden("metadata.finalizers", &message));
        }
    }
    causes
}

/// Returns whether two objects without managedFields differ in nothing but their revision, of what is touched.
pub fn is_same(a: &Value, b: &Value, touched: &Touched) -> bool {
    !touched.has_any(|field| field != "metadata") && is_same_metadata(&a["metadata"], &b["metadata"])
}

fn is_same_metadata(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let relevant = |m: &Map<String, Value>| m.keys().filter(|k| *k != "resourceVersion").count();
    if relevant(a) != relevant(b) {
        return false;
    }
    a.iter().filter(|(name, _)| *name != "resourceVersion").all(|(name, value)| b.get(name) == Some(value))
}

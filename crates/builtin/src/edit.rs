//! Small steps through JSON values. All are harmless on a value of another type: defaulting runs
//! before validation, and says nothing about what is wrong.

use serde_json::{Map, Value, json};

static NULL: Value = Value::Null;

/// Sets a field that is absent or null.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Value::Object(map) = object
        && map.get(field).is_none_or(Value::is_null)
    {
        map.insert(field.to_owned(), value.into());
    }
}

/// Sets a field to a value, whatever it was.
pub fn put(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Value::Object(map) = object {
        map.insert(field.to_owned(), value.into());
    }
}

pub fn remove(object: &mut Value, field: &str) -> Option<Value> {
    object.as_object_mut()?.remove(field)
}

/// Returns a field, made an empty object if absent.
pub fn ensure<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    set(object, field, json!({}));
    match object {
        Value::Object(map) => map.entry(field).or_insert(Value::Null),
        other => other,
    }
}

/// Returns the field at a path that is there.
pub fn at<'a>(object: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(object, |object, field| object.get_mut(*field)).filter(|value| !value.is_null())
}

/// Returns the elements of a list.
pub fn each<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Returns the field at a path, or null.
pub fn get<'a>(object: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().try_fold(object, |object, field| object.get(*field)).unwrap_or(&NULL)
}

/// Returns the text at a path; empty without.
pub fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    get(object, path).as_str().unwrap_or_default()
}

/// Returns the elements of a list at a path.
pub fn items<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    get(object, path).as_array().map_or(&[], Vec::as_slice)
}

/// Returns the fields of an object at a path.
pub fn fields<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    get(object, path).as_object()
}

/// Whether a value says nothing: absent, null, or an empty text, list or object.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

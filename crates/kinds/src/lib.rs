//! What is known per kind: in which order kinds are applied, when an object is healthy, which status
//! values are worth reporting, which images it runs.
//!
//! Pure functions over plain JSON objects. A kind nobody knows has no health and is applied last.
//! Nothing here reads an object's desired state from elsewhere: what is asked is answered from the object alone.

mod feedback;
pub mod health;
mod images;
pub mod order;

pub use feedback::well_known_feedback;
pub use health::{Health, HealthStatus, health};
pub use images::images;

use serde_json::Value;

/// Group of an object's `apiVersion`; empty for the core group.
pub fn group_of(object: &Value) -> &str {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    apimachinery::gvk::split_api_version(api_version).0
}

/// `kind` of an object, or nothing.
pub fn kind_of(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// The number at a JSON pointer, 0 where it is missing: how Go reads absent integers.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The text at a JSON pointer, empty where it is missing.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The elements of the list at a JSON pointer; none where it is missing.
pub(crate) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The condition of a type in `status.conditions`.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "/status/conditions").iter().find(|c| c["type"] == kind)
}

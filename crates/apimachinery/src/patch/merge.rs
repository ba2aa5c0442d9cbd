//! JSON merge patch, RFC 7386.

use serde_json::Value;

/// Returns `original` with `patch` merged in: objects merge, `null` deletes, all else replaces.
pub fn merge(mut original: Value, patch: &Value) -> Value {
    json_patch::merge(&mut original, patch);
    original
}

//! Small pieces of cells.

use serde_json::{Map, Value};

pub const NONE: &str = "<none>";
pub const UNSET: &str = "<unset>";

/// Walks dotted fields; what is missing is null.
pub fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |at, part| &at[part])
}

pub fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

pub fn number(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or(0)
}

pub fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).as_array().map_or(&[], Vec::as_slice)
}

/// Returns the condition of a type.
pub fn condition<'a>(object: &'a Value, ty: &str) -> Option<&'a Value> {
    list(object, "status.conditions").iter().find(|c| c["type"] == ty)
}

/// Returns text, or a stand-in for none.
pub fn or<'a>(text: &'a str, none: &'a str) -> &'a str {
    if text.is_empty() { none } else { text }
}

/// Joins the first three and counts the rest.
pub fn first_three(parts: &[String], none: &str) -> String {
    match parts.len() {
        0 => none.to_owned(),
        1..=3 => parts.join(","),
        more => format!("{} + {} more...", parts[..3].join(","), more - 3),
    }
}

/// Returns a map as `a=b,c=d`.
pub fn pairs(map: Option<&Map<String, Value>>) -> String {
    let pairs: Vec<String> =
        map.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().map_or_else(|| v.to_string(), str::to_owned))).collect();
    or(&pairs.join(","), NONE).to_owned()
}

/// Returns a scalar without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

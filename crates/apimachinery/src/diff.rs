//! Where two values differ, for people.

use std::fmt;

use serde_json::Value;

use crate::schema::Path;

/// Differences listed at most; who reads more is better served by the objects.
pub const CHANGES_MAX: usize = 1_000;

/// One path at which values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// As `spec.containers[0].image`; empty for the whole value.
    pub path: String,
    /// `None` where the path is new.
    pub old: Option<Value>,
    /// `None` where the path is gone.
    pub new: Option<Value>,
}

/// Returns where `old` and `new` differ, in the order of paths; lists are compared by index.
pub fn diff(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    walk(old, new, &Path::root(""), &mut changes);
    changes
}

fn walk(old: &Value, new: &Value, path: &Path, changes: &mut Vec<Change>) {
    if old == new || changes.len() >= CHANGES_MAX {
        return;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            let mut names: Vec<&String> = old.keys().chain(added).collect();
            names.sort();
            for name in names {
                step(old.get(name), new.get(name), &path.field(name), changes);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                step(old.get(index), new.get(index), &path.index(index), changes);
            }
        }
        (old, new) => push(Some(old), Some(new), path, changes),
    }
}

fn step(old: Option<&Value>, new: Option<&Value>, path: &Path, changes: &mut Vec<Change>) {
    match (old, new) {
        (Some(old), Some(new)) => walk(old, new, path, changes),
        (old, new) => push(old, new, path, changes),
    }
}

fn push(old: Option<&Value>, new: Option<&Value>, path: &Path, changes: &mut Vec<Change>) {
    if changes.len() < CHANGES_MAX {
        changes.push(Change { path: path.to_string(), old: old.cloned(), new: new.cloned() });
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.old, &self.new) {
            (None, Some(new)) => write!(f, "+ {}: {new}", self.path),
            (Some(old), None) => write!(f, "- {}: {old}", self.path),
            (Some(old), Some(new)) => write!(f, "~ {}: {old} -> {new}", self.path),
            (None, None) => write!(f, "  {}", self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn paths_that_differ_are_named() {
        let changes = super::diff(
            &json!({"a": 1, "l": [1, {"x": 1}], "gone": true, "same": {"deep": 1}}),
            &json!({"a": 2, "l": [1, {"x": 2}, 3], "new": [], "same": {"deep": 1}}),
        );
        let text: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["~ a: 1 -> 2", "- gone: true", "~ l[1].x: 1 -> 2", "+ l[2]: 3", "+ new: []"]);
        assert!(super::diff(&json!([1]), &json!([1])).is_empty());
    }
}

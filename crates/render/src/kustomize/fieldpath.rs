//! Goes to a field by its path and changes what is there.
//!
//! As `filters/fieldspec`: lists on the way are gone through element by element; what is missing is made only where the
//! field says so and the change knows of what type; what is null counts as missing.

use serde_json::{Map, Value};

use super::fields::FieldSpec;
use super::resource::Gvk;

/// What a missing field is made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Nothing,
    /// A scalar, which the change sets.
    Scalar,
    Map,
}

/// A change to the value of a field.
pub(crate) type Change<'a> = dyn FnMut(&mut Value) -> Result<(), String> + 'a;

/// Applies `change` to the fields of `object` that `spec` means.
pub(crate) fn apply(object: &mut Value, spec: &FieldSpec, make: Make, change: &mut Change<'_>) -> Result<(), String> {
    if !spec.selects(&Gvk::of(object)) {
        return Ok(());
    }
    let make = if spec.create { make } else { Make::Nothing };
    walk(object, &split(&spec.path, '/'), make, change).map_err(|what| format!("{}: {what}", spec.path))
}

fn walk(value: &mut Value, path: &[String], make: Make, change: &mut Change<'_>) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else { return change(value) };
    match value {
        Value::Null => Ok(()),
        Value::Array(items) => items.iter_mut().try_for_each(|item| walk(item, path, make, change)),
        Value::Object(fields) => {
            let (name, is_list) = name.strip_suffix("[]").map_or((name.as_str(), false), |name| (name, true));
            if name.is_empty() {
                return Err("a field on the way has no name".to_owned());
            }
            let missing = match make {
                _ if is_list => Value::Array(Vec::new()),
                Make::Nothing => Value::Null,
                _ if !rest.is_empty() => Value::Object(Map::new()),
                Make::Scalar => Value::String(String::new()),
                Make::Map => Value::Object(Map::new()),
            };
            if make != Make::Nothing && !is_list && !fields.contains_key(name) {
                fields.insert(name.to_owned(), missing.clone());
            }
            let Some(field) = fields.get_mut(name) else { return Ok(()) };
            if field.is_null() && !missing.is_null() {
                *field = missing;
            }
            walk(field, rest, make, change)
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Err("the way leads through a value that has no fields".to_owned()),
    }
}

/// Splits a path; `\` before the separator keeps it as part of a name.
pub(crate) fn split(path: &str, separator: char) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut pieces = path.split(separator);
    let mut piece = pieces.next();
    // A path may begin with the separator.
    if piece == Some("") && path.len() > 1 {
        piece = pieces.next();
    }
    while let Some(text) = piece {
        match parts.last_mut().filter(|last| last.ends_with('\\')) {
            Some(last) => {
                last.pop();
                last.push(separator);
                last.push_str(text);
            }
            None => parts.push(text.to_owned()),
        }
        piece = pieces.next();
    }
    parts
}

/// Splits a dotted path; what stands in brackets is one part: `[name=a.b]` keeps them, `[a.b]` does not.
pub(crate) fn split_dotted(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut pieces = split(path, '.').into_iter();
    while let Some(mut part) = pieces.next() {
        if part.starts_with('[') && !part.ends_with(']') {
            for piece in pieces.by_ref() {
                part = format!("{part}.{piece}");
                if piece.ends_with(']') {
                    break;
                }
            }
            if !part.contains('=') {
                part = part.trim_matches(['[', ']']).to_owned();
            }
        }
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(object: Value, path: &str, create: bool, expect: Value) {
        let mut found = object;
        let make = if create { Make::Scalar } else { Make::Nothing };
        let set = &mut |value: &mut Value| {
            *value = json!("X");
            Ok(())
        };
        apply(&mut found, &FieldSpec::anywhere(path, create), make, set).unwrap();
        assert_eq!(found, expect, "{path}");
    }

    #[test]
    fn fields_are_found_through_lists_and_made_where_asked() {
        check(json!({"a": {"b": 1}}), "a/b", false, json!({"a": {"b": "X"}}));
        check(json!({"a": [{"b": 1}, {"b": 2}, {}]}), "a/b", false, json!({"a": [{"b": "X"}, {"b": "X"}, {}]}));
        check(json!({"a": ["1", "2"]}), "a", false, json!({"a": "X"}));
        check(json!({}), "a/b", false, json!({}));
        check(json!({}), "a/b", true, json!({"a": {"b": "X"}}));
        check(json!({"a": null}), "a/b", true, json!({"a": {"b": "X"}}));
        check(json!({"a": null}), "a/b", false, json!({"a": null}));
        check(json!({}), "a[]/b", true, json!({}));
        check(json!({"a": [{}]}), "a[]/b", true, json!({"a": [{"b": "X"}]}));
        check(json!({"x.io/y": 1}), "x.io\\/y", false, json!({"x.io/y": "X"}));
        let refused = apply(&mut json!({"a": 1}), &FieldSpec::anywhere("a/b", false), Make::Nothing, &mut |_| Ok(()));
        assert!(refused.unwrap_err().starts_with("a/b: "));
    }

    #[test]
    fn brackets_keep_dots() {
        assert_eq!(split_dotted("spec.containers.[name=a.b].image"), ["spec", "containers", "[name=a.b]", "image"]);
        assert_eq!(split_dotted("metadata.annotations.[a.b/c]"), ["metadata", "annotations", "a.b/c"]);
        assert_eq!(split_dotted("a.*.0"), ["a", "*", "0"]);
    }

    #[test]
    fn a_path_keeps_what_is_escaped() {
        assert_eq!(split("a/b", '/'), ["a", "b"]);
        assert_eq!(split("/a/b\\/c", '/'), ["a", "b/c"]);
        assert_eq!(split("metadata.annotations.x\\.io/y", '.'), ["metadata", "annotations", "x.io/y"]);
    }
}

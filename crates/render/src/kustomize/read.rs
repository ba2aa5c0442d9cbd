//! A file's documents to objects, as Kustomize reads them.
//!
//! YAML here is 1.2: `yes` is text. Every object has a kind and a name, a `List` is taken apart, and an element left
//! empty in a list is a mistake.

use std::collections::{BTreeSet, VecDeque};
use std::sync::LazyLock;

use apimachinery::yaml;
use regex::Regex;
use serde_json::Value;

use super::resource::Resource;
use crate::manifest::{LIST_MARKER, depth, documents};
use crate::{Limits, Problem};

/// A document and the line it begins at.
pub(crate) struct Document {
    pub value: Value,
    pub line: usize,
    /// The document with each null that is written out made something else: what is null here was left empty.
    empty: Value,
}

static WRITTEN_NULL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)(:[ \t]|-[ \t]|[\[{,][ \t]*)[ \t]*(null|Null|NULL|~)[ \t]*([,}\]#]|\r?$)").expect("a pattern"));
static BARE_DATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)(?::|-)[ \t]+(\d{4}-\d{1,2}-\d{1,2})[ \t]*(?:#.*)?\r?$").expect("a pattern"));

/// Reads the documents that are not empty.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Document>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    for (line, part) in documents(text) {
        let value = yaml::from_str_core(part).map_err(|error| {
            let line = error.line().map_or(line, |at| line + at.max(1) - 1);
            Problem::file(file, line, format!("it is not YAML: {}", error.what()))
        })?;
        if value.is_null() {
            continue;
        }
        if let Some(date) = BARE_DATE.captures(part).filter(|date| holds_text(&value, &date[1])) {
            let at = line + part[..date.get(1).map_or(0, |m| m.start())].matches('\n').count();
            return Err(Problem::file(file, at, format!("{} is read as a point in time; put it in quotes", &date[1])));
        }
        let empty = if holds_null(&value) { without_written_nulls(part, &value) } else { Value::Null };
        found.push(Document { value, line, empty });
    }
    Ok(found)
}

/// Reads a file's objects.
pub(crate) fn objects(file: &str, text: &str, limits: &Limits) -> Result<Vec<Resource>, Problem> {
    let mut found = Vec::new();
    for document in parse(file, text)? {
        let fault = |what: String| Problem::file(file, document.line, what);
        // Lists inside lists come after what is beside them.
        let mut waiting = VecDeque::from([(document.value, document.empty)]);
        while let Some((mut object, mut empty)) = waiting.pop_front() {
            let kind = object["kind"].as_str().unwrap_or_default();
            if kind.ends_with(LIST_MARKER)
                && let Some(items) = object.get_mut("items")
            {
                match items.take() {
                    Value::Array(items) => {
                        let mut empties = empty.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
                        empties.resize(items.len(), Value::Null);
                        waiting.extend(items.into_iter().zip(empties).filter(|(item, _)| !item.is_null()));
                    }
                    Value::Null => {}
                    _ => return Err(fault("items of a list must be a list".to_owned())),
                }
                continue;
            }
            check(&object, limits).map_err(fault)?;
            let mut resource = Resource::new(object, file, document.line);
            nulls(&empty, String::new(), &mut resource.empty_fields);
            found.push(resource);
        }
    }
    Ok(found)
}

fn check(object: &Value, limits: &Limits) -> Result<(), String> {
    if !object.is_object() {
        return Err("it is no Kubernetes object: it must be a mapping".to_owned());
    }
    let kind = object["kind"].as_str().unwrap_or_default();
    if kind.is_empty() {
        return Err("it is no Kubernetes object: kind is missing".to_owned());
    }
    if object["metadata"]["name"].as_str().unwrap_or_default().is_empty() && !kind.ends_with(LIST_MARKER) {
        let why = if object["metadata"]["name"].is_null() {
            "is missing; generateName is not enough for Kustomize"
        } else {
            "must be text; put it in quotes"
        };
        return Err(format!("{kind}: metadata.name {why}"));
    }
    if depth(object) > limits.depth_max {
        return Err(format!("{kind} {}: it nests deeper than {} levels", object["metadata"]["name"], limits.depth_max));
    }
    match empty_item(object, "") {
        Some(at) => Err(format!("{kind} {}: {at}: an element is empty", object["metadata"]["name"])),
        None => Ok(()),
    }
}

fn empty_item(value: &Value, at: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| empty_item(value, &format!("{at}/{name}"))),
        Value::Array(items) if items.iter().any(Value::is_null) => Some(at.to_owned()),
        Value::Array(items) => items.iter().find_map(|item| empty_item(item, at)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().any(holds_null),
        Value::Array(items) => items.iter().any(holds_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Reads a document once more with `0` for each null that is written out.
fn without_written_nulls(text: &str, value: &Value) -> Value {
    let replaced = WRITTEN_NULL.replace_all(text, "${1}0${3}");
    // Of two in a row, the second is seen once the first is gone.
    let replaced = WRITTEN_NULL.replace_all(&replaced, "${1}0${3}");
    yaml::from_str_core(&replaced).unwrap_or_else(|_| value.clone())
}

fn nulls(value: &Value, at: String, found: &mut BTreeSet<String>) {
    match value {
        Value::Null if !at.is_empty() => {
            found.insert(at);
        }
        Value::Object(fields) => fields.iter().for_each(|(name, value)| nulls(value, format!("{at}/{name}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| nulls(value, format!("{at}/{index}"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn holds_text(value: &Value, text: &str) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(|value| holds_text(value, text)),
        Value::Array(items) => items.iter().any(|value| holds_text(value, text)),
        Value::String(found) => found == text,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

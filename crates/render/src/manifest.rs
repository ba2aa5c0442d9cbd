//! One file's documents to objects.
//!
//! A repository holds YAML that is no manifest. As Argo CD has it: a file of which nothing parses into an object
//! with a kind is silently ignored, unless it has `apiVersion:`, `kind:` and `metadata:`, which makes it a manifest
//! with a mistake.

use apimachinery::yaml::{self, DuplicateKeys};
use serde_json::Value;

use crate::{Limits, Manifest, Problem};

/// Suffix and value of kinds that only hold other objects.
pub(crate) const LIST_MARKER: &str = "List";

/// Returns a file's objects, or what is wrong with it.
pub(crate) fn parse(path: &str, content: &str, limits: &Limits) -> Result<Vec<Manifest>, Vec<Problem>> {
    if path.ends_with(".json") { parse_json(path, content, limits) } else { parse_yaml(path, content, limits) }
}

fn parse_json(path: &str, content: &str, limits: &Limits) -> Result<Vec<Manifest>, Vec<Problem>> {
    if content.is_empty() {
        return Ok(Vec::new());
    }
    let object: Value = serde_json::from_str(content).map_err(|error| {
        let what = if error.to_string().starts_with("trailing characters") {
            "a JSON file must hold one object; put each in a file of its own".to_owned()
        } else {
            format!("it is not JSON: {error}")
        };
        vec![Problem::file(path, error.line(), what)]
    })?;
    if object["kind"].as_str().is_none_or(str::is_empty) {
        return Err(vec![Problem::file(path, 1, "it is no Kubernetes object: kind is missing")]);
    }
    let mut found = Vec::new();
    expand(path, 1, object, limits, &mut found)?;
    Ok(found)
}

fn parse_yaml(path: &str, content: &str, limits: &Limits) -> Result<Vec<Manifest>, Vec<Problem>> {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    let mut has_object = false;
    for (line, text) in documents(content) {
        match parse_document(path, line, text) {
            Ok(None) => {}
            Ok(Some(object)) => {
                has_object = true;
                if let Err(problems) = expand(path, line, object, limits, &mut found) {
                    failed.extend(problems);
                }
            }
            Err(problem) => failed.push(problem),
        }
    }
    if failed.is_empty() {
        Ok(found)
    } else if has_object || ["apiVersion:", "kind:", "metadata:"].iter().all(|field| content.contains(field)) {
        Err(failed)
    } else {
        Ok(Vec::new())
    }
}

/// Splits a YAML stream at lines that begin with `---`, as Kubernetes does, with each part's first line.
pub(crate) fn documents(content: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut begun, mut first_line) = (0, 1);
    let mut at = 0;
    for (number, line) in content.split_inclusive('\n').enumerate() {
        let is_separator = line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if is_separator {
            parts.push((first_line, &content[begun..at]));
            // What follows the dashes on their line belongs to the document.
            (begun, first_line) = (at + 3, number + 1);
        }
        at += line.len();
    }
    parts.push((first_line, &content[begun..]));
    parts
}

fn parse_document(path: &str, first_line: usize, text: &str) -> Result<Option<Value>, Problem> {
    let Some(begins) = text.lines().position(|line| !is_blank(line)) else { return Ok(None) };
    let value = yaml::from_str(text, DuplicateKeys::LastWins).map_err(|error| {
        let line = error.line().map_or(first_line, |line| first_line + line.max(1) - 1);
        Problem::file(path, line, format!("it is not YAML: {}", error.what()))
    })?;
    match value {
        Value::Null => Ok(None),
        Value::Object(fields) if fields.get("kind").and_then(Value::as_str).is_some_and(|kind| !kind.is_empty()) => {
            Ok(Some(Value::Object(fields)))
        }
        Value::Object(_) => Err(Problem::file(path, first_line + begins, "it is no Kubernetes object: kind is missing")),
        _ => Err(Problem::file(path, first_line + begins, "it is no Kubernetes object: it must be a mapping")),
    }
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// Takes a list apart, and checks what every object must have.
fn expand(path: &str, line: usize, mut object: Value, limits: &Limits, found: &mut Vec<Manifest>) -> Result<(), Vec<Problem>> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if kind.ends_with(LIST_MARKER)
        && let Some(Value::Array(items)) = object.get_mut("items").map(Value::take)
    {
        let mut problems = Vec::new();
        for item in items {
            if let Err(of_item) = expand(path, line, item, limits, found) {
                problems.extend(of_item);
            }
        }
        return if problems.is_empty() { Ok(()) } else { Err(problems) };
    }
    match fault(&object, limits) {
        Some(message) => Err(vec![Problem::file(path, line, message)]),
        None => {
            found.push(Manifest { object, file: path.to_owned(), line });
            Ok(())
        }
    }
}

fn fault(object: &Value, limits: &Limits) -> Option<String> {
    let [kind, api_version] = ["kind", "apiVersion"].map(|field| object[field].as_str().unwrap_or_default());
    let metadata = &object["metadata"];
    let [name, generate_name] = ["name", "generateName"].map(|field| metadata[field].as_str().unwrap_or_default());
    let named = format!("{kind} {:?}", if name.is_empty() { generate_name } else { name });
    if kind.is_empty() {
        return Some("an object in the list has no kind".to_owned());
    }
    if api_version.is_empty() {
        return Some(format!("{named}: apiVersion is missing"));
    }
    if name.is_empty() && generate_name.is_empty() {
        let why = if metadata["name"].is_null() { "is missing" } else { "must be text; put it in quotes" };
        return Some(format!("{kind}: metadata.name {why}"));
    }
    for field in ["labels", "annotations"] {
        let texts = match &metadata[field] {
            Value::Null => continue,
            Value::Object(texts) => texts,
            _ => return Some(format!("{named}: metadata.{field} must be a mapping")),
        };
        if let Some((key, _)) = texts.iter().find(|(_, value)| !value.is_string()) {
            return Some(format!("{named}: metadata.{field}[{key:?}] must be text; put it in quotes"));
        }
    }
    (depth(object) > limits.depth_max).then(|| format!("{named}: it nests deeper than {} levels", limits.depth_max))
}

pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

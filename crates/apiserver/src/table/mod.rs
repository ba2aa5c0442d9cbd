//! Objects as rows: what `kubectl get` shows.
//!
//! A column is a JSONPath into the object, or a named function for what a path cannot say
//! ([`functions`]). As `pkg/printers` upstream, kind by kind, but data in the table of resources.

mod durations;
mod functions;
mod pod;
mod text;

use apimachinery::jsonpath::JsonPath;
use apimachinery::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::handlers::partial_metadata;
use crate::registry::{Column, Resource};

/// What each row carries of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    pub fn parse(text: Option<&str>) -> Result<Self, Status> {
        match text {
            None | Some("" | "Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Status::bad_request(format!(
                "unrecognized includeObject value: {other:?}: supported values are \"None\", \"Metadata\", \"Object\""
            ))),
        }
    }
}

/// How a cell is computed.
enum Cell {
    Path(JsonPath),
    Function(functions::Function),
    /// The column's path is malformed: the cell stays empty, the rest of the table is whole.
    Nothing,
}

/// Returns the objects as a `Table`; `metadata` is the list's.
pub fn render(resource: &Resource, objects: &[Value], metadata: &Value, include: Include, now: Timestamp) -> Value {
    let cells: Vec<Cell> = resource.columns.iter().map(cell).collect();
    let definitions: Vec<Value> = resource
        .columns
        .iter()
        .map(|c| json!({"name": c.name, "type": c.ty, "format": c.format, "description": c.description, "priority": c.priority}))
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let values: Vec<Value> =
                cells.iter().zip(&resource.columns).map(|(cell, column)| fill(cell, column, object, resource.is_builtin(), now)).collect();
            let mut row = json!({"cells": values});
            match include {
                Include::None => {}
                Include::Metadata => row["object"] = partial_metadata(object),
                Include::Object => row["object"] = object.clone(),
            }
            row
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
}

fn cell(column: &Column) -> Cell {
    match column.path.strip_prefix("fn:") {
        Some(name) => functions::find(name).map_or(Cell::Nothing, Cell::Function),
        None => JsonPath::parse_path(&column.path).map_or(Cell::Nothing, Cell::Path),
    }
}

fn fill(cell: &Cell, column: &Column, object: &Value, is_builtin: bool, now: Timestamp) -> Value {
    match cell {
        Cell::Function(function) => function(object, now),
        // Typed kinds have a zero where nothing was written.
        Cell::Path(path) if column.ty == "integer" && is_builtin => path.first(object).cloned().unwrap_or_else(|| 0.into()),
        Cell::Path(path) => shown(path.first(object), column, now),
        Cell::Nothing => Value::Null,
    }
}

/// Returns a value as its column's type shows it.
fn shown(value: Option<&Value>, column: &Column, now: Timestamp) -> Value {
    match (column.ty.as_str(), value) {
        (_, None | Some(Value::Null)) if column.ty == "date" => json!("<unknown>"),
        (_, None | Some(Value::Null)) => Value::Null,
        ("date", Some(at)) => {
            at.as_str().and_then(|t| t.parse::<Timestamp>().ok()).map_or(json!("<invalid>"), |t| json!(durations::since(t, now)))
        }
        ("string", Some(Value::String(text))) => json!(text),
        ("string", Some(other)) => json!(other.to_string()),
        (_, Some(other)) => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_a_column_names_is_there() {
        for (name, _) in builtin::COLUMN_FUNCTIONS {
            assert!(functions::find(name).is_some(), "no function {name}");
        }
    }

    #[test]
    fn a_pod_is_shown_as_kubectl_users_know_it() {
        let pods = builtin::resources().iter().find(|r| r.row.resource == "pods").expect("pods");
        let resource = crate::registry::from_builtin(pods);
        let pod = json!({
            "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "x"}, {"name": "y"}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "x", "ready": true, "restartCount": 2, "state": {"running": {}}},
                {"name": "y", "ready": false, "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            ]},
        });
        let now = "2026-01-01T00:05:30Z".parse().expect("a time");
        let table = render(&resource, &[pod], &json!({}), Include::None, now);
        let cells = &table["rows"][0]["cells"];
        let first: Vec<&Value> = cells.as_array().expect("cells").iter().take(5).collect();
        assert_eq!(first, [&json!("a"), &json!("1/2"), &json!("CrashLoopBackOff"), &json!("3"), &json!("5m30s")]);
    }
}

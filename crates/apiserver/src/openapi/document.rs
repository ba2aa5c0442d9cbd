//! OpenAPI documents as values: paths and definitions of a group and version, or of all.

use std::collections::BTreeSet;

use builtin::openapi::Form;
use serde_json::{Map, Value, json};

use crate::meta;
use crate::registry::{Origin, Resource, Snapshot};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Returns `api/v1`, `apis/apps/v1`, ... of what is served.
pub fn group_versions(snapshot: &Snapshot) -> BTreeSet<String> {
    snapshot.iter().map(|row| group_version(row)).collect()
}

fn group_version(row: &Resource) -> String {
    if row.gvr.group.is_empty() { format!("api/{}", row.gvr.version) } else { format!("apis/{}/{}", row.gvr.group, row.gvr.version) }
}

/// Returns the document of a group and version; `None` if it is not served.
pub fn v3(snapshot: &Snapshot, wanted: &str, crds: &[Value]) -> Option<Value> {
    let rows: Vec<&Resource> = snapshot.iter().filter(|row| group_version(row) == wanted).map(|row| &**row).collect();
    if rows.is_empty() {
        return None;
    }
    let mut paths = Map::new();
    for row in &rows {
        add_paths(&mut paths, row, Form::V3);
    }
    let schemas = definitions(&rows, crds, Form::V3);
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "unversioned"}, "paths": paths, "components": {"schemas": schemas},
    }))
}

/// Returns the document of everything that is served, in the form of old.
pub fn v2(snapshot: &Snapshot, crds: &[Value]) -> Value {
    let rows: Vec<&Resource> = snapshot.iter().map(|row| &**row).collect();
    let mut paths = Map::new();
    for row in &rows {
        add_paths(&mut paths, row, Form::V2);
    }
    let definitions = definitions(&rows, crds, Form::V2);
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "unversioned"}, "paths": paths, "definitions": definitions})
}

/// Returns the definitions of the rows' kinds and all that they refer to.
fn definitions(rows: &[&Resource], crds: &[Value], form: Form) -> Value {
    let mut roots: BTreeSet<String> = BTreeSet::new();
    for name in ["ObjectMeta", "ListMeta", "DeleteOptions", "Status", "Patch", "WatchEvent"] {
        roots.insert(format!("{META}.{name}"));
    }
    for row in rows.iter().filter(|row| row.is_builtin()) {
        let kinds = [row.kind.clone(), row.list_kind()];
        for kind in &kinds {
            roots.extend(builtin::definition_of(&row.gvr.group, &row.gvr.version, kind).map(str::to_owned));
        }
        for sub in &row.subresources {
            roots.extend(builtin::definition_of(&sub.body.group, &sub.body.version, &sub.body.kind).map(str::to_owned));
        }
    }
    if rows.iter().any(|row| row.scale.is_some()) {
        roots.extend(builtin::definition_of("autoscaling", "v1", "Scale").map(str::to_owned));
    }
    let mut definitions = builtin::openapi_closure(roots.iter().map(String::as_str), form);
    for row in rows {
        if let Origin::Crd(name) = &row.origin
            && let Some(crd) = crds.iter().find(|crd| meta::name(crd) == name)
        {
            add_custom(&mut definitions, row, crd, form);
        }
    }
    Value::Object(definitions)
}

fn reference(name: &str, form: Form) -> String {
    match form {
        Form::V2 => format!("#/definitions/{name}"),
        Form::V3 => format!("#/components/schemas/{name}"),
    }
}

/// Returns the definition's name of a row: a CRD's group is reversed, as upstream.
fn definition_name(row: &Resource) -> String {
    if let Some(name) = builtin::definition_of(&row.gvr.group, &row.gvr.version, &row.kind).filter(|_| row.is_builtin()) {
        return name.to_owned();
    }
    let mut group: Vec<&str> = row.gvr.group.split('.').collect();
    group.reverse();
    format!("{}.{}.{}", group.join("."), row.gvr.version, row.kind)
}

fn gvk(row: &Resource, kind: &str) -> Value {
    json!([{"group": row.gvr.group, "version": row.gvr.version, "kind": kind}])
}

fn add_custom(definitions: &mut Map<String, Value>, row: &Resource, crd: &Value, form: Form) {
    let version = crd["spec"]["versions"].as_array().into_iter().flatten().find(|v| v["name"] == row.gvr.version.as_str());
    let mut schema = version.and_then(|v| v["schema"].get("openAPIV3Schema")).cloned().unwrap_or_else(|| json!({"type": "object"}));
    if form == Form::V2 {
        strip_for_v2(&mut schema);
    }
    if !schema["properties"].is_object() && schema["x-kubernetes-preserve-unknown-fields"] != true {
        schema["properties"] = json!({});
    }
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.insert("apiVersion".into(), json!({"type": "string", "description": "Version of the schema of this object."}));
        properties.insert("kind".into(), json!({"type": "string", "description": "Kind of this object."}));
        let meta = reference(&format!("{META}.ObjectMeta"), form);
        let metadata = match form {
            Form::V2 => json!({"$ref": meta, "description": "Standard object metadata."}),
            Form::V3 => json!({"allOf": [{"$ref": meta}], "description": "Standard object metadata."}),
        };
        properties.insert("metadata".into(), metadata);
    }
    schema["x-kubernetes-group-version-kind"] = gvk(row, &row.kind);
    let name = definition_name(row);
    let list = json!({
        "type": "object", "required": ["items"], "x-kubernetes-group-version-kind": gvk(row, &row.list_kind()),
        "description": format!("{} is a list of {}", row.list_kind(), row.kind),
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "items": {"type": "array", "items": {"$ref": reference(&name, form)}},
            "metadata": {"$ref": reference(&format!("{META}.ListMeta"), form)},
        },
    });
    definitions.insert(format!("{name}List"), list);
    definitions.insert(name, schema);
}

/// Takes out what version 2 cannot say, so that clients of old do not refuse the document.
fn strip_for_v2(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    for keyword in ["nullable", "oneOf", "anyOf", "not", "default"] {
        fields.remove(keyword);
    }
    if fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
        fields.remove("type");
        fields.remove("properties");
        fields.remove("items");
    }
    for (_, value) in fields.iter_mut() {
        match value {
            Value::Object(inner) if inner.contains_key("type") || inner.contains_key("properties") || inner.contains_key("items") => {
                strip_for_v2(value)
            }
            Value::Object(inner) => inner.values_mut().for_each(strip_for_v2),
            Value::Array(items) => items.iter_mut().for_each(strip_for_v2),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Adds the paths of a row: what clients look up a kind's actions by.
fn add_paths(paths: &mut Map<String, Value>, row: &Resource, form: Form) {
    let base = format!("/{}", group_version(row));
    let collection = if row.namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", row.gvr.resource)
    } else {
        format!("{base}/{}", row.gvr.resource)
    };
    let definition = definition_name(row);
    let of_collection = [("get", "list"), ("post", "create"), ("delete", "deletecollection")];
    let of_object = [("get", "get"), ("put", "update"), ("patch", "patch"), ("delete", "delete")];
    let operations = |verbs: &[(&str, &str)]| -> Map<String, Value> {
        let served = verbs.iter().filter(|(_, verb)| row.verbs.contains(verb));
        served.map(|(method, verb)| ((*method).to_owned(), operation(row, verb, &definition, form))).collect()
    };
    let mut item = operations(&of_collection);
    item.insert("parameters".into(), parameters(row, false, form));
    paths.insert(collection.clone(), Value::Object(item));
    if row.namespaced {
        let mut all = operations(&[("get", "list")]);
        all.insert("parameters".into(), json!([]));
        paths.insert(format!("{base}/{}", row.gvr.resource), Value::Object(all));
    }
    let mut item = operations(&of_object);
    item.insert("parameters".into(), parameters(row, true, form));
    paths.insert(format!("{collection}/{{name}}"), Value::Object(item.clone()));
    if row.status_subresource {
        item.remove("delete");
        paths.insert(format!("{collection}/{{name}}/status"), Value::Object(item));
    }
}

fn operation(row: &Resource, verb: &str, definition: &str, form: Form) -> Value {
    let action = match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    };
    let schema = json!({"$ref": reference(definition, form)});
    let dry_run = parameter("dryRun", "string", form);
    let validation = parameter("fieldValidation", "string", form);
    let manager = parameter("fieldManager", "string", form);
    let mut out = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": row.gvr.group, "version": row.gvr.version, "kind": row.kind},
    });
    let is_write = matches!(verb, "create" | "update" | "patch");
    match form {
        Form::V2 => {
            out["responses"] = json!({"200": {"description": "OK", "schema": schema}});
            out["consumes"] = json!(["*/*"]);
            out["produces"] = json!(["application/json", "application/yaml"]);
            if is_write {
                out["parameters"] =
                    json!([{"name": "body", "in": "body", "required": true, "schema": schema}, dry_run, manager, validation]);
            }
        }
        Form::V3 => {
            out["responses"] = json!({"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}});
            if is_write {
                out["parameters"] = json!([dry_run, manager, validation]);
                out["requestBody"] = json!({"required": true, "content": {"*/*": {"schema": schema}}});
            }
        }
    }
    out
}

fn parameter(name: &str, ty: &str, form: Form) -> Value {
    match form {
        Form::V2 => json!({"name": name, "in": "query", "type": ty, "uniqueItems": true}),
        Form::V3 => json!({"name": name, "in": "query", "schema": {"type": ty, "uniqueItems": true}}),
    }
}

fn parameters(row: &Resource, named: bool, form: Form) -> Value {
    let one = |name: &str| match form {
        Form::V2 => json!({"name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true}),
        Form::V3 => json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}),
    };
    let names = [("name", named), ("namespace", row.namespaced)];
    Value::Array(names.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| one(name)).collect())
}

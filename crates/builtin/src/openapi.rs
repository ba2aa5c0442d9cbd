//! Definitions as OpenAPI schemas, with descriptions: what clients explain and validate with.
//!
//! The form is that of OpenAPI v3 documents (`#/components/schemas/`). Version 2 differs in three
//! ways: references point to `#/definitions/`; a reference beside other keywords is a plain `$ref`
//! with the keywords next to it instead of `allOf`; a quantity is a `string`, and an int-or-string a
//! `string` with that format, without `oneOf`. [`Form`] chooses.
//!
//! Nothing is kept: a call decodes, builds (about 10 ms) and gives the result away. Cache it encoded.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::blob;
use crate::model::{Definition, Field, Shape};

/// Which OpenAPI document the definitions are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    V2,
    V3,
}

/// Returns every definition by its upstream name, in the form of version 3.
pub fn openapi_definitions() -> Value {
    let definitions = blob::definitions();
    Value::Object(render(&definitions, &(0..definitions.len()).collect(), Form::V3))
}

/// Returns the named definitions and all that they refer to. Unknown names are left out.
pub fn openapi_closure<'a>(roots: impl IntoIterator<Item = &'a str>, form: Form) -> Map<String, Value> {
    let definitions = blob::definitions();
    let mut wanted = BTreeSet::new();
    let find = |name: &str| definitions.binary_search_by(|d| d.name.as_str().cmp(name)).ok();
    let mut open: Vec<usize> = roots.into_iter().filter_map(find).collect();
    while let Some(index) = open.pop() {
        if wanted.insert(index) {
            open.extend(definitions[index].fields.iter().filter_map(|field| target(&field.shape)));
        }
    }
    render(&definitions, &wanted, form)
}

fn target(shape: &Shape) -> Option<usize> {
    match shape {
        Shape::Ref(index) => Some(*index as usize),
        Shape::List(inner) | Shape::Map(inner) => target(inner),
        Shape::Any | Shape::Object | Shape::Record | Shape::Boolean | Shape::Number => None,
        Shape::Integer(_) | Shape::String(_) | Shape::IntOrString | Shape::Quantity => None,
    }
}

fn render(definitions: &[Definition], wanted: &BTreeSet<usize>, form: Form) -> Map<String, Value> {
    let mut descriptions = blob::descriptions();
    let mut out = Map::new();
    for &index in wanted {
        let definition = &definitions[index];
        let mut texts = std::mem::take(&mut descriptions[index].1);
        let mut schema = shape(&definition.shape, definitions, form);
        describe(&mut schema, texts.remove(""));
        let mut properties = Map::new();
        for field in &definition.fields {
            properties.insert(field.name.clone(), property(field, texts.remove(&field.name), definitions, form));
        }
        if !properties.is_empty() {
            schema.insert("properties".into(), Value::Object(properties));
        }
        let required: Vec<&str> = definition.fields.iter().filter(|f| f.required).map(|f| f.name.as_str()).collect();
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        if definition.atomic_map {
            schema.insert("x-kubernetes-map-type".into(), json!("atomic"));
        }
        if let Some([group, version, kind]) = &definition.gvk {
            schema.insert("x-kubernetes-group-version-kind".into(), json!([{"group": group, "kind": kind, "version": version}]));
        }
        out.insert(definition.name.clone(), Value::Object(schema));
    }
    out
}

fn property(field: &Field, text: Option<String>, definitions: &[Definition], form: Form) -> Value {
    let facts = &field.facts;
    let mut extras = Map::new();
    describe(&mut extras, text);
    for (key, value) in [
        ("x-kubernetes-list-type", &facts.list),
        ("x-kubernetes-map-type", &facts.map),
        ("x-kubernetes-patch-merge-key", &facts.merge_key),
        ("x-kubernetes-patch-strategy", &facts.patch),
    ] {
        if !value.is_empty() {
            extras.insert(key.into(), json!(value));
        }
    }
    if !facts.keys.is_empty() {
        extras.insert("x-kubernetes-list-map-keys".into(), json!(facts.keys));
    }
    if let Some(default) = &facts.default {
        extras.insert("default".into(), default.clone());
    }
    let mut schema = shape(&field.shape, definitions, form);
    if schema.contains_key("$ref") && !extras.is_empty() && form == Form::V3 {
        let reference = std::mem::take(&mut schema);
        schema.insert("allOf".into(), json!([reference]));
    }
    schema.extend(extras);
    Value::Object(schema)
}

fn describe(schema: &mut Map<String, Value>, text: Option<String>) {
    if let Some(text) = text {
        schema.insert("description".into(), Value::String(text));
    }
}

fn shape(shape_: &Shape, definitions: &[Definition], form: Form) -> Map<String, Value> {
    let value = match (shape_, form) {
        (Shape::Any, _) => json!({}),
        (Shape::Object | Shape::Record, _) => json!({"type": "object"}),
        (Shape::Boolean, _) => json!({"type": "boolean"}),
        (Shape::Number, _) => json!({"type": "number", "format": "double"}),
        (Shape::Integer(format), _) => json!({"type": "integer", "format": format}),
        (Shape::String(format), _) if format.is_empty() => json!({"type": "string"}),
        (Shape::String(format), _) => json!({"type": "string", "format": format}),
        (Shape::IntOrString, Form::V3) => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        (Shape::IntOrString, Form::V2) => json!({"format": "int-or-string", "type": "string"}),
        (Shape::Quantity, Form::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        (Shape::Quantity, Form::V2) => json!({"type": "string"}),
        (Shape::List(items), _) => json!({"type": "array", "items": shape(items, definitions, form)}),
        (Shape::Map(values), _) => json!({"type": "object", "additionalProperties": shape(values, definitions, form)}),
        (Shape::Ref(index), Form::V3) => json!({"$ref": format!("#/components/schemas/{}", definitions[*index as usize].name)}),
        (Shape::Ref(index), Form::V2) => json!({"$ref": format!("#/definitions/{}", definitions[*index as usize].name)}),
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

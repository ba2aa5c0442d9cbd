//! Turns generated JSON schemas plus overlays into definitions and descriptions.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::{Definition, Field, Shape};
use crate::overlay::Overlays;
use crate::roots::Generated;

/// Text of one definition: the empty key is the definition itself, others are fields.
pub type Descriptions = Vec<(String, BTreeMap<String, String>)>;

const REF: &str = "#/components/schemas/";

pub fn definitions(generated: Generated, mut overlays: Overlays) -> (Vec<Definition>, Descriptions) {
    let index: BTreeMap<&str, u32> = generated.schemas.keys().zip(0..).map(|(name, i)| (name.as_str(), i)).collect();
    let mut definitions = Vec::with_capacity(index.len());
    let mut descriptions = Vec::with_capacity(index.len());
    for (name, schema) in &generated.schemas {
        let schema = schema.as_object().unwrap_or_else(|| panic!("{name} is not an object"));
        let mut texts = BTreeMap::new();
        text(schema, "", &mut texts);
        let mut facts = overlays.remove(name).unwrap_or_default();
        let own = facts.remove(".").unwrap_or_default();
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Vec::new();
        for (field, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let schema = schema.as_object().unwrap_or_else(|| panic!("{name}.{field} is not an object"));
            text(schema, field, &mut texts);
            let shape = shape(schema, &index).unwrap_or_else(|why| panic!("{name}.{field}: {why}"));
            let facts = facts.remove(field).unwrap_or_default();
            // k8s-openapi has every object bring metadata; upstream takes absent for empty.
            let required = facts.required.unwrap_or(required.contains(&field.as_str()) && field != "metadata");
            fields.push(Field { name: field.clone(), shape, required, facts });
        }
        let added: Vec<String> = facts.iter().filter(|(_, f)| !f.map_of.is_empty()).map(|(name, _)| name.clone()).collect();
        for field in added {
            let facts = facts.remove(&field).unwrap_or_default();
            let values = index.get(facts.map_of.as_str()).unwrap_or_else(|| panic!("{name}.{field}: no definition {}", facts.map_of));
            fields.push(Field {
                name: field,
                shape: Shape::Map(Box::new(Shape::Ref(*values))),
                required: facts.required.unwrap_or(false),
                facts,
            });
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(facts.is_empty(), "overlay of {name} names unknown fields {:?}", facts.keys().collect::<Vec<_>>());
        let shape = match name.rsplit('.').next().unwrap_or_default() {
            "Quantity" => Shape::Quantity,
            "IntOrString" => Shape::IntOrString,
            "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => Shape::Any,
            _ if !fields.is_empty() => Shape::Record,
            _ => shape(schema, &index).unwrap_or_else(|why| panic!("{name}: {why}")),
        };
        let gvk = generated.kinds.get(name).cloned();
        definitions.push(Definition { name: name.clone(), shape, fields, gvk, atomic_map: own.map == "atomic" });
        descriptions.push((name.clone(), texts));
    }
    assert!(overlays.is_empty(), "overlays of unknown definitions {:?}", overlays.keys().collect::<Vec<_>>());
    (definitions, descriptions)
}

fn text(schema: &Map<String, Value>, key: &str, into: &mut BTreeMap<String, String>) {
    if let Some(text) = schema.get("description").and_then(Value::as_str) {
        into.insert(key.to_owned(), text.to_owned());
    }
}

fn shape(schema: &Map<String, Value>, index: &BTreeMap<&str, u32>) -> Result<Shape, String> {
    let whole = || serde_json::to_string(schema).unwrap_or_default();
    let inner = |key: &str| match schema.get(key) {
        Some(Value::Object(inner)) => shape(inner, index).map(Box::new),
        _ => Err(whole()),
    };
    if let Some(one) = schema.get("allOf").and_then(|all| all.get(0)).and_then(Value::as_object) {
        return shape(one, index);
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.strip_prefix(REF).ok_or_else(whole)?;
        return index.get(name).map(|i| Shape::Ref(*i)).ok_or_else(whole);
    }
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(match schema.get("type").and_then(Value::as_str) {
        Some("array") => Shape::List(inner("items")?),
        Some("object") if schema.contains_key("additionalProperties") => Shape::Map(inner("additionalProperties")?),
        Some("object") => Shape::Object,
        Some("string") => Shape::String(format),
        Some("integer") => Shape::Integer(format),
        Some("number") => Shape::Number,
        Some("boolean") => Shape::Boolean,
        _ => return Err(whole()),
    })
}

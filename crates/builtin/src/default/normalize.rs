//! What happens to any object on its way through typed code: nulls go, quantities become canonical,
//! defaults of the schema come in.
//!
//! Go has no absent number: one that is required and left out is 0, and so it is stored. The same is true
//! of texts, but that is followed in `status` only: elsewhere a missing text had better be reported.

use apimachinery::schema::{Additional, Schema, Touched, Type};
use serde_json::{Value, json};

use crate::edit::put;
use crate::quantity::Quantity;
use crate::resolve::QUANTITY;

pub fn normalize(schema: &Schema, object: &mut Value, touched: &Touched) {
    let mut status = object.get_mut("status").map(Value::take).unwrap_or_default();
    walk_touched(schema, object, false, touched);
    if let (Some(of), false) = (schema.properties.get("status"), status.is_null()) {
        if touched.has("status") {
            walk(of, &mut status, true);
        }
        put(object, "status", status);
    }
}

fn walk(schema: &Schema, value: &mut Value, is_status: bool) {
    walk_touched(schema, value, is_status, &Touched::All);
}

fn walk_touched(schema: &Schema, value: &mut Value, is_status: bool, touched: &Touched) {
    if schema.rules.as_ref().is_some_and(|rules| rules.format.as_deref() == Some(QUANTITY)) {
        quantity(value);
        return;
    }
    match value {
        Value::Object(map) => {
            map.retain(|field, value| !value.is_null() || schema.preserve_unknown || !schema.properties.contains_key(field.as_str()));
            for (field, value) in map.iter_mut().filter(|(field, _)| touched.has(field)) {
                match (schema.properties.get(field.as_str()), &schema.additional) {
                    (Some(property), _) => walk(property, value, is_status),
                    // A null in a map of texts is the empty text; of times, an unset one.
                    (None, Additional::Of(of)) if value.is_null() && of.ty == Type::String && of.rules.is_none() => *value = "".into(),
                    (None, Additional::Of(of)) => walk(of, value, is_status),
                    (None, Additional::No | Additional::Any) => {}
                }
            }
            for (field, property) in &schema.properties {
                if let Some(default) = &property.default
                    && !map.contains_key(&**field)
                {
                    map.insert(field.to_string(), default.clone());
                }
            }
            for field in schema.required.iter().filter(|field| !map.contains_key(&***field)).collect::<Vec<_>>() {
                let zero = match schema.properties.get(&**field).filter(|property| !is_time(property)).map(|property| property.ty) {
                    Some(Type::Integer | Type::Number) => json!(0),
                    Some(Type::Boolean) => json!(false),
                    Some(Type::String) if is_status => json!(""),
                    _ => continue,
                };
                map.insert(field.to_string(), zero);
            }
        }
        Value::Array(items) => {
            if let Some(of) = &schema.items {
                items.iter_mut().for_each(|item| walk(of, item, is_status));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_time(schema: &Schema) -> bool {
    schema.rules.as_ref().is_some_and(|rules| rules.format.as_deref() == Some("date-time"))
}

fn quantity(value: &mut Value) {
    let parsed = match &*value {
        Value::String(text) => Quantity::parse(text.trim()),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    };
    if let Some(parsed) = parsed {
        *value = parsed.canonical().into();
    }
}

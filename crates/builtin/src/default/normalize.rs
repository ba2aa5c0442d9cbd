//! What happens to any object on its way through typed code: nulls go, quantities become canonical,
//! defaults of the schema come in.

use apimachinery::schema::{Additional, Schema, Type};
use serde_json::Value;

use crate::quantity::Quantity;
use crate::resolve::QUANTITY;

pub fn normalize(schema: &Schema, value: &mut Value) {
    if schema.rules.as_ref().is_some_and(|rules| rules.format.as_deref() == Some(QUANTITY)) {
        quantity(value);
        return;
    }
    match value {
        Value::Object(map) => {
            map.retain(|field, value| !value.is_null() || schema.preserve_unknown || !schema.properties.contains_key(field.as_str()));
            for (field, value) in map.iter_mut() {
                match (schema.properties.get(field.as_str()), &schema.additional) {
                    (Some(property), _) => normalize(property, value),
                    // A null in a map of texts is the empty text; of times, an unset one.
                    (None, Additional::Of(of)) if value.is_null() && of.ty == Type::String && of.rules.is_none() => *value = "".into(),
                    (None, Additional::Of(of)) => normalize(of, value),
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
        }
        Value::Array(items) => {
            if let Some(of) = &schema.items {
                items.iter_mut().for_each(|item| normalize(of, item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
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

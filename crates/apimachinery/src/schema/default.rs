//! Defaults.
//!
//! As apiextensions' `schema/defaulting`: a missing field with a default gets it; a `null` where `null`
//! is no value is an absence, so it is replaced by the default or dropped.

use serde_json::{Map, Value};

use super::{Additional, Schema, Touched};

/// Fills in the defaults of `schema`, everywhere below `value`.
pub fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(object) => default_object(schema, object, &Touched::All),
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for item in list {
                if item.is_null()
                    && items.drops_null()
                    && let Some(known) = &items.default
                {
                    *item = known.clone();
                }
                default(items, item);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// As [`default`], of the fields of a whole object that a write touches.
pub fn default_touched(schema: &Schema, object: &mut Value, touched: &Touched) {
    if let Value::Object(object) = object {
        default_object(schema, object, touched);
    }
}

fn default_object(schema: &Schema, object: &mut Map<String, Value>, touched: &Touched) {
    for (name, field) in &schema.properties {
        if let Some(known) = &field.default {
            match object.get_mut(&**name) {
                None => {
                    object.insert((**name).into(), known.clone());
                }
                Some(found) if found.is_null() && field.drops_null() => *found = known.clone(),
                Some(_) => {}
            }
        }
    }
    let mut has_dropped = false;
    for (name, value) in object.iter_mut().filter(|(name, _)| touched.has(name)) {
        let Some(field) = schema.field(name) else { continue };
        if value.is_null() && field.drops_null() {
            match &field.default {
                Some(known) => *value = known.clone(),
                None => {
                    has_dropped = true;
                    continue;
                }
            }
        }
        default(field, value);
    }
    if has_dropped {
        object.retain(|name, value| !(value.is_null() && schema.field(name).is_some_and(|field| field.drops_null())));
    }
}

/// Drops every `null` that stands for an absence, without filling in defaults.
pub fn drop_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|name, value| {
                let Some(field) = schema.field(name) else { return true };
                if value.is_null() && field.drops_null() {
                    return false;
                }
                drop_nulls(field, value);
                true
            });
        }
        Value::Array(list) => {
            if let Some(items) = &schema.items {
                list.iter_mut().for_each(|item| drop_nulls(items, item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Schema {
    /// Says whether [`default`] could change anything that has no nulls; servers skip the walk otherwise.
    pub fn has_defaults(&self) -> bool {
        let below = |schema: &Schema| schema.default.is_some() || schema.has_defaults();
        let values = match &self.additional {
            Additional::Of(values) => Some(values),
            Additional::No | Additional::Any => None,
        };
        self.properties.values().chain(values).chain(&self.items).any(|child| below(child))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::parse;

    #[track_caller]
    fn check(schema: Value, mut value: Value, expected: Value) {
        super::default(&parse(&schema).unwrap(), &mut value);
        assert_eq!(value, expected);
    }

    #[test]
    fn missing_fields_get_their_defaults_also_in_what_a_default_brought() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string", "default": "x"},
            "o": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 1}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "boolean", "default": true}}}},
            "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"d": {"type": "string", "default": "y"}}}},
        }});
        check(schema.clone(), json!({}), json!({"a": "x", "o": {"b": 1}}));
        check(
            schema,
            json!({"a": "z", "l": [{}, {"c": false}], "m": {"k": {}}}),
            json!({"a": "z", "o": {"b": 1}, "l": [{"c": true}, {"c": false}], "m": {"k": {"d": "y"}}}),
        );
    }

    #[test]
    fn null_is_an_absence_unless_nullable() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string", "default": "x"},
            "b": {"type": "string"},
            "c": {"type": "string", "nullable": true, "default": "x"},
            "m": {"type": "object", "additionalProperties": {"type": "string"}},
        }});
        check(
            schema,
            json!({"a": null, "b": null, "c": null, "m": {"k": null}, "unknown": null}),
            json!({"a": "x", "c": null, "m": {}, "unknown": null}),
        );
    }
}

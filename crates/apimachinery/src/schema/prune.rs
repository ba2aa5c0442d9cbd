//! Dropping what a schema does not know.
//!
//! As apiextensions' `schema/pruning`: unknown fields of objects go, except where the schema preserves
//! them; the value is a whole object, so `apiVersion`, `kind` and `metadata` are always known.

use serde_json::{Map, Value};

use super::{Additional, Path, Schema};

/// Paths reported at most; the fields beyond are dropped as well.
const REPORTED_MAX: usize = 100;

/// Drops unknown fields of the object `value` and returns their paths, as `spec.containers[0].foo`.
pub fn prune(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut dropped = Vec::new();
    match value {
        Value::Object(object) => prune_object(schema, object, true, &Path::root(""), &mut dropped),
        other => prune_value(schema, other, &Path::root(""), &mut dropped),
    }
    dropped
}

fn prune_value(schema: &Schema, value: &mut Value, path: &Path, dropped: &mut Vec<String>) {
    match value {
        Value::Object(object) => prune_object(schema, object, schema.embedded_resource, path, dropped),
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            if items.keeps_everything() {
                return;
            }
            for (index, item) in list.iter_mut().enumerate() {
                prune_value(items, item, &path.index(index), dropped);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn prune_object(schema: &Schema, object: &mut Map<String, Value>, is_resource: bool, path: &Path, dropped: &mut Vec<String>) {
    let mut has_unknown = false;
    for (name, value) in object.iter_mut() {
        if !(value.is_object() || value.is_array()) {
            has_unknown |= !is_known(schema, name, is_resource);
            continue;
        }
        match schema.field(name) {
            // An embedded resource's bare `metadata: {type: object}` says nothing of its fields.
            Some(field) if is_resource && name == "metadata" && field.properties.is_empty() => {}
            Some(field) if field.keeps_everything() => {}
            Some(field) => prune_value(field, value, &path.field(name), dropped),
            None => has_unknown |= !is_known(schema, name, is_resource),
        }
    }
    if has_unknown {
        object.retain(|name, _| {
            let keep = is_known(schema, name, is_resource);
            if !keep && dropped.len() < REPORTED_MAX {
                dropped.push(path.field(name).to_string());
            }
            keep
        });
    }
}

fn is_known(schema: &Schema, name: &str, is_resource: bool) -> bool {
    schema.preserve_unknown
        || !matches!(schema.additional, Additional::No)
        || schema.properties.contains_key(name)
        || (is_resource && matches!(name, "apiVersion" | "kind" | "metadata"))
}

impl Schema {
    /// Says whether nothing below can be unknown.
    fn keeps_everything(&self) -> bool {
        let open = self.preserve_unknown || matches!(self.additional, Additional::Any);
        open && self.properties.is_empty() && self.items.is_none() && !matches!(self.additional, Additional::Of(_))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::parse;

    #[track_caller]
    fn check(schema: Value, mut value: Value, expected: Value, dropped: &[&str]) {
        assert_eq!(super::prune(&parse(&schema).unwrap(), &mut value), dropped);
        assert_eq!(value, expected);
    }

    #[test]
    fn unknown_fields_go_and_are_named() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"c": {"type": "string"}}}},
        }}}});
        check(
            schema,
            json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "x": 1,
                "spec": {"a": "1", "foo": {"y": 1}, "list": [{"b": "1"}, {"z": 1}], "map": {"k": {"c": "1", "w": 2}}}}),
            json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"},
                "spec": {"a": "1", "list": [{"b": "1"}, {}], "map": {"k": {"c": "1"}}}}),
            &["spec.list[1].z", "spec.map.k.w", "spec.foo", "x"],
        );
    }

    #[test]
    fn preserved_fields_stay_but_known_ones_below_are_pruned() {
        let schema = json!({"type": "object", "properties": {
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"closed": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            "any": {"x-kubernetes-preserve-unknown-fields": true},
        }});
        check(
            schema,
            json!({"open": {"x": {"y": 1}, "closed": {"a": "1", "b": 1}}, "any": [{"deep": [1]}]}),
            json!({"open": {"x": {"y": 1}, "closed": {"a": "1"}}, "any": [{"deep": [1]}]}),
            &["open.closed.b"],
        );
    }

    #[test]
    fn embedded_resources_keep_their_type_and_metadata() {
        let schema = json!({"type": "object", "properties": {"template": {"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object"}}}}});
        check(
            schema,
            json!({"template": {"apiVersion": "v1", "kind": "K", "metadata": {"labels": {"a": "b"}}, "spec": {}, "other": 1}}),
            json!({"template": {"apiVersion": "v1", "kind": "K", "metadata": {"labels": {"a": "b"}}, "spec": {}}}),
            &["template.other"],
        );
    }
}

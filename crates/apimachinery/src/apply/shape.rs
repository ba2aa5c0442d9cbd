//! How server-side apply sees a value: a leaf owned whole, a map, or a list whose elements have identities.

use serde_json::{Map, Value};

use super::fieldset::{FieldSet, Node};
use crate::schema::{Additional, ListType, Schema, Type};

/// What is owned separately below a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Scalars, atomic lists and maps.
    Leaf,
    Map,
    /// A set or a map list.
    List,
}

/// Returns the shape of `value`; without a schema it is deduced: maps are granular, lists atomic.
pub fn shape(schema: Option<&Schema>, value: &Value) -> Shape {
    match value {
        Value::Object(_) if schema.is_some_and(|schema| schema.atomic_map) => Shape::Leaf,
        Value::Object(_) => Shape::Map,
        Value::Array(_) => match schema.map(|schema| schema.list_type) {
            None | Some(ListType::Atomic) => Shape::Leaf,
            Some(ListType::Set | ListType::Map) => Shape::List,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Shape::Leaf,
    }
}

/// Says whether a container holds nothing; `null` is an empty container as well.
pub fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

pub fn field<'s>(schema: Option<&'s Schema>, name: &str) -> Option<&'s Schema> {
    schema?.field(name).map(|field| &**field)
}

pub fn items(schema: Option<&Schema>) -> Option<&Schema> {
    schema?.items.as_deref()
}

/// Says whether `name` is a field the schema names, not a key of a map.
pub fn is_named(schema: Option<&Schema>, name: &str) -> bool {
    schema.is_some_and(|schema| schema.properties.contains_key(name))
}

/// Says whether the schema has no place for a field `name`.
fn is_undeclared(schema: &Schema, name: &str) -> bool {
    let is_closed = schema.ty == Type::Object && !schema.properties.is_empty() && matches!(schema.additional, Additional::No);
    is_closed && !schema.preserve_unknown && !schema.properties.contains_key(name)
}

/// Returns `f:name`.
pub fn field_element(name: &str) -> Box<str> {
    let mut element = String::with_capacity(name.len() + 2);
    element.push_str("f:");
    element.push_str(name);
    element.into()
}

/// Returns the identity of `item` in a list of shape [`Shape::List`].
pub fn item_element(list: &Schema, item: &Value) -> Result<Box<str>, String> {
    if list.list_type != ListType::Map {
        return match item {
            Value::Null => Err("associative list element must not be null".to_owned()),
            item => Ok(format!("v:{item}").into()),
        };
    }
    let Value::Object(object) = item else { return Err("associative list with keys may not have non-map elements".to_owned()) };
    let mut keys = Map::new();
    for key in &list.list_map_keys {
        let default = || list.items.as_ref()?.properties.get(key)?.default.as_ref();
        let value = object.get(&**key).or_else(default).ok_or_else(|| {
            format!("associative list with keys has an element that omits key field {key:?} (and doesn't have default value)")
        })?;
        keys.insert(key.to_string(), value.clone());
    }
    Ok(format!("k:{}", Value::Object(keys)).into())
}

/// Returns the fields an object has, as the manager that applies it owns them.
pub fn fieldset_of(schema: &Schema, object: &Value) -> FieldSet {
    below(Some(schema), object)
}

fn below(schema: Option<&Schema>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    match (shape(schema, value), value) {
        (Shape::Map, Value::Object(object)) => {
            for (name, value) in object {
                let child = field(schema, name);
                let is_leaf = shape(child, value) == Shape::Leaf;
                let is_empty_map = value.as_object().is_some_and(Map::is_empty);
                let is_member = is_leaf || is_empty_map || !is_named(schema, name);
                set.insert(field_element(name), Node { is_member, below: below(child, value) });
            }
        }
        (Shape::List, Value::Array(list)) => {
            let Some(schema) = schema else { return set };
            for item in list {
                if let Ok(element) = item_element(schema, item) {
                    let node = Node { is_member: true, below: below(items(Some(schema)), item) };
                    let merged = match set.nodes.remove(&element) {
                        Some(twin) => Node { is_member: true, below: twin.below.union(&node.below) },
                        None => node,
                    };
                    set.insert(element, merged);
                }
            }
        }
        _ => {}
    }
    set
}

/// Returns what in an applied configuration cannot be owned: unknown fields, elements without or with the same keys.
pub fn faults(schema: &Schema, object: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if let Value::Object(fields) = object {
        for (name, value) in fields {
            // Every object has these three, whatever its schema says.
            let is_implied = matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
            let child = field(Some(schema), name);
            // A custom schema may say of metadata no more than how names look.
            let is_partial = name == "metadata" && !child.is_some_and(|metadata| metadata.properties.contains_key("labels"));
            if is_partial {
                continue;
            }
            if !is_implied && is_undeclared(schema, name) {
                faults.push(format!(".{name}: field not declared in schema"));
            } else {
                find_faults(child, value, &format!(".{name}"), &mut faults);
            }
        }
    }
    faults
}

fn find_faults(schema: Option<&Schema>, value: &Value, path: &str, faults: &mut Vec<String>) {
    let Some(schema) = schema else { return };
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let is_implied = schema.embedded_resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
                if !is_implied && is_undeclared(schema, name) {
                    faults.push(format!("{path}.{name}: field not declared in schema"));
                } else if matches!(value, Value::Object(_) | Value::Array(_)) {
                    find_faults(field(Some(schema), name), value, &format!("{path}.{name}"), faults);
                }
            }
        }
        Value::Array(list) => {
            let is_list = shape(Some(schema), value) == Shape::List;
            let mut seen = std::collections::BTreeSet::new();
            for (index, item) in list.iter().enumerate() {
                let mut at = format!("{path}[{index}]");
                if is_list {
                    match item_element(schema, item) {
                        Err(why) => faults.push(format!("{path}: element {index}: {why}")),
                        Ok(element) => {
                            let shown = super::fieldset::shown(&element);
                            if !seen.insert(element) {
                                faults.push(format!("{path}: duplicate entries for key {shown}"));
                            }
                            at = format!("{path}{shown}");
                        }
                    }
                }
                find_faults(items(Some(schema)), item, &at, faults);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

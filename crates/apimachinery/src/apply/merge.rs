//! Laying an applied configuration over a live object, and taking fields out of one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fieldset::FieldSet;
use super::shape::{Shape, field, field_element, is_hollow, is_named, item_element, items, shape};
use crate::schema::Schema;

/// Returns `live` with all that `config` says; what it does not say stays.
pub fn merge(schema: Option<&Schema>, live: &Value, config: &Value) -> Value {
    if is_hollow(live) && is_hollow(config) {
        return config.clone();
    }
    match (live, config) {
        (Value::Object(_), Value::Null) if shape(schema, live) == Shape::Map => live.clone(),
        (Value::Array(_), Value::Null) if shape(schema, live) == Shape::List => live.clone(),
        (Value::Object(old), Value::Object(new)) if shape(schema, live) == Shape::Map => {
            let kept = old.iter().map(|(name, live)| match new.get(name) {
                Some(value) => (name.clone(), merge(field(schema, name), live, value)),
                None => (name.clone(), live.clone()),
            });
            let mut merged: Map<String, Value> = kept.collect();
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                merged.insert(name.clone(), value.clone());
            }
            Value::Object(merged)
        }
        (Value::Array(old), Value::Array(new)) if shape(schema, live) == Shape::List => match schema {
            Some(list) => Value::Array(merge_list(list, old, new)),
            None => config.clone(),
        },
        _ => config.clone(),
    }
}

/// Returns the elements of both lists. Those of `new` stand in its order; those only `old` has keep their place
/// among the elements around them.
fn merge_list(list: &Schema, old: &[Value], new: &[Value]) -> Vec<Value> {
    let identity = |item: &Value| item_element(list, item).ok();
    let old: Vec<(Option<Box<str>>, &Value)> = old.iter().map(|item| (identity(item), item)).collect();
    let mut live: BTreeMap<&str, Option<&Value>> = BTreeMap::new();
    for (element, item) in &old {
        if let Some(element) = element {
            // Of live twins none is the one to merge with.
            live.entry(element).and_modify(|twin| *twin = None).or_insert(Some(item));
        }
    }
    let new: Vec<(Box<str>, Value)> = new
        .iter()
        .filter_map(|item| {
            let element = identity(item)?;
            let merged = match live.get(&*element) {
                Some(Some(live)) => merge(items(Some(list)), live, item),
                Some(None) | None => item.clone(),
            };
            Some((element, merged))
        })
        .collect();
    let applied: BTreeSet<&str> = new.iter().map(|(element, _)| &**element).collect();
    let mut shared = new.iter().map(|(element, _)| &**element).filter(|element| live.contains_key(element)).peekable();
    let mut merged = Vec::with_capacity(old.len() + new.len());
    let mut taken = 0;
    for (element, item) in &old {
        match element.as_deref() {
            Some(element) if applied.contains(element) => {
                if shared.peek() == Some(&element) {
                    shared.next();
                    while let Some((next, value)) = new.get(taken) {
                        merged.push(value.clone());
                        taken += 1;
                        if **next == *element {
                            break;
                        }
                    }
                }
            }
            Some(_) | None => merged.push((*item).clone()),
        }
    }
    merged.extend(new.into_iter().skip(taken).map(|(_, value)| value));
    merged
}

/// Returns `value` without the fields of `set`, each with all that is below it.
pub fn remove(schema: Option<&Schema>, value: Value, set: &FieldSet) -> Value {
    if set.is_empty() {
        return value;
    }
    match (shape(schema, &value), value) {
        (Shape::Map, Value::Object(object)) => {
            let mut kept = Map::new();
            for (name, value) in object {
                match set.nodes.get(&field_element(&name)) {
                    Some(node) if node.is_member => {}
                    Some(node) => {
                        let value = remove(field(schema, &name), value, &node.below);
                        kept.insert(name, value);
                    }
                    None => {
                        kept.insert(name, value);
                    }
                }
            }
            Value::Object(kept)
        }
        (Shape::List, Value::Array(list)) => {
            let Some(schema) = schema else { return Value::Array(list) };
            let mut kept = Vec::with_capacity(list.len());
            for item in list {
                match item_element(schema, &item).ok().and_then(|element| set.nodes.get(&element)) {
                    Some(node) if node.is_member => {}
                    Some(node) => kept.push(remove(items(Some(schema)), item, &node.below)),
                    None => kept.push(item),
                }
            }
            Value::Array(kept)
        }
        (_, value) => value,
    }
}

/// Returns `set` with every named field on the way to a member a member too, so that sets of objects and sets
/// of managers can be compared (a manager of `.spec.a` does not own `.spec` by itself).
pub fn with_named_fields(schema: Option<&Schema>, set: &FieldSet) -> FieldSet {
    let mut full = FieldSet::default();
    for (element, node) in set.nodes.iter() {
        let (child, is_named) = match element.strip_prefix("f:") {
            Some(name) => (field(schema, name), is_named(schema, name)),
            None => (items(schema), false),
        };
        let below = with_named_fields(child, &node.below);
        let is_member = node.is_member || (is_named && !below.is_empty());
        full.insert(element.into(), super::fieldset::Node { is_member, below });
    }
    full
}

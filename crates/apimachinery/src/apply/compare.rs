//! What a write changed, as sets of fields.
//!
//! As structured-merge-diff `typed/compare.go`: a container that appears or goes is a field beside what it holds;
//! elements that share an identity are compared as one. A `null` that stands for an absence is one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fieldset::{FieldSet, Node};
use super::shape::{Shape, field, field_element, is_hollow, item_element, items, shape};
use crate::schema::Schema;

/// The fields two objects differ in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    pub removed: FieldSet,
    pub modified: FieldSet,
    pub added: FieldSet,
}

/// Returns the differences between two objects of `schema`.
pub fn compare(schema: &Schema, old: &Value, new: &Value) -> Comparison {
    compare_fields(schema, old, new, |_| true)
}

/// As [`compare`], of some fields of the objects only; what is no object has no fields.
pub fn compare_fields(schema: &Schema, old: &Value, new: &Value, counts: impl Fn(&str) -> bool) -> Comparison {
    let mut difference = Difference::default();
    maps(Some(schema), old.as_object(), new.as_object(), &counts, &mut difference);
    Comparison { removed: difference.removed.below, modified: difference.modified.below, added: difference.added.below }
}

#[derive(Default)]
struct Difference {
    removed: Node,
    modified: Node,
    added: Node,
}

impl Difference {
    fn hang_below(self, parent: &mut Difference, element: &str) {
        parent.removed.below.insert(element.into(), self.removed);
        parent.modified.below.insert(element.into(), self.modified);
        parent.added.below.insert(element.into(), self.added);
    }
}

/// Compares two values that differ.
fn both(schema: Option<&Schema>, old: &Value, new: &Value) -> Difference {
    let mut difference = Difference::default();
    let (old_shape, new_shape) = (shape(schema, old), shape(schema, new));
    // null takes the form of its counterpart.
    let form = match (old_shape, new_shape) {
        _ if is_hollow(old) && is_hollow(new) => Some(Shape::Leaf),
        (old_shape, new_shape) if old_shape == new_shape => Some(old_shape),
        (_, new_shape) if old.is_null() => Some(new_shape),
        (old_shape, _) if new.is_null() => Some(old_shape),
        _ => None,
    };
    match form {
        Some(Shape::Leaf) => difference.modified = Node::member(),
        Some(Shape::Map) => maps(schema, old.as_object(), new.as_object(), &|_| true, &mut difference),
        Some(Shape::List) => lists(schema, old, new, &mut difference),
        // A container became a leaf, or the other way round.
        None => {
            difference.modified = Node::member();
            difference.removed.below = one(schema, old).below;
            difference.added.below = one(schema, new).below;
        }
    }
    difference
}

fn maps(
    schema: Option<&Schema>,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    counts: &dyn Fn(&str) -> bool,
    difference: &mut Difference,
) {
    let empty = Map::new();
    let (old, new) = (old.unwrap_or(&empty), new.unwrap_or(&empty));
    for (name, old) in old.iter().filter(|(name, _)| counts(name)) {
        match new.get(name) {
            Some(new) if old == new => {}
            Some(new) => both(field(schema, name), old, new).hang_below(difference, &field_element(name)),
            None if is_absence(field(schema, name), old) => {}
            None => difference.removed.below.insert(field_element(name), one(field(schema, name), old)),
        }
    }
    for (name, new) in new.iter().filter(|(name, _)| counts(name)) {
        if !old.contains_key(name) && !is_absence(field(schema, name), new) {
            difference.added.below.insert(field_element(name), one(field(schema, name), new));
        }
    }
}

fn is_absence(schema: Option<&Schema>, value: &Value) -> bool {
    value.is_null() && schema.is_some_and(Schema::drops_null)
}

fn lists(schema: Option<&Schema>, old: &Value, new: &Value, difference: &mut Difference) {
    let Some(list) = schema else { return };
    let (old, new) = (by_identity(list, old), by_identity(list, new));
    let elements: BTreeSet<&Box<str>> = old.keys().chain(new.keys()).collect();
    for element in elements {
        let none = Vec::new();
        let (old, new) = (old.get(element).unwrap_or(&none), new.get(element).unwrap_or(&none));
        match (old.as_slice(), new.as_slice()) {
            ([old], [new]) if old == new => {}
            ([old], [new]) => both(items(schema), old, new).hang_below(difference, element),
            ([], [new]) => difference.added.below.insert(element.clone(), one(items(schema), new)),
            ([old], []) => difference.removed.below.insert(element.clone(), one(items(schema), old)),
            (old, new) if old == new => {}
            ([], _) => difference.added.below.insert(element.clone(), Node::member()),
            (_, []) => difference.removed.below.insert(element.clone(), Node::member()),
            _ => difference.modified.below.insert(element.clone(), Node::member()),
        }
    }
}

fn by_identity<'v>(list: &Schema, value: &'v Value) -> BTreeMap<Box<str>, Vec<&'v Value>> {
    let mut found: BTreeMap<Box<str>, Vec<&Value>> = BTreeMap::new();
    for item in value.as_array().into_iter().flatten() {
        if let Ok(element) = item_element(list, item) {
            found.entry(element).or_default().push(item);
        }
    }
    found
}

/// Returns all that is at and below a value that has no counterpart.
fn one(schema: Option<&Schema>, value: &Value) -> Node {
    let mut node = Node::member();
    match (shape(schema, value), value) {
        (Shape::Map, Value::Object(object)) => {
            // Built at once: keys come sorted.
            node.below.nodes = object.iter().map(|(name, value)| (field_element(name), one(field(schema, name), value))).collect();
        }
        (Shape::List, list) => {
            let Some(schema) = schema else { return node };
            for (element, found) in by_identity(schema, list) {
                let below = match found.as_slice() {
                    [item] => one(items(Some(schema)), item),
                    _ => Node::member(),
                };
                node.below.insert(element, below);
            }
        }
        _ => {}
    }
    node
}

//! Strategic merge as Kustomize does it, which is not as the API server does.
//!
//! Follows kyaml's `merge2` and `walk`: what a patch adds to a list of elements with a key goes first; several keys tell
//! elements apart (`containerPort` and `protocol`); kinds without a schema have their lists replaced; the whole object is
//! gone through, so that fields left empty and elements with equal keys go wherever the patch could have looked. A null
//! that is written out stays.

use std::collections::BTreeSet;
use std::mem::take;

use apimachinery::schema::Schema;
use serde_json::{Map, Value};

use super::schema;

const DIRECTIVE: &str = "$patch";

type Object = Map<String, Value>;

/// Merges a patch into an object; nothing is left if the patch deletes it.
pub(crate) fn merge(object: Value, patch: &Value, schema: Option<&Schema>) -> Result<Option<Value>, String> {
    value(Some(object), Some(patch), schema, "")
}

/// Drops fields that were left empty, wherever a patch could look: not in lists it replaces as a whole.
pub(crate) fn drop_empty_fields(object: &mut Value, empty: &BTreeSet<String>, schema: Option<&Schema>) {
    if !empty.is_empty() {
        drop_below(object, empty, schema, "");
    }
}

fn drop_below(value: &mut Value, empty: &BTreeSet<String>, schema: Option<&Schema>, at: &str) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| !value.is_null() || !empty.contains(&format!("{at}/{name}")));
            for (name, value) in fields {
                let below = schema.and_then(|schema| schema.field(name)).map(|schema| &**schema);
                drop_below(value, empty, below, &format!("{at}/{name}"));
            }
        }
        Value::Array(items) if schema::merge_keys(schema).is_some() => {
            let below = schema.and_then(|schema| schema.items.as_deref());
            items.iter_mut().enumerate().for_each(|(index, item)| drop_below(item, empty, below, &format!("{at}/{index}")));
        }
        _ => {}
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn value(dest: Option<Value>, patch: Option<&Value>, schema: Option<&Schema>, at: &str) -> Result<Option<Value>, String> {
    let shape = dest.as_ref().filter(|v| !v.is_null()).or(patch.filter(|v| !v.is_null()));
    let expected = match shape {
        Some(Value::Object(_)) => "a mapping",
        Some(Value::Array(_)) => "a list",
        Some(_) => "a plain value",
        None => "nothing",
    };
    if let Some(other) = patch.filter(|v| !v.is_null())
        && shape.is_some_and(|shape| std::mem::discriminant(&kind(shape)) != std::mem::discriminant(&kind(other)))
    {
        return Err(format!("{at}: the patch has {} where the object has {expected}", name(other)));
    }
    match shape {
        Some(Value::Object(_)) => map(dest, patch, schema, at),
        Some(Value::Array(_)) => match schema::merge_keys(schema) {
            Some(keys) => keyed(dest, patch, schema, &keys, at),
            None => Ok(patch.cloned().or(dest).filter(|value| !value.is_null())),
        },
        Some(_) => Ok(patch.cloned().or(dest).filter(|value| !value.is_null())),
        None if patch.is_none() => Ok(dest),
        None => Ok(None),
    }
}

fn map(dest: Option<Value>, patch: Option<&Value>, schema: Option<&Schema>, at: &str) -> Result<Option<Value>, String> {
    if patch.is_some_and(Value::is_null) {
        return Ok(None);
    }
    let directive = directive_of_map(patch, at)?;
    if directive == Directive::Delete {
        return Ok(None);
    }
    let patch = patch.and_then(Value::as_object);
    // What is added or put in place is merged with itself: its own directives and nulls are carried out.
    let mut fields: Object = match dest {
        Some(Value::Object(fields)) if directive == Directive::Merge => fields,
        _ => without_directive(patch.cloned().unwrap_or_default()),
    };
    let mut names: Vec<String> = fields.keys().cloned().collect();
    if let Some(patch) = patch {
        names.extend(patch.keys().filter(|name| *name != DIRECTIVE && !fields.contains_key(*name)).cloned());
    }
    for field in names {
        let below = schema.and_then(|schema| schema.field(&field)).map(|schema| &**schema);
        let value = value(fields.remove(&field), patch.and_then(|p| p.get(&field)), below, &format!("{at}/{field}"))?;
        if let Some(value) = value {
            fields.insert(field, value);
        }
    }
    Ok(Some(Value::Object(fields)))
}

fn keyed(dest: Option<Value>, patch: Option<&Value>, schema: Option<&Schema>, keys: &[String], at: &str) -> Result<Option<Value>, String> {
    if patch.is_some_and(Value::is_null) {
        return Ok(None);
    }
    let (directive, patch) = directive_of_list(patch.and_then(Value::as_array), at)?;
    let dest = match dest {
        Some(Value::Array(list)) if directive == Directive::Merge => Some(list),
        _ => patch.clone(),
    };
    let Some(dest) = dest.filter(|_| directive != Directive::Delete) else { return Ok(None) };
    let patch = patch.unwrap_or_default();
    let merged = if keys.is_empty() {
        plain(&dest, &patch, at)?
    } else {
        List::new(dest, &patch, keys, at)?.merge(schema.and_then(|schema| schema.items.as_deref()), at)?
    };
    Ok(Some(Value::Array(merged)))
}

/// A list whose elements are told apart by keys; elements are known by number, so that one merged in place is one.
struct List<'a> {
    elements: Vec<Value>,
    dest: Vec<usize>,
    patch: &'a [Value],
    keys: Vec<String>,
}

impl<'a> List<'a> {
    fn new(dest: Vec<Value>, patch: &'a [Value], keys: &[String], at: &str) -> Result<Self, String> {
        let is_empty = |element: &Value| element.is_null() || element.as_object().is_some_and(Map::is_empty);
        // An element without its first key cannot be told from another; Kustomize would take any for it.
        let lacks_key = |element: &Value| !is_empty(element) && element.get(&keys[0]).is_none_or(Value::is_null);
        if dest.iter().chain(patch).any(lacks_key) {
            return Err(format!("{at}: an element has no {:?}, by which elements are told apart", keys[0]));
        }
        let numbers = (0..dest.len()).filter(|number| !is_empty(&dest[*number])).collect();
        Ok(Self { elements: dest, dest: numbers, patch, keys: keys.to_vec() })
    }

    fn merge(mut self, items: Option<&Schema>, at: &str) -> Result<Vec<Value>, String> {
        let mut wanted = self.values();
        if self.keys.len() > 1 {
            unify(&mut wanted);
        }
        let used: Vec<usize> = (0..self.keys.len()).filter(|key| wanted.iter().any(|values| !values[*key].is_empty())).collect();
        let used = if used.is_empty() { (0..self.keys.len()).collect() } else { used };
        let keys: Vec<String> = used.iter().map(|key| self.keys[*key].clone()).collect();
        let mut merged: Vec<usize> = Vec::new();
        for values in &wanted {
            let values: Vec<String> = used.iter().map(|key| values[*key].clone()).collect();
            let said: Vec<usize> = (0..keys.len()).filter(|key| !values[*key].is_empty()).collect();
            let is_wanted = |element: &Value| said.iter().all(|key| text(element.get(&keys[*key])) == values[*key]);
            let old = self.dest.iter().copied().find(|number| is_wanted(&self.elements[*number]));
            let new = self.patch.iter().find(|element| is_wanted(element));
            let label = format!("{at}[{}]", values.join(","));
            let is_replaced = old.is_some() && directive_of_map(new, &label)? == Directive::Replace;
            let before = old.map(|number| self.elements[number].clone());
            let value = value(before, new, items, &label)?;
            match value.filter(|value| !value.as_object().is_some_and(Map::is_empty)) {
                // As upstream, one that does not say all keys is not found again, and stays.
                None => self.dest.retain(|number| !matches(&self.elements[*number], &keys, &values)),
                Some(mut value) => {
                    complete(&mut value, &keys, &values);
                    let number = match old.filter(|_| !is_replaced) {
                        Some(number) => {
                            self.elements[number] = value;
                            number
                        }
                        None => {
                            self.elements.push(value);
                            self.elements.len() - 1
                        }
                    };
                    put(&mut merged, number, &self.elements, &keys, &values);
                }
            }
        }
        // What the patch has goes first, then what was there.
        for number in take(&mut self.dest) {
            let element = &self.elements[number];
            let values: Vec<String> = keys.iter().filter_map(|key| element.get(key).map(|value| text(Some(value)))).collect();
            if values.len() < keys.len() {
                merged.push(number);
            }
            if keys.len() > 1 {
                let elements = &self.elements;
                merged.retain(|other| !matches(&elements[*other], &keys, &values));
            }
            put(&mut merged, number, &self.elements, &keys, &values);
        }
        Ok(merged.into_iter().map(|number| self.elements[number].clone()).collect())
    }

    /// Returns the values of the keys of all elements, those of the patch first.
    fn values(&self) -> Vec<Vec<String>> {
        let mut found: Vec<Vec<String>> = Vec::new();
        for element in self.patch.iter().chain(self.dest.iter().map(|number| &self.elements[*number])) {
            let values: Vec<String> = self.keys.iter().map(|key| text(element.get(key))).collect();
            if !values[0].is_empty() && !found.contains(&values) {
                found.push(values);
            }
        }
        found
    }
}

/// Puts an element where one with the same keys stands, or at the end.
fn put(list: &mut Vec<usize>, number: usize, elements: &[Value], keys: &[String], values: &[String]) {
    let mut is_there = false;
    for other in list.iter_mut() {
        if matches(&elements[*other], keys, values) {
            *other = number;
            is_there = true;
        }
    }
    if !is_there {
        list.push(number);
    }
}

/// Returns whether an element has these values, as far as they are given.
fn matches(element: &Value, keys: &[String], values: &[String]) -> bool {
    keys.iter().zip(values).all(|(key, value)| match element.get(key) {
        None | Some(Value::Null) => false,
        found => value.is_empty() || text(found) == *value,
    })
}

/// Says the keys in an element that was found without them.
fn complete(element: &mut Value, keys: &[String], values: &[String]) {
    let Some(fields) = element.as_object_mut() else { return };
    for (key, value) in keys.iter().zip(values) {
        if !fields.contains_key(key) && !value.is_empty() {
            let number = value.parse::<i64>().ok().map(Value::from);
            fields.insert(key.clone(), number.unwrap_or_else(|| Value::String(value.clone())));
        }
    }
}

/// Makes elements one of which only lacks what the other says.
fn unify(wanted: &mut [Vec<String>]) {
    for first in 0..wanted.len() {
        let values = wanted[first].clone();
        for second in 0..wanted.len() {
            let other = &wanted[second];
            let differs = values.iter().zip(other).any(|(a, b)| a != b && !a.is_empty() && !b.is_empty());
            let shares = values.iter().zip(other).any(|(a, b)| a == b);
            if shares && !differs {
                let full: Vec<String> = values.iter().zip(other).map(|(a, b)| if a.is_empty() { b } else { a }).cloned().collect();
                wanted[first] = full.clone();
                wanted[second] = full;
            }
        }
    }
}

/// Merges lists of plain values: those of the patch first.
fn plain(dest: &[Value], patch: &[Value], at: &str) -> Result<Vec<Value>, String> {
    let mut merged: Vec<Value> = Vec::new();
    for item in patch.iter().chain(dest) {
        if item.is_object() || item.is_array() {
            return Err(format!("{at}: the list must hold plain values"));
        }
        if !item.is_null() && !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    Ok(merged)
}

fn directive_of_map(patch: Option<&Value>, at: &str) -> Result<Directive, String> {
    match patch.and_then(|patch| patch.get(DIRECTIVE)) {
        None => Ok(Directive::Merge),
        Some(value) => directive(value, at),
    }
}

/// A list's directive is an element that has nothing else.
fn directive_of_list(patch: Option<&Vec<Value>>, at: &str) -> Result<(Directive, Option<Vec<Value>>), String> {
    let Some(patch) = patch else { return Ok((Directive::Merge, None)) };
    let is_directive = |element: &Value| element.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key(DIRECTIVE));
    let Some(found) = patch.iter().find(|element| element.get(DIRECTIVE).is_some()).filter(|element| is_directive(element)) else {
        return Ok((Directive::Merge, Some(patch.clone())));
    };
    let kept = patch.iter().filter(|element| *element != found).cloned().collect();
    Ok((directive(&found[DIRECTIVE], at)?, Some(kept)))
}

fn directive(value: &Value, at: &str) -> Result<Directive, String> {
    match value.as_str() {
        Some("merge") => Ok(Directive::Merge),
        Some("replace") => Ok(Directive::Replace),
        Some("delete") => Ok(Directive::Delete),
        _ => Err(format!("{at}: $patch is {value}; it must be merge, replace or delete")),
    }
}

fn without_directive(mut fields: Object) -> Object {
    fields.remove(DIRECTIVE);
    fields
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

enum Kind {
    Map,
    List,
    Plain,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Object(_) => Kind::Map,
        Value::Array(_) => Kind::List,
        _ => Kind::Plain,
    }
}

fn name(value: &Value) -> &'static str {
    match kind(value) {
        Kind::Map => "a mapping",
        Kind::List => "a list",
        Kind::Plain => "a plain value",
    }
}

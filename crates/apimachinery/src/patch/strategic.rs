//! Strategic merge patch: merge patch that knows which lists are maps in disguise.
//!
//! As apimachinery's `util/strategicpatch/patch.go` (`mergeMap`, `mergeSlice`): objects merge; a list merges by
//! its `patchMergeKey` where the schema's patch strategy says so and is replaced otherwise; `null` deletes.
//! Directives: `$patch` (`replace`, `delete`, `merge`), `$retainKeys`, `$setElementOrder/<list>`,
//! `$deleteFromPrimitiveList/<list>`. Multi-key lists merge by the merge key alone, as upstream.

use serde_json::{Map, Value};

use crate::schema::{Path, Schema};
use crate::status::Status;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

type Object = Map<String, Value>;

/// Returns `original`, an object of `schema`, with `patch` merged in.
pub fn strategic(schema: &Schema, original: Value, patch: &Value) -> Result<Value, Status> {
    let Value::Object(patch) = patch else { return Err(Status::bad_request("a strategic merge patch must be an object")) };
    let Value::Object(original) = original else { return Err(Status::bad_request("only an object can be patched")) };
    merge_object(Some(schema), original, patch, &Path::root("")).map(Value::Object)
}

fn merge_object(schema: Option<&Schema>, mut original: Object, patch: &Object, path: &Path) -> Result<Object, Status> {
    match patch.get(PATCH).map(|directive| (directive, directive.as_str())) {
        None | Some((_, Some("merge"))) => {}
        Some((_, Some("replace"))) => return Ok(without_directives_object(patch)),
        Some((_, Some("delete"))) => return Ok(Object::new()),
        Some((directive, _)) => return Err(bad_directive(directive, path)),
    }
    retain_keys(&mut original, patch, path)?;
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(DELETE_FROM) {
            let gone = list_of(value, &path.field(key))?;
            if let Some(Value::Array(list)) = original.get_mut(name) {
                list.retain(|item| !gone.contains(item));
            }
        }
    }
    for (key, value) in patch {
        if key.starts_with('$') && (key == PATCH || key == RETAIN_KEYS || key.starts_with(DELETE_FROM) || key.starts_with(SET_ORDER)) {
            continue;
        }
        if value.is_null() {
            original.remove(key);
            continue;
        }
        let field = schema.and_then(|schema| schema.field(key)).map(|field| &**field);
        let order = patch.get(&format!("{SET_ORDER}{key}"));
        match (original.remove(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let merged = merge_object(field, old, new, &path.field(key))?;
                original.insert(key.clone(), Value::Object(merged));
            }
            (Some(Value::Array(old)), Value::Array(new)) if field.is_some_and(|field| field.patch_strategy.merge) => {
                let merged = merge_list(field, old, new, order, &path.field(key))?;
                original.insert(key.clone(), Value::Array(merged));
            }
            (_, new) => {
                original.insert(key.clone(), without_directives(new));
            }
        }
    }
    // Lists whose order alone is said.
    for (key, order) in patch {
        let Some(name) = key.strip_prefix(SET_ORDER) else { continue };
        if patch.get(name).is_some_and(Value::is_null) {
            continue;
        }
        let order = list_of(order, &path.field(key))?;
        let merge_key = schema.and_then(|schema| schema.field(name)).and_then(|field| field.patch_merge_key.as_deref());
        if let Some(Value::Array(list)) = original.get_mut(name) {
            let before = list.clone();
            *list = in_order(std::mem::take(list), order, &before, merge_key);
        }
    }
    Ok(original)
}

/// Drops the fields of `original` that `$retainKeys` does not name.
fn retain_keys(original: &mut Object, patch: &Object, path: &Path) -> Result<(), Status> {
    let Some(keys) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let keys = list_of(keys, &path.field(RETAIN_KEYS))?;
    let is_kept = |name: &str| keys.iter().any(|key| key == name);
    if let Some(extra) = patch.iter().find(|(name, value)| !name.starts_with('$') && !value.is_null() && !is_kept(name)) {
        let at = path.field(extra.0).to_string();
        return Err(Status::bad_request(format!("{at} is set by the patch but not named in {RETAIN_KEYS}")));
    }
    original.retain(|name, _| is_kept(name));
    Ok(())
}

fn merge_list(field: Option<&Schema>, old: Vec<Value>, new: &[Value], order: Option<&Value>, path: &Path) -> Result<Vec<Value>, Status> {
    let merge_key = field.and_then(|field| field.patch_merge_key.as_deref());
    if old.is_empty() && new.is_empty() {
        return Ok(old);
    }
    let server_order = old.clone();
    let (mut merged, plain, merge_key) = if old.first().or(new.first()).is_some_and(Value::is_object) {
        let Some(merge_key) = merge_key else {
            return Err(unprocessable(format!("cannot merge lists without merge key: {path}")));
        };
        let (kept, plain) = special_elements(old, new, merge_key, path)?;
        let items = field.and_then(|field| field.items.as_deref());
        (merge_elements(items, kept, &plain, merge_key, path)?, plain, Some(merge_key))
    } else {
        let mut merged = old;
        for item in new {
            if item.is_object() || item.is_array() {
                return Err(unprocessable(format!("list elements must have identical types: {path}")));
            }
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        (merged, new.to_vec(), None)
    };
    if let Some(order) = order {
        let order = list_of(order, path)?;
        follows(&plain, order, merge_key, path)?;
        return Ok(in_order(merged, order, &server_order, merge_key));
    }
    let patch_order: Vec<Value> = plain;
    merged = in_order(merged, &patch_order, &server_order, merge_key);
    Ok(merged)
}

/// Carries out elements that are directives; returns the kept elements and the patch without directives.
fn special_elements(mut old: Vec<Value>, new: &[Value], merge_key: &str, path: &Path) -> Result<(Vec<Value>, Vec<Value>), Status> {
    let mut plain = Vec::with_capacity(new.len());
    let mut is_replaced = false;
    for (index, item) in new.iter().enumerate() {
        let Some(directive) = item.get(PATCH) else {
            plain.push(item.clone());
            continue;
        };
        match directive.as_str() {
            Some("replace") => is_replaced = true,
            Some("merge") => plain.push(item.clone()),
            Some("delete") => {
                let key = item.get(merge_key).ok_or_else(|| no_merge_key(&path.index(index), merge_key))?;
                old.retain(|element| element.get(merge_key) != Some(key));
            }
            Some(_) | None => return Err(bad_directive(directive, &path.index(index))),
        }
    }
    if is_replaced {
        old.clear();
    }
    Ok((old, plain))
}

fn merge_elements(items: Option<&Schema>, mut old: Vec<Value>, new: &[Value], merge_key: &str, path: &Path) -> Result<Vec<Value>, Status> {
    for (index, item) in new.iter().enumerate() {
        let at = path.index(index);
        let Value::Object(patch) = item else { return Err(unprocessable(format!("list elements must have identical types: {at}"))) };
        let key = patch.get(merge_key).ok_or_else(|| no_merge_key(&at, merge_key))?;
        match old.iter_mut().find(|element| element.get(merge_key) == Some(key)) {
            Some(found) => {
                let Value::Object(original) = std::mem::take(found) else { continue };
                *found = Value::Object(merge_object(items, original, patch, &at)?);
            }
            None => old.push(without_directives(item)),
        }
    }
    Ok(old)
}

/// Refuses a patch whose elements are not in its own `$setElementOrder`, in that order.
fn follows(plain: &[Value], order: &[Value], merge_key: Option<&str>, path: &Path) -> Result<(), Status> {
    let mut rest = order.iter();
    for item in plain {
        if !rest.any(|other| same(item, other, merge_key)) {
            return Err(Status::bad_request(format!("the order in patch list {path} doesn't match {SET_ORDER}{path}")));
        }
    }
    Ok(())
}

/// Sorts `merged`: what `order` names stands in that order; what only the server has stands in the server's order,
/// before the first named element that the server had after it.
fn in_order(merged: Vec<Value>, order: &[Value], server_order: &[Value], merge_key: Option<&str>) -> Vec<Value> {
    let index_in = |list: &[Value], item: &Value| list.iter().position(|other| same(item, other, merge_key));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) = merged.into_iter().partition(|item| index_in(order, item).is_some());
    named.sort_by_key(|item| index_in(order, item));
    others.sort_by_key(|item| index_in(server_order, item).unwrap_or(usize::MAX));
    let mut sorted = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let take_other = match (others.peek(), named.peek()) {
            (None, None) => return sorted,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(name)) => match (index_in(server_order, other), index_in(server_order, name)) {
                (Some(other), Some(name)) => other < name,
                (None, _) | (_, None) => false,
            },
        };
        sorted.extend(if take_other { others.next() } else { named.next() });
    }
}

fn same(a: &Value, b: &Value, merge_key: Option<&str>) -> bool {
    match merge_key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    }
}

/// Returns a value that meets nothing in the original: no directives, no nulls.
fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(without_directives_object(object)),
        Value::Array(list) => {
            let is_special = |item: &&Value| matches!(item.get(PATCH).and_then(Value::as_str), Some("replace" | "delete"));
            Value::Array(list.iter().filter(|item| !is_special(item)).map(without_directives).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn without_directives_object(object: &Object) -> Object {
    let is_directive = |name: &str| name == PATCH || name == RETAIN_KEYS || name.starts_with(SET_ORDER) || name.starts_with(DELETE_FROM);
    let kept = object.iter().filter(|(name, value)| !value.is_null() && !is_directive(name));
    kept.map(|(name, value)| (name.clone(), without_directives(value))).collect()
}

fn list_of<'v>(value: &'v Value, path: &Path) -> Result<&'v [Value], Status> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| Status::bad_request(format!("{path} must be a list")))
}

fn bad_directive(directive: &Value, path: &Path) -> Status {
    unprocessable(format!("unknown patch type found: {directive} in {path}; known are delete, merge, replace"))
}

fn no_merge_key(path: &Path, merge_key: &str) -> Status {
    unprocessable(format!("{path} does not contain declared merge key: {merge_key}"))
}

fn unprocessable(message: String) -> Status {
    Status::new(422, "Invalid", message)
}

//! Vars: `$(NAME)` in known fields stands for a field of an object.
//!
//! Which object is decided where the var is declared; its value is read at the very end, when names are final.

use std::cell::Cell;
use std::collections::BTreeMap;

use apimachinery::gvk::split_api_version;
use serde_json::Value;

use super::fieldpath::{self, Make};
use super::fields::FieldSpec;
use super::resource::{Gvk, Id};
use super::set::{self, Set};
use super::spec::Var;

/// Marks the object each var reads.
pub(crate) fn declare(set: &mut Set, vars: &[Var]) -> Result<(), String> {
    for var in vars {
        let reference = &var.objref;
        let mut gvk = Gvk { group: reference.group.clone(), version: reference.version.clone(), kind: reference.kind.clone() };
        if !reference.api_version.is_empty() {
            let (group, version) = split_api_version(&reference.api_version);
            gvk.version = version.to_owned();
            if !group.is_empty() {
                gvk.group = group.to_owned();
            }
        }
        let id = Id { gvk, name: reference.name.clone(), namespace: reference.namespace.clone() };
        let namespace_counts = !id.namespace.is_empty() || id.is_cluster_scoped();
        let found = set.with_id(|other| if namespace_counts { other.is(&id) } else { other.name == id.name && other.gvk == id.gvk });
        match found.as_slice() {
            [] => {}
            [at] => set.resources[*at].vars.push(var.name.clone()),
            more => return Err(format!("{}: objref means {} objects", var.name, more.len())),
        }
    }
    Ok(())
}

/// Adds vars; a name stands for one thing.
pub(crate) fn merge(known: &mut Vec<Var>, added: &[Var]) -> Result<(), String> {
    for var in added {
        if var.name.is_empty() {
            return Err("a var has no name".to_owned());
        }
        if known.iter().any(|other| other.name == var.name) {
            return Err(format!("{} is declared twice", var.name));
        }
        known.push(var.clone());
    }
    Ok(())
}

/// Puts the values in.
pub(crate) fn resolve(set: &mut Set, vars: &[Var], specs: &[FieldSpec]) -> Result<(), String> {
    if vars.is_empty() {
        return Ok(());
    }
    let mut values: BTreeMap<&str, Value> = BTreeMap::new();
    for var in vars {
        let path = if var.fieldref.field_path.is_empty() { "metadata.name" } else { &var.fieldref.field_path };
        let resource = set.resources.iter().find(|resource| resource.vars.contains(&var.name));
        let resource =
            resource.ok_or_else(|| format!("{}: objref means no object; apiVersion, kind and name must be its own", var.name))?;
        let value = look_up(&resource.object, path).ok_or_else(|| format!("{}: {} has no field {path}", var.name, resource.id()))?;
        values.insert(&var.name, value.clone());
    }
    let left = Cell::new(set.bytes_max);
    for resource in &mut set.resources {
        for spec in specs {
            let mut change = |value: &mut Value| {
                expand(value, &values, &left)?;
                if left.get() > 0 { Ok(()) } else { Err("the values put in are too many and too long".to_owned()) }
            };
            let outcome = fieldpath::apply(&mut resource.object, spec, Make::Nothing, &mut change);
            outcome.map_err(|what| format!("{}: {what}", resource.id()))?;
        }
    }
    Ok(())
}

/// Returns the field at a dotted path; `name[0]` is an element.
fn look_up<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    let mut value = object;
    for part in fieldpath::split_dotted(path) {
        let (name, index) = match part.split_once('[').and_then(|(name, rest)| Some((name, rest.strip_suffix(']')?.parse::<usize>().ok()?)))
        {
            Some((name, index)) => (name, Some(index)),
            None => (part.as_str(), None),
        };
        value = match value {
            Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
            other => other.get(name)?,
        };
        if let Some(index) = index {
            value = value.get(index)?;
        }
    }
    Some(value)
}

fn expand(value: &mut Value, values: &BTreeMap<&str, Value>, left: &Cell<usize>) -> Result<(), String> {
    match value {
        Value::String(text) => {
            let expanded = replaced(text, values, left);
            *value = expanded;
            Ok(())
        }
        Value::Object(fields) => {
            for text in fields.values_mut() {
                if let Value::String(found) = text {
                    *text = replaced(found, values, left);
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| match item {
            Value::String(text) => {
                *item = replaced(text, values, left);
                Ok(())
            }
            _ => Err("the list must hold text".to_owned()),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Replaces `$(NAME)` while something is `left` to spend; `$$` is one dollar. A text that is only a var becomes the value, whatever its type.
fn replaced(text: &str, values: &BTreeMap<&str, Value>, left: &Cell<usize>) -> Value {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if after.is_empty() {
            rest = &rest[at..];
            break;
        }
        if let Some(begun) = after.strip_prefix('(') {
            let Some((name, behind)) = begun.split_once(')') else {
                out.push_str("$(");
                rest = begun;
                continue;
            };
            match values.get(name) {
                Some(value) if left.get() > 0 && !value.is_object() && !value.is_array() && !value.is_null() => {
                    left.set(left.get().saturating_sub(set::weight(value)));
                    if out.is_empty() && behind.is_empty() && at == 0 && rest.len() == text.len() {
                        return value.clone();
                    }
                    out.push_str(&plain(value));
                }
                _ => out.push_str(&format!("$({name})")),
            }
            rest = behind;
        } else if let Some(behind) = after.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else {
            out.push('$');
            rest = after;
        }
    }
    Value::String(if rest == text { text.to_owned() } else { out + rest })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_expanded() {
        let values = BTreeMap::from([("A", json!("x")), ("N", json!(5)), ("M", json!({}))]);
        for (text, expected) in [
            ("$(A)", json!("x")),
            ("$(N)", json!(5)),
            ("p:$(N)$(A)", json!("p:5x")),
            ("$(B) $(M)", json!("$(B) $(M)")),
            ("$$(A) $", json!("$(A) $")),
            ("$(A", json!("$(A")),
            ("$x é $(A)", json!("$x é x")),
            ("plain", json!("plain")),
        ] {
            assert_eq!(replaced(text, &values, &Cell::new(1000)), expected, "{text}");
        }
    }
}

//! Patches: strategic merge by the object's own name or by a target, and JSON 6902.

use apimachinery::yaml::{self, DuplicateKeys};
use serde_json::Value;

use super::merge;
use super::resource::{Gvk, Id, Resource};
use super::schema;
use super::set::{self, Set};
use super::spec::{PatchOptions, Selector};
use super::{operations, read};
use crate::{Limits, Problem};

/// A patch's content, by what it looks like.
pub(crate) enum Content {
    /// Objects that say what to merge.
    Merge(Vec<Resource>),
    /// A list of operations.
    Operations(Value),
}

/// Reads a patch.
pub(crate) fn parse(file: &str, text: &str, limits: &Limits) -> Result<Content, Problem> {
    let documents = read::parse(file, text)?;
    match documents.as_slice() {
        [] => Ok(Content::Operations(Value::Array(Vec::new()))),
        [only] if only.value.is_array() => {
            // Operations are read as an API server reads them: `yes` is true.
            let value = yaml::from_str(text, DuplicateKeys::LastWins);
            value.map(Content::Operations).map_err(|error| Problem::file(file, error.line().unwrap_or(0), error.what()))
        }
        [first, ..] if first.value.is_array() => Err(Problem::file(file, 0, "operations must be one document")),
        _ => {
            let patches = read::objects(file, text, limits)?;
            for patch in &patches {
                if let Some(directive) = unknown_directive(&patch.object) {
                    return Err(Problem::file(file, patch.line, format!("{directive} is not supported; use $patch or a JSON 6902 patch")));
                }
            }
            Ok(Content::Merge(patches))
        }
    }
}

/// Merges each patch into the one object of its kind and name.
pub(crate) fn merge_by_name(set: &mut Set, patches: &[Resource], options: PatchOptions) -> Result<(), String> {
    for patch in patches {
        let id = patch.id();
        let found = set.with_id(|other| other.is(&id));
        match found.as_slice() {
            [at] => apply(set, &[*at], &patch.object, options)?,
            [] => return Err(format!("no object is {id} of {}; check apiVersion, name and namespace", patch.object["apiVersion"])),
            more => return Err(format!("{} objects are {id}", more.len())),
        }
    }
    Ok(())
}

/// Merges a patch into all objects of a target.
pub(crate) fn merge_by_target(set: &mut Set, target: &Selector, patches: &[Resource], options: PatchOptions) -> Result<(), String> {
    let [patch] = patches else { return Err("with a target, the patch must be one object".to_owned()) };
    let found = set.select(target).map_err(|what| format!("target.{what}"))?;
    // A target's own version counts, and so do its changes of name before: each object is patched once.
    apply(set, &found, &patch.object, options)?;
    if options.allow_name_change || options.allow_kind_change { set.distinct() } else { Ok(()) }
}

/// Applies operations to all objects of a target.
pub(crate) fn operate(set: &mut Set, target: &Selector, operations: &Value, remembers: bool) -> Result<(), String> {
    let mut bytes = 0;
    for at in set.select(target).map_err(|what| format!("target.{what}"))? {
        if bytes > set.bytes_max {
            return Err(format!("the objects would exceed {} bytes; split the Application", set.bytes_max));
        }
        let resource = &mut set.resources[at];
        if remembers {
            resource.remember();
        }
        resource.object = operations::apply(&resource.object, operations).map_err(|what| format!("{}: {what}", resource.id()))?;
        bytes += set::weight(&resource.object);
        // All it has is written anew.
        (resource.has_open_types, resource.has_open_numbers) = (false, false);
        resource.empty_fields.clear();
    }
    Ok(())
}

fn apply(set: &mut Set, places: &[usize], patch: &Value, options: PatchOptions) -> Result<(), String> {
    if set::weight(patch).saturating_mul(places.len()) > set.bytes_max {
        return Err(format!("the objects would exceed {} bytes; split the Application", set.bytes_max));
    }
    let mut deleted = Vec::new();
    for &at in places {
        let resource = &mut set.resources[at];
        let before = resource.id();
        if options.allow_name_change || options.allow_kind_change {
            resource.remember();
        }
        match merged(resource, patch).map_err(|what| format!("{before}: {what}"))? {
            Some(object) => {
                resource.object = object;
                restore(resource, &before, options);
            }
            None => deleted.push(at),
        }
    }
    for at in deleted.into_iter().rev() {
        set.resources.remove(at);
    }
    Ok(())
}

fn merged(resource: &mut Resource, patch: &Value) -> Result<Option<Value>, String> {
    if resource.has_open_numbers {
        let why = "a replacement made a number or boolean in it, of which Kustomize then makes text; not supported";
        return Err(format!("{why}: patch it before, or write the field"));
    }
    let schema = schema::of(&resource.gvk()).or_else(|| schema::of(&Gvk::of(patch)));
    let mut patch = patch.clone();
    patch["apiVersion"] = resource.object["apiVersion"].clone();
    let schema = schema.map(|schema| &**schema);
    let mut object = std::mem::take(&mut resource.object);
    merge::drop_empty_fields(&mut object, &std::mem::take(&mut resource.empty_fields), schema);
    let merged = merge::merge(object, &patch, schema)?;
    Ok(merged.filter(|object| object.as_object().is_some_and(|fields| !fields.is_empty())))
}

/// What names an object is changed by its patch only where that is allowed.
fn restore(resource: &mut Resource, before: &Id, options: PatchOptions) {
    if !options.allow_kind_change {
        resource.object["kind"] = Value::String(before.gvk.kind.clone());
    }
    if !options.allow_name_change {
        resource.set_metadata("name", &before.name);
    }
    resource.set_metadata("namespace", &before.namespace);
}

/// Directives the API server's merge knows and Kustomize takes for fields.
fn unknown_directive(value: &Value) -> Option<&str> {
    let is_unknown = |name: &&String| {
        name.as_str() == "$retainKeys" || name.starts_with("$setElementOrder/") || name.starts_with("$deleteFromPrimitiveList/")
    };
    match value {
        Value::Object(fields) => fields.keys().find(is_unknown).map(String::as_str).or_else(|| fields.values().find_map(unknown_directive)),
        Value::Array(items) => items.iter().find_map(unknown_directive),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

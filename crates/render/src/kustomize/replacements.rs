//! Replacements: the value of one object's field, or part of it, goes to fields of others.
//!
//! As `filters/replacement` of Kustomize 5.7: the source and targets are named exactly (patterns came later), a field
//! that is not there is an error unless it may be made, and plain values keep the type of the field they go to.

use regex::Regex;
use serde_json::{Map, Value};

use super::fieldpath::split_dotted;
use super::fields::selects;
use super::resource::{Gvk, Id, Resource};
use super::set::{self, Labels, Set};
use super::spec::{FieldOptions, Replacement, ReplacementSource, ReplacementTarget, Selector};

/// Carries out one replacement.
pub(crate) fn replace(set: &mut Set, replacement: &Replacement) -> Result<(), String> {
    if replacement.targets.is_empty() {
        return Err("targets: there is none".to_owned());
    }
    let value = match (&replacement.source, &replacement.source_value) {
        (Some(source), None) => source_value(set, source).map_err(|what| format!("source: {what}"))?,
        (None, Some(text)) => Value::String(text.clone()),
        (Some(_), Some(_)) => return Err("source and sourceValue exclude each other".to_owned()),
        (None, None) => return Err("source is missing".to_owned()),
    };
    for (index, target) in replacement.targets.iter().enumerate() {
        put(set, target, &value).map_err(|what| format!("targets[{index}]: {what}"))?;
    }
    Ok(())
}

/// The parts of an id that a selector says.
struct Exact<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
}

impl<'a> Exact<'a> {
    fn of(selector: &'a Selector) -> Self {
        let Selector { group, version, kind, name, namespace, .. } = selector;
        Self { group, version, kind, name, namespace }
    }

    fn is_empty(&self) -> bool {
        [self.group, self.version, self.kind, self.name, self.namespace].iter().all(|part| part.is_empty())
    }

    fn selects(&self, id: &Id) -> bool {
        let wanted = Id { gvk: Gvk::default(), name: String::new(), namespace: self.namespace.to_owned() };
        (self.name.is_empty() || self.name == id.name)
            && (self.namespace.is_empty() || wanted.scope() == id.scope())
            && selects(self.group, self.version, self.kind, &id.gvk)
    }

    fn selects_any(&self, resource: &Resource) -> bool {
        resource.has_id(|id| self.selects(id))
    }
}

fn source_value(set: &Set, source: &ReplacementSource) -> Result<Value, String> {
    let ReplacementSource { group, version, kind, name, namespace, .. } = source;
    let wanted = Exact { group, version, kind, name, namespace };
    let mut found = set.resources.iter().filter(|resource| wanted.selects_any(resource));
    let resource = found.next().ok_or("it means no object")?;
    if let Some(other) = found.next() {
        return Err(format!("it means several objects: {} and {}", resource.id(), other.id()));
    }
    let path = if source.field_path.is_empty() { "metadata.name" } else { &source.field_path };
    let missing = || format!("fieldPath: {} has no {path}", resource.id());
    let value = look_up(&resource.object, &split_dotted(path)).ok_or_else(missing)?;
    let is_empty = match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    if is_empty {
        return Err(missing());
    }
    refuse_options(source.options.as_ref())?;
    if value.as_f64().is_some() && value.as_i64().is_none() && value.as_u64().is_none() {
        // How it is written would go with it, and that is not known any more.
        return Err(format!("fieldPath: {path} of {} is a number with a fraction; put it in quotes", resource.id()));
    }
    match source.options.as_ref().filter(|options| !options.delimiter.is_empty()) {
        None => Ok(value.clone()),
        Some(options) => {
            let text = plain(value).ok_or("options.delimiter: the value is no plain one")?;
            let part = usize::try_from(options.index).ok().and_then(|index| text.split(&options.delimiter).nth(index));
            let part = part.ok_or_else(|| format!("options.index: the value of {path} has no part {}", options.index))?;
            Ok(with_type_of(value, part.to_owned()))
        }
    }
}

fn refuse_options(options: Option<&FieldOptions>) -> Result<(), String> {
    match options {
        Some(options) if !options.encoding.is_empty() => Err("options.encoding is not supported; Kustomize ignores it".to_owned()),
        _ => Ok(()),
    }
}

fn look_up<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    let Some((part, rest)) = path.split_first() else { return Some(value) };
    let next = match (value, element(part)) {
        (Value::Array(items), Some((field, text))) => items.iter().find(|item| match field {
            "" => plain(item).as_deref() == Some(text),
            field => item.get(field).and_then(plain).as_deref() == Some(text),
        }),
        (Value::Array(items), None) if part == "-" => items.last(),
        (Value::Array(items), None) => items.get(part.parse::<usize>().ok()?),
        (other, _) => other.get(part),
    };
    look_up(next?, rest)
}

/// Takes `[name=value]` apart.
fn element(part: &str) -> Option<(&str, &str)> {
    part.strip_prefix('[')?.strip_suffix(']')?.split_once('=')
}

fn put(set: &mut Set, target: &ReplacementTarget, value: &Value) -> Result<(), String> {
    let select = target.select.as_ref().ok_or("select is missing")?;
    refuse_options(target.options.as_ref())?;
    let default_path = ["metadata.name".to_owned()];
    let paths = if target.field_paths.is_empty() { default_path.as_slice() } else { &target.field_paths };
    let rejected: Vec<(Exact<'_>, [Labels; 2], bool)> = target
        .reject
        .iter()
        .map(|reject| Ok((Exact::of(reject), labels(reject)?, reject.label_selector.is_empty() && reject.annotation_selector.is_empty())))
        .collect::<Result<_, String>>()?;
    let selected = labels(select)?;
    let takes = |labels: &[Labels; 2], object: &Value| labels[0].takes(object, "labels") && labels[1].takes(object, "annotations");
    let (mut bytes, bytes_max) = (0, set.bytes_max);
    for resource in &mut set.resources {
        let is_rejected = rejected.iter().any(|(exact, by_labels, has_none)| {
            (!exact.is_empty() && exact.selects_any(resource)) || (!has_none && takes(by_labels, &resource.object))
        });
        if is_rejected || !takes(&selected, &resource.object) || !Exact::of(select).selects_any(resource) {
            continue;
        }
        let id = resource.id();
        for path in paths {
            let parts = split_dotted(path);
            let options = target.options.clone().unwrap_or_default();
            let setter = Setter { value, options, has_open_types: resource.has_open_types };
            let count = setter.walk(&mut resource.object, &parts).map_err(|what| format!("{id}: fieldPaths {path}: {what}"))?;
            resource.has_open_types |= setter.options.create;
            let is_text = plain(value).is_none_or(|text| untyped(text).is_string());
            resource.has_open_numbers |= setter.options.create && !is_text;
            bytes += count * set::weight(value);
            if bytes > bytes_max {
                return Err(format!("what is replaced exceeds {bytes_max} bytes"));
            }
            if count == 0 {
                return Err(format!("{id} has no field {path}; options.create makes it"));
            }
        }
    }
    Ok(())
}

fn labels(selector: &Selector) -> Result<[Labels; 2], String> {
    Ok([Labels::new("labelSelector", &selector.label_selector)?, Labels::new("annotationSelector", &selector.annotation_selector)?])
}

struct Setter<'a> {
    value: &'a Value,
    options: FieldOptions,
    has_open_types: bool,
}

impl Setter<'_> {
    /// Sets all fields at a path and returns how many there are.
    fn walk(&self, at: &mut Value, path: &[String]) -> Result<usize, String> {
        let Some((part, rest)) = path.split_first() else { return self.set(at).map(|()| 1) };
        if let Ok(index) = part.parse::<usize>() {
            let Value::Array(items) = at else { return Err(format!("{part} is an index, but there is no list")) };
            if items.len() == index && self.options.create {
                items.push(self.made(rest));
            }
            let count = items.len();
            let item = items.get_mut(index).ok_or_else(|| format!("there is no element {index} of {count}"))?;
            return self.walk(item, rest);
        }
        if part.starts_with('[') && part.ends_with(']') {
            return self.elements(at, part, rest);
        }
        if part == "*" {
            let Value::Array(items) = at else { return Err("* is for the elements of a list".to_owned()) };
            return items.iter_mut().map(|item| self.walk(item, rest)).sum();
        }
        match at {
            Value::Object(fields) => {
                if self.options.create && fields.get(part).is_none() {
                    fields.insert(part.clone(), self.made(rest));
                }
                fields.get_mut(part).map_or(Ok(0), |field| self.walk(field, rest))
            }
            Value::Null => Ok(0),
            _ => Err(format!("there is no mapping that could have {part:?}")),
        }
    }

    /// Sets what is below the elements whose field matches a pattern.
    fn elements(&self, at: &mut Value, part: &str, rest: &[String]) -> Result<usize, String> {
        let (field, pattern) = element(part).ok_or_else(|| format!("{part} must be [field=value]"))?;
        let regex = Regex::new(pattern).map_err(|_| format!("{part}: {pattern:?} is not a regular expression"))?;
        let Value::Array(items) = at else { return Err(format!("{part} is for the elements of a list")) };
        let is_meant = |item: &Value| {
            let found = if field.is_empty() { plain(item) } else { item.get(field).and_then(plain) };
            found.is_some_and(|text| regex.is_match(&text))
        };
        let mut count = 0;
        for item in items.iter_mut().filter(|item| is_meant(item)) {
            // The elements of a list of plain values are themselves what is set.
            count += if field.is_empty() { self.walk(item, &[])? } else { self.walk(item, rest)? };
        }
        if count == 0 && self.options.create {
            let text = Value::String(pattern.to_owned());
            let mut item = if field.is_empty() { text } else { Value::Object(Map::from_iter([(field.to_owned(), text)])) };
            if !is_meant(&item) {
                return Err(format!("{part} is no element that could be made"));
            }
            count = if field.is_empty() { self.walk(&mut item, &[])? } else { self.walk(&mut item, rest)? };
            items.push(item);
        }
        Ok(count)
    }

    /// Returns what a missing field is made as.
    fn made(&self, rest: &[String]) -> Value {
        match rest.first() {
            Some(next) if next.starts_with('[') || next.parse::<usize>().is_ok() => Value::Array(Vec::new()),
            Some(_) => Value::Object(Map::new()),
            None => match self.value {
                Value::Object(_) => Value::Object(Map::new()),
                Value::Array(_) => Value::Array(Vec::new()),
                // What is made has no type of its own yet.
                _ => Value::Null,
            },
        }
    }

    /// Returns a text as a value of the type that was there, if that is sure.
    fn typed(&self, old: &Value, text: String) -> Result<Value, String> {
        let open = untyped(text.clone());
        let found = typed(old, text)?;
        if self.has_open_types && found != open {
            return Err(format!(
                "{open} takes the place of {old} in an object a field was made in, so that its type is open; not supported"
            ));
        }
        Ok(found)
    }

    fn set(&self, field: &mut Value) -> Result<(), String> {
        if self.options.delimiter.is_empty() {
            *field = match (&*field, plain(self.value)) {
                (Value::String(_) | Value::Number(_) | Value::Bool(_), None) => {
                    return Err("a mapping or list cannot take the place of a plain value".to_owned());
                }
                (Value::Object(_) | Value::Array(_), _) | (_, None) => self.value.clone(),
                (Value::Null, Some(text)) => {
                    if self.value.is_string() {
                        untyped(text)
                    } else {
                        self.value.clone()
                    }
                }
                (old, Some(text)) => self.typed(old, text)?,
            };
            return Ok(());
        }
        let old = plain(field).ok_or("options.delimiter: the field is no plain value")?;
        let text = plain(self.value).ok_or("options.delimiter: the value is no plain one")?;
        let mut parts: Vec<&str> = old.split(&self.options.delimiter).collect();
        match usize::try_from(self.options.index) {
            Err(_) => parts.insert(0, &text),
            Ok(index) if index >= parts.len() => parts.push(&text),
            Ok(index) => parts[index] = &text,
        }
        let joined = parts.join(&self.options.delimiter);
        *field = if field.is_null() { untyped(joined) } else { self.typed(field, joined)? };
        Ok(())
    }
}

/// Returns a text as a value of the type that was there.
fn typed(old: &Value, text: String) -> Result<Value, String> {
    let parsed = match old {
        Value::Number(_) => text.parse::<i64>().ok().map(Value::from).or_else(|| text.parse::<f64>().ok().map(Value::from)),
        Value::Bool(_) => text.parse::<bool>().ok().map(Value::Bool),
        _ => return Ok(Value::String(text)),
    };
    // The text may come from a Secret: it is not shown.
    let type_ = if old.is_number() { "number" } else { "true or false" };
    parsed.ok_or_else(|| format!("the source is no {type_}, which stands there"))
}

/// Returns a text as what YAML takes it for: a field that is made has no type of its own.
fn untyped(text: String) -> Value {
    match apimachinery::yaml::from_str_core(&text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text),
    }
}

fn with_type_of(old: &Value, text: String) -> Value {
    typed(old, text.clone()).unwrap_or(Value::String(text))
}

/// Returns the text of a plain value.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

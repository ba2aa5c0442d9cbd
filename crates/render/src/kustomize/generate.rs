//! ConfigMaps and Secrets made from files, literals and env files.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::labels;
use super::resource::{Behavior, Resource};
use super::spec::{Generator, GeneratorOptions};

/// What is generated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    ConfigMap,
    Secret,
}

/// Makes an object; `load` returns the content of a file of the kustomization.
pub(crate) fn make(
    made: Made,
    generator: &Generator,
    global: &GeneratorOptions,
    load: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<Resource, String> {
    if generator.name.is_empty() {
        return Err("name is missing".to_owned());
    }
    let behavior = match generator.behavior.as_str() {
        "replace" => Behavior::Replace,
        "merge" => Behavior::Merge,
        // Upstream takes any other word for create.
        _ => Behavior::Create,
    };
    let options = with_global(&generator.options, global);
    let pairs = pairs(generator, load)?;
    let mut metadata = json!({"name": generator.name});
    for (field, text) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        labels::check_keys(text).map_err(|what| format!("options.{field}: {what}"))?;
        if !text.is_empty() {
            metadata[field] = json!(text);
        }
    }
    if !generator.namespace.is_empty() {
        metadata["namespace"] = json!(generator.namespace);
    }
    let mut object = match made {
        Made::ConfigMap => config_map(pairs),
        Made::Secret => secret(pairs, &generator.r#type),
    };
    object.insert("metadata".to_owned(), metadata);
    if options.immutable {
        object.insert("immutable".to_owned(), Value::Bool(true));
    }
    let mut resource = Resource::new(Value::Object(object), "", 0);
    resource.behavior = behavior;
    resource.needs_hash = !options.disable_name_suffix_hash;
    Ok(resource)
}

fn config_map(pairs: BTreeMap<String, Vec<u8>>) -> Map<String, Value> {
    let (mut data, mut binary) = (Map::new(), Map::new());
    for (key, content) in pairs {
        match String::from_utf8(content) {
            Ok(text) => data.insert(key, Value::String(text)),
            Err(error) => binary.insert(key, Value::String(base64(error.as_bytes()))),
        };
    }
    let mut object = Map::from_iter([("apiVersion".to_owned(), json!("v1")), ("kind".to_owned(), json!("ConfigMap"))]);
    for (field, map) in [("data", data), ("binaryData", binary)] {
        if !map.is_empty() {
            object.insert(field.to_owned(), Value::Object(map));
        }
    }
    object
}

fn secret(pairs: BTreeMap<String, Vec<u8>>, type_name: &str) -> Map<String, Value> {
    let data: Map<String, Value> = pairs.into_iter().map(|(key, content)| (key, Value::String(base64(&content)))).collect();
    let type_name = if type_name.is_empty() { "Opaque" } else { type_name };
    Map::from_iter([
        ("apiVersion".to_owned(), json!("v1")),
        ("kind".to_owned(), json!("Secret")),
        ("type".to_owned(), json!(type_name)),
        ("data".to_owned(), Value::Object(data)),
    ])
}

/// Returns base64 in lines of 70 characters, as upstream: the hash is of this text.
fn base64(content: &[u8]) -> String {
    let text = STANDARD.encode(content);
    if text.len() < 70 {
        return text;
    }
    let mut lines = String::with_capacity(text.len() + text.len() / 70 + 1);
    for (at, character) in text.chars().enumerate() {
        lines.push(character);
        if at % 70 == 69 || at + 1 == text.len() {
            lines.push('\n');
        }
    }
    lines
}

/// An entry's own options win, but what all are told to be cannot be taken back.
fn with_global(own: &GeneratorOptions, global: &GeneratorOptions) -> GeneratorOptions {
    let mut options = global.clone();
    options.labels.extend(own.labels.clone());
    options.annotations.extend(own.annotations.clone());
    options.disable_name_suffix_hash |= own.disable_name_suffix_hash;
    options.immutable |= own.immutable;
    options
}

fn pairs(generator: &Generator, load: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    let env = (!generator.env.is_empty()).then_some(("env", &generator.env));
    for (field, path) in generator.envs.iter().map(|path| ("envs", path)).chain(env) {
        let content = load(path).map_err(|what| format!("{field}: {what}"))?;
        found.extend(env_file(&content).map_err(|what| format!("{field}: {path}: {what}"))?);
    }
    for (index, literal) in generator.literals.iter().enumerate() {
        // The text itself may be a password: it is not shown.
        let (key, value) =
            literal.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| format!("literals[{index}] must be key=value"))?;
        found.push((key.to_owned(), unquoted(value).as_bytes().to_vec()));
    }
    for source in &generator.files {
        let (key, path) = file_source(source).map_err(|what| format!("files: {what}"))?;
        found.push((key, load(&path).map_err(|what| format!("files: {what}"))?));
    }
    let mut pairs = BTreeMap::new();
    for (key, content) in found {
        if pairs.insert(key.clone(), content).is_some() {
            return Err(format!("the key {key:?} is there twice"));
        }
    }
    Ok(pairs)
}

fn env_file(content: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if !key.is_empty() {
            found.push((key.to_owned(), value.as_bytes().to_vec()));
        }
    }
    Ok(found)
}

/// A file, or `key=file`.
fn file_source(source: &str) -> Result<(String, String), String> {
    match source.split('=').collect::<Vec<_>>().as_slice() {
        [path] => Ok((path.rsplit('/').next().unwrap_or(path).to_owned(), (*path).to_owned())),
        [key, path] if !key.is_empty() && !path.is_empty() => Ok(((*key).to_owned(), (*path).to_owned())),
        _ => Err(format!("{source:?} must be a path or key=path")),
    }
}

fn unquoted(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

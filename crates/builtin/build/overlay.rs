//! Reads `schema/*.yaml`: facts about fields that k8s-openapi does not carry.
//!
//! The files use a small part of YAML, so that reading them needs no library here: a package, below it
//! definitions, below them fields, two spaces a level, one plain scalar a field. The scalar is the
//! protobuf number and words:
//! - `list=map keys=containerPort,protocol`, `list=set`, `list=atomic`, `map=atomic`: server-side apply;
//! - `merge=containerPort`, `patch=merge`, `patch=retainKeys`: strategic merge patch;
//! - `default={}`: OpenAPI's default, JSON without spaces; `{}` also says that Go always writes the field;
//! - `pointer`: the zero of a scalar is a value, in protobuf too;
//! - `required`, `optional`: corrects k8s-openapi;
//! - `map-of=<definition>`: adds a field that k8s-openapi does not have, of an earlier Kubernetes.
//!
//! The field `.` speaks about the definition itself. An entry for a field that does not exist fails the
//! build; a list of objects without an entry fails a test.

use std::collections::BTreeMap;
use std::path::Path;

use crate::model::Facts;

/// Facts by definition and field.
pub type Overlays = BTreeMap<String, BTreeMap<String, Facts>>;

pub fn read(folder: &Path) -> Overlays {
    let mut overlays = Overlays::new();
    let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for file in files {
        let path = file.expect("a readable folder").path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            read_file(&text, &path, &mut overlays);
        }
    }
    overlays
}

fn read_file(text: &str, path: &Path, overlays: &mut Overlays) {
    let (mut package, mut definition) = (String::new(), String::new());
    for (index, line) in text.lines().enumerate() {
        let place = || format!("{}:{}", path.display(), index + 1);
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let (key, value) = content.split_once(':').unwrap_or_else(|| panic!("{}: no colon", place()));
        let key = key.trim_matches('"');
        match line.len() - content.len() {
            0 => package = key.to_owned(),
            2 => {
                definition = format!("{package}.{key}");
                let before = overlays.insert(definition.clone(), BTreeMap::new());
                assert!(before.is_none(), "{}: {definition} is there twice", place());
            }
            4 => {
                let facts = parse(value.trim()).unwrap_or_else(|why| panic!("{}: {why}", place()));
                let fields = overlays.get_mut(&definition).unwrap_or_else(|| panic!("{}: field without definition", place()));
                fields.insert(key.to_owned(), facts);
            }
            other => panic!("{}: indented by {other}", place()),
        }
    }
}

fn parse(text: &str) -> Result<Facts, String> {
    let mut facts = Facts::default();
    for word in text.split_whitespace() {
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            facts.numbers = word.split('.').map(|n| n.parse().map_err(|_| format!("{word} is not a number"))).collect::<Result<_, _>>()?;
            continue;
        }
        if word == "pointer" {
            facts.pointer = true;
            continue;
        }
        if word == "required" || word == "optional" {
            facts.required = Some(word == "required");
            continue;
        }
        let (name, value) = word.split_once('=').ok_or_else(|| format!("{word} is neither number nor name=value nor a known word"))?;
        match name {
            "list" => facts.list = value.to_owned(),
            "keys" => facts.keys = value.split(',').map(str::to_owned).collect(),
            "map" => facts.map = value.to_owned(),
            "merge" => facts.merge_key = value.to_owned(),
            "patch" => facts.patch = value.to_owned(),
            "map-of" => facts.map_of = value.to_owned(),
            "default" => facts.default = Some(serde_json::from_str(value).map_err(|e| format!("{word}: {e}"))?),
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(facts)
}

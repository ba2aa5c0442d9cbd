//! YAML of real objects.

use std::fs;

use apimachinery::yaml::{DuplicateKeys, from_str, from_str_many, to_string};
use serde_json::Value;

use crate::{files, testdata};

#[test]
fn every_built_in_object_reads_as_its_json() {
    let Some(folder) = testdata("api-roundtrip") else { return };
    let mut compared = 0;
    for path in files(&folder, "yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let json: Value = serde_json::from_str(&fs::read_to_string(path.with_extension("json")).unwrap()).unwrap();
        let value = from_str(&text, DuplicateKeys::Refuse).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(value, json, "{}", path.display());
        assert_eq!(from_str(&to_string(&json), DuplicateKeys::Refuse).unwrap(), json, "{}", path.display());
        compared += 1;
    }
    assert!(compared > 100, "{compared} files");
}

#[test]
fn manifests_of_real_projects_survive_writing() {
    let Some(folder) = testdata("kustomize") else { return };
    let (mut read, mut refused) = (0, Vec::new());
    for path in files(&folder, "yaml") {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        match from_str_many(&text, DuplicateKeys::LastWins) {
            Ok(values) => {
                for value in values {
                    assert_eq!(from_str(&to_string(&value), DuplicateKeys::Refuse).unwrap(), value, "{}", path.display());
                }
                read += 1;
            }
            // Templates are no YAML.
            Err(error) if !text.contains("{{") => refused.push(format!("{}: {error}", path.display())),
            Err(_) => {}
        }
    }
    assert!(read > 500, "{read} files");
    assert!(refused.is_empty(), "{refused:#?}");
}

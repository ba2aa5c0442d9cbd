//! Objects of every served kind with every field set: shape, protobuf and back.

use std::path::Path;
use std::sync::Arc;

use apimachinery::gvk::split_api_version;
use apimachinery::schema::{Schema, Type};
use builtin::protobuf::{decode, encode};
use builtin::{resources, schema_of};
use serde_json::Value;

use crate::support::testdata;

struct Case {
    name: String,
    json: Value,
    protobuf: Vec<u8>,
    schema: Arc<Schema>,
}

fn cases() -> Vec<Case> {
    let Some(folder) = testdata("api-roundtrip") else { return Vec::new() };
    let mut cases = Vec::new();
    for file in std::fs::read_dir(folder).expect("readable") {
        let path = file.expect("readable").path();
        if path.extension().is_some_and(|e| e == "json") {
            cases.extend(case(&path));
        }
    }
    assert!(cases.len() >= resources().len(), "only {} cases", cases.len());
    cases
}

fn case(path: &Path) -> Option<Case> {
    let json: Value = serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON");
    let (group, version) = split_api_version(json["apiVersion"].as_str()?);
    let kind = json["kind"].as_str()?;
    // The DeleteOptions of a group are those of all.
    let schema = schema_of(group, version, kind)?.clone();
    let protobuf = std::fs::read(path.with_extension("pb")).expect("readable");
    Some(Case { name: format!("{group}/{version} {kind}"), json, protobuf, schema })
}

#[test]
fn no_field_is_unknown_and_every_type_fits() {
    for case in cases() {
        fits(&case.json, &case.schema, &case.name);
    }
}

fn fits(value: &Value, schema: &Schema, place: &str) {
    // Go writes an unset time in a map as null.
    if value.is_null() {
        return;
    }
    let fine = match schema.ty {
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Integer => value.is_i64(),
        Type::Number => value.is_number(),
        Type::Boolean => value.is_boolean(),
        Type::Any => schema.preserve_unknown || (schema.int_or_string && (value.is_i64() || value.is_string())),
    };
    assert!(fine, "{place}: {value} is not {:?}", schema.ty);
    if schema.preserve_unknown {
        return;
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        let field = schema.field(key).unwrap_or_else(|| panic!("{place}.{key} is unknown"));
        fits(value, field, &format!("{place}.{key}"));
    }
    for required in &schema.required {
        assert!(value.get(&**required).is_some(), "{place} lacks {required}");
    }
    for item in value.as_array().into_iter().flatten() {
        fits(item, schema.items.as_ref().expect("an array has items"), &format!("{place}[]"));
    }
}

#[test]
fn protobuf_decodes_to_the_same_object() {
    for case in cases() {
        let decoded = decode(&case.protobuf).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(difference(&decoded, &case.json, ""), None, "{}", case.name);
    }
}

#[test]
fn an_encoded_object_decodes_to_itself() {
    for case in cases() {
        let encoded = encode(&case.json).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let decoded = decode(&encoded).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(difference(&decoded, &case.json, ""), None, "{}", case.name);
    }
}

#[test]
fn encoding_gives_the_bytes_that_go_gives() {
    let mut same = 0;
    let cases = cases();
    for case in &cases {
        same += usize::from(encode(&case.json).expect("encodes") == case.protobuf);
    }
    // One has a null in a map, which Go writes as an empty message.
    assert!(same + 1 >= cases.len(), "{same} of {} are the same", cases.len());
}

#[test]
fn a_body_cut_anywhere_is_an_error_or_an_object_never_a_panic() {
    for case in cases() {
        for end in 0..case.protobuf.len() {
            let _ = decode(&case.protobuf[..end]);
        }
    }
}

/// Returns the first place where two values differ.
fn difference(ours: &Value, theirs: &Value, place: &str) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = Value::Null;
            keys.into_iter().find_map(|key| difference(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null), &format!("{place}.{key}")))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (a, b))| difference(a, b, &format!("{place}[{i}]")))
        }
        _ if ours == theirs => None,
        _ => Some(format!("{place}: {ours} != {theirs}")),
    }
}

//! Patches: the public RFC 6902 cases, and strategic merge by `patch/strategic.yaml`.

use apimachinery::patch;
use apimachinery::schema::parse;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::testdata;

#[derive(Deserialize)]
struct JsonCase {
    #[serde(default)]
    comment: String,
    #[serde(default)]
    disabled: bool,
    doc: Value,
    patch: Value,
    expected: Option<Value>,
    error: Option<String>,
}

#[test]
fn rfc_6902_cases_pass() {
    let Some(folder) = testdata("json-patch") else { return };
    for (file, run_min) in [("spec_tests.json", 16), ("tests.json", 90)] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let mut run = 0;
        for value in serde_json::from_str::<Vec<Value>>(&text).unwrap() {
            let Ok(case) = serde_json::from_value::<JsonCase>(value.clone()) else { continue };
            if case.disabled {
                continue;
            }
            run += 1;
            let result = patch::json(&case.doc, &case.patch);
            match (case.expected, case.error) {
                (Some(expected), _) => assert_eq!(result.as_ref(), Ok(&expected), "{file}: {value}"),
                (None, Some(_)) => assert!(result.is_err(), "{file}: {} should fail: {value}, got {result:?}", case.comment),
                (None, None) => assert!(result.is_ok(), "{file}: {value}"),
            }
        }
        assert!(run >= run_min, "{file}: {run} cases");
    }
}

#[test]
fn merge_patch_deletes_with_null() {
    let merged = patch::merge(json!({"a": {"b": 1, "c": 2}, "l": [1, 2]}), &json!({"a": {"b": null, "d": {"x": null, "y": 1}}, "l": [3]}));
    assert_eq!(merged, json!({"a": {"c": 2, "d": {"y": 1}}, "l": [3]}));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    original: Value,
    patch: Value,
    expected: Option<Value>,
    error: Option<String>,
}

#[test]
fn strategic_merge_cases_pass() {
    let schema = parse(&json!({"type": "object", "properties": {
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "strategy": {"type": "object", "x-kubernetes-patch-strategy": "retainKeys", "properties": {"type": {"type": "string"}, "rolling": {"type": "object"}}},
        "list": {"type": "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name", "items": {"type": "object", "properties": {
            "name": {"type": "string"}, "value": {"type": "string"},
            "ports": {"type": "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "port", "items": {"type": "object"}}}}},
        "words": {"type": "array", "x-kubernetes-patch-strategy": "merge", "items": {"type": "string"}},
        "atomic": {"type": "array", "items": {"type": "object"}},
        "keyless": {"type": "array", "x-kubernetes-patch-strategy": "merge", "items": {"type": "object"}},
    }}))
    .unwrap();
    for case in serde_saphyr::from_str::<Vec<Case>>(include_str!("patch/strategic.yaml")).unwrap() {
        match (patch::strategic(&schema, case.original, &case.patch), case.expected, case.error) {
            (Ok(found), Some(expected), None) => assert_eq!(found, expected, "{}", case.name),
            (Err(status), None, Some(error)) => assert_eq!(status.message, error, "{}", case.name),
            (found, ..) => panic!("{}: {found:?}", case.name),
        }
    }
}

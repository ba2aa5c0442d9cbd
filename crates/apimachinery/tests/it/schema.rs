//! Validation, structural check and speed of schemas. Cases are in `schema/*.yaml`.

use std::time::Instant;

use apimachinery::schema::{Schema, default, parse, prune, structural, validate};
use apimachinery::yaml::{DuplicateKeys, from_str_many};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    schema: Value,
    #[serde(default)]
    value: Value,
    /// `field: message`, in order.
    #[serde(default)]
    causes: Vec<String>,
}

fn cases(text: &str) -> Vec<Case> {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn values_are_refused_in_upstreams_words() {
    for case in cases(include_str!("schema/validate.yaml")) {
        let schema = parse(&case.schema).unwrap();
        let found: Vec<String> = validate(&schema, &case.value, "").iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        assert_eq!(found, case.causes, "{}", case.name);
    }
}

#[test]
fn schemas_that_are_not_structural_are_refused() {
    for case in cases(include_str!("schema/structural.yaml")) {
        let found: Vec<String> = structural(&case.schema, "schema").iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        assert_eq!(found, case.causes, "{}", case.name);
    }
}

#[test]
fn whole_objects_know_their_metadata_also_when_embedded() {
    let meta = parse(&json!({"type": "object", "properties": {"name": {"type": "string"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}}}})).unwrap();
    let schema = parse(&json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}},
        "items": {"type": "array", "items": {"type": "object", "x-kubernetes-embedded-resource": true}},
    }}))
    .unwrap()
    .with_object_meta(&meta.into());
    let mut object = json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "long", "x": 1},
        "items": [{"apiVersion": "v1", "kind": "K", "metadata": {"labels": {"a": 1}, "y": 1}, "spec": {}}]});
    assert_eq!(prune(&schema, &mut object), ["items[0].metadata.y", "items[0].spec", "metadata.x"]);
    let fields: Vec<String> = validate(&schema, &object, "").into_iter().map(|c| c.field).collect();
    assert_eq!(fields, ["items[0].metadata.labels.a", "metadata.name"]);
}

/// The budget of a create: a few microseconds in release; the bound here is generous because tests share cores.
#[test]
fn a_config_map_is_checked_in_microseconds() {
    let meta = json!({"type": "object", "properties": {
        "name": {"type": "string"}, "namespace": {"type": "string"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}}}});
    let schema: Schema = parse(&json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": meta, "immutable": {"type": "boolean"},
        "data": {"type": "object", "additionalProperties": {"type": "string"}}, "binaryData": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}}}}))
    .unwrap();
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b", "labels": {"app": "x"}}});
    for index in 0..10 {
        object["data"][format!("key-{index}")] = json!("x".repeat(100));
    }
    let rounds = 2_000;
    let started = Instant::now();
    for _ in 0..rounds {
        assert!(prune(&schema, &mut object).is_empty());
        default(&schema, &mut object);
        assert!(validate(&schema, &object, "").is_empty());
    }
    let each = started.elapsed() / rounds;
    println!("validate, prune and default of a 1 KB ConfigMap: {each:?}");
    assert!(each.as_micros() < 200, "{each:?}");
}

#[test]
fn schemas_of_real_crds_are_structural() {
    let Some(folder) = crate::testdata("kustomize") else { return };
    let mut checked = 0;
    for path in crate::files(&folder, "yaml") {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if !text.contains("kind: CustomResourceDefinition") {
            continue;
        }
        for object in from_str_many(&text, DuplicateKeys::LastWins).unwrap_or_default() {
            if object["kind"] != "CustomResourceDefinition" || object["apiVersion"] != "apiextensions.k8s.io/v1" {
                continue;
            }
            for version in object["spec"]["versions"].as_array().into_iter().flatten() {
                let openapi = &version["schema"]["openAPIV3Schema"];
                if openapi.is_object() {
                    assert_eq!(structural(openapi, "schema"), [], "{} {}", path.display(), version["name"]);
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 15, "{checked} schemas");
}

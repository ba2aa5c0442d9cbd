//! Protobuf bodies beyond round trips: zeros, limits, bad input.

use builtin::protobuf::{DEPTH_MAX, Error, VALUES_MAX, decode, encode};
use serde_json::{Value, json};

/// Returns a body with the raw message given.
fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &meta), field(2, raw)].concat()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    [out, bytes.to_vec()].concat()
}

#[test]
fn zero_replicas_are_kept_and_plain_zeros_are_dropped() {
    // Spec (2) with replicas (1) and minReadySeconds (5), both 0.
    let spec = [1 << 3, 0, 5 << 3, 0];
    let deployment = decode(&body("apps/v1", "Deployment", &field(2, &spec))).expect("decodes");
    assert_eq!(deployment["spec"], json!({"replicas": 0}));
}

#[test]
fn delete_options_are_known_in_every_group() {
    for api_version in ["v1", "meta.k8s.io/v1", "apps/v1", "example.org/v3"] {
        let options = decode(&body(api_version, "DeleteOptions", &[1 << 3, 0])).expect("decodes");
        assert_eq!(options["gracePeriodSeconds"], 0, "{api_version}");
    }
}

#[test]
fn json_bodies_are_told_from_protobuf() {
    assert_eq!(decode(br#"{"kind":"Pod"}"#), Err(Error::NotProtobuf));
}

#[test]
fn an_unknown_kind_is_named_with_a_remedy() {
    let error = decode(&body("example.org/v1", "Widget", &[])).expect_err("unknown").to_string();
    assert!(error.contains("Widget") && error.contains("example.org/v1") && error.contains("application/json"), "{error}");
}

#[test]
fn malformed_fields_are_named() {
    // ConfigMap.metadata.name is not UTF-8.
    let error = decode(&body("v1", "ConfigMap", &field(1, &field(1, &[0xff])))).expect_err("malformed").to_string();
    assert_eq!(error, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta.name: the text is not UTF-8");
    // ConfigMap.immutable is a string.
    let error = decode(&body("v1", "ConfigMap", &field(4, b"x"))).expect_err("malformed").to_string();
    assert_eq!(error, "io.k8s.api.core.v1.ConfigMap.immutable: the wire type is not that of the field");
}

#[test]
fn schemas_inside_schemas_end_at_the_limit() {
    let mut not = json!({"type": "string"});
    for _ in 0..DEPTH_MAX {
        not = json!({"not": not});
    }
    let versions = json!([{"name": "v1", "schema": {"openAPIV3Schema": not}}]);
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {"versions": versions}});
    assert_eq!(encode(&crd), Err(Error::TooDeep));
    let mut schema = Vec::new();
    for _ in 0..DEPTH_MAX {
        // JSONSchemaProps.not (28)
        let not = field(1, &schema);
        schema = [&[0xe2, 0x01], &not[1..]].concat();
    }
    let raw = field(2, &field(7, &[field(1, b"v1"), field(4, &field(1, &schema))].concat()));
    assert_eq!(decode(&body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &raw)), Err(Error::TooDeep));
}

#[test]
fn many_small_values_end_at_the_limit() {
    // Endpoints.subsets (2), each an empty message of two bytes.
    let raw: Vec<u8> = [2 << 3 | 2, 0].repeat(VALUES_MAX + 1);
    assert_eq!(decode(&body("v1", "Endpoints", &raw)), Err(Error::TooMany));
}

#[test]
fn a_field_without_a_number_is_refused_not_dropped() {
    let error = encode(&json!({"apiVersion": "v1", "kind": "ConfigMap", "dta": {}})).expect_err("refused").to_string();
    assert_eq!(error, "io.k8s.api.core.v1.ConfigMap.dta: the field has no protobuf number");
}

#[test]
fn wrong_types_are_named() {
    let error = encode(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}})).expect_err("refused").to_string();
    assert_eq!(error, "io.k8s.api.core.v1.ConfigMap.data: 1 is not a string");
}

#[test]
fn lists_are_encoded_with_their_items() {
    let list: Value = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"},
        "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}]});
    let back = decode(&encode(&list).expect("encodes")).expect("decodes");
    assert_eq!(back["items"][0]["data"]["k"], "v");
    assert_eq!(back["metadata"]["resourceVersion"], "7");
}

#[test]
fn a_crd_keeps_the_forms_that_json_schemas_take() {
    let schema = json!({
        "type": "object",
        "$ref": "#/x",
        "default": {"a": [1, null, 1.5]},
        "enum": ["a", 1],
        "maximum": 1.5,
        "maxItems": 0,
        "properties": {
            "list": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-map-keys": ["a"], "x-kubernetes-list-type": "map"},
            "tuple": {"items": [{"type": "string"}, {"type": "integer"}]},
            "map": {"additionalProperties": {"x-kubernetes-int-or-string": true}},
            "plain": {"default": false},
            "closed": {"additionalProperties": false},
            "open": {"additionalProperties": true},
        },
        "dependencies": {"a": ["b"], "c": {"type": "string"}},
        "required": ["list"],
        "x-kubernetes-validations": [{"rule": "self.a == 1", "message": "no"}],
    });
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "a.example.org", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"group": "example.org", "scope": "Namespaced", "names": {"plural": "a", "kind": "A"},
            "versions": [{"name": "v1", "served": false, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".a", "statusReplicasPath": ".b"}}}]}});
    assert_eq!(decode(&encode(&crd).expect("encodes")).expect("decodes"), crd);
}

#[test]
fn an_api_service_and_times_before_1970_survive() {
    let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.example.org", "creationTimestamp": "1969-12-31T23:59:58Z"},
        "spec": {"caBundle": "AAEC", "service": {"name": "a", "port": 443}, "groupPriorityMinimum": 10, "versionPriority": -1}});
    assert_eq!(decode(&encode(&service).expect("encodes")).expect("decodes"), service);
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"},
        "spec": {"renewTime": "1969-12-31T23:59:58.250000Z", "leaseTransitions": 0}});
    assert_eq!(decode(&encode(&lease).expect("encodes")).expect("decodes"), lease);
}

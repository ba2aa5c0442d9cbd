use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use serde_json::Value;

fn crd(name: &str) -> CustomResourceDefinition {
    api::crds().into_iter().find(|c| c.metadata.name.as_deref() == Some(name)).unwrap_or_else(|| panic!("no {name}"))
}

/// Returns the schema at a dotted path; `[]` steps into items, `{}` into values.
fn at(name: &str, path: &str) -> Value {
    let crd = crd(name);
    let schema: &JSONSchemaProps = crd.spec.versions[0].schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()).expect("a schema");
    let mut node = serde_json::to_value(schema).expect("plain data");
    for step in path.split('.') {
        node = match step {
            "[]" => node["items"].take(),
            "{}" => node["additionalProperties"].take(),
            name => node["properties"][name].take(),
        };
    }
    node
}

const CLUSTERS: &str = "managedclusters.cluster.open-cluster-management.io";
const WORKS: &str = "manifestworks.work.open-cluster-management.io";
const PLACEMENTS: &str = "placements.cluster.open-cluster-management.io";
const APPLICATIONS: &str = "applications.argoproj.io";

#[test]
fn every_definition_is_structural() {
    for crd in api::crds() {
        for version in &crd.spec.versions {
            let schema = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()).expect("a schema");
            let text = serde_json::to_string(schema).expect("plain data");
            for forbidden in ["\"$ref\"", "\"oneOf\"", "\"definitions\"", "\"format\":\"uint", "\"default\":null"] {
                assert!(!text.contains(forbidden), "{} contains {forbidden}", crd.metadata.name.as_deref().unwrap_or_default());
            }
            assert_eq!(schema.type_.as_deref(), Some("object"));
        }
    }
}

#[test]
fn defaults_and_list_keys_are_upstreams() {
    assert_eq!(at(CLUSTERS, "spec.leaseDurationSeconds")["default"], 60);
    assert_eq!(at(CLUSTERS, "spec")["default"], serde_json::json!({}));
    assert_eq!(at(CLUSTERS, "spec.taints.[].effect")["enum"], serde_json::json!(["NoSelect", "PreferNoSelect", "NoSelectIfNew"]));
    assert_eq!(at(CLUSTERS, "status.conditions")["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
    assert_eq!(at(CLUSTERS, "status.capacity.{}")["x-kubernetes-int-or-string"], true);
    assert_eq!(at(CLUSTERS, "spec.taints")["default"], Value::Null);
    assert_eq!(at(WORKS, "spec.workload.manifests.[]")["x-kubernetes-embedded-resource"], true);
    assert_eq!(at(WORKS, "spec.deleteOption.propagationPolicy")["default"], "Foreground");
    assert_eq!(at(WORKS, "spec.manifestConfigs.[].updateStrategy.type")["default"], "Update");
    assert_eq!(at(PLACEMENTS, "spec.prioritizerPolicy.configurations.[].weight")["default"], 1);
    assert_eq!(at(PLACEMENTS, "spec.decisionStrategy.groupStrategy.clustersPerDecisionGroup")["default"], "100%");
    assert_eq!(at(APPLICATIONS, "spec.source.helm")["x-kubernetes-preserve-unknown-fields"], true);
}

#[test]
fn an_application_has_no_status_subresource() {
    assert!(crd(APPLICATIONS).spec.versions[0].subresources.is_none());
    assert!(crd("appprojects.argoproj.io").spec.versions[0].subresources.is_none());
    assert!(crd("applicationsets.argoproj.io").spec.versions[0].subresources.is_some());
    assert!(crd(CLUSTERS).spec.versions[0].subresources.is_some());
}

#[test]
fn a_decision_has_a_status_and_no_spec() {
    let decisions = crd("placementdecisions.cluster.open-cluster-management.io");
    let schema = serde_json::to_value(&decisions.spec.versions[0].schema).expect("plain data");
    let properties = schema["openAPIV3Schema"]["properties"].as_object().expect("properties");
    assert!(properties.contains_key("status") && !properties.contains_key("spec"));
}

#[test]
fn every_definition_has_its_short_names() {
    let mut rows = String::new();
    for crd in api::crds() {
        let short = crd.spec.names.short_names.unwrap_or_default().join(",");
        let versions: Vec<&str> = crd.spec.versions.iter().map(|v| v.name.as_str()).collect();
        rows += &format!("{} {} {} {short}\n", crd.spec.names.plural, versions.join(","), crd.spec.scope);
    }
    assert_eq!(
        rows,
        "managedclusters v1 Cluster mcl,mcls\n\
         managedclustersets v1beta2 Cluster mclset,mclsets\n\
         managedclustersetbindings v1beta2 Namespaced mclsetbinding,mclsetbindings\n\
         placements v1beta1 Namespaced \n\
         placementdecisions v1beta1 Namespaced \n\
         addonplacementscores v1alpha1 Namespaced \n\
         manifestworks v1 Namespaced \n\
         manifestworkreplicasets v1alpha1 Namespaced mwrs\n\
         managedclusteraddons v1alpha1,v1beta1 Namespaced mca,mcas\n\
         clustermanagementaddons v1alpha1,v1beta1 Cluster cma,cmas\n\
         applications v1alpha1 Namespaced app,apps\n\
         appprojects v1alpha1 Namespaced appproj,appprojs\n\
         applicationsets v1alpha1 Namespaced appset,appsets\n\
         clusterclaims v1alpha1 Cluster \n\
         appliedmanifestworks v1 Cluster \n"
    );
}

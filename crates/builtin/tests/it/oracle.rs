//! Generated definitions against the OpenAPI documents of a real API server (1.36).
//!
//! The types are those of 1.37; what that version changed is listed here with the reason, and a list
//! entry that no longer differs fails.

use std::collections::{BTreeMap, BTreeSet};

use builtin::openapi::{Form, openapi_closure};
use builtin::{openapi_definitions, resources};
use serde_json::{Map, Value};

use crate::support::testdata;

/// Definitions and fields that 1.37 added.
const NEW: &[&str] = &[
    "io.k8s.api.authentication.v1.TokenRequestSpec.attestations",
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerCondition.observedGeneration",
    "io.k8s.api.batch.v1.JobSchedulingConfiguration",
    "io.k8s.api.batch.v1.JobSpec.scheduling",
    "io.k8s.api.core.v1.ClusterTrustBundleProjection.user",
    "io.k8s.api.core.v1.ConfigMapVolumeSource.defaultUser",
    "io.k8s.api.core.v1.DownwardAPIVolumeFile.user",
    "io.k8s.api.core.v1.DownwardAPIVolumeSource.defaultUser",
    "io.k8s.api.core.v1.EmptyDirVolumeSource.mode",
    "io.k8s.api.core.v1.EvictionResponder",
    "io.k8s.api.core.v1.GRPCAction.mode",
    "io.k8s.api.core.v1.HTTPGetAction.protocol",
    "io.k8s.api.core.v1.KeyToPath.user",
    "io.k8s.api.core.v1.NodeAllocatableMappedResources",
    "io.k8s.api.core.v1.NodeAllocatableOverheadResources",
    "io.k8s.api.core.v1.NodeAllocatableResourceClaimStatus.mapping",
    "io.k8s.api.core.v1.NodeAllocatableResourceClaimStatus.overhead",
    "io.k8s.api.core.v1.NodePodPreemptionPolicy",
    "io.k8s.api.core.v1.NodeSpec.podPreemptionPolicy",
    "io.k8s.api.core.v1.NodeSystemInfo.runningInUserNamespace",
    "io.k8s.api.core.v1.PersistentVolumeClaimStatus.healthStatus",
    "io.k8s.api.core.v1.PodCertificateProjection.user",
    "io.k8s.api.core.v1.PodSpec.evictionResponders",
    "io.k8s.api.core.v1.PodStatus.volumeHealth",
    "io.k8s.api.core.v1.PodVolumeHealth",
    "io.k8s.api.core.v1.ProjectedVolumeSource.defaultUser",
    "io.k8s.api.core.v1.SecretVolumeSource.defaultUser",
    "io.k8s.api.core.v1.ServiceAccountTokenProjection.user",
    "io.k8s.api.core.v1.VolumeHealthCondition",
    "io.k8s.api.core.v1.VolumeHealthStatus",
    "io.k8s.api.core.v1.VolumeMount.bindMountOptions",
    "io.k8s.api.scheduling.v1alpha3.TopologyConstraint",
    "io.k8s.api.scheduling.v1alpha3.WorkloadPodGroupAllDisruptionMode",
    "io.k8s.api.scheduling.v1alpha3.WorkloadPodGroupBasicSchedulingPolicy",
    "io.k8s.api.scheduling.v1alpha3.WorkloadPodGroupDisruptionMode",
    "io.k8s.api.scheduling.v1alpha3.WorkloadPodGroupGangSchedulingPolicy",
    "io.k8s.api.scheduling.v1alpha3.WorkloadPodGroupResourceClaim",
    "io.k8s.api.scheduling.v1alpha3.WorkloadPodGroupSchedulingConstraints",
    "io.k8s.api.scheduling.v1alpha3.WorkloadPodGroupSchedulingPolicy",
    "io.k8s.api.scheduling.v1alpha3.WorkloadPodGroupSingleDisruptionMode",
    "io.k8s.api.storage.v1.CSINode.status",
    "io.k8s.api.storage.v1.CSINodeStatus",
    "io.k8s.api.storage.v1.StorageHealth",
    "io.k8s.api.storage.v1.StorageHealthCondition",
];

/// Other differences: place, and why it is right.
const DIFFERENT: &[(&str, &str)] =
    &[("io.k8s.api.core.v1.NodeAllocatableResourceClaimStatus", "1.37 replaced the required field resources; both are accepted")];

#[test]
fn definitions_agree_with_a_real_api_server() {
    let Some(oracle) = oracle() else { return };
    let ours = openapi_definitions();
    let mut found = BTreeMap::new();
    for (name, definition) in ours.as_object().expect("an object") {
        match oracle.get(name) {
            None => {
                found.insert(name.clone(), "not upstream".to_owned());
            }
            Some(theirs) => compare(name, definition, theirs, &mut found),
        }
    }
    let expected: BTreeSet<&str> = NEW.iter().copied().chain(DIFFERENT.iter().map(|(place, _)| *place)).collect();
    let unexpected: Vec<_> = found.iter().filter(|(place, _)| !expected.contains(place.as_str())).collect();
    assert!(unexpected.is_empty(), "{} differences: {unexpected:#?}", unexpected.len());
    let stale: Vec<_> = expected.iter().filter(|place| !found.contains_key(**place)).collect();
    assert!(stale.is_empty(), "no longer different: {stale:?}");
}

fn oracle() -> Option<Map<String, Value>> {
    let folder = testdata("openapi")?;
    let mut all = Map::new();
    for file in std::fs::read_dir(folder).expect("readable") {
        let path = file.expect("readable").path();
        if path.extension().is_some_and(|e| e == "json") {
            let mut document: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
            if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas").map(Value::take) {
                all.extend(schemas);
            }
        }
    }
    Some(all)
}

fn compare(name: &str, ours: &Value, theirs: &Value, found: &mut BTreeMap<String, String>) {
    let empty = Map::new();
    let fields = |schema: &Value| schema.get("properties").and_then(Value::as_object).cloned().unwrap_or(empty.clone());
    let (mine, other) = (fields(ours), fields(theirs));
    for (field, schema) in &mine {
        let place = format!("{name}.{field}");
        match other.get(field) {
            None => drop(found.insert(place, "not upstream".into())),
            Some(theirs) if bare(schema) != bare(theirs) => drop(found.insert(place, format!("{} != {}", bare(schema), bare(theirs)))),
            Some(_) => {}
        }
    }
    for field in other.keys().filter(|field| !mine.contains_key(*field)) {
        found.insert(format!("{name}.{field}"), "missing".into());
    }
    let whole = |schema: &Value| {
        let mut schema = bare(schema);
        if let Value::Object(map) = &mut schema {
            map.remove("properties");
            // One definition serves every group here; upstream lists the group of each document.
            if name.ends_with(".DeleteOptions") || name.ends_with(".WatchEvent") {
                map.remove("x-kubernetes-group-version-kind");
            }
        }
        schema
    };
    if whole(ours) != whole(theirs) {
        found.insert(name.to_owned(), format!("{} != {}", whole(ours), whole(theirs)));
    }
}

/// Returns a schema without what is for people or says nothing about merging.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| !["description", "x-kubernetes-unions"].contains(&key.as_str()));
            let kept: Map<String, Value> = kept.map(|(k, v)| (k.clone(), if k == "properties" { v.clone() } else { bare(v) })).collect();
            match (kept.len(), kept.get("allOf").and_then(|all| all.get(0))) {
                // A reference stands alone, or in allOf where there is a description beside it.
                (1, Some(alone)) => alone.clone(),
                _ => Value::Object(kept),
            }
        }
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let sorted: BTreeSet<&str> = items.iter().filter_map(Value::as_str).collect();
            sorted.into_iter().map(Value::from).collect()
        }
        Value::Array(items) => items.iter().map(bare).collect(),
        other => other.clone(),
    }
}

/// Subresources of a real API server that are not served.
const NOT_SERVED: &[&str] = &["attach", "ephemeralcontainers", "portforward", "proxy", "resize"];

/// Versions that a real API server of the oracle's age no longer serves.
const OF_OLD: &[(&str, &str)] = &[("authentication.k8s.io", "v1beta1")];

#[test]
fn rows_agree_with_the_paths_of_a_real_api_server() {
    let Some(folder) = testdata("openapi") else { return };
    for row in resources().iter().map(|r| r.row).filter(|row| !OF_OLD.contains(&(row.group, row.version))) {
        let (file, root) = match row.group {
            "" => ("api__v1_openapi.json".to_owned(), "/api/v1".to_owned()),
            group => (format!("apis__{group}__{}_openapi.json", row.version), format!("/apis/{group}/{}", row.version)),
        };
        let document: Value = serde_json::from_slice(&std::fs::read(folder.join(&file)).expect(&file)).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let scope = if row.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}{scope}/{}", row.resource);
        let item = format!("{collection}/{{name}}");
        let mut verbs = BTreeSet::new();
        for (path, action) in [(&collection, ["get", "list"]), (&item, ["delete", "get"])] {
            let Some(methods) = paths.get(path) else { continue };
            for method in ["delete", "get", "patch", "post", "put"].into_iter().filter(|m| methods.get(m).is_some()) {
                verbs.insert(match (method, *path == collection) {
                    ("delete", true) => "deletecollection",
                    ("get", true) => action[1],
                    ("post", _) => "create",
                    ("put", _) => "update",
                    (method, _) => method,
                });
            }
        }
        if verbs.contains("list") {
            verbs.insert("watch");
        }
        assert_eq!(row.verbs.iter().copied().collect::<BTreeSet<_>>(), verbs, "verbs of {collection}");
        let mut theirs: BTreeSet<&str> =
            paths.keys().filter_map(|path| path.strip_prefix(&item)?.strip_prefix('/')).filter(|sub| !sub.contains('/')).collect();
        theirs.retain(|sub| !NOT_SERVED.contains(sub));
        let mut ours: BTreeSet<&str> = row.subresources.iter().map(|sub| sub.name).collect();
        ours.extend(row.status_subresource.then_some("status"));
        ours.extend(row.scale.map(|_| "scale"));
        assert_eq!(ours, theirs, "subresources of {item}");
    }
}

#[test]
fn every_list_of_objects_says_how_it_merges() {
    let roots: Vec<&str> = resources().iter().map(|r| r.definition).collect();
    let mut silent = Vec::new();
    for (name, definition) in openapi_closure(roots, Form::V3) {
        for (field, schema) in definition.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let of_objects = schema.pointer("/items/$ref").is_some();
            if of_objects && schema.get("x-kubernetes-list-type").is_none() {
                silent.push(format!("{name}.{field}"));
            }
        }
    }
    assert!(silent.is_empty(), "write list= in schema/*.yaml for {silent:?}");
}

#[test]
fn version_two_points_to_definitions_and_has_no_all_of() {
    let text = serde_json::to_string(&openapi_closure(["io.k8s.api.apps.v1.Deployment"], Form::V2)).expect("plain data");
    assert!(text.contains("#/definitions/io.k8s.api.core.v1.PodSpec"));
    assert!(!text.contains("allOf") && !text.contains("oneOf") && !text.contains("#/components"));
}

#[test]
fn fields_of_workloads_are_described() {
    for (name, definition) in openapi_closure(["io.k8s.api.apps.v1.Deployment", "io.k8s.api.core.v1.Service"], Form::V3) {
        for (field, schema) in definition.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let added = field == "resources" && name.ends_with(".NodeAllocatableResourceClaimStatus");
            assert!(added || schema["description"].is_string(), "{name}.{field}");
        }
    }
}

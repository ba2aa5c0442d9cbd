//! The table of served kinds.

use std::collections::BTreeSet;

use apimachinery::schema::ListType;
use builtin::{COLUMN_FUNCTIONS, find, resources};

#[test]
fn every_row_has_a_schema_with_metadata() {
    for resource in resources() {
        assert!(resource.schema.properties.contains_key("metadata"), "{}", resource.definition);
        assert!(resource.schema.properties.contains_key("kind"), "{}", resource.definition);
    }
}

#[test]
fn rows_are_unique_and_named_consistently() {
    let mut seen = BTreeSet::new();
    for row in resources().iter().map(|r| r.row) {
        assert!(seen.insert((row.group, row.version, row.resource)), "{} twice", row.resource);
        assert_eq!(row.kind.to_lowercase(), row.singular);
        assert!(row.verbs.is_sorted(), "{}", row.kind);
        if !row.is_virtual {
            assert!(row.columns.iter().any(|c| c.format == "name"), "{} has no name column", row.kind);
        }
    }
}

#[test]
fn column_functions_are_listed_and_used() {
    let listed: BTreeSet<&str> = COLUMN_FUNCTIONS.iter().map(|(name, _)| *name).collect();
    let columns = resources().iter().flat_map(|r| r.row.columns);
    let used: BTreeSet<&str> = columns.filter_map(|c| c.path.strip_prefix("fn:")).collect();
    assert_eq!(listed, used);
}

#[test]
fn column_paths_and_status_lead_to_fields() {
    for resource in resources() {
        assert_eq!(resource.row.status_subresource, resource.row.status_subresource && resource.schema.field("status").is_some());
        for column in resource.row.columns.iter().filter(|c| c.path.starts_with('.')) {
            let mut schema = &resource.schema;
            for step in column.path[1..].split('.') {
                schema = schema.field(step).unwrap_or_else(|| panic!("{} column {}: no {step}", resource.row.kind, column.path));
            }
        }
    }
}

#[test]
fn object_meta_merges_as_upstream() {
    let meta = find("", "v1", "ConfigMap").expect("served").schema.field("metadata").expect("known").clone();
    let owners = meta.field("ownerReferences").expect("known");
    assert_eq!((owners.list_type, owners.patch_merge_key.as_deref()), (ListType::Map, Some("uid")));
    let finalizers = meta.field("finalizers").expect("known");
    assert_eq!((finalizers.list_type, finalizers.patch_strategy.merge), (ListType::Set, true));
    assert_eq!(meta.field("managedFields").expect("known").list_type, ListType::Atomic);
}

#[test]
fn container_ports_are_keyed_by_port_and_protocol_with_its_default() {
    let pod = &find("", "v1", "Pod").expect("served").schema;
    let containers = pod.field("spec").and_then(|s| s.field("containers")).expect("known");
    let ports = containers.items.as_ref().and_then(|c| c.field("ports")).expect("known");
    assert_eq!(ports.list_map_keys, ["containerPort".into(), "protocol".into()]);
    let protocol = ports.items.as_ref().and_then(|p| p.field("protocol")).expect("known");
    assert_eq!(protocol.default, Some("TCP".into()));
}

#[test]
fn a_schema_inside_itself_ends_in_any_value() {
    let crd = &find("apiextensions.k8s.io", "v1", "CustomResourceDefinition").expect("served").schema;
    let versions = crd.field("spec").and_then(|s| s.field("versions")).expect("known");
    let schema = versions.items.as_ref().and_then(|v| v.field("schema")).and_then(|s| s.field("openAPIV3Schema")).expect("known");
    let inner = schema.field("not").expect("known");
    assert!(inner.preserve_unknown && inner.properties.is_empty());
}

#[test]
fn pod_specs_merge_as_upstream() {
    let deployment = find("apps", "v1", "Deployment").expect("served").schema.field("spec").expect("known").clone();
    assert!(deployment.field("selector").expect("known").atomic_map);
    let strategy = deployment.field("strategy").expect("known");
    assert!(strategy.patch_strategy.retain_keys && !strategy.properties.is_empty());
    let pod = deployment.field("template").and_then(|t| t.field("spec")).expect("known");
    for (field, list, keys, merge) in [
        ("containers", ListType::Map, &["name"][..], Some("name")),
        ("volumes", ListType::Map, &["name"], Some("name")),
        ("tolerations", ListType::Atomic, &[], None),
        ("imagePullSecrets", ListType::Map, &["name"], Some("name")),
        ("topologySpreadConstraints", ListType::Map, &["topologyKey", "whenUnsatisfiable"], Some("topologyKey")),
    ] {
        let schema = pod.field(field).expect("known");
        let found: Vec<&str> = schema.list_map_keys.iter().map(|key| &**key).collect();
        assert_eq!((schema.list_type, found.as_slice(), schema.patch_merge_key.as_deref()), (list, keys, merge), "{field}");
    }
    let volumes = pod.field("volumes").expect("known").patch_strategy;
    assert!(volumes.merge && volumes.retain_keys);
    assert!(pod.field("nodeSelector").expect("known").atomic_map);
    let resources = pod.field("containers").and_then(|c| c.items.clone()).and_then(|c| c.field("resources").cloned()).expect("known");
    assert!(!resources.field("limits").expect("known").atomic_map);
}

#[test]
fn equal_nodes_are_shared() {
    let of = |kind: &str| find("apps", "v1", kind).expect("served").schema.field("spec").and_then(|s| s.field("template")).cloned();
    let (a, b) = (of("Deployment").expect("known"), of("DaemonSet").expect("known"));
    assert!(std::sync::Arc::ptr_eq(&a, &b));
}

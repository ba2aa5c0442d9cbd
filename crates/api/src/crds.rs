//! The CustomResourceDefinitions of all kinds, for hubs and for spokes.
//!
//! Schemas come from the types; what types cannot say is put right here: absent specs, no defaults that
//! only mean "absent", and unknown fields kept where the field's kinds have more than we model.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::CustomResourceExt;
use kube::core::schema::StructuralSchemaRewriter;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{addon, argo, cluster, work};

/// Returns the definitions a hub serves.
pub fn hub_crds() -> Vec<CustomResourceDefinition> {
    vec![
        spec_may_be_absent(cluster::ManagedCluster::crd()),
        set_crd(),
        spec_may_be_absent(cluster::ManagedClusterSetBinding::crd()),
        plain(cluster::Placement::crd()),
        plain(cluster::PlacementDecision::crd()),
        plain(cluster::AddOnPlacementScore::crd()),
        spec_may_be_absent(work::ManifestWork::crd()),
        plain(work::ManifestWorkReplicaSet::crd()),
        addon_crd(addon::ManagedClusterAddOn::crd()),
        addon_crd(addon::ClusterManagementAddOn::crd()),
        application_crd(),
        project_crd(),
        keep_unknown(plain(argo::ApplicationSet::crd())),
    ]
}

/// Returns the definitions an agent needs on its cluster. They are made once for all who hold them at a time: a simulator starts
/// thousands of agents, an agent has no use for them after its start.
pub fn spoke_crds() -> Arc<Vec<CustomResourceDefinition>> {
    static HELD: Mutex<Weak<Vec<CustomResourceDefinition>>> = Mutex::new(Weak::new());
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(crds) = held.upgrade() {
        return crds;
    }
    let crds = Arc::new(vec![
        spec_may_be_absent(cluster::ClusterClaim::crd()),
        plain(work::AppliedManifestWork::crd()),
        application_crd(),
        project_crd(),
    ]);
    *held = Arc::downgrade(&crds);
    crds
}

/// Returns all definitions, each once.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut all = hub_crds();
    for crd in spoke_crds().iter() {
        if !all.iter().any(|seen| seen.metadata.name == crd.metadata.name) {
            all.push(crd.clone());
        }
    }
    all
}

fn set_crd() -> CustomResourceDefinition {
    edit_schema(spec_may_be_absent(cluster::ManagedClusterSet::crd()), |schema| {
        schema["properties"]["spec"]["default"] = json!({"clusterSelector": {"selectorType": "ExclusiveClusterSetLabel"}});
    })
}

fn project_crd() -> CustomResourceDefinition {
    let mut crd = keep_unknown(plain(argo::AppProject::crd()));
    for version in &mut crd.spec.versions {
        version.subresources = None;
    }
    crd
}

/// Serves v1beta1 from the same objects; the parts in which it differs are among the fields that are kept.
fn addon_crd(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut crd = keep_unknown(spec_may_be_absent(crd));
    let mut newer = crd.spec.versions[0].clone();
    newer.name = "v1beta1".to_owned();
    newer.storage = false;
    crd.spec.versions.push(newer);
    crd
}

fn application_crd() -> CustomResourceDefinition {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let generator = settings.with_transform(StructuralSchemaRewriter).into_generator();
    let schema = generator.into_root_schema_for::<argo::Application>().to_value();
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "applications.argoproj.io"},
        "spec": {
            "group": argo::GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "Application", "listKind": "ApplicationList", "plural": "applications", "singular": "application",
                "shortNames": ["app", "apps"],
            },
            "versions": [{
                "name": argo::VERSION, "served": true, "storage": true,
                "additionalPrinterColumns": [
                    {"name": "Sync Status", "type": "string", "jsonPath": ".status.sync.status"},
                    {"name": "Health Status", "type": "string", "jsonPath": ".status.health.status"},
                    {"name": "Revision", "type": "string", "jsonPath": ".status.sync.revision", "priority": 10},
                    {"name": "Project", "type": "string", "jsonPath": ".spec.project", "priority": 10},
                ],
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    });
    let crd = serde_json::from_value(crd).expect("the definition above is well formed");
    edit_schema(keep_unknown(plain(crd)), |schema| {
        schema["properties"]["metadata"] = json!({"type": "object"});
        schema["required"] = json!(["metadata", "spec"]);
    })
}

/// Says a schema as Kubernetes' own generator would: no defaults that say no more than absence does, no nulls.
fn plain(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    edit_schema(crd, |schema| {
        each_node(schema, &mut |node| {
            let is_empty = node.get("default").is_some_and(|default| match default {
                Value::Null | Value::Bool(false) => true,
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.values().all(|v| v.as_object().is_some_and(Map::is_empty)),
                Value::Bool(true) | Value::Number(_) => false,
            });
            if is_empty {
                node.remove("default");
            }
            // An absent optional field is absent, never null.
            node.remove("nullable");
            if let Some(words) = node.get_mut("enum").and_then(Value::as_array_mut) {
                words.retain(|word| !word.is_null());
            }
            if node.get("required").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                node.remove("required");
            }
            if node.get("properties").is_some_and(|p| p.get("matchLabels").is_some() && p.get("matchExpressions").is_some()) {
                atomic_selector(node);
            }
            // Formats of Rust that Kubernetes does not know.
            if node.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                node.remove("format");
            }
        });
    })
}

/// Lets a label selector have one owner, as upstream.
fn atomic_selector(node: &mut Map<String, Value>) {
    node.insert("x-kubernetes-map-type".into(), json!("atomic"));
    if let Some(expressions) = node.get_mut("properties").and_then(|p| p.get_mut("matchExpressions")) {
        expressions["x-kubernetes-list-type"] = json!("atomic");
    }
}

/// Lets an object leave its spec out, as upstream; it is stored with an empty one.
fn spec_may_be_absent(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    edit_schema(plain(crd), |schema| {
        schema["properties"]["spec"]["default"] = json!({});
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name != "spec");
        }
    })
}

/// Keeps unknown fields of every object below spec, status and operation.
fn keep_unknown(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    edit_schema(crd, |schema| {
        for part in ["spec", "status", "operation"] {
            if let Some(part) = schema["properties"].get_mut(part) {
                each_node(part, &mut |node| {
                    if node.contains_key("properties") {
                        node.insert("x-kubernetes-preserve-unknown-fields".into(), Value::Bool(true));
                    }
                });
            }
        }
    })
}

fn edit_schema(mut crd: CustomResourceDefinition, edit: impl Fn(&mut Value)) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(props) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) else { continue };
        let mut schema = serde_json::to_value(&*props).expect("a schema is plain data");
        edit(&mut schema);
        *props = serde_json::from_value(schema).expect("an edited schema is still one");
    }
    crd
}

/// Visits every schema node, never the values inside defaults and enums.
fn each_node(schema: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Some(node) = schema.as_object_mut() else { return };
    visit(node);
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|child| each_node(child, visit));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(key) {
            each_node(child, visit);
        }
    }
}

//! Puts all objects of a kustomization into a namespace.
//!
//! As `filters/namespace`: kinds known to be cluster-scoped keep out; of the subjects of role bindings only service
//! accounts named `default` are moved, the others follow through name references.

use serde_json::Value;

use super::fieldpath::{self, Make};
use super::fields::FieldSpec;
use super::schema;
use super::set::Set;

/// Sets the namespace everywhere the fields say.
pub(crate) fn set_all(set: &mut Set, namespace: &str, specs: &[FieldSpec]) -> Result<(), String> {
    let own = FieldSpec::anywhere("metadata/namespace", true);
    for at in 0..set.resources.len() {
        let resource = &mut set.resources[at];
        resource.remember();
        let gvk = resource.gvk();
        let is_binding = matches!(gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
        let is_namespace_kind = resource.object["apiVersion"] == "v1";
        let object = &mut resource.object;
        let mut put = |value: &mut Value| put(value, namespace);
        let mut outcome = Ok(());
        if !schema::is_cluster_scoped(&gvk) {
            outcome = fieldpath::apply(object, &own, Make::Scalar, &mut put);
        }
        if is_binding {
            default_subjects(object, namespace);
        }
        for spec in specs {
            let is_skipped = spec.path == "metadata/namespace"
                || (spec.path == "metadata/name" && !is_namespace_kind)
                || (is_binding && spec.path == "subjects/namespace" && matches!(spec.kind.as_str(), "RoleBinding" | "ClusterRoleBinding"));
            if outcome.is_ok() && !is_skipped {
                outcome = fieldpath::apply(object, spec, Make::Scalar, &mut put);
            }
        }
        outcome.map_err(|what| format!("{}: {what}", set.resources[at].id()))?;
    }
    set.distinct()
}

fn put(value: &mut Value, namespace: &str) -> Result<(), String> {
    if value.is_object() || value.is_array() {
        return Err("it is no plain value".to_owned());
    }
    *value = Value::String(namespace.to_owned());
    Ok(())
}

fn default_subjects(object: &mut Value, namespace: &str) {
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten().filter(|subject| subject["name"] == "default") {
        if let Some(fields) = subject.as_object_mut() {
            fields.insert("namespace".to_owned(), Value::String(namespace.to_owned()));
        }
    }
}

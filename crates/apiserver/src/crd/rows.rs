//! The rows that a CustomResourceDefinition stands for.
//!
//! Servers of one process that have the same definition share its rows: a schema takes hundreds of kilobytes once it is
//! parsed, and simulated clusters have the same dozen definitions a thousand times.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};

use apimachinery::gvk::GroupVersionResource;
use apimachinery::schema::{self, Schema};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{VERBS, text, versions};
use crate::meta;
use crate::registry::{Column, Origin, Resource, ScalePaths};

type Rows = Vec<Arc<Resource>>;

/// By name and spec as text.
type Shared = HashMap<(String, String), Vec<Weak<Resource>>>;

/// Rows that nobody serves any more go when others come.
static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);

/// Returns the rows of a definition, or what is wrong with it.
pub fn of(crd: &Value) -> Result<Rows, String> {
    let key = (meta::name(crd).to_owned(), crd["spec"].to_string());
    let known = SHARED.lock().get(&key).and_then(|rows| rows.iter().map(Weak::upgrade).collect());
    if let Some(rows) = known {
        return Ok(rows);
    }
    let rows = parse(crd)?;
    let mut shared = SHARED.lock();
    shared.retain(|_, rows| rows.iter().any(|row| row.strong_count() > 0));
    shared.insert(key, rows.iter().map(Arc::downgrade).collect());
    Ok(rows)
}

/// Makes the rows that a definition stands for, one a served version.
fn parse(crd: &Value) -> Result<Rows, String> {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let storage = versions(crd).find(|v| v["storage"] == json!(true)).ok_or("spec.versions: no version has storage: true")?;
    let mut rows = Vec::new();
    for version in versions(crd).filter(|v| v["served"] == json!(true)) {
        let parsed = match version["schema"].get("openAPIV3Schema") {
            Some(openapi) => schema::parse(openapi).map_err(|causes| {
                causes
                    .iter()
                    .map(|c| format!("spec.versions[{}].schema.openAPIV3Schema: {}: {}", text(version, "name"), c.field, c.message))
                    .collect::<Vec<_>>()
                    .join(", ")
            })?,
            None => Schema::any(),
        };
        let strings =
            |v: &Value| -> Vec<String> { v.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect() };
        let scale = version["subresources"].get("scale").map(|s| ScalePaths {
            spec_replicas: text(s, "specReplicasPath").into(),
            status_replicas: text(s, "statusReplicasPath").into(),
            label_selector: s["labelSelectorPath"].as_str().map(str::to_owned),
        });
        let deprecation = (version["deprecated"] == json!(true)).then(|| {
            version["deprecationWarning"]
                .as_str()
                .map(str::to_owned)
                .unwrap_or_else(|| format!("{}/{} {} is deprecated", text(spec, "group"), text(version, "name"), text(names, "kind")))
        });
        rows.push(Arc::new(Resource {
            gvr: GroupVersionResource {
                group: text(spec, "group").into(),
                version: text(version, "name").into(),
                resource: text(names, "plural").into(),
            },
            kind: text(names, "kind").into(),
            singular: names["singular"].as_str().map_or_else(|| text(names, "kind").to_lowercase(), str::to_owned),
            short_names: strings(&names["shortNames"]),
            categories: strings(&names["categories"]),
            namespaced: text(spec, "scope") == "Namespaced",
            verbs: VERBS.to_vec(),
            schema: Arc::new(with_object_meta(parsed)),
            status_subresource: version["subresources"].get("status").is_some(),
            scale,
            subresources: Vec::new(),
            columns: columns(version),
            storage_version: text(storage, "name").into(),
            storage_group: text(spec, "group").into(),
            origin: Origin::Crd(meta::name(crd).into()),
            selectable_fields: version["selectableFields"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|f| text(f, "jsonPath").to_owned())
                .collect(),
            deprecation,
        }));
    }
    Ok(rows)
}

/// A definition's schema leaves apiVersion, kind and metadata to Kubernetes.
fn with_object_meta(mut parsed: Schema) -> Schema {
    let string = Arc::new(Schema { ty: schema::Type::String, ..Schema::default() });
    parsed.ty = schema::Type::Object;
    parsed.properties.insert("apiVersion".into(), string.clone());
    parsed.properties.insert("kind".into(), string);
    parsed.properties.insert("metadata".into(), object_meta());
    parsed
}

fn object_meta() -> Arc<Schema> {
    const NAME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    builtin::definition(NAME).expect("the built-in definitions have ObjectMeta").clone()
}

/// The columns of a version: its own, or the age.
fn columns(version: &Value) -> Vec<Column> {
    let own = version["additionalPrinterColumns"].as_array();
    let column = |name: &str, ty: &str, format: &str, description: &str, priority: i64, path: &str| Column {
        name: name.into(),
        ty: ty.into(),
        format: format.into(),
        description: description.into(),
        priority: i32::try_from(priority).unwrap_or(0),
        path: path.into(),
    };
    let name = column("Name", "string", "name", "Name must be unique within a namespace.", 0, ".metadata.name");
    let rest: Vec<Column> = match own {
        Some(own) if !own.is_empty() => own
            .iter()
            .map(|c| {
                let priority = c["priority"].as_i64().unwrap_or(0);
                column(text(c, "name"), text(c, "type"), text(c, "format"), text(c, "description"), priority, text(c, "jsonPath"))
            })
            .collect(),
        _ => vec![column("Age", "date", "", "Time since the object was created.", 0, ".metadata.creationTimestamp")],
    };
    std::iter::once(name).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(kind: &str) -> Value {
        json!({"metadata": {"name": "things.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        }})
    }

    #[test]
    fn rows_of_one_definition_are_there_once_and_go_with_their_last_user() {
        let (first, again, other) = (of(&definition("Thing")), of(&definition("Thing")), of(&definition("Item")));
        let (first, again, other) = (first.unwrap(), again.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&first[0], &again[0]) && !Arc::ptr_eq(&first[0], &other[0]));
        assert_eq!((first[0].kind.as_str(), other[0].kind.as_str()), ("Thing", "Item"));
        let weak = Arc::downgrade(&first[0]);
        drop((first, again));
        assert!(weak.upgrade().is_none());
    }
}

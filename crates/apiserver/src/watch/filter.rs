//! Which objects a list or watch is about.

use std::borrow::Cow;
use std::collections::BTreeMap;

use apimachinery::selector::{FieldSelector, LabelSelector};
use serde::Deserialize;
use serde_json::Value;

use crate::apart;
use crate::keys::{self, Parts};
use crate::registry::Resource;

/// Namespace, name and selectors of a list or watch.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Empty is every namespace.
    pub namespace: String,
    /// From the path or from `metadata.name=` in the field selector.
    pub name: Option<String>,
    pub labels: Option<LabelSelector>,
    /// Field requirements other than those on name and namespace.
    pub fields: Option<FieldSelector>,
}

impl Filter {
    /// Returns the narrowest prefix of the keys of all objects of a resource that the filter admits.
    pub fn prefix(&self, resource: &Resource) -> String {
        let (group, plural) = (&resource.storage_group, &resource.gvr.resource);
        match &self.name {
            Some(name) if !resource.namespaced || !self.namespace.is_empty() => {
                keys::object(group, plural, &self.namespace, name).to_string()
            }
            _ if self.namespace.is_empty() => keys::resource_prefix(group, plural),
            _ => keys::namespace_prefix(group, plural, &self.namespace),
        }
    }

    /// Returns whether the key alone rules the object out.
    pub fn admits_key(&self, parts: &Parts<'_>) -> bool {
        (self.namespace.is_empty() || self.namespace == parts.namespace) && self.name.as_ref().is_none_or(|n| n == parts.name)
    }

    pub fn needs_fields(&self) -> bool {
        self.labels.is_some() || self.fields.is_some()
    }

    /// Returns whether labels and fields satisfy the selectors.
    pub fn admits(&self, fields: &Fields) -> bool {
        self.labels.as_ref().is_none_or(|l| l.matches(&fields.labels)) && self.fields.as_ref().is_none_or(|f| f.matches(fields.object()))
    }
}

/// What selectors look at.
pub struct Fields {
    pub labels: BTreeMap<String, String>,
    /// The whole object, parsed only when a field other than the labels is asked for.
    object: std::sync::OnceLock<Value>,
    bytes: bytes::Bytes,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

impl Fields {
    pub fn of(bytes: &bytes::Bytes) -> Self {
        let metadata = apart::metadata(bytes).and_then(|text| serde_json::from_str::<Metadata<'_>>(text).ok());
        let labels = metadata.and_then(|metadata| metadata.labels);
        let labels = labels.map(|l| l.into_iter().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()).unwrap_or_default();
        Self { labels, object: std::sync::OnceLock::new(), bytes: bytes.clone() }
    }

    /// Returns the whole object.
    fn object(&self) -> &Value {
        self.object.get_or_init(|| serde_json::from_slice(&self.bytes).unwrap_or(Value::Null))
    }
}

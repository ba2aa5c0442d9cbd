//! How a resource is named across versions.

use std::fmt;

use api::argo::{ResourceResult, SyncOperationResource};
use serde_json::Value;

/// Group, kind, namespace (empty for cluster-scoped) and name: the same object in every version of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub group: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    /// Returns the key of an object as it stands.
    pub fn of(object: &Value) -> Self {
        let metadata = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        Self::new(kinds::group_of(object), kinds::kind_of(object), metadata("namespace"), metadata("name"))
    }

    pub fn of_result(result: &ResourceResult) -> Self {
        Self::new(&result.group, &result.kind, &result.namespace, &result.name)
    }

    /// Returns whether a selection of a sync names this resource.
    pub fn is_selected_by(&self, selected: &SyncOperationResource) -> bool {
        selected.group == self.group
            && selected.kind == self.kind
            && selected.name == self.name
            && (selected.namespace.is_empty() || selected.namespace == self.namespace)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            write!(f, "{}", self.kind)?
        } else {
            write!(f, "{}/{}", self.group, self.kind)?
        }
        if self.namespace.is_empty() { write!(f, " {}", self.name) } else { write!(f, " {}/{}", self.namespace, self.name) }
    }
}

//! What the agent saw before it decides.

use std::collections::BTreeMap;
use std::fmt;

use api::work::{AppliedManifestResourceMeta, AppliedManifestWork, ManifestWork};
use apimachinery::gvk::GroupVersionKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names one object on the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// Plural, as in URLs.
    pub resource: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub name: String,
}

/// What the cluster's discovery says about a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    pub resource: String,
    pub is_namespaced: bool,
}

/// How one object is on the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Live {
    Missing,
    Present(Value),
    /// Reading it failed; the text says why.
    Unreadable(String),
}

/// Who applies, for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// SHA-256 in hex of what names the hub.
    pub hub_hash: String,
    pub agent_id: String,
    /// Exactly what Open Cluster Management writes: no Progressing and Degraded from built-in health.
    pub is_strict: bool,
}

/// Everything that a decision about one work looks at.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    pub settings: &'a Settings,
    pub work: &'a ManifestWork,
    /// `None` when it is not there (yet).
    pub applied: Option<&'a AppliedManifestWork>,
    /// The kinds that the work's manifests name; a kind that the cluster does not serve is missing.
    pub mappings: &'a BTreeMap<GroupVersionKind, Mapping>,
    /// The objects that the work's manifests name, and those applied before.
    pub live: &'a BTreeMap<ObjectId, Live>,
    /// Why the work's executor may not apply an object, by the manifest's index; empty if it may, or if there is none.
    pub denied: &'a BTreeMap<usize, String>,
    pub now: Timestamp,
}

impl ObjectId {
    pub fn of_meta(meta: &AppliedManifestResourceMeta) -> Self {
        Self {
            group: meta.group.clone(),
            version: meta.version.clone(),
            resource: meta.resource.clone(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
        }
    }

    /// Whether both name the same object, whatever the version.
    pub fn is_same_object(&self, other: &Self) -> bool {
        (&self.group, &self.resource, &self.namespace, &self.name) == (&other.group, &other.resource, &other.namespace, &other.name)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{}{dot}{} {}{slash}{}", self.resource, self.group, self.namespace, self.name)
    }
}

impl Live {
    pub fn object(&self) -> Option<&Value> {
        match self {
            Live::Present(object) => Some(object),
            Live::Missing | Live::Unreadable(_) => None,
        }
    }
}

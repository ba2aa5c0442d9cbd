//! Stored objects as the controllers read them: mostly metadata, straight from the bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;
use store::{Entry, Range};

use super::{Error, Machine};
use crate::{apart, keys};

pub const DELETION_TIMESTAMP: &str = "\"deletionTimestamp\":";
pub const OWNER_REFERENCES: &str = "\"ownerReferences\":";

/// `metadata`, as far as controllers look at it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub creation_timestamp: Option<String>,
    pub deletion_timestamp: Option<String>,
    pub finalizers: Vec<String>,
    pub owner_references: Vec<Owner>,
    pub labels: BTreeMap<String, String>,
}

/// An owner reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub block_owner_deletion: bool,
}

/// Whose object it is, and which one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owners<'a> {
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    #[serde(borrow)]
    pub owner_references: Vec<OwnerUid<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OwnerUid<'a> {
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
}

impl<'a> Owners<'a> {
    pub fn of(object: &'a [u8]) -> Self {
        apart::metadata(object).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

impl Metadata {
    /// Reads the metadata of a stored object.
    pub fn of(object: &[u8]) -> Option<Self> {
        serde_json::from_str(apart::metadata(object)?).ok()
    }

    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    pub fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|f| f == name)
    }
}

/// Returns whether the bytes of an object contain a text, somewhere: a cheap test before parsing.
pub fn mentions(object: &[u8], text: &str) -> bool {
    memmem::find(object, text.as_bytes()).is_some()
}

impl Machine {
    pub fn entry(&self, key: &str) -> Result<Option<Entry>, Error> {
        Ok(self.store().get(key, None)?)
    }

    /// Returns an object as it is stored; `None` also if its bytes are not readable, which the store prevents.
    pub fn object(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        let entry = self.entry(&keys::object(group, resource, namespace, name))?;
        Ok(entry.and_then(|e| serde_json::from_slice(&e.value).ok()))
    }

    pub fn metadata(&self, key: &str) -> Result<Option<Metadata>, Error> {
        Ok(self.entry(key)?.and_then(|e| Metadata::of(&e.value)))
    }

    /// Returns the entries below a prefix, shared with the store.
    pub fn entries(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        Ok(self.store().range(Range { prefix, ..Range::default() })?.entries)
    }
}

/// Returns the shared text, for keys that travel.
pub fn shared(text: &str) -> Arc<str> {
    text.into()
}

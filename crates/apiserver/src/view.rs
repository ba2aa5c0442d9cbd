//! Stored objects as authentication, authorization and controllers in process read them.

use std::sync::Arc;

use serde_json::Value;
use store::{Event, EventKind, Range, Store};

use crate::auth::{Authenticator, Objects, Rbac};
use crate::{Inner, keys};

/// Reads decoded objects from the store's memory.
pub struct View {
    store: Arc<dyn Store>,
}

impl View {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Tells those who derive something from objects of a change.
    pub fn changed(&self, event: &Event, rbac: &Rbac, authenticator: &Authenticator) {
        let Some(parts) = keys::parts(&event.entry.key) else { return };
        if Rbac::concerns(parts.group, parts.resource) {
            let object = match event.kind {
                EventKind::Deleted => None,
                EventKind::Created | EventKind::Updated => serde_json::from_slice::<Value>(&event.entry.value).ok(),
            };
            rbac.changed(parts.resource, parts.namespace, parts.name, object.as_ref());
        }
        authenticator.changed(parts.group, parts.resource, parts.namespace, parts.name);
    }
}

impl Objects for View {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let entry = self.store.get(&keys::object(group, resource, namespace, name), None).ok()??;
        serde_json::from_slice(&entry.value).ok().map(Arc::new)
    }

    fn is_terminating(&self, namespace: &str) -> Option<bool> {
        let entry = self.store.get(&keys::object("", "namespaces", "", namespace), None).ok()??;
        // Without these bytes there is no such field, and nothing needs to be parsed. In a string or in managedFields
        // they differ by a backslash or by `f:`.
        let may_be = memchr::memmem::find(&entry.value, b"\"deletionTimestamp\":").is_some();
        Some(may_be && serde_json::from_slice(&entry.value).is_ok_and(|object: Value| crate::meta::is_terminating(&object)))
    }

    fn list(&self, group: &str, resource: &str) -> Vec<Arc<Value>> {
        let prefix = keys::resource_prefix(group, resource);
        let Ok(page) = self.store.range(Range { prefix: &prefix, ..Range::default() }) else { return Vec::new() };
        page.entries.iter().filter_map(|e| serde_json::from_slice(&e.value).ok().map(Arc::new)).collect()
    }
}

impl Inner {
    /// Returns the stored objects of a resource in a namespace.
    pub(crate) fn objects_in(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value> {
        let prefix = keys::namespace_prefix(group, resource, namespace);
        let Ok(page) = self.options.store.range(Range { prefix: &prefix, ..Range::default() }) else { return Vec::new() };
        page.entries.iter().filter_map(|e| serde_json::from_slice(&e.value).ok()).collect()
    }
}

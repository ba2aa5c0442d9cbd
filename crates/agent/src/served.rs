//! Which kinds the cluster serves, and where: what work and GitOps both ask.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::core::discovery::Scope;
use parking_lot::RwLock;
use tokio::time::Instant;

/// A kind that was not served is asked for again after this: its definition may have come.
const MISSING_FOR: Duration = Duration::from_secs(5);
/// A definition may be replaced by one of another scope.
const FOUND_FOR: Duration = Duration::from_secs(600);
const KINDS_MAX: usize = 500;

/// A kind as the cluster serves it.
#[derive(Debug)]
pub(crate) struct Kind {
    pub resource: ApiResource,
    pub is_namespaced: bool,
}

impl Kind {
    /// Returns the API for objects of a namespace, or for all if the kind knows none.
    pub fn api(&self, client: &Client, namespace: &str) -> kube::Api<DynamicObject> {
        if self.is_namespaced && !namespace.is_empty() {
            kube::Api::namespaced_with(client.clone(), namespace, &self.resource)
        } else {
            kube::Api::all_with(client.clone(), &self.resource)
        }
    }
}

type Known = HashMap<GroupVersionKind, (Instant, Option<Arc<Kind>>)>;

/// Asks discovery once per kind; cheap to clone.
#[derive(Clone)]
pub(crate) struct Served {
    client: Client,
    known: Arc<RwLock<Known>>,
}

impl Served {
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), known: Arc::default() }
    }

    /// Returns how the cluster serves a kind; none if it does not.
    pub async fn kind(&self, group: &str, version: &str, kind: &str) -> Result<Option<Arc<Kind>>, kube::Error> {
        let gvk = GroupVersionKind::gvk(group, version, kind);
        if let Some((at, found)) = self.known.read().get(&gvk)
            && at.elapsed() < if found.is_some() { FOUND_FOR } else { MISSING_FOR }
        {
            return Ok(found.clone());
        }
        let found = match kube::discovery::pinned_kind(&self.client, &gvk).await {
            Ok((resource, capabilities)) => Some(Arc::new(Kind { resource, is_namespaced: capabilities.scope == Scope::Namespaced })),
            Err(kube::Error::Discovery(_)) => None,
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => return Err(error),
        };
        let mut known = self.known.write();
        if known.len() >= KINDS_MAX {
            known.clear();
        }
        known.insert(gvk, (Instant::now(), found.clone()));
        Ok(found)
    }

    /// Forgets that kinds were missing: a definition was just applied.
    pub fn forget_missing(&self) {
        self.known.write().retain(|_, (_, found)| found.is_some());
    }
}

//! Which resources the cluster serves: kinds to paths, as discovery says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::work::{Mapping, ObjectId};
use apimachinery::gvk::GroupVersionKind;
use kube::Client;
use kube::core::discovery::{ApiResource, Scope};
use parking_lot::RwLock;
use tokio::time::Instant;

/// A kind that was not served is asked for again after this: its definition may have been installed.
const MISSING_FOR: Duration = Duration::from_secs(5);
/// A kind that is served stays so; its definition may still be replaced.
const FOUND_FOR: Duration = Duration::from_secs(600);
/// Kinds that are remembered.
const KINDS_MAX: usize = 500;

type Known = HashMap<GroupVersionKind, (Instant, Option<Mapping>)>;

/// Asks discovery once per kind; cheap to clone.
#[derive(Clone)]
pub struct Mapper {
    local: Client,
    known: Arc<RwLock<Known>>,
}

impl Mapper {
    pub fn new(local: &Client) -> Self {
        Self { local: local.clone(), known: Arc::default() }
    }

    /// Returns how the cluster serves a kind; `None` if it does not.
    pub async fn mapping(&self, gvk: &GroupVersionKind) -> Result<Option<Mapping>, kube::Error> {
        if let Some((at, mapping)) = self.known.read().get(gvk)
            && at.elapsed() < if mapping.is_some() { FOUND_FOR } else { MISSING_FOR }
        {
            return Ok(mapping.clone());
        }
        let wanted = kube::core::GroupVersionKind::gvk(&gvk.group, &gvk.version, &gvk.kind);
        let mapping = match kube::discovery::pinned_kind(&self.local, &wanted).await {
            Ok((resource, capabilities)) => {
                Some(Mapping { resource: resource.plural, is_namespaced: capabilities.scope == Scope::Namespaced })
            }
            Err(kube::Error::Discovery(_)) => None,
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => return Err(error),
        };
        let mut known = self.known.write();
        if known.len() >= KINDS_MAX {
            known.clear();
        }
        known.insert(gvk.clone(), (Instant::now(), mapping.clone()));
        Ok(mapping)
    }
}

/// Returns what kube needs to address objects; `kind` may be empty where only the path matters.
pub fn api_resource(id: &ObjectId, kind: &str) -> ApiResource {
    ApiResource {
        group: id.group.clone(),
        version: id.version.clone(),
        api_version: apimachinery::gvk::join_api_version(&id.group, &id.version),
        kind: kind.to_owned(),
        plural: id.resource.clone(),
    }
}

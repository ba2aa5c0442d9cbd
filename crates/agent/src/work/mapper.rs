//! Which resources the cluster serves: kinds to paths, as discovery says.

use ::work::{Mapping, ObjectId};
use apimachinery::gvk::GroupVersionKind;
use kube::Client;
use kube::core::discovery::ApiResource;

use crate::served::Served;

/// Asks discovery once per kind; cheap to clone.
#[derive(Clone)]
pub struct Mapper(Served);

impl Mapper {
    pub fn new(local: &Client) -> Self {
        Self(Served::new(local))
    }

    /// Returns how the cluster serves a kind; `None` if it does not.
    pub async fn mapping(&self, gvk: &GroupVersionKind) -> Result<Option<Mapping>, kube::Error> {
        let kind = self.0.kind(&gvk.group, &gvk.version, &gvk.kind).await?;
        Ok(kind.map(|kind| Mapping { resource: kind.resource.plural.clone(), is_namespaced: kind.is_namespaced }))
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

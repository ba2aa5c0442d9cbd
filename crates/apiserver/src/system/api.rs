//! The few writes that controllers make, on objects of any kind.

use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::stored::Metadata;
use crate::registry::Resource;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The object is gone.
    Gone,
    /// The object changed meanwhile; look again.
    Changed,
}

/// Returns the API of a resource in a namespace, empty for cluster-scoped ones.
pub fn of(client: &Client, resource: &Resource, namespace: &str) -> Api<DynamicObject> {
    let described = ApiResource {
        group: resource.gvr.group.clone(),
        version: resource.gvr.version.clone(),
        api_version: resource.gvk().api_version(),
        kind: resource.kind.clone(),
        plural: resource.gvr.resource.clone(),
    };
    if namespace.is_empty() {
        Api::all_with(client.clone(), &described)
    } else {
        Api::namespaced_with(client.clone(), namespace, &described)
    }
}

/// Deletes exactly the object that was seen.
pub async fn delete(api: &Api<DynamicObject>, seen: &Metadata, propagation: PropagationPolicy) -> Result<Outcome, kube::Error> {
    let preconditions = Preconditions { uid: Some(seen.uid.clone()), resource_version: Some(seen.resource_version.clone()) };
    let params = DeleteParams { propagation_policy: Some(propagation), preconditions: Some(preconditions), ..DeleteParams::default() };
    outcome(api.delete(&seen.name, &params).await.map(|_| ()))
}

/// Merges fields into the metadata of exactly the object that was seen.
pub async fn patch_metadata(api: &Api<DynamicObject>, seen: &Metadata, mut fields: Value) -> Result<Outcome, kube::Error> {
    fields["uid"] = json!(seen.uid);
    fields["resourceVersion"] = json!(seen.resource_version);
    let patch = json!({ "metadata": fields });
    outcome(api.patch_metadata(&seen.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ()))
}

/// Tells conflicts and absence, which controllers expect, from failures.
pub fn outcome(result: Result<(), kube::Error>) -> Result<Outcome, kube::Error> {
    match result {
        Ok(()) => Ok(Outcome::Done),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Outcome::Gone),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Outcome::Changed),
        Err(error) => Err(error),
    }
}

//! The few ways the hub writes: apply, patch with the version it saw, delete.
//!
//! A patch carries the resourceVersion it was decided on, so that a decision on old facts is refused (409)
//! and made again.

use std::fmt::Debug;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::context::MANAGER;
use crate::error::{Doing, Error, gone_is_fine};

/// Server-side applies an object that is the hub's own.
pub async fn apply<K>(api: &Api<K>, object: &K) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let name = object.name_any();
    // Types of k8s-openapi write apiVersion and kind themselves.
    let params = PatchParams::apply(MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(object)).await.doing(|| format!("apply {} {name}", K::kind(&())))
}

/// Merges a patch into the object as it was seen.
pub async fn merge<K>(api: &Api<K>, seen: &K, patch: Value) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let name = seen.name_any();
    api.patch(&name, &params(), &Patch::Merge(versioned(seen, patch))).await.doing(|| format!("patch {} {name}", K::kind(&())))
}

/// Merges a patch into the status of the object as it was seen.
pub async fn merge_status<K>(api: &Api<K>, seen: &K, status: Value) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let name = seen.name_any();
    let patch = versioned(seen, json!({"status": status}));
    api.patch_status(&name, &params(), &Patch::Merge(patch)).await.doing(|| format!("patch the status of {} {name}", K::kind(&())))
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

fn versioned<K: ResourceExt>(seen: &K, mut patch: Value) -> Value {
    if let Some(version) = seen.resource_version() {
        patch["metadata"]["resourceVersion"] = json!(version);
    }
    patch
}

/// Deletes an object if it is there.
pub async fn delete<K>(api: &Api<K>, name: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    gone_is_fine(api.delete(name, &DeleteParams::default()).await.doing(|| format!("delete {} {name}", K::kind(&()))))
}

/// Returns the finalizers with one more, or nothing if it is there.
pub fn with_finalizer<K: ResourceExt>(object: &K, finalizer: &str) -> Option<Vec<String>> {
    let mut finalizers = object.finalizers().to_vec();
    if finalizers.iter().any(|f| f == finalizer) {
        return None;
    }
    finalizers.push(finalizer.to_owned());
    Some(finalizers)
}

/// Returns the finalizers with one less, or nothing if it is not there.
pub fn without_finalizer<K: ResourceExt>(object: &K, finalizer: &str) -> Option<Vec<String>> {
    let finalizers = object.finalizers();
    let left: Vec<String> = finalizers.iter().filter(|f| *f != finalizer).cloned().collect();
    (left.len() != finalizers.len()).then_some(left)
}

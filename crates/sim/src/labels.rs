//! The labels of simulated stores on the hub: what an administrator would set after a cluster joined.
//!
//! An agent never labels its own cluster; the fleet file says what labels a store has, and this puts them
//! on the ManagedCluster as soon as it is there. What else is there stays.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::json;

use crate::spec::FleetSpec;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Labels each store's ManagedCluster as it joins; returns when all are labelled.
pub async fn put_on_hub(hub: Client, spec: &FleetSpec) {
    let kind = GroupVersionKind::gvk("cluster.open-cluster-management.io", "v1", "ManagedCluster");
    let clusters: Api<DynamicObject> = Api::all_with(hub, &ApiResource::from_gvk(&kind));
    let mut missing: BTreeMap<&str, &BTreeMap<String, String>> =
        spec.stores.iter().filter(|s| !s.labels.is_empty()).map(|s| (s.name.as_str(), &s.labels)).collect();
    while !missing.is_empty() {
        let joined = clusters.list_metadata(&Default::default()).await.map(|list| list.items).unwrap_or_default();
        for name in joined.into_iter().filter_map(|c| c.metadata.name) {
            let Some(labels) = missing.get(name.as_str()) else { continue };
            let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
            match clusters.patch_metadata(&name, &PatchParams::default(), &patch).await {
                Ok(_) => drop(missing.remove(name.as_str())),
                Err(error) => tracing::debug!(cluster = %name, %error, "not labelled yet, will retry"),
            }
        }
        if !missing.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

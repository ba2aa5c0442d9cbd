//! A hub and its stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::{Clock, Runtime};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;
use sim::link::Quality;
use sim::{FleetOptions, FleetSpec, Store};

use crate::Hub;

/// A hub with simulated stores that join it, in memory.
pub struct Fleet {
    pub hub: Hub,
    pub stores: sim::Fleet,
    pub runtime: Runtime,
}

impl Fleet {
    /// Starts a hub and `count` plain stores.
    pub async fn of(count: u32) -> Self {
        Self::start(FleetSpec::plain(count)).await
    }

    /// Starts a hub and the stores described.
    pub async fn start(spec: FleetSpec) -> Self {
        crate::init_logs();
        let runtime = Runtime::new(Clock::virtual_from(crate::epoch()));
        let hub = Hub::start(&runtime).await;
        let options = FleetOptions { hub: Some(hub.access()), ..FleetOptions::default() };
        let stores = sim::Fleet::start(&runtime, spec, options).await.expect("the stores start");
        Self { hub, stores, runtime }
    }

    pub fn store(&self, name: &str) -> Arc<Store> {
        self.stores.store(name).unwrap_or_else(|| panic!("no store {name}"))
    }

    /// Takes the hub away from all stores, or gives it back.
    pub fn set_links(&self, quality: Quality) {
        self.stores.stores().for_each(|store| store.set_link(quality));
    }

    /// Returns the status of each condition of that type on each ManagedCluster.
    pub async fn cluster_conditions(&self, condition: &str) -> BTreeMap<String, String> {
        let clusters = list(&self.hub.client(), "cluster.open-cluster-management.io/v1", "ManagedCluster", None).await;
        let status = |cluster: &Value| {
            let all = cluster["status"]["conditions"].as_array().cloned().unwrap_or_default();
            all.iter().find(|c| c["type"] == condition).and_then(|c| c["status"].as_str().map(str::to_owned)).unwrap_or_default()
        };
        clusters.iter().map(|c| (c["metadata"]["name"].as_str().unwrap_or_default().to_owned(), status(c))).collect()
    }

    /// Returns whether every store is joined and available.
    pub async fn is_available(&self) -> bool {
        let available = self.cluster_conditions("ManagedClusterConditionAvailable").await;
        available.len() == self.stores.stores().count() && available.values().all(|status| status == "True")
    }

    pub async fn stop(&self) {
        self.stores.stop().await.expect("the stores stop");
        self.hub.stop().await;
        self.runtime.stop().await;
    }
}

fn api(client: &kube::Client, api_version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Applies the objects of a YAML text, server side.
pub async fn apply(client: &kube::Client, yaml: &str) {
    let documents = yaml.split("\n---").filter(|document| !document.trim().is_empty());
    for document in documents {
        let object: DynamicObject = serde_saphyr::from_str(document).expect("YAML");
        let types = object.types.clone().expect("apiVersion and kind");
        let name = object.metadata.name.clone().expect("a name");
        let api = api(client, &types.api_version, &types.kind, object.metadata.namespace.as_deref());
        let patch = PatchParams::apply("testkit").force();
        api.patch(&name, &patch, &Patch::Apply(&object)).await.unwrap_or_else(|e| panic!("{} {name}: {e}", types.kind));
    }
}

/// Returns an object as JSON, or null.
pub async fn get(client: &kube::Client, api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Value {
    let found = api(client, api_version, kind, namespace).get_opt(name).await.expect("asked");
    found.map(|object| serde_json::to_value(object).expect("JSON")).unwrap_or_default()
}

pub async fn list(client: &kube::Client, api_version: &str, kind: &str, namespace: Option<&str>) -> Vec<Value> {
    let all = api(client, api_version, kind, namespace).list(&Default::default()).await.expect("listed");
    all.items.into_iter().map(|object| serde_json::to_value(object).expect("JSON")).collect()
}

pub async fn delete(client: &kube::Client, api_version: &str, kind: &str, namespace: Option<&str>, name: &str) {
    api(client, api_version, kind, namespace).delete(name, &Default::default()).await.expect("deleted");
}

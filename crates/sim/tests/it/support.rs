use std::sync::Arc;
use std::time::Duration;

use controller::{Clock, Runtime};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use sim::cluster::{Options, Store};
use sim::driver::EventLevel;
use sim::spec::StoreSpec;
use tokio::sync::Semaphore;

pub fn runtime() -> Runtime {
    Runtime::new(Clock::virtual_from("2026-11-23T07:00:00Z".parse().expect("a time")))
}

pub fn options() -> Options {
    let disk_turns = Arc::new(Semaphore::new(1));
    Options { seed: 7, dir: None, hub: None, events: EventLevel::All, disk_turns, drawings: agent::gitops::Drawings::default() }
}

pub async fn store(nodes: u32) -> Store {
    // RUST_LOG shows what happened when a test fails.
    let _ = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_test_writer().try_init();
    let spec = StoreSpec { nodes, ..StoreSpec::named("store-0001") };
    Store::start(&runtime(), spec, options()).await.expect("a store starts")
}

fn api(store: &Store, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let is_cluster_scoped = matches!(kind, "Node" | "Namespace" | "PersistentVolume");
    if is_cluster_scoped { Api::all_with(store.client(), &resource) } else { Api::namespaced_with(store.client(), "default", &resource) }
}

/// Applies an object in YAML.
pub async fn apply(store: &Store, yaml: &str) {
    let object: DynamicObject = serde_saphyr::from_str(yaml).expect("YAML");
    let types = object.types.clone().expect("apiVersion and kind");
    let name = object.metadata.name.clone().expect("a name");
    let api = api(store, &types.api_version, &types.kind);
    api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.expect("applied");
}

/// Returns an object, or null.
pub async fn get(store: &Store, api_version: &str, kind: &str, name: &str) -> Value {
    let found = api(store, api_version, kind).get_opt(name).await.expect("asked");
    found.map(|object| serde_json::to_value(object).expect("JSON")).unwrap_or_default()
}

pub async fn list(store: &Store, api_version: &str, kind: &str) -> Vec<Value> {
    let all = api(store, api_version, kind).list(&Default::default()).await.expect("listed");
    all.items.into_iter().map(|object| serde_json::to_value(object).expect("JSON")).collect()
}

pub async fn delete(store: &Store, api_version: &str, kind: &str, name: &str) {
    api(store, api_version, kind).delete(name, &Default::default()).await.expect("deleted");
}

/// Waits, in virtual time, until the condition holds.
pub async fn eventually<F: AsyncFn() -> bool>(what: &str, seconds: u64, holds: F) {
    for _ in 0..seconds * 10 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within {seconds} s: {what}");
}

pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    const NONE: &Value = &Value::Null;
    object["status"]["conditions"].as_array().and_then(|all| all.iter().find(|c| c["type"] == kind)).unwrap_or(NONE)
}

//! The agent between two API servers of ours, in one process.

mod gitops;
mod hub;
mod registration;
mod reports;
mod rotation;
mod work;

use std::sync::Arc;
use std::time::Duration;

use agent::{AgentOptions, StateDir};
use controller::{Clock, Runtime};
use hub::{Hub, Server};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::config::Kubeconfig;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use tunnel::Connector;

pub const CLUSTER: &str = "store-1";

/// Waits until `look` finds something.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(Duration::from_secs(30), what, look).await
}

pub async fn eventually_within<T>(patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(patience, looking).await {
        Ok(found) => found,
        Err(_) => panic!("did not happen: {what}"),
    }
}

fn api_of(client: &Client, object: &Value) -> Api<DynamicObject> {
    let text = |field: &str| object[field].as_str().unwrap().to_owned();
    let (group, version) = apimachinery::gvk::split_api_version(object["apiVersion"].as_str().unwrap());
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &text("kind")));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

pub async fn create(client: &Client, object: Value) {
    let dynamic: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    api_of(client, &object).create(&PostParams::default(), &dynamic).await.unwrap();
}

/// A store without an agent.
pub async fn store() -> Server {
    store_at(Clock::wall()).await
}

/// A store without an agent, at a time of its own.
pub async fn store_at(clock: Clock) -> Server {
    let server = hub::server(clock, Vec::new()).await;
    let namespaces: Api<Namespace> = Api::all(server.admin.clone());
    eventually("namespace kube-system is there", async || namespaces.get("kube-system").await.ok()).await;
    server
}

/// Starts an agent; it ends with the returned runtime.
pub fn start_agent(hub: &Hub, store: &Server, state_dir: StateDir) -> Runtime {
    start_agent_by(hub.server.api.connector(), hub::bootstrap(), store, state_dir)
}

/// Starts an agent that goes another way to its hub.
pub fn start_agent_by(connector: Arc<dyn Connector>, bootstrap: Kubeconfig, store: &Server, state_dir: StateDir) -> Runtime {
    let runtime = store.runtime.child();
    let options = AgentOptions {
        cluster_name: CLUSTER.into(),
        labels: Default::default(),
        bootstrap,
        local: store.admin.clone(),
        connector,
        git_link: None,
        state_dir,
        drawings: agent::gitops::Drawings::default(),
        runtime: runtime.clone(),
    };
    runtime.spawn("agent", agent::run(options));
    runtime
}

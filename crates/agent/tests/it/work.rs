use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent::StateDir;
use api::conditions;
use api::hub::HubInfo;
use api::work::{AppliedManifestWork, ManifestWork};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::config::Kubeconfig;
use kube::{Api, ResourceExt};
use serde_json::json;
use tower::service_fn;
use tower::util::BoxCloneSyncService;
use tunnel::{Connection, Connector, HttpService};

use crate::hub::{Hub, Server};
use crate::{CLUSTER, create, eventually, hub, start_agent, start_agent_by, store};

fn work(names: &[&str]) -> serde_json::Value {
    let config_map =
        |name: &&str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"a": "b"}});
    let mut manifests: Vec<_> = names.iter().map(config_map).collect();
    manifests.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}));
    json!({"apiVersion": "work.open-cluster-management.io/v1", "kind": "ManifestWork", "metadata": {"name": "w", "namespace": CLUSTER},
        "spec": {"workload": {"manifests": manifests}}})
}

fn works(hub: &Hub) -> Api<ManifestWork> {
    Api::namespaced(hub.server.admin.clone(), CLUSTER)
}

fn config_maps(store: &Server) -> Api<ConfigMap> {
    Api::namespaced(store.admin.clone(), "shop")
}

/// Starts hub, store and agent with a work of these ConfigMaps, and waits until it is applied.
async fn applied(names: &[&str]) -> (Hub, Server, controller::Runtime) {
    let (hub, store) = (hub::hub().await, store().await);
    create(&hub.server.admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})).await;
    let agent = start_agent(&hub, &store, StateDir::memory());
    apply(&hub, work(names)).await;
    (hub, store, agent)
}

async fn apply(hub: &Hub, work: serde_json::Value) {
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(hub.server.admin.clone());
    eventually("the cluster has its namespace", async || namespaces.get(CLUSTER).await.ok()).await;
    create(&hub.server.admin, work).await;
    until_applied(hub, 1).await;
}

/// A way to the hub that can be cut.
#[derive(Clone)]
struct Way {
    connector: Arc<dyn Connector>,
    is_cut: Arc<AtomicBool>,
}

impl Connector for Way {
    fn connect(&self, kubeconfig: &Kubeconfig) -> Result<Connection, tunnel::Error> {
        let (there, is_cut) = (self.connector.connect(kubeconfig)?, self.is_cut.clone());
        let http: HttpService = BoxCloneSyncService::new(service_fn(move |request: http::Request<tunnel::Body>| {
            if is_cut.load(Ordering::Relaxed) {
                return futures::future::ready(Err("no route to host".into())).boxed();
            }
            tunnel::send(&there.http, request)
        }));
        Ok(Connection { client: tunnel::kube_client(http.clone(), CLUSTER), http })
    }
}

async fn until_applied(hub: &Hub, generation: i64) -> ManifestWork {
    eventually("the work is applied", async || {
        let work = works(hub).get("w").await.unwrap();
        let applied = conditions::find(work.conditions(), "Applied")?;
        (applied.status == "True" && applied.observed_generation == Some(generation)).then_some(work)
    })
    .await
}

#[tokio::test]
async fn a_work_is_applied_kept_pruned_and_removed() {
    let (hub, store, _agent) = applied(&["one", "two"]).await;
    let config_maps = config_maps(&store);
    let one = config_maps.get("one").await.unwrap();
    assert_eq!(one.owner_references()[0].kind, "AppliedManifestWork");
    // Kept.
    config_maps.delete("one", &DeleteParams::default()).await.unwrap();
    eventually("a deleted object is back", async || config_maps.get_opt("one").await.unwrap()).await;
    let drift = json!({"data": {"a": "drift"}});
    config_maps.patch("one", &PatchParams::default(), &Patch::Merge(drift)).await.unwrap();
    eventually("drift is gone", async || (config_maps.get("one").await.unwrap().data?["a"] == "b").then_some(())).await;
    // Pruned.
    let manifests = work(&["one"])["spec"].clone();
    works(&hub).patch("w", &PatchParams::default(), &Patch::Merge(json!({"spec": manifests}))).await.unwrap();
    eventually("what left the spec is gone", async || config_maps.get_opt("two").await.unwrap().is_none().then_some(())).await;
    let status = until_applied(&hub, 2).await.status.unwrap();
    assert!(conditions::is_true(&status.conditions, "Available"));
    assert_eq!(status.resource_status.manifests.len(), 2);
    // Removed.
    works(&hub).delete("w", &DeleteParams::default()).await.unwrap();
    eventually("the work is gone", async || works(&hub).get_opt("w").await.unwrap().is_none().then_some(())).await;
    let left: Api<AppliedManifestWork> = Api::all(store.admin.clone());
    eventually("nothing is left", async || left.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())).await;
    assert!(config_maps.get_opt("one").await.unwrap().is_none());
}

/// Each took the others' reference off the namespace with its own, without end, and the first that went took it along.
#[tokio::test]
async fn works_that_share_a_namespace_come_to_rest_and_keep_it() {
    let (hub, store, _agent) = applied(&["one"]).await;
    for name in ["x", "y"] {
        let mut other = work(&[name]);
        other["metadata"]["name"] = json!(name);
        create(&hub.server.admin, other).await;
    }
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(store.admin.clone());
    let shared = eventually("all three own it", async || {
        let shop = namespaces.get("shop").await.unwrap();
        (shop.owner_references().len() == 3).then_some(shop)
    })
    .await;
    eventually("all are applied", async || {
        let all = works(&hub).list(&ListParams::default()).await.unwrap().items;
        all.iter().all(|work| conditions::is_true(work.conditions(), "Applied")).then_some(())
    })
    .await;
    works(&hub).delete("x", &DeleteParams::default()).await.unwrap();
    eventually("the work is gone", async || works(&hub).get_opt("x").await.unwrap().is_none().then_some(())).await;
    let rested = eventually("it is let go", async || {
        let shop = namespaces.get("shop").await.unwrap();
        (shop.owner_references().len() == 2).then_some(shop)
    })
    .await;
    assert_eq!((rested.uid(), rested.metadata.deletion_timestamp.is_none()), (shared.uid(), true));
    // Whoever were still at it would write again and again.
    let again: Vec<_> = namespaces
        .watch(&kube::api::WatchParams::default().fields("metadata.name=shop").timeout(1), &rested.resource_version().unwrap())
        .await
        .unwrap()
        .collect()
        .await;
    assert!(again.len() <= 2, "{again:?}");
}

#[tokio::test]
async fn works_are_held_after_a_restart_without_the_hub_until_the_hub_is_back() {
    let (hub, store) = (hub::hub().await, store().await);
    let directory = tempfile::tempdir().unwrap();
    let state_dir = StateDir::open(directory.path()).unwrap();
    let way = Way { connector: hub.server.api.connector(), is_cut: Arc::default() };
    let start = || start_agent_by(Arc::new(way.clone()), hub::bootstrap(), &store, state_dir.clone());
    let agent = start();
    let mut shop = work(&["one"]);
    shop["spec"]["workload"]["manifests"].as_array_mut().unwrap().push(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}}}));
    apply(&hub, shop).await;
    agent.stop().await;

    // The hub is gone, and so is a Deployment; the agent starts.
    way.is_cut.store(true, Ordering::Relaxed);
    let deployments: Api<Deployment> = Api::namespaced(store.admin.clone(), "shop");
    deployments.delete("web", &DeleteParams::default()).await.unwrap();
    let agent = start();
    let back = eventually("it is back", async || deployments.get_opt("web").await.unwrap()).await;
    assert_eq!(back.owner_references()[0].kind, "AppliedManifestWork");
    deployments.delete("web", &DeleteParams::default()).await.unwrap();
    eventually("it is back again", async || deployments.get_opt("web").await.unwrap()).await;

    // Meanwhile the work changed, and the agent was restarted once more.
    let spec = work(&["two"])["spec"].clone();
    works(&hub).patch("w", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.unwrap();
    agent.stop().await;
    let agent = start();
    way.is_cut.store(false, Ordering::Relaxed);
    until_applied(&hub, 2).await;
    eventually("the hub's word counts", async || deployments.get_opt("web").await.unwrap().is_none().then_some(())).await;
    assert!(config_maps(&store).get_opt("two").await.unwrap().is_some());
    agent.stop().await;

    // A work that is deleted while the agent is away stays until the hub can be told.
    way.is_cut.store(true, Ordering::Relaxed);
    works(&hub).delete("w", &DeleteParams::default()).await.unwrap();
    config_maps(&store).delete("two", &DeleteParams::default()).await.unwrap();
    let agent = start();
    eventually("what was kept is held", async || config_maps(&store).get_opt("two").await.unwrap()).await;
    way.is_cut.store(false, Ordering::Relaxed);
    eventually("the work is gone", async || works(&hub).get_opt("w").await.unwrap().is_none().then_some(())).await;
    let left: Api<AppliedManifestWork> = Api::all(store.admin.clone());
    eventually("nothing is left", async || left.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())).await;
    assert!(config_maps(&store).get_opt("two").await.unwrap().is_none());
    let kept = || walk(&directory.path().join("works"));
    eventually("nor on disk", async || kept().is_empty().then_some(())).await;
    agent.stop().await;
}

/// Returns the files below a directory.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn one_bad_manifest_does_not_stop_the_others() {
    let (hub, store, _agent) = applied(&["one"]).await;
    let mut spec = work(&["one", "three"])["spec"].clone();
    let bad = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "x"}});
    spec["workload"]["manifests"].as_array_mut().unwrap().insert(0, bad);
    works(&hub).patch("w", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.unwrap();
    eventually("the good one is there", async || config_maps(&store).get_opt("three").await.unwrap()).await;
    let status = eventually("the bad one is named", async || {
        let status = works(&hub).get("w").await.unwrap().status?;
        conditions::is_false(&status.conditions, "Applied").then_some(status)
    })
    .await;
    let told = &status.resource_status.manifests[0].conditions[0];
    assert!(told.message.contains("does not serve example.com/v1, Kind=Widget"), "{}", told.message);
}

#[tokio::test]
async fn a_restored_hub_gets_a_new_session_and_nothing_is_removed() {
    let (hub, store, agent) = applied(&["one"]).await;
    let uid = config_maps(&store).get("one").await.unwrap().uid();
    *hub.desk.identity.lock() = Some(HubInfo { uid: "hub-1".into(), epoch: 2, version: "test".into() });
    agent.stop().await;
    start_agent(&hub, &store, StateDir::memory());
    let spec = work(&["one", "new"])["spec"].clone();
    works(&hub).patch("w", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.unwrap();
    eventually("the new one is there", async || config_maps(&store).get_opt("new").await.unwrap()).await;
    assert_eq!(config_maps(&store).get("one").await.unwrap().uid(), uid);
}

#[tokio::test]
async fn a_work_that_vanished_from_the_hub_starts_an_eviction_and_keeps_its_objects() {
    let (hub, store, _agent) = applied(&["one"]).await;
    // As a hub that lost it: the finalizer is taken off behind the agent's back.
    works(&hub).delete("w", &DeleteParams::default()).await.unwrap();
    let applied_works: Api<AppliedManifestWork> = Api::all(store.admin.clone());
    let force = json!({"metadata": {"finalizers": null}});
    let _ = works(&hub).patch("w", &PatchParams::default(), &Patch::Merge(force)).await;
    eventually("the eviction begins, or the work was released in time", async || {
        let list = applied_works.list(&ListParams::default()).await.unwrap().items;
        match list.first() {
            None => Some(()),
            Some(applied) => applied.status.as_ref()?.eviction_start_time.as_ref().map(|_| ()),
        }
    })
    .await;
}

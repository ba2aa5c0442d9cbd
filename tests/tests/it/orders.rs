use std::time::Duration;

use serde_json::{Value, json};
use sim::FleetSpec;
use sim::link::Quality;
use testkit::git::{GitServer, Repository};
use testkit::{Fleet, apply, eventually_within, get};

use crate::{application, application_of};

const ORDERS: &str = "muster.dev/orders";
const SECONDS: fn(u64) -> Duration = Duration::from_secs;

fn files(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: offers, namespace: shop}}\ndata: {{of: {value}}}\n")
}

/// An Application that syncs by nobody's doing but a person's.
fn work(repository: &str, store: &str) -> String {
    format!(
        "apiVersion: work.open-cluster-management.io/v1
kind: ManifestWork
metadata: {{name: web, namespace: {store}}}
spec:
  workload:
    manifests:
    - {{apiVersion: v1, kind: Namespace, metadata: {{name: argocd}}}}
    - {}
",
        application_of(repository, "{syncOptions: [CreateNamespace=true]}")
    )
}

async fn two_stores() -> (Fleet, GitServer, Repository) {
    let server = GitServer::start().await;
    let repository = server.repository("web", "main", &[("web/config.yaml", &files("today"))]);
    let fleet = Fleet::start(FleetSpec::plain(2)).await;
    eventually_within(SECONDS(20), "available", async || fleet.is_available().await).await;
    for store in ["store-0001", "store-0002"] {
        apply(&fleet.hub.client(), &work(&repository.file_url, store)).await;
        eventually_within(SECONDS(60), "compared", async || sync(&fleet, store).await == "OutOfSync").await;
    }
    (fleet, server, repository)
}

async fn sync(fleet: &Fleet, store: &str) -> String {
    application(fleet, store).await["status"]["sync"]["status"].as_str().unwrap_or_default().to_owned()
}

async fn offers(fleet: &Fleet, store: &str) -> Value {
    get(&fleet.store(store).client(), "v1", "ConfigMap", Some("shop"), "offers").await["data"]["of"].clone()
}

/// Gives a store an order by a merge into the annotation of its work, as anybody's client may.
async fn order(fleet: &Fleet, store: &str, id: &str, life: Duration, sync: Value) {
    let now = fleet.runtime.clock.now();
    let expires = now.saturating_add(jiff::SignedDuration::try_from(life).expect("short")).expect("soon");
    let orders = json!({"argocd/web": {"id": id, "by": "somebody else", "at": now, "expires": expires, "sync": sync}});
    let patch = json!({"metadata": {"annotations": {ORDERS: orders.to_string()}}});
    let kind = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk("work.open-cluster-management.io", "v1", "ManifestWork"));
    let works: kube::Api<kube::core::DynamicObject> = kube::Api::namespaced_with(fleet.hub.client(), store, &kind);
    works.patch("web", &Default::default(), &kube::api::Patch::Merge(patch)).await.expect("ordered");
}

/// Returns status and message of the condition that tells of orders.
async fn told(fleet: &Fleet, store: &str) -> (String, String) {
    let work = get(&fleet.hub.client(), "work.open-cluster-management.io/v1", "ManifestWork", Some(store), "web").await;
    let conditions = work["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|c| c["type"] == "muster.dev/OrdersTaken").unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("message"))
}

#[tokio::test(start_paused = true)]
async fn an_order_is_done_once_by_whom_it_is_for() {
    let (fleet, _server, repository) = two_stores().await;
    order(&fleet, "store-0001", "one", SECONDS(3600), json!({})).await;
    eventually_within(SECONDS(20), "synced", async || sync(&fleet, "store-0001").await == "Synced").await;
    assert_eq!(offers(&fleet, "store-0001").await, "today");
    let state = application(&fleet, "store-0001").await["status"]["operationState"].clone();
    assert_eq!(state["phase"], "Succeeded");
    // Not whom the order names, but who gave it.
    let by = state["operation"]["initiatedBy"]["username"].as_str().unwrap_or_default().to_owned();
    assert!(!by.is_empty() && by != "somebody else", "{state}");
    assert_eq!(state["operation"]["info"], json!([{"name": "muster.dev/order", "value": "one"}]));
    eventually_within(SECONDS(20), "told", async || told(&fleet, "store-0001").await == ("True".into(), "argocd/web one taken".into()))
        .await;
    assert_eq!(sync(&fleet, "store-0002").await, "OutOfSync");

    // Neither a new commit nor a new agent does it again.
    repository.commit(&[("web/config.yaml", &files("tomorrow"))]);
    fleet.store("store-0001").reboot().await.expect("rebooted");
    tokio::time::sleep(SECONDS(600)).await;
    eventually_within(SECONDS(60), "compared with the new commit", async || sync(&fleet, "store-0001").await == "OutOfSync").await;
    assert_eq!(offers(&fleet, "store-0001").await, "today");
    assert_eq!(application(&fleet, "store-0001").await["status"]["history"].as_array().map(Vec::len), Some(1));
    order(&fleet, "store-0001", "two", SECONDS(3600), json!({})).await;
    eventually_within(SECONDS(20), "the next order is done", async || offers(&fleet, "store-0001").await == "tomorrow").await;
    fleet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_offline_does_what_it_was_told_in_time_and_nothing_else() {
    let (fleet, _server, repository) = two_stores().await;
    fleet.set_links(Quality::Offline);
    order(&fleet, "store-0001", "long", SECONDS(3600), json!({})).await;
    order(&fleet, "store-0002", "short", SECONDS(300), json!({})).await;
    tokio::time::sleep(SECONDS(1200)).await;
    assert_eq!(sync(&fleet, "store-0001").await, "OutOfSync");
    fleet.set_links(Quality::Online);
    eventually_within(SECONDS(300), "the store is back and syncs", async || sync(&fleet, "store-0001").await == "Synced").await;
    eventually_within(SECONDS(300), "the other says why not", async || {
        let (status, message) = told(&fleet, "store-0002").await;
        status == "False" && message.starts_with("argocd/web short refused: expired at ")
    })
    .await;
    assert_eq!(sync(&fleet, "store-0002").await, "OutOfSync");

    // A revision of the past, and what is no longer in Git goes only if asked for.
    let first = repository.head();
    repository.commit(&[("web/config.yaml", &files("later"))]);
    order(&fleet, "store-0002", "past", SECONDS(300), json!({"revision": first})).await;
    eventually_within(SECONDS(60), "the past is there", async || offers(&fleet, "store-0002").await == "today").await;
    fleet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_makes_no_sense_is_refused_where_it_stands() {
    let (fleet, _server, _repository) = two_stores().await;
    let now = fleet.runtime.clock.now();
    let other = json!({"argocd/other": {"id": "x", "at": now, "expires": "2030-01-01T00:00:00Z", "sync": {}}});
    let kind = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk("work.open-cluster-management.io", "v1", "ManifestWork"));
    let works: kube::Api<kube::core::DynamicObject> = kube::Api::namespaced_with(fleet.hub.client(), "store-0001", &kind);
    let give = async |text: String| {
        let patch = json!({"metadata": {"annotations": {ORDERS: text}}});
        works.patch("web", &Default::default(), &kube::api::Patch::Merge(patch)).await
    };
    give(other.to_string()).await.expect("accepted");
    eventually_within(SECONDS(20), "the store says so", async || {
        told(&fleet, "store-0001").await == ("False".into(), "argocd/other x refused: the work brings no such Application".into())
    })
    .await;
    let refused = give("{".into()).await.expect_err("the hub refuses what nobody can read");
    assert!(refused.to_string().contains(ORDERS), "{refused}");
    fleet.stop().await;
}

use std::time::Duration;

use sim::link::Quality;
use testkit::{Fleet, apply, delete, eventually_within, get};

const WORK: &str = "
apiVersion: work.open-cluster-management.io/v1
kind: ManifestWork
metadata: {name: web, namespace: store-0001}
spec:
  workload:
    manifests:
    - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
    - apiVersion: apps/v1
      kind: Deployment
      metadata: {name: web, namespace: shop}
      spec:
        replicas: 2
        selector: {matchLabels: {app: web}}
        template:
          metadata: {labels: {app: web}}
          spec: {containers: [{name: main, image: 'shop/web:1'}]}
";

async fn available_replicas(fleet: &Fleet) -> i64 {
    let store = fleet.store("store-0001").client();
    let deployment = get(&store, "apps/v1", "Deployment", Some("shop"), "web").await;
    deployment["status"]["availableReplicas"].as_i64().unwrap_or(0)
}

async fn with_work() -> Fleet {
    let fleet = Fleet::of(1).await;
    eventually_within(Duration::from_secs(20), "available", async || fleet.is_available().await).await;
    apply(&fleet.hub.client(), WORK).await;
    eventually_within(Duration::from_secs(20), "deployed", async || available_replicas(&fleet).await == 2).await;
    fleet
}

#[tokio::test(start_paused = true)]
async fn a_work_becomes_pods_and_the_hub_knows() {
    let fleet = with_work().await;
    eventually_within(Duration::from_secs(60), "applied and available", async || {
        let work = get(&fleet.hub.client(), "work.open-cluster-management.io/v1", "ManifestWork", Some("store-0001"), "web").await;
        let conditions = work["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let holds = |kind: &str| conditions.iter().any(|c| c["type"] == kind && c["status"] == "True");
        holds("Applied") && holds("Available")
    })
    .await;
    fleet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_the_hub_a_deleted_deployment_comes_back_within_ten_seconds() {
    let fleet = with_work().await;
    fleet.set_links(Quality::Offline);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let store = fleet.store("store-0001").client();
    delete(&store, "apps/v1", "Deployment", Some("shop"), "web").await;
    let took = eventually_within(Duration::from_secs(10), "back", async || {
        let found = get(&store, "apps/v1", "Deployment", Some("shop"), "web").await;
        !found.is_null() && found["metadata"]["deletionTimestamp"].is_null()
    })
    .await;
    println!("back after {took:?} of virtual time");
    eventually_within(Duration::from_secs(20), "serving again", async || available_replicas(&fleet).await == 2).await;
    fleet.stop().await;
}

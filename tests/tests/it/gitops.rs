use std::time::Duration;

use serde_json::Value;
use sim::FleetSpec;
use sim::link::Quality;
use testkit::git::GitServer;
use testkit::{Fleet, apply, delete, eventually_within, get};

fn manifest(image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: main, image: '{image}'}}]}}
"
    )
}

/// A placement of all clusters, and for each an Application that follows the repository.
fn placed(repository: &str) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: apps}}
---
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {{name: global, namespace: apps}}
spec: {{clusterSet: global}}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {{name: everywhere, namespace: apps}}
spec: {{}}
---
apiVersion: work.open-cluster-management.io/v1alpha1
kind: ManifestWorkReplicaSet
metadata: {{name: web, namespace: apps}}
spec:
  placementRefs: [{{name: everywhere, rolloutStrategy: {{type: All}}}}]
  manifestWorkTemplate:
    workload:
      manifests:
      - {{apiVersion: v1, kind: Namespace, metadata: {{name: argocd}}}}
      - apiVersion: argoproj.io/v1alpha1
        kind: Application
        metadata: {{name: web, namespace: argocd}}
        spec:
          project: default
          source: {{repoURL: '{repository}', targetRevision: main, path: web}}
          destination: {{server: https://kubernetes.default.svc, namespace: shop}}
          syncPolicy: {{automated: {{prune: true, selfHeal: true}}, syncOptions: [CreateNamespace=true]}}
"
    )
}

async fn application(fleet: &Fleet, store: &str) -> Value {
    get(&fleet.store(store).client(), "argoproj.io/v1alpha1", "Application", Some("argocd"), "web").await
}

async fn is_live(fleet: &Fleet, store: &str, commit: &str) -> bool {
    let status = &application(fleet, store).await["status"];
    status["sync"]["status"] == "Synced" && status["sync"]["revision"] == *commit && status["health"]["status"] == "Healthy"
}

async fn all_live(fleet: &Fleet, commit: &str) -> bool {
    for store in fleet.stores.stores() {
        if !is_live(fleet, &store.spec().name, commit).await {
            return false;
        }
    }
    true
}

/// Five stores that follow a repository.
async fn following() -> (Fleet, GitServer, testkit::git::Repository) {
    let server = GitServer::start().await;
    let repository = server.repository("web", "main", &[("web/deployment.yaml", &manifest("shop/web:1"))]);
    let fleet = Fleet::start(FleetSpec::plain(5)).await;
    apply(&fleet.hub.client(), &placed(&repository.file_url)).await;
    let head = repository.head();
    let took = eventually_within(Duration::from_secs(60), "synced and healthy", async || all_live(&fleet, &head).await).await;
    println!("five stores synced and healthy after {took:?} of virtual time");
    (fleet, server, repository)
}

#[tokio::test(start_paused = true)]
async fn five_stores_get_an_application_by_placement_and_a_commit_arrives() {
    let (fleet, _server, repository) = following().await;
    let commit = repository.commit(&[("web/deployment.yaml", &manifest("shop/web:2"))]);
    let took = eventually_within(Duration::from_secs(20), "the commit is live", async || all_live(&fleet, &commit).await).await;
    println!("the commit is live after {took:?} of virtual time");
    let deployment = get(&fleet.store("store-0005").client(), "apps/v1", "Deployment", Some("shop"), "web").await;
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "shop/web:2");
    fleet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_offline_during_a_push_catches_up_straight_to_the_newest() {
    let (fleet, _server, repository) = following().await;
    let first = repository.head();
    fleet.store("store-0002").set_link(Quality::Offline);
    repository.commit(&[("web/deployment.yaml", &manifest("shop/web:2"))]);
    let newest = repository.commit(&[("web/deployment.yaml", &manifest("shop/web:3"))]);
    eventually_within(Duration::from_secs(20), "the others are at the newest", async || is_live(&fleet, "store-0001", &newest).await).await;
    assert_eq!(application(&fleet, "store-0002").await["status"]["sync"]["revision"], *first);
    fleet.store("store-0002").set_link(Quality::Online);
    eventually_within(Duration::from_secs(120), "caught up", async || all_live(&fleet, &newest).await).await;
    fleet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_hub_and_git_gone_a_deleted_deployment_comes_back() {
    let (fleet, server, _repository) = following().await;
    fleet.set_links(Quality::Offline);
    drop(server);
    let store = fleet.store("store-0001").client();
    delete(&store, "apps/v1", "Deployment", Some("shop"), "web").await;
    let took = eventually_within(Duration::from_secs(10), "back", async || {
        let found = get(&store, "apps/v1", "Deployment", Some("shop"), "web").await;
        !found.is_null() && found["metadata"]["deletionTimestamp"].is_null()
    })
    .await;
    println!("back after {took:?} of virtual time");
    fleet.stop().await;
}

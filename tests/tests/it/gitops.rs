use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use sim::FleetSpec;
use sim::link::Quality;
use testkit::git::GitServer;
use testkit::{Fleet, apply, delete, eventually_within, get, list};

use crate::{application, application_of};

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
spec:
  tolerations: [{{key: cluster.open-cluster-management.io/unreachable, operator: Exists}}]
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
      - {}
",
        application_of(repository, "{automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}")
    )
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
    let (fleet, server, repository) = following().await;
    fleet.set_links(Quality::Offline);
    repository.set_away(true);
    drop(server);
    comes_back(&fleet, "store-0001").await;
    fleet.stop().await;
}

/// The hub is there, and has nothing to read: stores keep what they have and say why there is nothing newer.
#[tokio::test(start_paused = true)]
async fn a_repository_that_is_away_is_shown_and_holds_nothing_up() {
    let (fleet, _server, repository) = following().await;
    let before = repository.head();
    repository.set_away(true);
    let message = async |store: &str| {
        let conditions = application(&fleet, store).await["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().filter_map(|c| c["message"].as_str().map(str::to_owned)).collect::<Vec<_>>().join("; ")
    };
    let took = eventually_within(Duration::from_secs(600), "the Application says so", async || {
        message("store-0001").await.contains(repository.file_url.as_str())
    })
    .await;
    println!("after {took:?} of virtual time: {}", message("store-0001").await);
    comes_back(&fleet, "store-0001").await;
    assert_eq!(application(&fleet, "store-0001").await["status"]["sync"]["revision"], *before);

    repository.set_away(false);
    let commit = repository.commit(&[("web/deployment.yaml", &manifest("shop/web:2"))]);
    let took = eventually_within(Duration::from_secs(300), "all are at the newest", async || all_live(&fleet, &commit).await).await;
    println!("the commit is live {took:?} of virtual time after the repository is back");
    assert_eq!(message("store-0001").await, "");
    fleet.stop().await;
}

async fn comes_back(fleet: &Fleet, store: &str) {
    let store = fleet.store(store).client();
    delete(&store, "apps/v1", "Deployment", Some("shop"), "web").await;
    let took = eventually_within(Duration::from_secs(10), "back", async || {
        let found = get(&store, "apps/v1", "Deployment", Some("shop"), "web").await;
        !found.is_null() && found["metadata"]["deletionTimestamp"].is_null()
    })
    .await;
    println!("back after {took:?} of virtual time");
}

/// What a run decided.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// By store: pods by ReplicaSet, node and image.
    pods: BTreeMap<String, Vec<(String, String, String)>>,
    /// By store: commits in the order in which they were deployed, and what the Application ended as.
    applications: BTreeMap<String, (Vec<String>, String, String)>,
    /// Clusters that the placement chose, in its order.
    decisions: Vec<Value>,
}

/// A day of a fleet: a commit, a store that misses it, a broken release that is taken back.
async fn a_day() -> Outcome {
    let (fleet, _server, repository) = following().await;
    fleet.store("store-0002").set_link(Quality::Offline);
    let second = repository.commit(&[("web/deployment.yaml", &manifest("shop/web:2"))]);
    eventually_within(Duration::from_secs(60), "live", async || is_live(&fleet, "store-0005", &second).await).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let broken = repository.commit(&[("web/deployment.yaml", &manifest("shop/web:3-broken"))]);
    eventually_within(Duration::from_secs(60), "not healthy", async || {
        let status = application(&fleet, "store-0001").await["status"].clone();
        status["sync"]["revision"] == *broken && status["health"]["status"] != "Healthy"
    })
    .await;
    let last = repository.commit(&[("web/deployment.yaml", &manifest("shop/web:4"))]);
    eventually_within(Duration::from_secs(60), "live", async || is_live(&fleet, "store-0005", &last).await).await;
    // It catches up straight to the newest; had the two happened at once, either order would be right.
    fleet.store("store-0002").set_link(Quality::Online);
    eventually_within(Duration::from_secs(300), "all are at the last", async || all_live(&fleet, &last).await).await;
    // Old pods end within their grace period.
    tokio::time::sleep(Duration::from_secs(120)).await;
    let mut outcome = Outcome { pods: BTreeMap::new(), applications: BTreeMap::new(), decisions: Vec::new() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for store in fleet.stores.stores() {
        let name = store.spec().name.clone();
        let pods = list(&store.client(), "v1", "Pod", Some("shop")).await;
        let replica_set = |pod: &Value| text(&pod["metadata"]["ownerReferences"][0]["name"]);
        let pod = |pod: &Value| (replica_set(pod), text(&pod["spec"]["nodeName"]), text(&pod["spec"]["containers"][0]["image"]));
        let mut pods: Vec<_> = pods.iter().map(pod).collect();
        pods.sort();
        outcome.pods.insert(name.clone(), pods);
        let status = application(&fleet, &name).await["status"].clone();
        let history = status["history"].as_array().into_iter().flatten().map(|entry| text(&entry["revision"])).collect();
        outcome.applications.insert(name, (history, text(&status["sync"]["status"]), text(&status["health"]["status"])));
    }
    let decisions = list(&fleet.hub.client(), "cluster.open-cluster-management.io/v1beta1", "PlacementDecision", Some("apps")).await;
    outcome.decisions = decisions.iter().map(|decision| decision["status"]["decisions"].clone()).collect();
    fleet.stop().await;
    outcome
}

/// Decisions and outcomes are the same with the same seed. What is not: keys and certificates, which the TLS
/// library draws; and instants and random suffixes of names after Git was read, since threads read it, for which
/// the virtual clock waits without putting them in order.
#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_decisions_and_outcomes() {
    let (first, second) = (a_day().await, a_day().await);
    assert_eq!(first, second);
}

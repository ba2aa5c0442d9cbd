//! Real sockets, TLS and time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use controller::{Clock, Runtime};
use sim::{Fleet, FleetOptions, FleetSpec, HubAccess};
use testkit::kubectl::Kubectl;
use testkit::{eventually_within, list};

const CLUSTER: &str = "cluster.open-cluster-management.io/v1";

async fn start_hub() -> hub::Hub {
    let mut options = hub::HubOptions::new(Runtime::new(Clock::wall()));
    options.listen = Some(([127, 0, 0, 1], 0).into());
    hub::start(options).await.expect("the hub starts")
}

async fn start_stores(dir: &Path, hub: &hub::Hub) -> Fleet {
    let bootstrap = hub.bootstrap_kubeconfig(jiff::SignedDuration::from_hours(1)).await.expect("a token");
    let options = FleetOptions {
        dir: Some(dir.join("stores")),
        hub: Some(HubAccess { connector: Arc::new(tunnel::TlsConnector), bootstrap }),
        first_port: Some(0),
    };
    Fleet::start(&Runtime::new(Clock::wall()), FleetSpec::plain(2), options).await.expect("the stores start")
}

/// Returns the UID of each cluster that is available.
async fn available(hub: &hub::Hub) -> BTreeMap<String, String> {
    let clusters = list(&hub.client, CLUSTER, "ManagedCluster", None).await;
    let is_available = |cluster: &serde_json::Value| {
        let conditions = cluster["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| c["type"] == "ManagedClusterConditionAvailable" && c["status"] == "True")
    };
    let of = |c: &serde_json::Value, field: &str| c["metadata"][field].as_str().unwrap_or_default().to_owned();
    clusters.iter().filter(|c| is_available(c)).map(|c| (of(c, "name"), of(c, "uid"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_come_back_as_the_same_clusters() {
    testkit::init_logs();
    let dir = tempfile::tempdir().expect("a directory");
    let hub = start_hub().await;
    let stores = start_stores(dir.path(), &hub).await;
    let took = eventually_within(Duration::from_secs(60), "available", async || available(&hub).await.len() == 2).await;
    println!("two stores available after {took:?}");
    let before = available(&hub).await;
    if let Some(kubectl) = Kubectl::find(&dir.path().join("stores/store-0001/kubeconfig")) {
        assert!(kubectl.run("get nodes").await.contains("store-0001-node-1"));
    }
    stores.stop().await.expect("stopped");
    drop(stores);

    let stores = start_stores(dir.path(), &hub).await;
    let began = std::time::SystemTime::now();
    let renewed = async |name: &str| {
        let lease = testkit::get(&hub.client, "coordination.k8s.io/v1", "Lease", Some(name), "managed-cluster-lease").await;
        let at = lease["spec"]["renewTime"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
        at.is_some_and(|at| at > jiff::Timestamp::try_from(began).expect("a time"))
    };
    eventually_within(Duration::from_secs(90), "heard again", async || renewed("store-0001").await && renewed("store-0002").await).await;
    assert_eq!(available(&hub).await, before);
    // The same credentials still serve: nobody asked to join anew.
    let requests = list(&hub.client, "certificates.k8s.io/v1", "CertificateSigningRequest", None).await;
    assert_eq!(requests.len(), 2, "{:?}", requests.iter().map(|r| &r["metadata"]["name"]).collect::<Vec<_>>());
    stores.stop().await.expect("stopped");
    hub.stop().await;
}

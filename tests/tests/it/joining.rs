use std::time::Duration;

use sim::FleetSpec;
use sim::link::Quality;
use testkit::{Fleet, eventually_within, get};

const CLUSTER: &str = "cluster.open-cluster-management.io/v1";

#[tokio::test(start_paused = true)]
async fn five_stores_join_and_are_available() {
    let fleet = Fleet::of(5).await;
    let took = eventually_within(Duration::from_secs(20), "all available", async || fleet.is_available().await).await;
    println!("joined after {took:?} of virtual time");
    let cluster = get(&fleet.hub.client(), CLUSTER, "ManagedCluster", None, "store-0003").await;
    assert_eq!(cluster["spec"]["hubAcceptsClient"], true);
    assert_eq!(cluster["status"]["version"]["kubernetes"], "v1.33.1");
    assert!(cluster["status"]["capacity"]["cpu"].is_string(), "{cluster}");
    fleet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn labels_of_the_fleet_file_are_on_the_hub() {
    let spec = FleetSpec::parse("stores: [{name: a, labels: {region: us-east}}, {name: b, nodes: 3}]").expect("a fleet");
    let fleet = Fleet::start(spec).await;
    eventually_within(Duration::from_secs(30), "labelled", async || {
        get(&fleet.hub.client(), CLUSTER, "ManagedCluster", None, "a").await["metadata"]["labels"]["region"] == "us-east"
    })
    .await;
    fleet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_offline_is_unknown_and_comes_back_by_itself() {
    let fleet = Fleet::of(2).await;
    eventually_within(Duration::from_secs(20), "all available", async || fleet.is_available().await).await;
    fleet.store("store-0001").set_link(Quality::Offline);
    let status = async |name: &str| fleet.cluster_conditions("ManagedClusterConditionAvailable").await[name].clone();
    // The hub waits five lease durations of a minute.
    let took = eventually_within(Duration::from_secs(600), "unknown", async || status("store-0001").await == "Unknown").await;
    assert!(took > Duration::from_secs(200), "{took:?}");
    assert_eq!(status("store-0002").await, "True");
    fleet.store("store-0001").set_link(Quality::Online);
    eventually_within(Duration::from_secs(120), "available again", async || fleet.is_available().await).await;
    fleet.stop().await;
}

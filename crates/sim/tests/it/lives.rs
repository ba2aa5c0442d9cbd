//! What makes a simulated cluster a cluster: logs, a port, coming back, repeating itself.

use std::process::Command;
use std::time::Duration;

use controller::{Clock, Runtime};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use serde_json::Value;
use sim::cluster::{Options, Store};
use sim::control::{Order, Request};
use sim::spec::{FleetSpec, StoreSpec};
use sim::{Fleet, FleetOptions};
use tokio::net::TcpListener;

use crate::support::{apply, eventually, get, list, options, runtime, store};

const WEB: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: default}, spec: {replicas: 2,
  selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}},
  spec: {containers: [{name: main, image: 'shop/web:1'}]}}}}";

async fn is_available(store: &Store) -> bool {
    get(store, "apps/v1", "Deployment", "web").await["status"]["availableReplicas"] == 2
}

#[tokio::test(start_paused = true)]
async fn a_pod_has_logs() {
    let store = store(1).await;
    apply(&store, WEB).await;
    eventually("available", 10, async || is_available(&store).await).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let pods: Api<Pod> = Api::default_namespaced(store.client());
    let name = pods.list(&Default::default()).await.expect("listed").items[0].metadata.name.clone().expect("a name");
    let log = pods.logs(&name, &LogParams::default()).await.expect("a log");
    assert!(log.starts_with("level=info msg=\"starting\" container=main image=shop/web:1") && log.lines().count() == 7, "{log}");
    assert_eq!(pods.logs(&name, &LogParams { tail_lines: Some(2), ..LogParams::default() }).await.expect("a log").lines().count(), 2);
    let refused = pods.logs(&name, &LogParams { container: Some("x".into()), ..LogParams::default() }).await.expect_err("refused");
    assert!(refused.to_string().contains("container x is not valid for pod"), "{refused}");
}

#[tokio::test]
async fn a_store_comes_back_with_the_same_objects_and_identity() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = || Options { dir: Some(dir.path().to_owned()), ..options() };
    let start =
        async || Store::start(&Runtime::new(Clock::wall()), StoreSpec::named("store-0001"), options()).await.expect("a store starts");
    let first = start().await;
    apply(&first, WEB).await;
    eventually("available", 20, async || is_available(&first).await).await;
    let identity = async |store: &Store| {
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(store.client());
        (api.get("kube-system").await.expect("there").metadata.uid, store.server().ca().certificate_pem())
    };
    let names = async |store: &Store| list(store, "v1", "Pod").await.iter().map(|p| p["metadata"]["uid"].clone()).collect::<Vec<Value>>();
    let (before, pods) = (identity(&first).await, names(&first).await);
    first.stop().await.expect("stopped");
    let second = start().await;
    assert_eq!((identity(&second).await, names(&second).await), (before, pods));
    // And it goes on living.
    apply(&second, &WEB.replace("web:1", "web:2")).await;
    eventually("rolled", 30, async || get(&second, "apps/v1", "Deployment", "web").await["status"]["updatedReplicas"] == 2).await;
    second.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_reads_a_store_over_tls() {
    let kubectl = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".into());
    if Command::new(&kubectl).arg("version").arg("--client").output().is_err() {
        println!("skipped: kubectl not present");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::start(&Runtime::new(Clock::wall()), StoreSpec::named("store-0001"), options()).await.expect("a store starts");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, store.serve(listener).await.expect("served")).expect("written");
    apply(&store, WEB).await;
    eventually("available", 20, async || is_available(&store).await).await;
    let run = async |args: &str| {
        let mut command = Command::new(&kubectl);
        command.env("KUBECONFIG", &kubeconfig).env("HOME", dir.path()).args(args.split(' '));
        let output = tokio::task::spawn_blocking(move || command.output().expect("kubectl runs")).await.expect("joined");
        assert!(output.status.success(), "kubectl {args}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run("get deployment web").await.contains("2/2"));
    assert!(run("rollout status deployment/web --timeout=10s").await.contains("successfully rolled out"));
    assert!(run("get nodes").await.contains("Ready"));
    assert!(run("get pods -o wide").await.contains("Running"));
    assert!(run("logs deployment/web").await.contains("msg=\"starting\""));
    let described = run("describe deployment web").await;
    assert!(described.contains("NewReplicaSetAvailable") && described.contains("ScalingReplicaSet"), "{described}");
    run("delete deployment web").await;
    store.stop().await.expect("stopped");
}

/// Runs a fleet through the same hour and returns what there is at its end.
async fn lived(seed: u64) -> Vec<String> {
    let spec = FleetSpec { seed, ..FleetSpec::plain(3) };
    let fleet = Fleet::start(&runtime(), spec, FleetOptions::default()).await.expect("a fleet starts");
    for store in fleet.stores() {
        apply(&store, WEB).await;
        store.set_faults([("crash".to_owned(), "image: 'shop/web:2'\nfault: crash-loop".to_owned())].into()).await.expect("set");
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    for store in fleet.stores() {
        apply(&store, &WEB.replace("web:1", "web:2")).await;
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let mut facts = Vec::new();
    for store in fleet.stores() {
        for pod in list(&store, "v1", "Pod").await {
            let started = &pod["status"]["containerStatuses"][0]["state"];
            facts.push(format!("{} {} {} {started}", store.spec().name, pod["metadata"]["name"], pod["metadata"]["resourceVersion"]));
        }
    }
    fleet.stop().await.expect("stopped");
    facts
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_fleet_and_another_one_another() {
    let first = lived(1).await;
    assert_eq!(first, lived(1).await);
    assert_ne!(first, lived(2).await);
}

/// Prints what a store of twenty pods weighs. Run alone: `cargo test --release -p sim --test it a_store_weighs -- --ignored --nocapture`.
#[tokio::test(start_paused = true)]
#[ignore = "a measurement"]
async fn a_store_weighs() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a line");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number")
    };
    let count = 40;
    let before = resident();
    let begun = std::time::Instant::now();
    let fleet = Fleet::start(&runtime(), FleetSpec::plain(count), FleetOptions::default()).await.expect("a fleet starts");
    println!("empty: {} KB a store, {:?} to start {count}", (resident() - before) / u64::from(count), begun.elapsed());
    let begun = std::time::Instant::now();
    for store in fleet.stores() {
        for n in 0..10 {
            apply(&store, &WEB.replace("name: web", &format!("name: web-{n}")).replace("app: web", &format!("app: web-{n}"))).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    println!("twenty pods: {} KB a store, {:?} to settle", (resident() - before) / u64::from(count), begun.elapsed());
    let begun = std::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    println!("an hour later: {} KB a store, {:?} of work", (resident() - before) / u64::from(count), begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_rebooted_cluster_goes_on_with_what_it_had() {
    let store = crate::support::store(1).await;
    apply(&store, WEB).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let before = list(&store, "v1", "Pod").await;
    store.reboot().await.expect("rebooted");
    store.reboot_with_skew(jiff::SignedDuration::from_secs(-90)).await.expect("rebooted with another clock");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let names = |pods: &[serde_json::Value]| pods.iter().map(|p| p["metadata"]["uid"].to_string()).collect::<Vec<_>>();
    assert_eq!(names(&list(&store, "v1", "Pod").await), names(&before));
    assert_eq!(store.skew().as_secs(), -90);
}

/// As `muster sim reboot` does it: the port is the same afterwards, and old connections end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebooted_cluster_is_served_where_it_was() {
    pki::tls::install_provider();
    let store = Store::start(&Runtime::new(Clock::wall()), StoreSpec::named("store-0001"), options()).await.expect("a store starts");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    store.serve(listener).await.expect("served");
    tokio::time::timeout(Duration::from_secs(20), store.reboot()).await.expect("in time").expect("rebooted");
    tokio::net::TcpStream::connect(address).await.expect("it listens again");
    store.stop().await.expect("stopped");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_given_up_leaves_no_cluster_off() {
    let fleet = Fleet::start(&runtime(), FleetSpec::plain(6), FleetOptions::default()).await.expect("a fleet starts");
    let reboot = Request { clusters: Vec::new(), selector: String::new(), order: Order::Reboot };
    let is_given_up = tokio::time::timeout(Duration::ZERO, fleet.obey(&reboot)).await.is_err();
    assert!(is_given_up, "the order was over at once");
    // The next order waits for its turn, so those of before are over too.
    fleet.obey(&reboot).await.expect("rebooted");
    for store in fleet.stores() {
        apply(&store, WEB).await;
        eventually("available", 30, async || is_available(&store).await).await;
    }
    fleet.stop().await.expect("stopped");
    let refused = fleet.obey(&reboot).await.expect_err("stopped").to_string();
    assert!(
        refused.starts_with("6 clusters did not come back") && refused.contains("store-0001: cluster store-0001 was stopped"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reboot_keeps_the_faults_that_were_ordered() {
    let mut spec = FleetSpec::plain(1);
    spec.stores[0].faults = [("own".to_owned(), "image: 'a:1'\nfault: crash-loop".to_owned())].into();
    let fleet = Fleet::start(&runtime(), spec, FleetOptions::default()).await.expect("a fleet starts");
    let order = async |order: Order| {
        let request = Request { clusters: Vec::new(), selector: String::new(), order };
        fleet.obey(&request).await.expect("obeyed").remove(0).bad_images
    };
    let store = fleet.stores().next().expect("one");
    assert_eq!(order(Order::BadImage { image: "b:2".into() }).await, ["b:2"]);
    store.change_faults([("own".to_owned(), None)].into()).await.expect("changed");
    assert_eq!(order(Order::Reboot).await, ["b:2"]);
    assert!(!store.faults().await.expect("read").contains_key("own"), "what was taken away came back");
    assert!(order(Order::GoodImages).await.is_empty());
    let skew = Request { clusters: Vec::new(), selector: String::new(), order: Order::Skew { by: "-9999999h".into() } };
    let refused = fleet.obey(&skew).await.expect_err("refused").to_string();
    assert!(refused.starts_with("by: \"-9999999h\" is more than ten years"), "{refused}");
    fleet.stop().await.expect("stopped");
}

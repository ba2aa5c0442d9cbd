//! The hub is killed again and again while everybody talks to it. `MUSTER_SOAK_ROUNDS` says how often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use api::report::{Kind, Workload, workload_key};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use parking_lot::Mutex;
use records::{Query, Records};
use serde_json::json;
use testkit::{apply, eventually_within, list};

use crate::support::{Machine, PATIENCE};

const WRITERS: u64 = 8;
const WATCHERS: usize = 3;
const NAMESPACE: &str = "soak";
/// How long each hub lives under load, and how long it is away.
const LOAD: Duration = Duration::from_secs(2);
/// Between two writes of a writer, so that twenty rounds are not mostly reading what was written.
const PAUSE: Duration = Duration::from_millis(10);
const AWAY: Duration = Duration::from_millis(700);

/// What the hub said that it has: by name, the resourceVersion and the value.
type Acknowledged = Arc<Mutex<BTreeMap<String, (u64, String)>>>;

/// What everybody does until the end.
struct Load {
    is_over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    acknowledged: Acknowledged,
    watchers: Vec<Arc<Mutex<Watched>>>,
}

/// What one watcher saw.
#[derive(Default)]
struct Watched {
    names: BTreeSet<String>,
    last: u64,
    resumed: u32,
    relisted: u32,
    complaint: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_hub_under_load_loses_nothing_acknowledged() {
    let rounds: u32 = std::env::var("MUSTER_SOAK_ROUNDS").ok().map_or(2, |rounds| rounds.parse().expect("a number of rounds"));
    let machine = Machine::new(2);
    machine.up().await;
    machine.is_well().await;
    apply(&machine.hub().await, &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}")).await;
    let before = machine.identities().await;
    let load = Load::start(&machine).await;
    for round in 1..=rounds {
        tokio::time::sleep(LOAD).await;
        machine.kill("hub").await;
        tokio::time::sleep(AWAY).await;
        // Answers that were under way have arrived.
        let known = load.acknowledged.lock().clone();
        machine.up().await;
        let hub = machine.hub().await;
        let kept = kept(&hub).await;
        for (name, written) in &known {
            assert_eq!(kept.get(name), Some(written), "round {round}: {name} was acknowledged");
        }
        let highest = known.values().map(|(version, _)| *version).max().unwrap_or_default();
        let count = known.len();
        // Writes go on, at revisions that nobody has seen before.
        eventually_within(PATIENCE, "writes go on", async || load.acknowledged.lock().len() > count + 20).await;
        let after = load.acknowledged.lock().clone();
        let reused = after.iter().find(|(name, (version, _))| !known.contains_key(*name) && *version <= highest);
        assert_eq!(reused, None, "round {round}: written after revision {highest}");
        println!("round {round}: {count} acknowledged writes are there, {} since", after.len() - count);
    }
    let (resumed, relisted) = load.check_watches().await;
    let acknowledged = load.end().await;
    check_versions(&acknowledged);

    let kept = kept(&machine.hub().await).await;
    assert!(acknowledged.iter().all(|(name, written)| kept.get(name) == Some(written)));
    machine.is_heard_after(jiff::Timestamp::now()).await;
    assert_eq!(machine.identities().await, before, "nobody joined anew");
    let reports = reports_are_whole(&machine).await;
    // Whatever was lost or reused has failed the test by now.
    println!(
        "kills: {rounds}, writes: {}, lost: 0, revisions used twice: 0, watches resumed: {resumed}, told to list again: {relisted}, \
         agents back: {stores} of {stores}, reports: {reports}, lost: 0",
        acknowledged.len(),
        stores = machine.stores,
    );
}

impl Load {
    async fn start(machine: &Machine) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let acknowledged = Acknowledged::default();
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            tasks.push(tokio::spawn(write(machine.hub().await, writer, acknowledged.clone(), is_over.clone())));
        }
        let mut watchers = Vec::new();
        for _ in 0..WATCHERS {
            let watched = Arc::new(Mutex::new(Watched::default()));
            tasks.push(tokio::spawn(follow(machine.hub().await, watched.clone(), is_over.clone())));
            watchers.push(watched);
        }
        for name in machine.store_names() {
            tasks.push(tokio::spawn(change(machine.store(&name).await, is_over.clone())));
        }
        Self { is_over, tasks, acknowledged, watchers }
    }

    /// Every watcher comes to know all that was acknowledged, in order. Returns how often they resumed and listed anew.
    async fn check_watches(&self) -> (u32, u32) {
        let mut sums = (0, 0);
        let names: BTreeSet<String> = self.acknowledged.lock().keys().cloned().collect();
        for watched in &self.watchers {
            eventually_within(PATIENCE, "a watcher saw all", async || watched.lock().names.is_superset(&names)).await;
            let watched = watched.lock();
            assert_eq!(watched.complaint, None);
            assert!(watched.resumed + watched.relisted > 0, "no watch was cut off");
            sums = (sums.0 + watched.resumed, sums.1 + watched.relisted);
        }
        sums
    }

    async fn end(self) -> BTreeMap<String, (u64, String)> {
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        self.acknowledged.lock().clone()
    }
}

fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).expect("a number")
}

/// Creates ConfigMaps, each once; what is answered goes into the book.
async fn write(hub: kube::Client, writer: u64, acknowledged: Acknowledged, is_over: Arc<AtomicBool>) {
    let config_maps: Api<ConfigMap> = Api::namespaced(hub, NAMESPACE);
    for number in 0u64.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let (name, value) = (format!("w{writer}-{number}"), format!("{writer}/{number}"));
        let object = ConfigMap {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            data: Some([("value".to_owned(), value.clone())].into()),
            ..ConfigMap::default()
        };
        match config_maps.create(&PostParams::default(), &object).await {
            Ok(created) => drop(acknowledged.lock().insert(name, (version(&created.metadata), value))),
            // Whether it was written nobody knows; the next has another name.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn kept(hub: &kube::Client) -> BTreeMap<String, (u64, String)> {
    let config_maps: Api<ConfigMap> = Api::namespaced(hub.clone(), NAMESPACE);
    let all = config_maps.list(&ListParams::default()).await.expect("listed");
    let entry = |object: ConfigMap| {
        let value = object.data.unwrap_or_default().remove("value").unwrap_or_default();
        (object.metadata.name.clone().unwrap_or_default(), (version(&object.metadata), value))
    };
    all.items.into_iter().map(entry).collect()
}

fn check_versions(acknowledged: &BTreeMap<String, (u64, String)>) {
    let mut by_version = BTreeMap::new();
    for (name, (version, _)) in acknowledged {
        if let Some(other) = by_version.insert(*version, name) {
            panic!("{other} and {name} were both written at revision {version}");
        }
    }
}

/// Watches, goes on where it was cut off, and lists anew on a 410 only.
async fn follow(hub: kube::Client, watched: Arc<Mutex<Watched>>, is_over: Arc<AtomicBool>) {
    let config_maps: Api<ConfigMap> = Api::namespaced(hub, NAMESPACE);
    let mut from: Option<String> = None;
    while !is_over.load(Ordering::Relaxed) {
        let start = match &from {
            Some(version) => version.clone(),
            None => {
                let Ok(all) = config_maps.list(&ListParams::default()).await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let mut watched = watched.lock();
                watched.names.extend(all.items.iter().filter_map(|object| object.metadata.name.clone()));
                let version = all.metadata.resource_version.unwrap_or_default();
                watched.last = version.parse().expect("a number");
                version
            }
        };
        from = Some(start.clone());
        // A server that is away refuses the connection, one that died ends the stream: both are asked again.
        let events = match config_maps.watch(&WatchParams::default().timeout(5), &start).await {
            Ok(events) => events,
            Err(error) => {
                if matches!(&error, kube::Error::Api(status) if status.code == 410) {
                    watched.lock().relisted += 1;
                    from = None;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let mut events = std::pin::pin!(events);
        let mut is_gone = false;
        while let Some(Ok(event)) = events.next().await {
            match event {
                WatchEvent::Added(object) => {
                    let version = version(&object.metadata);
                    let mut watched = watched.lock();
                    if version <= watched.last {
                        watched.complaint = Some(format!("revision {version} came after {}", watched.last));
                    }
                    watched.last = version;
                    watched.names.extend(object.metadata.name.clone());
                    from = Some(version.to_string());
                }
                WatchEvent::Bookmark(bookmark) => from = Some(bookmark.metadata.resource_version),
                WatchEvent::Error(status) if status.code == 410 => is_gone = true,
                other => watched.lock().complaint = Some(format!("{other:?}")),
            }
        }
        if is_gone {
            watched.lock().relisted += 1;
            from = None;
        } else {
            watched.lock().resumed += 1;
        }
    }
}

/// Changes Deployments of a store, so that there is something to report.
async fn change(store: kube::Client, is_over: Arc<AtomicBool>) {
    apply(&store, "{apiVersion: v1, kind: Namespace, metadata: {name: load}}").await;
    let deployments: Api<Deployment> = Api::namespaced(store, "load");
    let turn = AtomicU64::new(0);
    while !is_over.load(Ordering::Relaxed) {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let name = format!("app-{}", turn % 6);
        if turn % 11 == 10 {
            // One of them goes, and comes back on a later turn.
            let _ = deployments.delete(&name, &DeleteParams::default()).await;
        } else {
            let object = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                "spec": {
                    "replicas": turn % 4,
                    "selector": {"matchLabels": {"app": name}},
                    "template": {
                        "metadata": {"labels": {"app": name}},
                        "spec": {"containers": [{"name": "main", "image": format!("registry.example/app:{turn}")}]},
                    },
                },
            });
            deployments.patch(&name, &PatchParams::apply("soak").force(), &Patch::Apply(object)).await.expect("applied");
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

/// What runs in a store, by the key under which it is reported: images, wanted and ready pods.
type State = BTreeMap<String, (Vec<String>, i64, i64)>;

async fn actual(store: &kube::Client) -> State {
    let number = |value: &serde_json::Value| value.as_i64().unwrap_or(0);
    let entry = |deployment: &serde_json::Value| {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let key = workload_key("Deployment", &text(&deployment["metadata"]["namespace"]), &text(&deployment["metadata"]["name"]));
        let images = vec![text(&deployment["spec"]["template"]["spec"]["containers"][0]["image"])];
        (key, (images, number(&deployment["spec"]["replicas"]), number(&deployment["status"]["readyReplicas"])))
    };
    list(store, "apps/v1", "Deployment", None).await.iter().map(entry).collect()
}

/// The hub's records end equal to what the stores have, with nothing missing between. Returns how many reports came.
async fn reports_are_whole(machine: &Machine) -> u64 {
    let mut stores = BTreeMap::new();
    for name in machine.store_names() {
        let store = machine.store(&name).await;
        let is_settled = async || {
            let state = actual(&store).await;
            state.values().all(|(_, wanted, ready)| wanted == ready).then_some(state)
        };
        eventually_within(PATIENCE, "the store is at rest", async || is_settled().await.is_some()).await;
        stores.insert(name, actual(&store).await);
    }
    // Reports go up in order: when this one has arrived, all before it have.
    let commit = machine.clone_repository().await.release("9.0.0").await;
    eventually_within(PATIENCE, "the hub knows the commit", async || machine.is_live(&commit).await).await;
    assert!(machine.clusters().await.iter().all(|cluster| cluster.reports_lost == 0));
    for (name, state) in &mut stores {
        let current = actual(&machine.store(name).await).await;
        assert!(current.len() >= 5, "{current:?}");
        *state = current;
    }
    let hub = machine.hub_info().await;
    machine.ok(&["down", "--keep-data"]).await;

    let records = records::SqliteRecords::open(machine.dir.join("hub/records"), records::Options::default()).expect("opened");
    let mut reports = 0;
    // The hub writes down what it sees as well, in a stream for each of its lives.
    let streams = records.streams().await.expect("read");
    for stream in streams.into_iter().filter(|stream| stream.cluster_uid != hub.uid) {
        reports += stream.acknowledged;
        assert!(stream.is_newest && stream.missing == 0, "{stream:?}");
        assert_eq!(records.gaps(&stream.cluster_uid).await.expect("read"), Vec::new());
    }
    for (name, state) in stores {
        let query = Query { clusters: Some(vec![name.clone()]), key_prefix: "Deployment/".into(), ..Query::of(Kind::Workload.as_str()) };
        let rows = records.list(query).await.expect("listed").rows;
        let told = rows.into_iter().map(|row| {
            let value: Workload = serde_json::from_str(row.value.expect("a value").get()).expect("a workload");
            (row.key, (value.images, value.desired, value.ready))
        });
        assert_eq!(told.collect::<State>(), state, "{name}");
    }
    records.close();
    reports
}

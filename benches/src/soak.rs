//! kill -9 of the API server under write load, again and again: nothing acknowledged is missing, no revision
//! comes twice, a watch goes on where it was or is told to list again (410).
//!
//! Each key has one writer, which creates, updates twice and deletes, and notes what it attempts and what was
//! acknowledged. So after a kill a key is as acknowledged or as attempted, and nothing else. Beside them one
//! object is written lazily, whose revisions may get lost but must never come again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;

use crate::child::{LAZY_NAME, NAMESPACE, Server};

const WRITERS: usize = 16;
const KEYS: usize = 4;
/// A watch that has not caught up by then is stuck.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(20);

/// The operation whose value a key holds; `None` after a deletion.
type Value = Option<u64>;

#[derive(Clone, Copy, Default)]
struct Key {
    acknowledged: Value,
    /// What the operation that is under way, if any, would leave.
    attempted: Value,
    next: u64,
}

/// What clients know, over all rounds.
#[derive(Default)]
struct Known {
    keys: BTreeMap<String, Key>,
    /// Every revision acknowledged or watched.
    revisions: HashSet<u64>,
    /// Acknowledged durable writes that the watch has yet to show.
    unseen: HashSet<u64>,
    newest_durable: u64,
    watched_to: u64,
    writes: usize,
    events: usize,
    resumed: usize,
    relisted: usize,
    /// Durable writers stop, so that what comes last before a kill is lazy.
    is_lazy_only: bool,
    fault: Option<String>,
}

impl Known {
    fn acknowledge(&mut self, name: &str, value: Value, revision: Option<u64>) {
        self.writes += 1;
        if let Some(revision) = revision {
            self.note_written(name, revision);
            self.newest_durable = self.newest_durable.max(revision);
            if revision > self.watched_to {
                self.unseen.insert(revision);
            }
        }
        if let Some(key) = self.keys.get_mut(name) {
            (key.acknowledged, key.attempted) = (value, value);
        }
    }

    fn note_written(&mut self, name: &str, revision: u64) {
        if !self.revisions.insert(revision) {
            self.fault.get_or_insert(format!("revision {revision} of {name} was acknowledged before"));
        }
    }

    fn watch(&mut self, revision: u64) {
        if revision <= self.watched_to {
            self.fault.get_or_insert(format!("the watch showed {revision} after {}", self.watched_to));
        }
        self.events += 1;
        self.watched_to = revision;
        self.unseen.remove(&revision);
    }

    /// A list shows everything up to its revision.
    fn relist(&mut self, revision: u64) {
        self.relisted += 1;
        self.watched_to = revision;
        self.unseen.retain(|&unseen| unseen > revision);
    }
}

pub async fn run(directory: &Path, rounds: usize) -> anyhow::Result<()> {
    pki::tls::install_provider();
    let directory = directory.join("soak");
    let known = Arc::new(Mutex::new(Known::default()));
    let mut server = Server::start(&directory).await?;
    known.lock().watched_to = revision(&server).await?;
    for round in 1..=rounds {
        let client = server.client().await?;
        let before = known.lock().writes;
        let watcher = tokio::spawn(follow(client.clone(), known.clone()));
        let mut writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write(client.clone(), known.clone(), writer))).collect();
        writers.push(tokio::spawn(write_lazily(client, known.clone())));
        // Kills at different points: of a checkpoint, of a compaction, of a batch.
        tokio::time::sleep(Duration::from_millis(400 + 173 * (round as u64 % 7))).await;
        if round % 3 == 0 {
            known.lock().is_lazy_only = true;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server.kill().await?;
        known.lock().is_lazy_only = false;
        for writer in writers {
            writer.await??;
        }
        watcher.await??;
        server = Server::start(&directory).await?;
        let written = known.lock().writes - before;
        ensure!(written > 0, "round {round}: nothing was written, so nothing was tested");
        check(&server, &known).await.with_context(|| format!("round {round}"))?;
        println!("round {round}: {written} writes acknowledged, all there");
    }
    let known = known.lock();
    let (writes, events, resumed, relisted) = (known.writes, known.events, known.resumed, known.relisted);
    println!(
        "kills: {rounds}, writes: {writes}, lost: 0, revisions used twice: 0, events watched: {events}, watches resumed: {resumed}, told to list again: {relisted}"
    );
    Ok(())
}

fn config_maps(client: Client) -> Api<ConfigMap> {
    Api::namespaced(client, NAMESPACE)
}

async fn revision(server: &Server) -> anyhow::Result<u64> {
    let list = config_maps(server.client().await?).list(&ListParams::default()).await?;
    Ok(list.metadata.resource_version.context("a list has a revision")?.parse()?)
}

fn revision_of(object: &ConfigMap) -> anyhow::Result<u64> {
    Ok(object.resource_version().context("an object has a revision")?.parse()?)
}

fn object(name: &str, operation: u64) -> ConfigMap {
    let data = BTreeMap::from([("operation".to_owned(), operation.to_string()), ("filling".to_owned(), "x".repeat(900))]);
    let mut object = ConfigMap { data: Some(data), ..ConfigMap::default() };
    object.metadata.name = Some(name.to_owned());
    object
}

fn operation_of(object: &ConfigMap) -> Value {
    object.data.as_ref()?.get("operation")?.parse().ok()
}

/// Writes its keys one after the other until the server is gone.
async fn write(client: Client, known: Arc<Mutex<Known>>, writer: usize) -> anyhow::Result<()> {
    let api = config_maps(client);
    for step in 0.. {
        let name = format!("soak-{writer}-{}", step % KEYS);
        let (operation, is_there) = {
            let mut known = known.lock();
            if known.is_lazy_only {
                return Ok(());
            }
            let key = known.keys.entry(name.clone()).or_default();
            let operation = key.next;
            key.next += 1;
            key.attempted = if operation % 4 == 3 { None } else { Some(operation) };
            (operation, key.acknowledged.is_some())
        };
        let written = match (operation % 4, is_there) {
            (3, false) => continue,
            (3, true) => api.delete(&name, &DeleteParams::default()).await.map(|_| None),
            (_, false) => api.create(&PostParams::default(), &object(&name, operation)).await.map(Some),
            (_, true) => api.replace(&name, &PostParams::default(), &object(&name, operation)).await.map(Some),
        };
        match written {
            Ok(Some(object)) => known.lock().acknowledge(&name, Some(operation), Some(revision_of(&object)?)),
            Ok(None) => known.lock().acknowledge(&name, None, None),
            Err(kube::Error::Api(status)) => bail!("{name}, operation {operation}: {status:?}"),
            // Killed; whether the operation happened is not known.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

async fn write_lazily(client: Client, known: Arc<Mutex<Known>>) -> anyhow::Result<()> {
    let api = config_maps(client);
    for operation in 0.. {
        let written = match api.replace(LAZY_NAME, &PostParams::default(), &object(LAZY_NAME, operation)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => api.create(&PostParams::default(), &object(LAZY_NAME, operation)).await,
            other => other,
        };
        match written {
            Ok(object) => known.lock().note_written(LAZY_NAME, revision_of(&object)?),
            Err(kube::Error::Api(status)) => bail!("{LAZY_NAME}: {status:?}"),
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// Watches from where the last watch ended, until the server is gone.
async fn follow(client: Client, known: Arc<Mutex<Known>>) -> anyhow::Result<()> {
    watch_until(&client, &known, |_| false).await
}

/// Watches from where the last watch ended until `is_enough`, or the server is gone.
async fn watch_until(client: &Client, known: &Mutex<Known>, is_enough: impl Fn(&Known) -> bool) -> anyhow::Result<()> {
    let api = config_maps(client.clone());
    let from = known.lock().watched_to.to_string();
    let mut events = match api.watch(&WatchParams::default(), &from).await {
        Ok(events) => events.boxed(),
        Err(kube::Error::Api(status)) if status.code == 410 => return relist(&api, known).await,
        Err(kube::Error::Api(status)) => bail!("the watch was refused: {status:?}"),
        Err(_) => return Ok(()),
    };
    known.lock().resumed += 1;
    while !is_enough(&known.lock()) {
        match events.try_next().await {
            Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object))) => {
                known.lock().watch(revision_of(&object)?);
            }
            Ok(Some(WatchEvent::Error(status))) if status.code == 410 => return relist(&api, known).await,
            Ok(Some(WatchEvent::Error(status))) => bail!("the watch ended with {status:?}"),
            Ok(Some(WatchEvent::Bookmark(_))) => {}
            Ok(None) | Err(_) => return Ok(()),
        }
    }
    Ok(())
}

async fn relist(api: &Api<ConfigMap>, known: &Mutex<Known>) -> anyhow::Result<()> {
    // The server may be gone again.
    if let Ok(list) = api.list(&ListParams::default()).await {
        let revision = list.metadata.resource_version.context("a list has a revision")?.parse()?;
        known.lock().relist(revision);
    }
    Ok(())
}

/// Compares what the server has with what clients know.
async fn check(server: &Server, known: &Mutex<Known>) -> anyhow::Result<()> {
    let client = server.client().await?;
    let list = config_maps(client.clone()).list(&ListParams::default()).await?;
    let listed: u64 = list.metadata.resource_version.as_deref().context("a list has a revision")?.parse()?;
    let found: HashMap<String, Value> = list.items.iter().map(|object| (object.name_any(), operation_of(object))).collect();
    {
        let mut known = known.lock();
        let seen = known.revisions.iter().max().copied().unwrap_or(0).max(known.watched_to);
        ensure!(listed >= seen, "the server is at {listed}, clients have seen {seen}");
        for (name, key) in &mut known.keys {
            let value = found.get(name).copied().flatten();
            let (acknowledged, attempted) = (key.acknowledged, key.attempted);
            ensure!(
                value == acknowledged || value == attempted,
                "{name} holds {value:?}; acknowledged was {acknowledged:?}, attempted {attempted:?}"
            );
            (key.acknowledged, key.attempted) = (value, value);
        }
    }
    let caught_up = watch_until(&client, known, |known| known.watched_to >= known.newest_durable);
    tokio::time::timeout(CATCH_UP_TIMEOUT, caught_up).await.context("the watch did not catch up")??;
    let known = known.lock();
    if let Some(fault) = &known.fault {
        bail!("{fault}");
    }
    ensure!(known.unseen.is_empty(), "the watch did not show {:?}", known.unseen);
    Ok(())
}

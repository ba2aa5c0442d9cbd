//! What the hub knows of every cluster, in memory and ready to be asked.
//!
//! [`feed`] keeps it: ManagedClusters and their sets come from caches, what spokes tell from the records, each change once. A
//! question looks at rows that are there, so its cost does not grow with what is recorded. What is shown of a cluster
//! is decided by the crate `overview` whenever something of it changed. A few KB per cluster: workloads are kept as
//! their images and their trouble, images shared between clusters.

mod entry;
mod feed;
mod images;
mod lags;
mod sets;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::cluster::{ManagedCluster, ManagedClusterSet};
use api::hub::{ActivityRow, State};
use api::report::Kind;
use controller::{Cache, Key};
use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use records::Row;
use tokio::sync::{Notify, watch};

pub use entry::image_rows;
pub use entry::{App, Entry};
pub use feed::{ACTIVITY, HUB_KINDS, STATE, WrittenState};
use images::Images;
use sets::Selecting;

/// Kinds of report that it keeps.
const KINDS: [Kind; 3] = [Kind::ClusterInfo, Kind::Application, Kind::Workload];
/// What happened and is not yet written; more is dropped and counted.
const PENDING_MAX: usize = 50_000;
/// A question waits so long for what was acknowledged before it.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub struct Index(Arc<Shared>);

struct Shared {
    clusters: Cache<ManagedCluster>,
    sets: Cache<ManagedClusterSet>,
    inner: RwLock<Inner>,
    dirty: Mutex<Dirty>,
    woken: Notify,
    /// Of [`Inner::version`].
    changed: watch::Sender<u64>,
    /// Up to which version of the records it is.
    read_up_to: watch::Sender<u64>,
    records: Arc<dyn records::Records>,
}

/// What changed since it was looked at.
#[derive(Default)]
struct Dirty {
    /// Clusters whose object changed.
    clusters: BTreeSet<String>,
    /// Whether a set selects other clusters than before, or is new, or gone.
    has_sets: bool,
}

#[derive(Default)]
pub struct Inner {
    entries: BTreeMap<String, Entry>,
    /// Grows with every change that shows.
    pub version: u64,
    images: Images,
    lags: lags::Lags,
    /// Whether everything recorded was read: before that nothing is news.
    is_loaded: bool,
    /// The state of each cluster as last written down.
    written: HashMap<String, State>,
    happened: Vec<Happened>,
    dropped: u64,
}

/// What is to be written down.
#[derive(Clone, Debug)]
pub enum Happened {
    Activity(ActivityRow),
    /// None for a cluster that left.
    State(String, Option<(State, String)>, Timestamp),
}

impl Index {
    pub fn new(clusters: Cache<ManagedCluster>, sets: Cache<ManagedClusterSet>, records: Arc<dyn records::Records>) -> Self {
        Self(Arc::new(Shared {
            clusters,
            sets,
            inner: RwLock::default(),
            dirty: Mutex::default(),
            woken: Notify::new(),
            changed: watch::Sender::new(0),
            read_up_to: watch::Sender::new(0),
            records,
        }))
    }

    /// Looks at what there is, brought up to what was acknowledged before.
    pub async fn read<T>(&self, now: Timestamp, look: impl FnOnce(&Inner) -> T) -> T {
        let acknowledged = *self.0.records.version().borrow();
        let mut read_up_to = self.0.read_up_to.subscribe();
        // A slow disk makes an answer old, not late.
        let _ = tokio::time::timeout(CATCH_UP, read_up_to.wait_for(|version| *version >= acknowledged)).await;
        self.settle(now);
        look(&self.0.inner.read())
    }

    /// Looks at what there is as it is.
    pub fn peek<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.0.inner.read())
    }

    /// Returns a counter that grows with each change that shows.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Notes that a ManagedCluster changed.
    fn mark(&self, name: &str) {
        self.0.dirty.lock().clusters.insert(name.to_owned());
        self.0.woken.notify_one();
    }

    /// Notes that a set selects other clusters than before.
    fn mark_sets(&self) {
        self.0.dirty.lock().has_sets = true;
        self.0.woken.notify_one();
    }

    /// Looks at the ManagedClusters that changed, and where sets did, at which clusters those select.
    fn settle(&self, now: Timestamp) {
        let dirty = std::mem::take(&mut *self.0.dirty.lock());
        if dirty.clusters.is_empty() && !dirty.has_sets {
            return;
        }
        let sets = self.0.sets.list();
        let selecting = Selecting::of(&sets);
        let mut inner = self.0.inner.write();
        for name in dirty.clusters {
            let cluster = self.0.clusters.get(&Key::cluster_scoped(&name));
            inner.set_cluster(&name, cluster, &selecting, now);
        }
        if dirty.has_sets {
            inner.select(&selecting, now);
        }
        self.publish(inner.version);
    }

    fn publish(&self, version: u64) {
        self.0.changed.send_if_modified(|known| std::mem::replace(known, version) != version);
    }
}

impl Inner {
    /// Returns all clusters there are, by name.
    pub fn clusters(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.cluster.is_some()).map(|(name, entry)| (name.as_str(), entry))
    }

    pub fn cluster(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name).filter(|entry| entry.cluster.is_some())
    }

    fn set_cluster(&mut self, name: &str, cluster: Option<Arc<ManagedCluster>>, selecting: &Selecting<'_>, now: Timestamp) {
        let is_there = cluster.is_some();
        let entry = self.entries.entry(name.to_owned()).or_default();
        let was_there = entry.cluster.is_some();
        entry.sets = cluster.as_deref().map(|cluster| selecting.sets_of(cluster)).unwrap_or_default();
        entry.cluster = cluster;
        if is_there {
            self.refresh(name, now);
            return;
        }
        if entry.is_empty() {
            self.entries.remove(name);
        }
        if was_there {
            self.version += 1;
            if self.written.remove(name).is_some() {
                self.tell(Happened::State(name.to_owned(), None, now));
            }
        }
    }

    /// Judges anew in which sets clusters are.
    fn select(&mut self, selecting: &Selecting<'_>, now: Timestamp) {
        let mut changed = Vec::new();
        for (name, entry) in &mut self.entries {
            let Some(cluster) = entry.cluster.as_deref() else { continue };
            let sets = selecting.sets_of(cluster);
            if entry.sets != sets {
                entry.sets = sets;
                changed.push(name.clone());
            }
        }
        for name in changed {
            self.refresh(&name, now);
        }
    }

    /// Takes a record; the cluster is looked at anew by [`Inner::refresh`].
    fn set_row(&mut self, kind: &Kind, row: &Row, now: Timestamp) {
        let entry = self.entries.entry(row.cluster.clone()).or_default();
        let happened = entry.set_row(kind, row, &mut self.images);
        if self.is_loaded && entry.cluster.is_some() {
            for what in happened {
                let row = ActivityRow {
                    at: what.at.unwrap_or(row.source.observed_at),
                    received_at: now,
                    cluster: row.cluster.clone(),
                    kind: what.kind.to_owned(),
                    reason: what.reason.to_owned(),
                    object: what.object,
                    message: what.message,
                };
                self.tell(Happened::Activity(row));
            }
        }
        if self.entries.get(&row.cluster).is_some_and(|entry| entry.cluster.is_none() && entry.is_empty()) {
            self.entries.remove(&row.cluster);
        }
    }

    /// Decides anew what is shown of a cluster.
    fn refresh(&mut self, name: &str, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        // What one cluster tells must never stop the others: not even by a defect of ours.
        let (images, lags) = (&mut self.images, &self.lags);
        let decided = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| entry.refresh(name, images, lags)));
        let Ok(verdict) = decided else {
            tracing::error!(cluster = name, "what it tells cannot be judged, a defect; it is shown as it was");
            return;
        };
        let Some(verdict) = verdict else { return };
        self.version += 1;
        entry.version = self.version;
        if !self.is_loaded {
            return;
        }
        let before = self.written.get(name).copied();
        if before == Some(verdict.state) {
            return;
        }
        self.written.insert(name.to_owned(), verdict.state);
        self.tell(Happened::State(name.to_owned(), Some((verdict.state, verdict.reason.clone())), now));
        if let Some(what) = overview::activity::of_state(name, before.unwrap_or_default(), &verdict) {
            self.tell(Happened::Activity(ActivityRow {
                at: now,
                received_at: now,
                cluster: name.to_owned(),
                kind: what.kind.to_owned(),
                reason: what.reason.to_owned(),
                object: what.object,
                message: what.message,
            }));
        }
    }

    fn tell(&mut self, happened: Happened) {
        if self.happened.len() < PENDING_MAX {
            self.happened.push(happened);
        } else {
            self.dropped += 1;
        }
    }
}

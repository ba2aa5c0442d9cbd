//! Keeps the index: reads what changed, decides anew what is shown of it, writes down what happened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::cluster::ManagedClusterSet;
use api::hub::State;
use jiff::Timestamp;
use records::{Frame, Intake, Query, Records, Report};
use serde_json::value::to_raw_value;
use tokio::time::Instant;

use super::{Happened, Index, KINDS};
use crate::Context;

/// Words of the records for what the hub itself writes down.
pub const ACTIVITY: &str = "hub-activity";
pub const STATE: &str = "hub-cluster-state";
/// How words begin that only the hub may use.
pub const HUB_KINDS: &str = "hub-";

/// Changes that come within this are taken together.
const GATHER: Duration = Duration::from_millis(20);
/// After records could not be read or written.
const PAUSE: Duration = Duration::from_secs(1);
/// How often lost reports are counted, if anything changed.
const COUNT_LOST_EVERY: Duration = Duration::from_secs(15);
/// Pieces written at a time.
const WRITES_MAX: usize = 128;

impl Index {
    /// Starts to follow; `hub_uid` is who writes down what happened.
    pub fn start(&self, ctx: &Arc<Context>, hub_uid: &str) {
        let marked = self.clone();
        ctx.caches.clusters.observe(move |change| marked.mark(&change.key.name));
        let marked = self.clone();
        ctx.caches.sets.observe(move |change| {
            let selector = |set: &Option<Arc<ManagedClusterSet>>| set.as_ref().map(|set| set.spec.cluster_selector.clone());
            // A set tells in its status how many it has; that selects nobody.
            if selector(&change.old) != selector(&change.new) {
                marked.mark_sets();
            }
        });
        let started = ctx.now();
        let writer = Writer { records: self.0.records.clone(), hub_uid: hub_uid.to_owned(), incarnation: started.to_string(), sequence: 0 };
        let feed =
            Feed { index: self.clone(), ctx: ctx.clone(), writer, read: [0; KINDS.len()], counted_at: None, touched: BTreeSet::new() };
        ctx.runtime.spawn("read-model", feed.run());
    }
}

struct Feed {
    index: Index,
    ctx: Arc<Context>,
    writer: Writer,
    /// Of each kind: the version of the records up to which it was read.
    read: [u64; KINDS.len()],
    counted_at: Option<Instant>,
    /// Clusters of which something was read that is not shown yet.
    touched: BTreeSet<String>,
}

impl Feed {
    async fn run(mut self) {
        let mut version = self.index.0.records.version();
        if let Err(error) = self.recall().await {
            tracing::warn!(%error, "the states of clusters before this start are not known");
        }
        loop {
            version.borrow_and_update();
            let now = self.ctx.now();
            let is_read = match self.read_changes(now).await {
                Ok(()) => true,
                Err(records::Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "records cannot be read; what is shown is as it was");
                    false
                }
            };
            self.index.settle(now);
            self.write_down().await;
            if !is_read {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            tokio::select! {
                changed = version.changed() => if changed.is_err() { return },
                () = self.index.0.woken.notified() => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Recalls the states that were written down before this start.
    async fn recall(&mut self) -> Result<(), records::Error> {
        let mut query = Query::of(STATE);
        loop {
            let listing = self.index.0.records.list(query.clone()).await?;
            let mut inner = self.index.0.inner.write();
            // Nobody else speaks under the hub's UID; what an older hub let in is not believed.
            for row in listing.rows.into_iter().filter(|row| row.cluster_uid == self.writer.hub_uid) {
                let state = row.value.as_ref().and_then(|v| serde_json::from_str::<WrittenState>(v.get()).ok());
                inner.written.insert(row.key, state.map(|s| s.state).unwrap_or_default());
            }
            match listing.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn read_changes(&mut self, now: Timestamp) -> Result<(), records::Error> {
        let records = self.index.0.records.clone();
        let acknowledged = *records.version().borrow();
        for (at, kind) in KINDS.iter().enumerate() {
            let is_first = self.read[at] == 0;
            let mut query =
                Query { changed_after: (!is_first).then_some(self.read[at]), includes_deleted: !is_first, ..Query::of(kind.as_str()) };
            let mut version = None;
            loop {
                let listing = records.list(query.clone()).await?;
                version.get_or_insert(listing.version);
                // Who told this is a cluster by now; of what is not in the index nothing is written down.
                self.index.settle(now);
                let mut inner = self.index.0.inner.write();
                for row in &listing.rows {
                    inner.set_row(kind, row, now);
                    self.touched.insert(row.cluster.clone());
                }
                match listing.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            self.read[at] = version.unwrap_or(self.read[at]);
        }
        match self.count_lost().await {
            Ok(changed) => self.touched.extend(changed),
            Err(error) => tracing::warn!(%error, "lost reports cannot be counted"),
        }
        let mut inner = self.index.0.inner.write();
        if !std::mem::replace(&mut inner.is_loaded, true) {
            // What differs from what was written down before this start is news.
            self.touched.extend(inner.entries.keys().cloned());
        }
        for name in std::mem::take(&mut self.touched) {
            inner.refresh(&name, now);
        }
        let version = inner.version;
        drop(inner);
        self.index.publish(version);
        self.index.0.read_up_to.send_replace(acknowledged);
        Ok(())
    }

    /// Counts the reports that will never come; returns the clusters for which that changed.
    async fn count_lost(&mut self) -> Result<Vec<String>, records::Error> {
        if self.counted_at.is_some_and(|at| at.elapsed() < COUNT_LOST_EVERY) {
            return Ok(Vec::new());
        }
        let mut lost = std::collections::BTreeMap::<String, u64>::new();
        for stream in self.index.0.records.streams().await? {
            if stream.lost > 0 {
                let count = lost.entry(stream.cluster).or_default();
                *count = count.saturating_add(stream.lost);
            }
        }
        self.counted_at = Some(Instant::now());
        let mut inner = self.index.0.inner.write();
        let mut changed = Vec::new();
        for (name, entry) in &mut inner.entries {
            let count = lost.get(name).copied().unwrap_or(0);
            if std::mem::replace(&mut entry.lost, count) != count {
                changed.push(name.clone());
            }
        }
        Ok(changed)
    }

    async fn write_down(&mut self) {
        let (happened, dropped) = {
            let mut inner = self.index.0.inner.write();
            (std::mem::take(&mut inner.happened), std::mem::take(&mut inner.dropped))
        };
        if dropped > 0 {
            tracing::warn!(dropped, "more happened than can be written down: the activity has a gap");
        }
        for piece in happened.chunks(WRITES_MAX) {
            if let Err(error) = self.writer.write(piece, self.ctx.now()).await {
                tracing::warn!(%error, lost = piece.len(), "what happened cannot be written down");
                self.writer.begin_anew(self.ctx.now());
            }
        }
    }
}

/// What is written down of a cluster's state.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct WrittenState {
    pub state: State,
    #[serde(default)]
    pub reason: String,
}

/// Writes down what happened, as a stream of reports of the hub's own: it outlives the hub as theirs do.
struct Writer {
    records: Arc<dyn Records>,
    hub_uid: String,
    incarnation: String,
    sequence: u64,
}

impl Writer {
    /// A piece that was not taken leaves a hole; the next stream has none.
    fn begin_anew(&mut self, now: Timestamp) {
        self.incarnation = now.to_string();
        self.sequence = 0;
    }

    async fn write(&mut self, happened: &[Happened], now: Timestamp) -> Result<(), records::Error> {
        let mut intakes: Vec<Intake> = Vec::new();
        for what in happened {
            let (cluster, report) = self.report(what);
            let frame = Frame::Report(report);
            match intakes.last_mut() {
                Some(last) if last.cluster == cluster => last.frames.push(frame),
                _ => intakes.push(Intake {
                    cluster,
                    cluster_uid: self.hub_uid.clone(),
                    incarnation: self.incarnation.clone(),
                    received_at: now,
                    skew_ms: None,
                    frames: vec![frame],
                }),
            }
        }
        // In order, and with one commit where the writer can.
        let writes: Vec<_> = intakes.into_iter().map(|intake| self.records.append(intake)).collect();
        futures::future::try_join_all(writes).await.map(drop)
    }

    fn report(&mut self, what: &Happened) -> (String, Report) {
        self.sequence += 1;
        let (kind, cluster, is_state, at, value) = match what {
            Happened::Activity(row) => (ACTIVITY, &row.cluster, false, row.at, to_raw_value(row).ok()),
            Happened::State(name, Some((state, reason)), at) => {
                (STATE, name, true, *at, to_raw_value(&WrittenState { state: *state, reason: reason.clone() }).ok())
            }
            Happened::State(name, None, at) => (STATE, name, true, *at, None),
        };
        let report = Report {
            sequence: self.sequence,
            kind: kind.to_owned(),
            key: cluster.clone(),
            is_state,
            observed_at: at,
            value,
            facets: records::Facets::new(),
        };
        (cluster.clone(), report)
    }
}

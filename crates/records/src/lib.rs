//! Relational records of the hub: what spokes report, and the read model made of it.
//!
//! Reports arrive in streams, one per (cluster UID, incarnation), numbered without holes. [`Records::append`] takes a
//! piece of a stream once, however often it is sent, and answers when it is durable with the
//! highest sequence to acknowledge. From them it keeps the latest value per (kind, cluster, key), the history
//! of all values within a bounded time, and the gaps: sequences that will never come.
//!
//! Values are opaque JSON; kinds are words of the caller, and so are the facets by which values are filtered and
//! sorted. Nothing here knows what is reported.
//!
//! Invariants: what `append` acknowledged survives kill -9; the latest value is never replaced by an older
//! one (an older sequence, or an older incarnation); a new incarnation changes nothing that was recorded until
//! it reports; whoever follows [`Records::version`] misses no change (deletions included, for as long as they are remembered).
//!
//! One trait, so that PostgreSQL can take the place of SQLite; one test suite for both (`tests/it/suite.rs`).

mod sqlite;

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio::sync::watch;

pub use sqlite::{Options, SqliteRecords};

/// Words by which a value is filtered, counted and sorted, such as `health: Degraded`.
pub type Facets = BTreeMap<String, String>;

/// More facets of one value are refused.
pub const FACETS_MAX: usize = 16;
/// More frames in one [`Intake`] are refused.
pub const FRAMES_MAX: usize = 10_000;
/// No page of a listing is longer.
pub const PAGE_MAX: usize = 10_000;

/// A piece of one stream.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The cluster's name, for people; `cluster_uid` identifies it.
    pub cluster: String,
    pub cluster_uid: String,
    pub incarnation: String,
    /// The hub's clock.
    pub received_at: Timestamp,
    /// The hub's clock minus the spoke's, as last measured.
    pub skew_ms: Option<i64>,
    /// In the order of the stream.
    pub frames: Vec<Frame>,
}

#[derive(Clone, Debug)]
pub enum Frame {
    Report(Report),
    /// The sequences of this range will never come.
    Gap {
        from: u64,
        to: u64,
        reason: String,
    },
    /// All that exists of a kind was reported at or after `since`: what is older is gone.
    Complete {
        sequence: u64,
        kind: String,
        since: u64,
    },
}

#[derive(Clone, Debug)]
pub struct Report {
    pub sequence: u64,
    pub kind: String,
    pub key: String,
    /// Whether it replaces earlier reports of the key, or stands for itself (in the history only).
    pub is_state: bool,
    /// The spoke's clock.
    pub observed_at: Timestamp,
    /// `None` says that the key is gone.
    pub value: Option<Box<RawValue>>,
    pub facets: Facets,
}

/// What became of an [`Intake`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Everything up to here is durable or a recorded gap; 0 for nothing.
    pub acknowledged: u64,
    /// Frames that were new; the others were here already, or come after the hole.
    pub new: usize,
    /// The first and last sequence that are missing and were not declared a gap. Nothing after them was taken.
    pub hole: Option<(u64, u64)>,
}

/// The latest value of a key.
#[derive(Clone, Debug)]
pub struct Row {
    pub kind: String,
    pub cluster: String,
    pub cluster_uid: String,
    pub key: String,
    /// `None` after the key is gone.
    pub value: Option<Box<RawValue>>,
    pub facets: Facets,
    pub source: Source,
    /// Of the commit that wrote this row; see [`Records::version`].
    pub version: u64,
}

/// Where a value comes from, and when: by the spoke's clock, by the hub's, and how far they were apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub incarnation: String,
    pub sequence: u64,
    pub observed_at: Timestamp,
    pub received_at: Timestamp,
    pub skew_ms: Option<i64>,
}

/// A value as it once was.
#[derive(Clone, Debug)]
pub struct Past {
    pub id: u64,
    pub cluster: String,
    pub cluster_uid: String,
    pub key: String,
    pub value: Option<Box<RawValue>>,
    pub source: Source,
}

/// Which rows to list. [`Query::of`] lists all of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub kind: String,
    /// Names of clusters; `None` is all (and a viewer who may see none has `Some` of an empty list).
    pub clusters: Option<Vec<String>>,
    /// The start of keys, such as a namespace.
    pub key_prefix: String,
    /// A part of the key, in either case.
    pub search: String,
    /// Of each facet named here, one of the values.
    pub facets: BTreeMap<String, Vec<String>>,
    /// Rows written by commits after this version only.
    pub changed_after: Option<u64>,
    /// Also shows keys that are gone, as long as they are remembered.
    pub includes_deleted: bool,
    pub sort: Sort,
    pub is_descending: bool,
    /// 0 is [`PAGE_MAX`].
    pub limit: usize,
    /// [`Listing::next`] of the page before.
    pub after: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Then by key.
    Cluster,
    Key,
    ObservedAt,
    ReceivedAt,
    Facet(String),
}

/// A page of rows.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub rows: Vec<Row>,
    /// Of all pages.
    pub total: u64,
    /// Where the next page starts; `None` at the end.
    pub next: Option<String>,
    /// What the page shows; changes after it have a higher one.
    pub version: u64,
}

/// Which past values to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    pub kind: String,
    pub cluster_uid: Option<String>,
    pub key: Option<String>,
    /// Starts before this [`Past::id`].
    pub before: Option<u64>,
    /// 0 is [`PAGE_MAX`].
    pub limit: usize,
}

/// One stream, and how far it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub cluster: String,
    pub cluster_uid: String,
    pub incarnation: String,
    /// Whether no later incarnation of the cluster is known.
    pub is_newest: bool,
    pub acknowledged: u64,
    /// Sequences within recorded gaps.
    pub missing: u64,
    /// Of these, the ones that no later report makes good.
    pub lost: u64,
    pub first_received_at: Timestamp,
    pub last_received_at: Timestamp,
    pub skew_ms: Option<i64>,
}

/// Sequences that will never come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub incarnation: String,
    pub from: u64,
    pub to: u64,
    pub reason: String,
    pub received_at: Timestamp,
}

/// How long records are kept. Latest values stay until they are reported gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    pub history_age_max: jiff::SignedDuration,
    /// Of all clusters. Beyond it those that tell the most give way: one that flaps forgets its own past, not others'.
    pub history_rows_max: u64,
    /// How long a key that is gone is still listed as gone.
    pub deleted_age_max: jiff::SignedDuration,
    pub gap_age_max: jiff::SignedDuration,
    /// Streams remembered per cluster; the newest always is.
    pub incarnations_max: u32,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            history_age_max: jiff::SignedDuration::from_hours(7 * 24),
            history_rows_max: 500_000,
            deleted_age_max: jiff::SignedDuration::from_hours(24),
            gap_age_max: jiff::SignedDuration::from_hours(30 * 24),
            incarnations_max: 16,
        }
    }
}

/// Rows that pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub history: usize,
    pub deleted: usize,
    pub gaps: usize,
    pub streams: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("failed to open the records {path}: {reason}")]
    Unopenable { path: String, reason: String },
    /// Nothing was taken; the disk is full or failing. Try again later.
    #[error("failed to write records: {0}")]
    Unwritable(String),
    #[error("failed to read records: {0}")]
    Unreadable(String),
    /// The caller's mistake.
    #[error("{0}")]
    Invalid(String),
    #[error("the records are closed")]
    Closed,
}

/// The hub's relational records.
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// Takes a piece of a stream; returns when it is durable.
    async fn append(&self, intake: Intake) -> Result<Appended, Error>;

    /// Returns the highest acknowledged sequence of a stream; 0 for an unknown one.
    async fn acknowledged(&self, cluster_uid: &str, incarnation: &str) -> Result<u64, Error>;

    /// Lists latest values.
    async fn list(&self, query: Query) -> Result<Listing, Error>;

    /// Returns the latest value of a key; also of one that is gone and still remembered.
    async fn get(&self, kind: &str, cluster_uid: &str, key: &str) -> Result<Option<Row>, Error>;

    /// Counts the rows of a query (all pages, without its filter on this facet) by the value of a facet.
    async fn count_by(&self, query: Query, facet: &str) -> Result<BTreeMap<String, u64>, Error>;

    async fn history(&self, query: HistoryQuery) -> Result<Vec<Past>, Error>;

    async fn streams(&self) -> Result<Vec<Stream>, Error>;

    /// Returns the recorded gaps of a cluster, oldest incarnation first.
    async fn gaps(&self, cluster_uid: &str) -> Result<Vec<Gap>, Error>;

    /// Marks all latest values of a cluster that left the fleet as gone, and forgets its streams. Its history ages out.
    async fn forget(&self, cluster_uid: &str, now: Timestamp) -> Result<(), Error>;

    /// Removes what is older than the retention allows; also done by itself now and then.
    async fn prune(&self, now: Timestamp) -> Result<Pruned, Error>;

    /// Returns a counter that grows with every commit: wait for it, then list what `changed_after` it.
    fn version(&self) -> watch::Receiver<u64>;
}

impl Query {
    pub fn of(kind: impl Into<String>) -> Query {
        Query {
            kind: kind.into(),
            clusters: None,
            key_prefix: String::new(),
            search: String::new(),
            facets: BTreeMap::new(),
            changed_after: None,
            includes_deleted: false,
            sort: Sort::Cluster,
            is_descending: false,
            limit: 0,
            after: None,
        }
    }
}

impl Frame {
    /// Returns the first and last sequence that the frame accounts for.
    pub fn sequences(&self) -> (u64, u64) {
        match self {
            Frame::Report(Report { sequence, .. }) | Frame::Complete { sequence, .. } => (*sequence, *sequence),
            Frame::Gap { from, to, .. } => (*from, *to),
        }
    }
}

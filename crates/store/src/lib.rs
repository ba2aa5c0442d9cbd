//! A revisioned key-value store with watches: what the API server keeps its objects in.
//!
//! Every write gets the next revision of one global, monotonic counter. Reads are served from memory
//! at the newest or any retained revision; a log makes acknowledged writes durable
//! (SQLite) or does not (in memory, for simulated clusters). Values are opaque bytes, held once and shared.
//!
//! Invariants: what [`Store::write`] acknowledged survives kill -9 and power loss (unless written
//! `Lazy`); no revision is ever used twice, also not after a crash; subscribers see every commit in revision order.
//!
//! Where to read next: `mvcc` is what both stores serve from, `sqlite::writer` how a write becomes durable.

mod memory;
mod mvcc;
mod retention;
mod shared;
mod sqlite;
mod stamp;

pub use memory::MemoryStore;
pub use retention::Retention;
pub use sqlite::{Options, SqliteStore, Stats};

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

/// A point in the store's history; 0 is before the first write.
pub type Revision = u64;

/// A value as it is now, or was at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Arc<str>,
    pub value: Bytes,
    /// Revision of the write that made this value.
    pub revision: Revision,
    /// Revision of the write that created the key.
    pub created: Revision,
}

/// One committed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    /// The new value; for a deletion the last value, stamped with the deletion's revision.
    pub entry: Entry,
    /// The value before, for subscribers that filter.
    pub previous: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Created,
    Updated,
    Deleted,
}

/// Bytes into which the store writes the revision it assigns, in decimal, at `revision_at`.
/// So a value can carry its own revision without being encoded twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub bytes: Vec<u8>,
    pub revision_at: Option<usize>,
}

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Anything,
    Absent,
    Revision(Revision),
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub key: Arc<str>,
    pub expect: Expect,
    pub change: Change,
    pub durability: Durability,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Template),
    /// Carries the value that the deletion event shows. Deleting what is not there is `Unexpected(None)`.
    Delete(Template),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged after it is on disk.
    Durable,
    /// Acknowledged at once, on disk some time later; its revision is never reused all the same.
    Lazy,
}

/// A page of keys in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// The revision this page shows.
    pub revision: Revision,
    /// How many entries of the prefix follow the page.
    pub remaining: u64,
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range<'a> {
    pub prefix: &'a str,
    /// Starts after this key.
    pub after: Option<&'a str>,
    /// 0 is no limit.
    pub limit: usize,
    /// `None` is the newest.
    pub at: Option<Revision>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The write's expectation did not hold, or there is nothing to delete; carries what is there.
    #[error("the key is not as expected")]
    Unexpected(Option<Entry>),
    #[error("revision {0} has been compacted, the oldest retained is {1}")]
    Compacted(Revision, Revision),
    #[error("revision {0} is ahead of the newest, {1}")]
    Future(Revision, Revision),
    /// The disk is full or failing; writes are refused until it is not.
    #[error("failed to write the store: {0}")]
    Unwritable(String),
    #[error("failed to open the store {path}: {reason}")]
    Unopenable { path: String, reason: String },
    #[error("the store is closed")]
    Closed,
}

/// Called with each commit (one or many events), in revision order, after readers see it and before its
/// writers are answered. Must not block or write; may read.
pub type Subscriber = Box<dyn Fn(&[Arc<Event>]) + Send + Sync>;

/// A revisioned key-value store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Returns the newest revision that reads see.
    fn revision(&self) -> Revision;

    /// Waits until reads see all that any process was acknowledged before this call.
    /// A store of one process is always fresh.
    async fn fresh(&self) -> Result<Revision, Error>;

    /// Returns the value of a key, now or at a retained revision.
    fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<Entry>, Error>;

    /// Returns entries with a prefix in key order; later pages repeat the first page's revision as `at`.
    fn range(&self, range: Range<'_>) -> Result<Page, Error>;

    /// Returns the number of keys with the prefix, now.
    fn count(&self, prefix: &str) -> usize;

    /// Commits one write; returns the entry written, or for a deletion the last value
    /// stamped with the deletion's revision.
    async fn write(&self, write: Write) -> Result<Entry, Error>;

    /// Returns the events with the prefix after a revision, oldest first.
    fn events_after(&self, prefix: &str, after: Revision) -> Result<Vec<Arc<Event>>, Error>;

    /// Adds a subscriber for all commits from now on.
    fn subscribe(&self, subscriber: Subscriber);

    /// Forgets history up to a revision; values that are still current stay, and that revision can still
    /// be read and resumed from. What was compacted before is no error.
    async fn compact(&self, up_to: Revision) -> Result<(), Error>;
}

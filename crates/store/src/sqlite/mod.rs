//! A store whose acknowledged writes survive kill -9 and power loss, in one SQLite file.
//!
//! Reads are served from memory. Writes go through one bounded queue to one thread (`writer`),
//! which commits whatever is queued in one transaction: WAL, `synchronous=FULL`, each value once,
//! in a log keyed by revision (`disk`). The WAL is copied into the file by another
//! thread (`checkpoint`). The directory is locked: one process has a store open.
//!
//! The file does not shrink; compaction makes its pages reusable.

mod checkpoint;
mod disk;
mod queue;
mod writer;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::shared::Shared;
use crate::{Entry, Error, Event, Page, Range, Retention, Revision, Store, Subscriber, Write};
use disk::Disk;
use queue::{Queue, Request};
use writer::Writer;

/// Limits of a SQLite store.
#[derive(Clone, Debug)]
pub struct Options {
    pub retention: Retention,
    /// Writes waiting, in KiB (each counts 1 and its value's size). Writers wait for room.
    pub queue_kib_max: u32,
    /// What one transaction takes from the queue at most.
    pub batch_writes_max: usize,
    pub batch_bytes_max: usize,
    /// Lazy writes are on disk after this long, or with the next durable write.
    pub lazy_delay: Duration,
    /// Lazy writes not yet on disk; more become durable at once.
    pub lazy_pending_max: usize,
    /// Revisions reserved at a time for lazy writes.
    pub revision_block: u64,
    /// The WAL is copied to the file in the background each time it has grown this much.
    pub checkpoint_bytes: u64,
    /// The writer stops to finish the copying when the WAL is this big.
    pub wal_bytes_max: u64,
    /// Size of the file at which writes are refused; `None` is as much as the disk has.
    pub size_bytes_max: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            retention: Retention::hub(),
            queue_kib_max: 64 << 10,
            batch_writes_max: 1_024,
            batch_bytes_max: 8 << 20,
            lazy_delay: Duration::from_secs(2),
            lazy_pending_max: 10_000,
            revision_block: 100_000,
            checkpoint_bytes: 8 << 20,
            wal_bytes_max: 64 << 20,
            size_bytes_max: None,
        }
    }
}

/// Counters since the store was opened, and gauges, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub writes: u64,
    pub lazy_writes: u64,
    pub commits: u64,
    pub commits_failed: u64,
    /// Writes that waited because the queue was full.
    pub queue_waits: u64,
    /// Times that more lazy writes were pending than allowed.
    pub lazy_overflows: u64,
    /// Times that the writer stopped to finish a checkpoint.
    pub checkpoint_stalls: u64,
    pub compacted_revision: Revision,
    pub history_events: usize,
    pub history_bytes: usize,
}

#[derive(Default)]
struct Counters {
    writes: AtomicU64,
    lazy_writes: AtomicU64,
    commits: AtomicU64,
    commits_failed: AtomicU64,
    lazy_overflows: AtomicU64,
    checkpoint_stalls: AtomicU64,
}

/// A durable store. Dropping it writes what is pending, as [`SqliteStore::close`] does.
pub struct SqliteStore {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens or creates the store of a directory and reads it into memory. Blocks.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<SqliteStore, Error> {
        let directory = directory.as_ref();
        let unopenable = |reason: String| Error::Unopenable { path: directory.display().to_string(), reason };
        let lock = lock(directory).map_err(unopenable)?;
        let (disk, found) = Disk::open(&directory.join("store.db"), &options).map_err(|error| unopenable(error.to_string()))?;
        let shared = Arc::new(Shared::new(found.state));
        let queue = Arc::new(Queue::new(options.queue_kib_max));
        let counters = Arc::new(Counters::default());
        let writer = Writer::new(shared.clone(), queue.clone(), counters.clone(), disk, options, found.reserved, found.dropped)
            .map_err(|error| unopenable(error.to_string()))?;
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || {
            writer.run();
            drop(lock);
        });
        let writer = Mutex::new(Some(thread.map_err(|error| unopenable(error.to_string()))?));
        Ok(SqliteStore { shared, queue, counters, writer })
    }

    /// Refuses further writes, commits those queued and pending, and releases the directory. Blocks.
    pub fn close(&self) {
        self.queue.close();
        if let Some(thread) = self.writer.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }

    pub fn stats(&self) -> Stats {
        let state = self.shared.state.read();
        let (compacted_revision, history_events, history_bytes) = (state.compacted(), state.history_events(), state.history_bytes());
        drop(state);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            writes: read(&self.counters.writes),
            lazy_writes: read(&self.counters.lazy_writes),
            commits: read(&self.counters.commits),
            commits_failed: read(&self.counters.commits_failed),
            queue_waits: self.queue.waits(),
            lazy_overflows: read(&self.counters.lazy_overflows),
            checkpoint_stalls: read(&self.counters.checkpoint_stalls),
            compacted_revision,
            history_events,
            history_bytes,
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

/// Makes the directory and takes its lock, which the operating system drops with the process.
fn lock(directory: &Path) -> Result<File, String> {
    std::fs::create_dir_all(directory).map_err(|error| format!("failed to create the directory: {error}"))?;
    let file = File::create(directory.join("lock")).map_err(|error| format!("failed to create the lock file: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("it is in use by another process; stop that one first".to_string()),
        Err(TryLockError::Error(error)) => Err(format!("failed to lock the directory: {error}")),
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn revision(&self) -> Revision {
        self.shared.state.read().revision()
    }

    async fn fresh(&self) -> Result<Revision, Error> {
        Ok(self.revision())
    }

    fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<Entry>, Error> {
        self.shared.state.read().get(key, at)
    }

    fn range(&self, range: Range<'_>) -> Result<Page, Error> {
        self.shared.range(range)
    }

    fn count(&self, prefix: &str) -> usize {
        self.shared.state.read().count(prefix)
    }

    /// Commits one write. Once queued it is carried out, also when the caller stops waiting.
    async fn write(&self, write: Write) -> Result<Entry, Error> {
        self.queue.ask(queue::cost_kib(&write), |answer| Request::Write { write, answer }).await
    }

    fn events_after(&self, prefix: &str, after: Revision) -> Result<Vec<Arc<Event>>, Error> {
        self.shared.state.read().events_after(prefix, after)
    }

    fn subscribe(&self, subscriber: Subscriber) {
        self.shared.subscribe(subscriber);
    }

    async fn compact(&self, up_to: Revision) -> Result<(), Error> {
        self.queue.ask(1, |answer| Request::Compact { up_to, answer }).await
    }
}

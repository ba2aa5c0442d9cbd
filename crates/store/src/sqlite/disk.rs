//! The file: its format, reading it into memory, and one transaction.
//!
//! `log` holds each retained version once, by revision; there is no index by key, memory is that.
//! `meta` holds three numbers: the revision compacted to, the newest revision when
//! the store was closed or recovered, and the end of the block of revisions reserved for lazy writes.
//! `gap` holds the ranges of revisions that a crash may have lost.
//!
//! What follows from a crash: every revision up to the end of the reserved block may have been
//! seen by somebody, so the store continues beyond it, and nobody may resume from within
//! what is not in the log. Rows that compaction had not yet deleted are found again on opening;
//! they are deleted in ascending order, so that no deletion is forgotten before what it deleted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::Options;
use crate::mvcc::State;
use crate::{Entry, Event, EventKind, Revision};

/// The version of the format, in the file's `user_version`. A newer one is refused.
pub(super) const FORMAT: i64 = 1;
/// "mstr", in the file's `application_id`.
const APPLICATION: i64 = 0x6d73_7472;
pub(super) const PAGE_BYTES: u64 = 4096;
/// Reads are served from memory; the cache only holds the end of the log.
const CACHE_KIB: i64 = 1024;

const SCHEMA: &str = "
    CREATE TABLE log (
        revision INTEGER PRIMARY KEY,
        kind     INTEGER NOT NULL,
        created  INTEGER NOT NULL,
        key      TEXT NOT NULL,
        value    BLOB NOT NULL
    ) STRICT;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE gap (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
    INSERT INTO meta VALUES ('compacted', 0), ('newest', 0), ('reserved', 0);
";

#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{0} is not a muster store")]
    Foreign(PathBuf),
    #[error("{path} has format {found}, this program knows up to {FORMAT}; use the newer program, or restore a backup of the older format")]
    Newer { path: PathBuf, found: i64 },
    #[error("{path}: log row {revision} has the unknown kind {kind}")]
    UnknownKind { path: PathBuf, revision: Revision, kind: i64 },
    #[error("{path}: {cause}")]
    Sqlite { path: PathBuf, cause: rusqlite::Error },
}

/// What opening found.
pub(super) struct Found {
    pub state: State,
    pub reserved: Revision,
    /// Rows that compaction still has to delete.
    pub dropped: Vec<Revision>,
}

/// What one transaction does, in this order.
#[derive(Default)]
pub(super) struct Transaction<'a> {
    /// Removes rows after a revision that a failed commit may have left.
    pub undo_after: Option<Revision>,
    pub delete: &'a [Revision],
    pub pending: &'a [Arc<Event>],
    pub events: &'a [Arc<Event>],
    pub compacted: Option<Revision>,
    pub reserved: Option<Revision>,
    pub newest: Option<Revision>,
}

/// The writer's connection.
pub(super) struct Disk {
    connection: Connection,
    path: PathBuf,
}

impl Disk {
    pub fn open(path: &Path, options: &Options) -> Result<(Disk, Found), OpenError> {
        let failed = |cause| OpenError::Sqlite { path: path.to_path_buf(), cause };
        let mut connection = Connection::open(path).map_err(failed)?;
        check_format(&connection, path)?;
        configure(&connection, options).map_err(failed)?;
        create_schema(&mut connection).map_err(failed)?;
        let mut disk = Disk { connection, path: path.to_path_buf() };
        let found = disk.read()?;
        Ok((disk, found))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&mut self) -> Result<Found, OpenError> {
        let path = self.path.clone();
        let failed = |cause| OpenError::Sqlite { path: path.clone(), cause };
        let mut state = State::default();
        self.replay(&mut state)?;
        let meta = |name: &str| self.connection.query_row("SELECT value FROM meta WHERE name = ?", [name], |row| row.get(0));
        let compacted: Revision = meta("compacted").map_err(failed)?;
        let newest: Revision = meta("newest").map_err(failed)?;
        let mut reserved: Revision = meta("reserved").map_err(failed)?;
        let logged = state.revision().max(compacted).max(newest);
        if reserved > logged {
            // Not closed: lazy writes up to the end of the block may have been seen, and are lost.
            let next = reserved + 1;
            tracing::info!(first = logged + 1, last = reserved, "the store was not closed; continuing after its reserved revisions");
            let transaction = self.connection.transaction().map_err(failed)?;
            transaction.execute("INSERT INTO gap VALUES (?, ?)", params![logged + 1, reserved]).map_err(failed)?;
            transaction.execute("UPDATE meta SET value = ? WHERE name IN ('newest', 'reserved')", [next]).map_err(failed)?;
            transaction.commit().map_err(failed)?;
            reserved = next;
        }
        state.skip_to(logged.max(reserved));
        let mut gaps = self.connection.prepare("SELECT first, last FROM gap ORDER BY first").map_err(failed)?;
        let mut rows = gaps.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            state.add_gap(row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        }
        let dropped = state.compact(compacted).expect("the newest revision is not before the compacted one");
        Ok(Found { state, reserved, dropped })
    }

    fn replay(&self, state: &mut State) -> Result<(), OpenError> {
        let failed = |cause| OpenError::Sqlite { path: self.path.clone(), cause };
        let mut log = self.connection.prepare("SELECT revision, kind, created, key, value FROM log ORDER BY revision").map_err(failed)?;
        let mut rows = log.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (revision, kind): (Revision, i64) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
            let kind = kind_of(kind).ok_or_else(|| OpenError::UnknownKind { path: self.path.clone(), revision, kind })?;
            let key = row.get_ref(3).and_then(|key| Ok(key.as_str()?)).map_err(failed)?;
            let value = row.get_ref(4).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?;
            let created = row.get(2).map_err(failed)?;
            state.replay(kind, Entry { key: key.into(), value: Bytes::copy_from_slice(value), revision, created });
        }
        Ok(())
    }

    /// Makes a transaction durable, or changes nothing.
    pub fn commit(&mut self, work: &Transaction<'_>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if let Some(revision) = work.undo_after {
            transaction.prepare_cached("DELETE FROM log WHERE revision > ?")?.execute([revision])?;
        }
        if !work.delete.is_empty() {
            let mut delete = transaction.prepare_cached("DELETE FROM log WHERE revision = ?")?;
            for revision in work.delete {
                delete.execute([revision])?;
            }
        }
        let mut insert = transaction.prepare_cached("INSERT INTO log (revision, kind, created, key, value) VALUES (?, ?, ?, ?, ?)")?;
        for event in work.pending.iter().chain(work.events) {
            let entry = &event.entry;
            insert.execute(params![entry.revision, number_of(event.kind), entry.created, &*entry.key, &*entry.value])?;
        }
        drop(insert);
        if let Some(compacted) = work.compacted {
            transaction.prepare_cached("DELETE FROM gap WHERE last <= ?")?.execute([compacted])?;
        }
        for (name, value) in [("compacted", work.compacted), ("reserved", work.reserved), ("newest", work.newest)] {
            if let Some(value) = value {
                transaction.prepare_cached("UPDATE meta SET value = ? WHERE name = ?")?.execute(params![value, name])?;
            }
        }
        transaction.commit()
    }

    /// Keeps the returned counter at the number of pages in the WAL.
    pub fn count_wal_pages(&mut self) -> rusqlite::Result<Arc<AtomicU64>> {
        let counter = Arc::new(AtomicU64::new(0));
        let pages = counter.clone();
        let hook = move |_: &mut Wal, count: std::ffi::c_int| {
            pages.store(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        self.connection.wal_hook(Some(hook))?;
        Ok(counter)
    }

    /// Copies the rest of the WAL into the file, so that the next write starts it anew.
    pub fn finish_checkpoint(&self) -> rusqlite::Result<()> {
        checkpoint(&self.connection)
    }

    /// Empties the WAL, if nobody else reads the file.
    pub fn close(self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.connection.close().map_err(|(_, error)| error)
    }
}

/// Opens another connection to the same file, for checkpoints.
pub(super) fn open_again(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", 0)?;
    Ok(connection)
}

/// Copies what can be copied without stopping anybody.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Looks before it writes: a file that is not ours, or newer, stays as it is.
fn check_format(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |cause| OpenError::Sqlite { path: path.to_path_buf(), cause };
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let (application, format) = (pragma("application_id")?, pragma("user_version")?);
    let some_table: Option<String> =
        connection.query_row("SELECT name FROM sqlite_schema LIMIT 1", [], |row| row.get(0)).optional().map_err(failed)?;
    if some_table.is_some() && application != APPLICATION {
        return Err(OpenError::Foreign(path.to_path_buf()));
    }
    if format > FORMAT {
        return Err(OpenError::Newer { path: path.to_path_buf(), found: format });
    }
    Ok(())
}

fn configure(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let message = format!("the file system does not support a write-ahead log (journal mode {mode}); use a local disk");
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_PROTOCOL), Some(message)));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", options.wal_bytes_max as i64)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    if let Some(bytes) = options.size_bytes_max {
        connection.pragma_update(None, "max_page_count", (bytes / PAGE_BYTES).max(1) as i64)?;
    }
    Ok(())
}

fn create_schema(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let format: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    transaction.commit()
}

fn number_of(kind: EventKind) -> i64 {
    match kind {
        EventKind::Created => 0,
        EventKind::Updated => 1,
        EventKind::Deleted => 2,
    }
}

fn kind_of(number: i64) -> Option<EventKind> {
    Some(match number {
        0 => EventKind::Created,
        1 => EventKind::Updated,
        2 => EventKind::Deleted,
        _ => return None,
    })
}

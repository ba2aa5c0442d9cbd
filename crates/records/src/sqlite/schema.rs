//! The tables, and how an older file becomes a newer one.
//!
//! `stream` has one row per (cluster UID, incarnation); `ordinal` is the order in which the hub met the incarnations
//! of a cluster. `latest` is the read model (`is_live` while there is a value; a column, so
//! that indexes alone can count), `facet` its index by words. `history` has every report
//! within the retention, `gap` what is missing. Times are milliseconds since 1970.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// "mrec", in the file's `application_id`.
const APPLICATION: i64 = 0x6d72_6563;

/// The step from each format to the next; never edited once released.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE stream (
        cluster_uid       TEXT NOT NULL,
        incarnation       TEXT NOT NULL,
        ordinal           INTEGER NOT NULL,
        cluster           TEXT NOT NULL,
        acknowledged      INTEGER NOT NULL,
        first_received_at INTEGER NOT NULL,
        last_received_at  INTEGER NOT NULL,
        skew_ms           INTEGER,
        PRIMARY KEY (cluster_uid, incarnation)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE gap (
        cluster_uid TEXT NOT NULL,
        incarnation TEXT NOT NULL,
        first       INTEGER NOT NULL,
        last        INTEGER NOT NULL,
        reason      TEXT NOT NULL,
        received_at INTEGER NOT NULL,
        PRIMARY KEY (cluster_uid, incarnation, first)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX gap_by_age ON gap (received_at);

    CREATE TABLE latest (
        id          INTEGER PRIMARY KEY,
        kind        TEXT NOT NULL,
        cluster_uid TEXT NOT NULL,
        key         TEXT NOT NULL,
        cluster     TEXT NOT NULL,
        ordinal     INTEGER NOT NULL,
        incarnation TEXT NOT NULL,
        sequence    INTEGER NOT NULL,
        observed_at INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        skew_ms     INTEGER,
        version     INTEGER NOT NULL,
        facets      TEXT NOT NULL,
        value       TEXT,
        is_live     INTEGER NOT NULL,
        UNIQUE (kind, cluster_uid, key)
    ) STRICT;
    CREATE INDEX latest_by_cluster ON latest (kind, is_live, cluster, key, id);
    CREATE INDEX latest_by_key ON latest (kind, is_live, key, id);
    CREATE INDEX latest_by_observed_at ON latest (kind, is_live, observed_at, id);
    CREATE INDEX latest_by_received_at ON latest (kind, is_live, received_at, id);
    CREATE INDEX latest_by_version ON latest (kind, version);
    CREATE INDEX latest_by_owner ON latest (cluster_uid);
    CREATE INDEX latest_deleted ON latest (received_at) WHERE value IS NULL;

    CREATE TABLE facet (
        kind   TEXT NOT NULL,
        name   TEXT NOT NULL,
        value  TEXT NOT NULL,
        latest INTEGER NOT NULL,
        PRIMARY KEY (kind, name, value, latest)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE history (
        id          INTEGER PRIMARY KEY,
        kind        TEXT NOT NULL,
        cluster_uid TEXT NOT NULL,
        key         TEXT NOT NULL,
        cluster     TEXT NOT NULL,
        incarnation TEXT NOT NULL,
        sequence    INTEGER NOT NULL,
        observed_at INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        skew_ms     INTEGER,
        value       TEXT
    ) STRICT;
    CREATE INDEX history_by_key ON history (kind, cluster_uid, key, id);
    CREATE INDEX history_by_age ON history (received_at);

    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES ('version', 0);
"];

#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("the file is not muster's records")]
    Foreign,
    #[error("it has format {0}, this program knows up to {known}; use the newer program, or restore a backup of the older format", known = MIGRATIONS.len())]
    Newer(i64),
    #[error("the file system does not support a write-ahead log (journal mode {0}); use a local disk")]
    NoWal(String),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Opens the file for writing, as the newest format.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION {
        return Err(OpenError::Foreign);
    }
    let done = usize::try_from(format).unwrap_or(0);
    let steps = MIGRATIONS.get(done..).ok_or(OpenError::Newer(format))?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoWal(mode));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "wal_autocheckpoint", 2000)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    for (step, sql) in steps.iter().enumerate() {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", (done + step + 1) as i64)?;
        transaction.commit()?;
    }
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "cache_size", -2048)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

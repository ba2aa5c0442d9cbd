//! What is on disk: opening, refusing, and recovering from a damaged end.

use std::fs;

use store::{Error, Options, Retention, SqliteStore, Store};

use crate::support::{crash_image, eventually, options, set, sqlite, value_at};

fn reason(result: Result<SqliteStore, Error>) -> String {
    match result {
        Err(Error::Unopenable { reason, .. }) => reason,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the store opened"),
    }
}

#[tokio::test]
async fn a_closed_store_continues_at_its_revision() {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite(directory.path());
    store.write(set("a", "1")).await.unwrap();
    store.write(set("a", "2")).await.unwrap();
    store.close();
    assert!(matches!(store.write(set("a", "3")).await, Err(Error::Closed)));
    assert!(matches!(store.compact(1).await, Err(Error::Closed)));
    assert_eq!(value_at(&store, "a", None).as_deref(), Some("2"), "reads go on");
    let store = sqlite(directory.path());
    assert_eq!((store.revision(), store.events_after("", 0).unwrap().len()), (2, 2));
    assert_eq!(store.write(set("a", "3")).await.unwrap().revision, 3);
}

#[tokio::test]
async fn a_store_is_opened_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite(directory.path());
    assert!(reason(SqliteStore::open(directory.path(), options())).contains("in use by another process"));
    drop(store);
    sqlite(directory.path());
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(sqlite(directory.path()));
    let connection = rusqlite::Connection::open(directory.path().join("store.db")).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let reason = reason(SqliteStore::open(directory.path(), options()));
    assert!(reason.contains("has format 2, this program knows up to 1"), "{reason}");
}

#[tokio::test]
async fn a_file_of_somebody_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(reason(SqliteStore::open(directory.path(), options())).contains("is not a muster store"));
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::write(&path, b"not a database, but long enough to look like one ".repeat(100)).unwrap();
    assert!(reason(SqliteStore::open(directory.path(), options())).contains("not a database"));
}

#[tokio::test]
async fn a_damaged_end_of_the_wal_costs_only_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite(directory.path());
    for n in 1..=40 {
        store.write(set(&format!("k{n:02}"), "v".repeat(700))).await.unwrap();
    }
    let wal = fs::read(directory.path().join("store.db-wal")).unwrap();
    let mut lengths = Vec::new();
    for cut in (0..=wal.len()).step_by(3_001).chain([wal.len()]) {
        let truncated = wal[..cut].to_vec();
        let mut flipped = wal.clone();
        flipped.iter_mut().skip(cut).take(1).for_each(|byte| *byte ^= 1);
        for damaged in [truncated, flipped] {
            let image = crash_image(directory.path());
            fs::write(image.path().join("store.db-wal"), damaged).unwrap();
            // With nothing of the WAL there is not even a schema; that is a new store.
            let store = sqlite(image.path());
            let revision = store.revision();
            assert_eq!(store.count("k") as u64, revision, "the first {revision} and no others");
            assert_eq!(store.get(&format!("k{revision:02}"), None).unwrap().is_some(), revision > 0);
            assert_eq!(store.write(set("next", "")).await.unwrap().revision, revision + 1);
            lengths.push(revision);
        }
    }
    assert_eq!((lengths[0], lengths.last()), (0, Some(&40)));
    assert!(lengths.windows(2).all(|pair| pair[0] <= pair[1] + 1), "{lengths:?}");
}

#[tokio::test]
async fn a_compaction_interrupted_by_a_crash_is_finished_on_opening() {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite(directory.path());
    for n in 0..200 {
        store.write(set(&format!("k{}", n % 4), n.to_string())).await.unwrap();
    }
    drop(store);
    // As if the crash came after the decision and before the first row was deleted.
    let connection = rusqlite::Connection::open(directory.path().join("store.db")).unwrap();
    connection.execute("UPDATE meta SET value = 150 WHERE name = 'compacted'", []).unwrap();
    drop(connection);
    let store = sqlite(directory.path());
    assert!(matches!(store.events_after("", 149), Err(Error::Compacted(149, 150))));
    assert_eq!(store.events_after("", 150).unwrap().len(), 50);
    assert_eq!(value_at(&store, "k0", Some(150)).as_deref(), Some("148"));
    let rows = || {
        let image = crash_image(directory.path());
        let connection = rusqlite::Connection::open(image.path().join("store.db")).unwrap();
        connection.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    eventually("50 rows of history and the 4 values before it are left", || rows() == 54).await;
}

#[tokio::test]
async fn the_file_and_its_wal_do_not_grow_with_updates() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { events_max: 100, ..Retention::unbounded() };
    let limits = Options { retention, checkpoint_bytes: 64 << 10, wal_bytes_max: 512 << 10, ..options() };
    let store = SqliteStore::open(directory.path(), limits).unwrap();
    for round in 0..40_u8 {
        let writes = (0..100).map(|n| store.write(set(&format!("k{}", n % 10), vec![round; 2_000])));
        for written in futures::future::join_all(writes).await {
            written.unwrap();
        }
    }
    // Writes are answered before the history they made too long is cut.
    eventually("100 events of history are left", || store.stats().history_events <= 100).await;
    assert_eq!(store.count(""), 10);
    // 8 MB were written. A batch of 100 may be added to a WAL that is just below its limit.
    let size = |name: &str| fs::metadata(directory.path().join(name)).unwrap().len();
    assert!(size("store.db-wal") < 2 << 20, "{}", size("store.db-wal"));
    drop(store);
    assert!(size("store.db") < 2 << 20, "{}", size("store.db"));
}

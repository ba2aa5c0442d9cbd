//! Every queue and every history is bounded, and counts how often the bound was met.

use std::time::Duration;

use store::{Error, MemoryStore, Options, Retention, SqliteStore, Store};

use crate::support::{eventually, options, set};

#[tokio::test]
async fn writers_wait_for_room_in_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), Options { queue_kib_max: 8, ..options() }).unwrap();
    let writes = (0..200).map(|n| store.write(set(&format!("k{n}"), vec![b'x'; 3_000])));
    assert!(futures::future::join_all(writes).await.iter().all(Result::is_ok));
    assert!(store.stats().queue_waits > 0);
    let larger_than_the_queue = store.write(set("big", vec![b'x'; 100_000])).await;
    assert!(larger_than_the_queue.is_ok());
}

#[tokio::test]
async fn the_memory_store_keeps_a_bounded_history() {
    let store = MemoryStore::default();
    for n in 0..5_000 {
        store.write(set(&format!("k{}", n % 7), n.to_string())).await.unwrap();
    }
    assert_eq!(store.count(""), 7);
    assert!(matches!(store.events_after("", 3_999), Err(Error::Compacted(3_999, oldest)) if oldest >= 4_000));
    assert_eq!(store.events_after("", 4_990).unwrap().len(), 10);
}

#[tokio::test]
async fn history_is_bounded_by_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { bytes_max: 100_000, ..Retention::unbounded() };
    let store = SqliteStore::open(directory.path(), Options { retention, ..options() }).unwrap();
    for n in 0..100_u8 {
        store.write(set("a", vec![n; 10_000])).await.unwrap();
    }
    // The writer compacts after it has answered.
    eventually("history is within its bytes", || store.stats().history_bytes <= 100_000).await;
    assert!(store.stats().history_events >= 5);
}

#[tokio::test]
async fn history_is_bounded_by_age_also_when_nothing_happens() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { age_max: Some(Duration::from_millis(50)), ..Retention::unbounded() };
    let store = SqliteStore::open(directory.path(), Options { retention, ..options() }).unwrap();
    for n in 0..100 {
        store.write(set("a", n.to_string())).await.unwrap();
    }
    eventually("all history has aged out", || store.stats().history_events == 0).await;
    assert_eq!(store.stats().compacted_revision, 100);
    assert_eq!(store.write(set("a", "next")).await.unwrap().revision, 101);
}

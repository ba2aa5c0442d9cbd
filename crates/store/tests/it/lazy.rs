//! Lazy writes: lost at worst, never confused with what came after.

use std::time::Duration;

use store::{Error, Options, SqliteStore, Store};

use crate::support::{crash_image, eventually, lazy, options, set, sqlite, value_at};

fn never_flushed() -> Options {
    Options { lazy_delay: Duration::from_secs(3600), revision_block: 100, ..options() }
}

#[tokio::test]
async fn a_lost_lazy_write_leaves_a_gap_that_nobody_resumes_in() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), never_flushed()).unwrap();
    store.write(set("lease", "old")).await.unwrap();
    // The first reserves the block, and is durable by the way.
    store.write(lazy(set("other", "x"))).await.unwrap();
    let lost = store.write(lazy(set("lease", "new"))).await.unwrap();
    assert_eq!((lost.revision, value_at(&store, "lease", None).as_deref()), (3, Some("new")));

    let image = crash_image(directory.path());
    let after = sqlite(image.path());
    assert_eq!(value_at(&after, "lease", None).as_deref(), Some("old"));
    let newest = after.revision();
    assert_eq!(newest, 2 + 100 + 1, "the whole block is given up");
    assert!(matches!(after.events_after("", lost.revision), Err(Error::Compacted(3, oldest)) if oldest == newest));
    assert!(matches!(after.get("lease", Some(50)), Err(Error::Compacted(50, _))));
    assert_eq!(after.events_after("", 1).unwrap().len(), 1, "who saw only what is durable resumes");
    assert_eq!(after.write(set("lease", "newer")).await.unwrap().revision, newest + 1);
    assert_eq!(after.events_after("", 2).unwrap().len(), 1);
    // A second crash, and a clean end, keep the gap.
    let second = crash_image(image.path());
    for reopened in [sqlite(second.path()), {
        drop(after);
        sqlite(image.path())
    }] {
        assert_eq!(reopened.revision(), newest + 1);
        assert!(matches!(reopened.events_after("", 3), Err(Error::Compacted(3, _))));
    }
}

#[tokio::test]
async fn a_durable_write_takes_earlier_lazy_ones_along() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), never_flushed()).unwrap();
    for n in 0..10 {
        store.write(lazy(set(&format!("lease{n}"), "x"))).await.unwrap();
    }
    store.write(set("a", "1")).await.unwrap();
    let after = sqlite(crash_image(directory.path()).path());
    assert_eq!(after.count("lease"), 10);
    assert_eq!(after.events_after("", 0).unwrap().len(), 11);
}

#[tokio::test]
async fn lazy_writes_reach_the_disk_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), Options { lazy_delay: Duration::from_millis(1), ..options() }).unwrap();
    store.write(lazy(set("a", "1"))).await.unwrap();
    store.write(lazy(set("a", "2"))).await.unwrap();
    let on_disk = || value_at(&sqlite(crash_image(directory.path()).path()), "a", None);
    eventually("the second lazy write is on disk", || on_disk().as_deref() == Some("2")).await;
}

#[tokio::test]
async fn closing_writes_what_is_pending_and_leaves_no_gap() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), never_flushed()).unwrap();
    for n in 0..5 {
        store.write(lazy(set("lease", n.to_string()))).await.unwrap();
    }
    drop(store);
    let store = sqlite(directory.path());
    assert_eq!((store.revision(), value_at(&store, "lease", None).as_deref()), (5, Some("4")));
    assert_eq!(store.events_after("", 3).unwrap().len(), 2);
    assert_eq!(store.write(set("a", "")).await.unwrap().revision, 6);
}

#[tokio::test]
async fn too_many_pending_lazy_writes_become_durable() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), Options { lazy_pending_max: 8, ..never_flushed() }).unwrap();
    for n in 0..50 {
        store.write(lazy(set(&format!("lease{n}"), "x"))).await.unwrap();
    }
    assert!(store.stats().lazy_overflows >= 4);
    let after = sqlite(crash_image(directory.path()).path());
    assert!((42..=50).contains(&after.count("lease")), "{}", after.count("lease"));
}

#[tokio::test]
async fn lazy_writes_cost_few_commits() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), Options { revision_block: 10_000, ..never_flushed() }).unwrap();
    for n in 0..2_000 {
        store.write(lazy(set(&format!("lease{n}"), "x"))).await.unwrap();
    }
    assert_eq!(store.stats().commits, 1, "the one that reserved the block");
}

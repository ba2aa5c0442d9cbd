//! What every store must do.

use std::sync::Arc;

use futures::future::join_all;
use parking_lot::Mutex;
use store::{Change, Error, Event, EventKind, Expect, Range, Store, Template, Write};

use crate::support::{delete, keys, lazy, outcome, put, set, value_at};

/// Runs each function against each store.
macro_rules! suite {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::in_memory().store.clone()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let subject = crate::support::on_disk();
                super::$name(subject.store.clone()).await;
            })*
        }
    };
}

suite! {
    writes_are_read_back
    expectations_are_checked
    the_revision_is_written_into_the_value
    every_write_gets_the_next_revision
    old_revisions_are_readable
    pages_show_one_revision
    ranges_end_where_the_prefix_ends
    compaction_forgets_only_history
    compaction_of_the_future_is_refused
    events_can_be_resumed_from_any_retained_revision
    a_narrow_prefix_gives_what_filtering_gives
    long_lists_show_one_revision
    subscribers_see_every_commit_in_order
    concurrent_writers_of_one_key_do_not_lose_updates
    a_panicking_subscriber_harms_nobody
    lazy_writes_are_visible_at_once
}

async fn writes_are_read_back(store: Arc<dyn Store>) {
    assert_eq!(store.revision(), 0);
    assert_eq!(store.get("a", None).unwrap(), None);
    assert_eq!(outcome(store.write(set("a", "1")).await), "a=1 @1 from 1");
    assert_eq!(outcome(store.write(set("a", "2")).await), "a=2 @2 from 1");
    assert_eq!(outcome(Ok(store.get("a", None).unwrap().unwrap())), "a=2 @2 from 1");
    assert_eq!(outcome(store.write(delete("a", Expect::Anything)).await), "a=last @3 from 1");
    assert_eq!(store.get("a", None).unwrap(), None);
    assert_eq!(store.count(""), 0);
    assert_eq!(outcome(store.write(set("a", "4")).await), "a=4 @4 from 4");
    assert_eq!(store.fresh().await.unwrap(), 4);
}

async fn expectations_are_checked(store: Arc<dyn Store>) {
    let check = async |write, expect| assert_eq!(outcome(store.write(write).await), expect);
    check(put("a", "1", Expect::Revision(1)), "unexpected nothing").await;
    check(delete("a", Expect::Anything), "unexpected nothing").await;
    check(put("a", "1", Expect::Absent), "a=1 @1 from 1").await;
    check(put("a", "2", Expect::Absent), "unexpected 1 @1").await;
    check(put("a", "2", Expect::Revision(7)), "unexpected 1 @1").await;
    check(put("a", "2", Expect::Revision(1)), "a=2 @2 from 1").await;
    check(delete("a", Expect::Revision(1)), "unexpected 2 @2").await;
    check(delete("a", Expect::Absent), "unexpected 2 @2").await;
    check(delete("a", Expect::Revision(2)), "a=last @3 from 1").await;
    check(put("a", "4", Expect::Revision(3)), "unexpected nothing").await;
    check(put("a", "4", Expect::Absent), "a=4 @4 from 4").await;
}

async fn the_revision_is_written_into_the_value(store: Arc<dyn Store>) {
    store.write(set("x", "")).await.unwrap();
    let template = || Template { bytes: b"rv=;".to_vec(), revision_at: Some(3) };
    let put = Write { change: Change::Put(template()), ..set("a", "") };
    assert_eq!(store.write(put).await.unwrap().value, "rv=2;");
    assert_eq!(value_at(&*store, "a", None).as_deref(), Some("rv=2;"));
    let delete = Write { change: Change::Delete(template()), ..set("a", "") };
    assert_eq!(store.write(delete).await.unwrap().value, "rv=3;");
    assert_eq!(store.events_after("a", 2).unwrap()[0].entry.value, "rv=3;");
}

async fn every_write_gets_the_next_revision(store: Arc<dyn Store>) {
    let writes = (0..500).map(|n| store.write(set(&format!("k{n}"), "v")));
    let mut revisions: Vec<_> = join_all(writes).await.into_iter().map(|entry| entry.unwrap().revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=500).collect::<Vec<_>>());
    assert_eq!(store.revision(), 500);
    assert_eq!(store.count("k"), 500);
}

async fn old_revisions_are_readable(store: Arc<dyn Store>) {
    store.write(set("a", "1")).await.unwrap();
    store.write(set("b", "2")).await.unwrap();
    store.write(set("a", "3")).await.unwrap();
    store.write(delete("a", Expect::Anything)).await.unwrap();
    store.write(set("a", "5")).await.unwrap();
    let seen: Vec<_> = (0..=5).map(|at| value_at(&*store, "a", Some(at))).collect();
    let seen: Vec<_> = seen.iter().map(|value| value.as_deref()).collect();
    assert_eq!(seen, [None, Some("1"), Some("1"), Some("3"), None, Some("5")]);
    assert!(matches!(store.get("a", Some(6)), Err(Error::Future(6, 5))));
    let page = store.range(Range { at: Some(4), ..Range::default() }).unwrap();
    assert_eq!((keys(&page.entries), page.revision), (vec!["b"], 4));
}

async fn pages_show_one_revision(store: Arc<dyn Store>) {
    for n in 0..10 {
        store.write(set(&format!("p/{n}"), "old")).await.unwrap();
    }
    let mut range = Range { prefix: "p/", limit: 4, ..Range::default() };
    let first = store.range(range.clone()).unwrap();
    assert_eq!((first.entries.len(), first.remaining, first.revision), (4, 6, 10));

    store.write(delete("p/5", Expect::Anything)).await.unwrap();
    store.write(set("p/55", "new")).await.unwrap();
    store.write(set("p/6", "new")).await.unwrap();
    let last = first.entries.last().unwrap().key.clone();
    range = Range { after: Some(&last), at: Some(first.revision), ..range };
    let second = store.range(range.clone()).unwrap();
    assert_eq!((keys(&second.entries), second.remaining), (vec!["p/4", "p/5", "p/6", "p/7"], 2));
    assert!(second.entries.iter().all(|entry| entry.value == "old"));
    let third = store.range(Range { after: Some("p/7"), ..range.clone() }).unwrap();
    assert_eq!((keys(&third.entries), third.remaining, third.revision), (vec!["p/8", "p/9"], 0, 10));

    store.compact(11).await.unwrap();
    assert!(matches!(store.range(range), Err(Error::Compacted(10, 11))));
}

async fn ranges_end_where_the_prefix_ends(store: Arc<dyn Store>) {
    for key in ["/a", "/a/1", "/a/2", "/a0", "/ab", "/b/1", "é"] {
        store.write(set(key, "")).await.unwrap();
    }
    let check = |prefix, after, expect: &[&str]| {
        let page = store.range(Range { prefix, after, ..Range::default() }).unwrap();
        assert_eq!(keys(&page.entries), expect, "{prefix} after {after:?}");
    };
    check("/a/", None, &["/a/1", "/a/2"]);
    check("/a/", Some("/a/1"), &["/a/2"]);
    check("/a/", Some("/a/1\0"), &["/a/2"]);
    check("/a/", Some("/a/2"), &[]);
    check("/a/", Some("/a0"), &[]);
    check("/a/", Some("/z"), &[]);
    check("/a/", Some(""), &["/a/1", "/a/2"]);
    check("/c/", None, &[]);
    check("/a", None, &["/a", "/a/1", "/a/2", "/a0", "/ab"]);
    check("é", None, &["é"]);
    check("", Some("/ab"), &["/b/1", "é"]);
    check("\u{10ffff}", None, &[]);
    assert_eq!(store.count("/a/"), 2);
    assert_eq!(store.count(""), 7);
}

async fn compaction_forgets_only_history(store: Arc<dyn Store>) {
    for n in 0..3 {
        store.write(set("a", format!("a{n}"))).await.unwrap();
        store.write(set(&format!("b{n}"), "b")).await.unwrap();
    }
    store.write(delete("b1", Expect::Anything)).await.unwrap();
    store.compact(5).await.unwrap();
    store.compact(3).await.unwrap();
    assert!(matches!(store.get("a", Some(4)), Err(Error::Compacted(4, 5))));
    assert!(matches!(store.events_after("", 4), Err(Error::Compacted(4, 5))));
    assert_eq!(value_at(&*store, "a", Some(5)).as_deref(), Some("a2"));
    assert_eq!(store.events_after("", 5).unwrap().len(), 2);
    store.compact(7).await.unwrap();
    let now = store.range(Range::default()).unwrap();
    assert_eq!((keys(&now.entries), now.revision), (vec!["a", "b0", "b2"], 7));
    assert_eq!(now.entries[0].created, 1);
    assert!(store.events_after("", 7).unwrap().is_empty());
    assert_eq!(store.write(set("a", "next")).await.unwrap().revision, 8);
}

async fn compaction_of_the_future_is_refused(store: Arc<dyn Store>) {
    store.write(set("a", "1")).await.unwrap();
    assert!(matches!(store.compact(2).await, Err(Error::Future(2, 1))));
    assert!(matches!(store.events_after("", 2), Err(Error::Future(2, 1))));
}

async fn events_can_be_resumed_from_any_retained_revision(store: Arc<dyn Store>) {
    store.write(set("a/1", "1")).await.unwrap();
    store.write(set("b/1", "2")).await.unwrap();
    store.write(set("a/1", "3")).await.unwrap();
    store.write(delete("a/1", Expect::Anything)).await.unwrap();
    let describe = |event: &Arc<Event>| {
        let previous = event.previous.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
        (event.kind, event.entry.revision, previous)
    };
    let all: Vec<_> = store.events_after("a/", 0).unwrap().iter().map(describe).collect();
    let expect =
        [(EventKind::Created, 1, None), (EventKind::Updated, 3, Some("1".to_string())), (EventKind::Deleted, 4, Some("3".to_string()))];
    assert_eq!(all, expect);
    for after in 0..=4 {
        let events = store.events_after("", after).unwrap();
        assert_eq!(events.iter().map(|event| event.entry.revision).collect::<Vec<_>>(), (after + 1..=4).collect::<Vec<_>>());
    }
}

async fn a_narrow_prefix_gives_what_filtering_gives(store: Arc<dyn Store>) {
    for n in 0..200_u32 {
        let key = format!("/{}/{}", n % 3, n % 7);
        let write = if n % 5 == 4 { delete(&key, Expect::Anything) } else { set(&key, n.to_string()) };
        // Some deletions find nothing.
        let _ = store.write(write).await;
    }
    store.compact(20).await.unwrap();
    let newest = store.revision();
    for after in [20, 21, newest / 2, newest - 3, newest] {
        let all = store.events_after("", after).unwrap();
        assert_eq!(all.len() as u64, newest - after);
        for prefix in ["/", "/1/", "/1/4", "/2/6", "/none/"] {
            let expected: Vec<_> = all.iter().filter(|event| event.entry.key.starts_with(prefix)).cloned().collect();
            assert_eq!(store.events_after(prefix, after).unwrap(), expected, "{prefix} after {after}");
        }
    }
}

async fn long_lists_show_one_revision(store: Arc<dyn Store>) {
    const KEYS: usize = 3_000;
    for batch in 0..3 {
        let writes = (0..KEYS / 3).map(|n| store.write(set(&format!("k{:05}", n * 3 + batch), "first")));
        assert!(join_all(writes).await.iter().all(Result::is_ok));
    }
    let before = store.revision();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 0..500 {
                store.write(set(&format!("k{:05}", n * 6), "second")).await.unwrap();
                store.write(set(&format!("k{:05}", KEYS - 1 - n), "second")).await.unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let page = store.range(Range { prefix: "k", ..Range::default() }).unwrap();
        assert_eq!((page.entries.len(), page.remaining), (KEYS, 0));
        assert!(page.entries.iter().all(|entry| entry.revision <= page.revision));
        let newest = page.entries.iter().map(|entry| entry.revision).max();
        assert_eq!(newest, Some(page.revision), "the page shows the write that made its revision");
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    let page = store.range(Range { prefix: "k", at: Some(before), limit: 1_000, ..Range::default() }).unwrap();
    assert_eq!((page.entries.len(), page.remaining), (1_000, 2_000));
    assert!(page.entries.iter().all(|entry| entry.value == "first"));
}

async fn subscribers_see_every_commit_in_order(store: Arc<dyn Store>) {
    store.write(set("before", "")).await.unwrap();
    let seen: Arc<Mutex<Vec<Arc<Event>>>> = Arc::default();
    let (sink, reader) = (seen.clone(), Arc::downgrade(&store));
    store.subscribe(Box::new(move |events| {
        let last = events.last().expect("a commit has events").entry.revision;
        assert!(reader.upgrade().expect("the store calls").revision() >= last, "readers see it first");
        sink.lock().extend_from_slice(events);
    }));
    let writers = (0..8).map(|writer| {
        let (store, seen) = (store.clone(), seen.clone());
        tokio::spawn(async move {
            for n in 0..50 {
                let entry = store.write(set(&format!("{writer}/{}", n % 5), "")).await.unwrap();
                let is_told = seen.lock().iter().any(|event| event.entry.revision == entry.revision);
                assert!(is_told, "subscribers hear of a write before its writer");
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    let revisions: Vec<_> = seen.lock().iter().map(|event| event.entry.revision).collect();
    assert_eq!(revisions, (2..=401).collect::<Vec<_>>());
    assert_eq!(*seen.lock(), store.events_after("", 1).unwrap());
}

async fn concurrent_writers_of_one_key_do_not_lose_updates(store: Arc<dyn Store>) {
    store.write(set("counter", "0")).await.unwrap();
    let writers = (0..16).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut done = 0;
            while done < 10 {
                let entry = store.get("counter", None).unwrap().unwrap();
                let next: u32 = std::str::from_utf8(&entry.value).unwrap().parse::<u32>().unwrap() + 1;
                tokio::task::yield_now().await;
                match store.write(put("counter", next.to_string(), Expect::Revision(entry.revision))).await {
                    Ok(_) => done += 1,
                    Err(Error::Unexpected(Some(now))) => assert!(now.revision > entry.revision),
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    assert_eq!(value_at(&*store, "counter", None).as_deref(), Some("160"));
    assert_eq!(store.revision(), 161);
}

async fn a_panicking_subscriber_harms_nobody(store: Arc<dyn Store>) {
    let count = Arc::new(Mutex::new(0));
    let counter = count.clone();
    store.subscribe(Box::new(|_| panic!("this subscriber is broken on purpose")));
    store.subscribe(Box::new(move |events| *counter.lock() += events.len()));
    store.write(set("a", "1")).await.unwrap();
    store.write(set("a", "2")).await.unwrap();
    assert_eq!(*count.lock(), 2);
}

async fn lazy_writes_are_visible_at_once(store: Arc<dyn Store>) {
    store.write(set("a", "1")).await.unwrap();
    let writes = (0..20).map(|n| {
        let write = set(&format!("k{n}"), "v");
        store.write(if n % 2 == 0 { lazy(write) } else { write })
    });
    for entry in join_all(writes).await {
        let entry = entry.unwrap();
        assert_eq!(store.get(&entry.key, None).unwrap(), Some(entry));
    }
    assert_eq!(store.revision(), 21);
}

//! Recorded histories of concurrent clients and watchers, checked against a sequential model.
//!
//! Clients do seeded random things to a few objects at the same time, watchers watch and resume. The witness
//! is the store's own commit order. Every answer must follow from the model at a point between question and
//! answer: so writes are linearisable, reads are true and never go back, refusals were deserved. Every watcher must
//! have been told exactly what happened to what it asked for, in order; bookmarks promise nothing that was not sent.
//!
//! `MUSTER_HISTORY_SEEDS=100..200` runs other seeds. The operations repeat with their seed; how threads
//! interleave does not, except on the virtual clock.

mod check;
mod client;
pub mod harness;
mod model;
mod random;
mod space;
mod watcher;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use store::{Event, MemoryStore, Retention, SqliteStore, Store};

use check::{Counts, History};
use client::{Asker, Client};
use controller::Clock;
use harness::Server;
use random::Random;
use watcher::Watcher;

const CLIENTS: u64 = 5;
const WATCHERS: u64 = 4;
const OPERATIONS: usize = 60;

/// So little that watchers and continued lists come too late now and then.
const RETENTION: Retention = Retention { events_max: 40, bytes_max: usize::MAX, age_max: None };

/// How a history is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    InProcess,
    Tls,
    /// On the virtual clock: with the minutes that bookmarks need.
    Virtual,
}

fn seeds(default: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("MUSTER_HISTORY_SEEDS") else { return default };
    let parsed = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    parsed.unwrap_or_else(|| panic!("MUSTER_HISTORY_SEEDS: {text:?} is not of the form 1..10"))
}

/// Makes and checks one history; prints the seed if it fails.
async fn check_seed(seed: u64, transport: Transport, store: Arc<dyn Store>) -> Counts {
    let run = std::panic::AssertUnwindSafe(make_and_check(seed, transport, store)).catch_unwind().await;
    run.unwrap_or_else(|panic| {
        eprintln!("the history of seed {seed} ({transport:?}) failed; again: MUSTER_HISTORY_SEEDS={seed}..{}", seed + 1);
        std::panic::resume_unwind(panic)
    })
}

async fn make_and_check(seed: u64, transport: Transport, store: Arc<dyn Store>) -> Counts {
    let commits: Arc<Mutex<Vec<Event>>> = Arc::default();
    let seen = commits.clone();
    store.subscribe(Box::new(move |events| seen.lock().extend(events.iter().map(|e| (**e).clone()))));
    let clock =
        if transport == Transport::Virtual { Clock::virtual_from("2026-03-01T12:00:00Z".parse().expect("a time")) } else { Clock::wall() };
    let server = harness::start(store.clone(), clock).await;
    prepare(&server).await;
    let http = if transport == Transport::Tls { harness::over_tls(&server).await } else { server.admin.clone() };
    let asker = Asker { http, store: store.clone() };
    let is_over = Arc::new(AtomicBool::new(false));
    let begin = store.revision();
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|i| Watcher { asker: asker.clone(), random: Random::new(seed * 1_000 + 500 + i), begin, is_over: is_over.clone() })
        .map(|watcher| tokio::spawn(watcher.run()))
        .collect();
    let pauses = transport == Transport::Virtual;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|i| Client::new(format!("client-{i}"), asker.clone(), Random::new(seed * 1_000 + i), pauses))
        .map(|client| tokio::spawn(client.run(OPERATIONS)))
        .collect();
    let mut records = Vec::new();
    for client in clients {
        records.extend(client.await.expect("a client"));
    }
    is_over.store(true, Ordering::Release);
    server.api.runtime().stop().await;
    let mut segments = Vec::new();
    for watcher in watchers {
        segments.extend(watcher.await.expect("a watcher"));
    }
    let history = History::of(&commits.lock(), oldest_readable(&*store));
    let mut counts = check::check_records(&history, &records);
    segments.iter().for_each(|segment| counts += check::check_segment(&history, segment));
    assert_eq!(server.api.watch_count(), 0, "watches are left");
    counts
}

/// Makes the namespaces and the definition.
async fn prepare(server: &Server) {
    for namespace in space::NAMESPACES {
        harness::ask(&server.admin, "POST", "/api/v1/namespaces", serde_json::json!({"metadata": {"name": namespace}})).await.expect(201);
    }
    harness::ask(&server.admin, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", space::definition()).await.expect(201);
    harness::until("the definition is served", || async {
        harness::ask(&server.admin, "GET", "/apis/history.example/v1/gadgets", serde_json::Value::Null).await.code == 200
    })
    .await;
}

/// Returns the oldest revision that can still be read.
fn oldest_readable(store: &dyn Store) -> u64 {
    let newest = store.revision();
    (0..newest).find(|revision| store.get("/", Some(*revision)).is_ok()).unwrap_or(newest)
}

/// Fails if a test's histories were too idle to show anything.
fn assert_busy(counts: Counts) {
    println!("{counts:?}");
    assert!(counts.stored > 100 && counts.conflicts > 10 && counts.reads > 50 && counts.events > 100, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn histories_in_memory_are_linearisable_and_watched_whole() {
    let mut total = Counts::default();
    for seed in seeds(1..11) {
        total += check_seed(seed, Transport::InProcess, Arc::new(MemoryStore::new(RETENTION))).await;
    }
    assert_busy(total);
    assert!(total.expired > 0, "nobody came too late: {total:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn histories_on_sqlite_are_linearisable_and_watched_whole() {
    let mut total = Counts::default();
    for seed in seeds(11..21) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = store::Options { retention: RETENTION, ..store::Options::default() };
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path(), options).expect("a store"));
        total += check_seed(seed, Transport::InProcess, store).await;
    }
    // When SQLite forgets history depends on how busy its writer is; in memory, above, somebody always comes too late.
    assert_busy(total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn histories_over_tls_are_linearisable_and_watched_whole() {
    let mut total = Counts::default();
    for seed in seeds(21..24) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = store::Options { retention: RETENTION, ..store::Options::default() };
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path(), options).expect("a store"));
        total += check_seed(seed, Transport::Tls, store).await;
    }
    assert_busy(total);
}

#[tokio::test(start_paused = true)]
async fn histories_on_a_virtual_clock_have_honest_bookmarks() {
    let mut total = Counts::default();
    for seed in seeds(31..41) {
        let history = check_seed(seed, Transport::Virtual, Arc::new(MemoryStore::new(RETENTION)));
        total += tokio::time::timeout(Duration::from_secs(36_000), history).await.expect("an end");
    }
    assert_busy(total);
    assert!(total.bookmarks > 50 && total.expired > 0, "{total:?}");
}

//! The store alone: what the API server can get from it at most.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Change, Durability, Expect, MemoryStore, Options, Range, SqliteStore, Store, Template, Write};

use crate::report::{Latencies, rss_kib};

const OBJECTS: usize = 54_000;
const VALUE_BYTES: usize = 1024;
const SECONDS: Duration = Duration::from_secs(4);

pub async fn run(directory: &Path) -> anyhow::Result<()> {
    println!("values of {VALUE_BYTES} bytes, keys like /registry/configmaps/default/bench-0-000000");
    // First, while memory holds nothing else.
    memory(&directory.join("memory")).await?;
    for writers in [1, 16, 64, 256] {
        let store = Arc::new(SqliteStore::open(directory.join(format!("create-{writers}")), Options::default())?);
        load(store.clone(), writers, Durability::Durable, usize::MAX, &format!("durable creates, {writers} writers")).await;
        let stats = store.stats();
        println!("  writes per commit: {:.1}, checkpoint stalls: {}", stats.writes as f64 / stats.commits as f64, stats.checkpoint_stalls);
    }
    let store = Arc::new(SqliteStore::open(directory.join("update"), Options::default())?);
    load(store.clone(), 64, Durability::Durable, 100, "durable updates of 6,400 keys, 64 writers").await;
    println!("  history: {} events, {} bytes", store.stats().history_events, store.stats().history_bytes);
    let store = Arc::new(SqliteStore::open(directory.join("lazy"), Options::default())?);
    load(store, 64, Durability::Lazy, 10, "lazy updates of 640 keys, 64 writers").await;
    load(Arc::new(MemoryStore::default()), 64, Durability::Durable, 100, "in-memory updates, 64 writers").await;
    Ok(())
}

async fn memory(directory: &Path) -> anyhow::Result<()> {
    let before = rss_kib("self");
    let store = Arc::new(SqliteStore::open(directory, Options::default())?);
    let opened = rss_kib("self");
    for batch in 0..OBJECTS / 1_000 {
        let writes = (0..1_000).map(|n| store.write(write(batch, n, Durability::Durable)));
        for written in futures::future::join_all(writes).await {
            written?;
        }
    }
    let filled = rss_kib("self");
    println!(
        "store, {OBJECTS} objects, rss: {} KiB more than before, {:.0} bytes per object",
        filled - before,
        (filled - opened) as f64 * 1024.0 / OBJECTS as f64
    );
    let start = Instant::now();
    let all = store.range(Range { prefix: "/registry/", ..Range::default() })?;
    println!("list of {} objects: {:.1} ms", all.entries.len(), start.elapsed().as_secs_f64() * 1e3);
    drop((all, store));
    let start = Instant::now();
    let store = SqliteStore::open(directory, Options::default())?;
    println!("opening with {} objects: {:.0} ms", store.count(""), start.elapsed().as_secs_f64() * 1e3);
    let empty: Vec<MemoryStore> = (0..1_000).map(|_| MemoryStore::default()).collect();
    println!("empty memory store: {} bytes", size_of::<MemoryStore>());
    drop(empty);
    Ok(())
}

/// Lets writers write one after the other each, for some seconds, over so many keys each.
async fn load(store: Arc<dyn Store>, writers: usize, durability: Durability, keys: usize, name: &str) {
    let start = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut latencies = Latencies::default();
            for n in 0.. {
                let begun = Instant::now();
                if begun.duration_since(start) > SECONDS {
                    break;
                }
                store.write(write(writer, n % keys, durability)).await.expect("the disk is writable");
                latencies.add(begun.elapsed());
            }
            latencies
        })
    });
    let mut latencies = Latencies::default();
    for task in futures::future::join_all(tasks.collect::<Vec<_>>()).await {
        latencies.merge(task.expect("a writer does not panic"));
    }
    latencies.print(name, start.elapsed());
}

fn write(writer: usize, n: usize, durability: Durability) -> Write {
    let key = format!("/registry/configmaps/default/bench-{writer}-{n:06}");
    let mut bytes = Vec::with_capacity(VALUE_BYTES);
    bytes.extend_from_slice(br#"{"metadata":{"resourceVersion":""#);
    let revision_at = Some(bytes.len());
    bytes.resize(VALUE_BYTES - 8, b'x');
    Write { key: key.into(), expect: Expect::Anything, change: Change::Put(Template { bytes, revision_at }), durability }
}

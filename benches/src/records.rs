//! The hub's records: how many reports they take, and how fast the read model answers for a large fleet.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use records::{Facets, Frame, Intake, Options, Query, Records, Report, Sort, SqliteRecords};
use serde_json::value::RawValue;

use crate::report::Latencies;

const CLUSTERS: usize = 5_000;
const APPS: u64 = 10;

pub async fn run(directory: &Path) -> anyhow::Result<()> {
    let records = Arc::new(SqliteRecords::open(directory, Options::default())?);
    let start = Instant::now();
    let mut latencies = Latencies::default();
    let streams = (0..64).map(|lane| {
        let records = records.clone();
        tokio::spawn(async move {
            let mut latencies = Latencies::default();
            for cluster in (lane..CLUSTERS).step_by(64) {
                let begun = Instant::now();
                records.append(intake(cluster, 1..=APPS)).await.expect("the disk is writable");
                latencies.add(begun.elapsed());
            }
            latencies
        })
    });
    for stream in futures::future::join_all(streams.collect::<Vec<_>>()).await {
        latencies.merge(stream?);
    }
    println!("{CLUSTERS} clusters with {APPS} applications each, 64 streams at a time");
    latencies.print("appends of 10 reports", start.elapsed());
    println!("reports: {:.0}/s", (CLUSTERS as u64 * APPS) as f64 / start.elapsed().as_secs_f64());

    let mut latencies = Latencies::default();
    let start = Instant::now();
    for cluster in 0..1_000 {
        let begun = Instant::now();
        records.append(intake(cluster, APPS + 1..=APPS + 1)).await?;
        latencies.add(begun.elapsed());
    }
    latencies.print("appends of 1 report, 1 stream", start.elapsed());

    let degraded = [("health".to_string(), vec!["Degraded".to_string()])].into();
    for (name, query) in [
        ("first page of 100 of all", Query { limit: 100, ..Query::of("application") }),
        ("first page of 100 by facet", Query { limit: 100, sort: Sort::Facet("health".into()), ..Query::of("application") }),
        ("degraded ones", Query { limit: 100, facets: degraded, ..Query::of("application") }),
        ("search", Query { limit: 100, search: "app-7".into(), ..Query::of("application") }),
        ("one cluster", Query { clusters: Some(vec!["store-04711".into()]), ..Query::of("application") }),
    ] {
        let (total, best) = best(|| records.list(query.clone())).await?;
        println!("{name}: {:.1} ms ({} of {})", best.as_secs_f64() * 1e3, total.rows.len(), total.total);
    }
    let (counts, took) = best(|| records.count_by(Query::of("application"), "health")).await?;
    println!("count by health: {:.1} ms ({counts:?})", took.as_secs_f64() * 1e3);
    Ok(())
}

/// Asks three times; returns the answer and the shortest time.
async fn best<T, F>(ask: impl Fn() -> F) -> anyhow::Result<(T, Duration)>
where
    F: Future<Output = Result<T, records::Error>>,
{
    let mut shortest = Duration::MAX;
    let mut last = None;
    for _ in 0..3 {
        let start = Instant::now();
        last = Some(ask().await?);
        shortest = shortest.min(start.elapsed());
    }
    last.map(|answer| (answer, shortest)).ok_or_else(|| anyhow::anyhow!("asked at least once"))
}

fn intake(cluster: usize, sequences: std::ops::RangeInclusive<u64>) -> Intake {
    let now = Timestamp::now();
    let frame = |sequence: u64| {
        let health = if (cluster as u64 + sequence).is_multiple_of(50) { "Degraded" } else { "Healthy" };
        let facets: Facets =
            [("health", health), ("sync", "Synced"), ("project", "default")].map(|(name, value)| (name.into(), value.into())).into();
        let value = format!(r#"{{"health":"{health}","sync":"Synced","message":"{}"}}"#, "x".repeat(500));
        let value = RawValue::from_string(value).expect("this is JSON");
        let key = format!("argocd/app-{}", sequence % APPS);
        Frame::Report(Report { sequence, kind: "application".into(), key, is_state: true, observed_at: now, value: Some(value), facets })
    };
    Intake {
        cluster: format!("store-{cluster:05}"),
        cluster_uid: format!("uid-{cluster:05}"),
        incarnation: "1".into(),
        received_at: now,
        skew_ms: Some(0),
        frames: sequences.map(frame).collect(),
    }
}

//! Counts how far Applications that are synced by hand are behind their branches.
//!
//! What the index of the read model lacks is counted in the mirrors of [`GitServer`], one span after the other, and given
//! back to it. A cluster's word is enough to be counted only for what the hub reads for that cluster anyhow: a stolen
//! store must not make it read addresses of its choice. What cannot be counted now is tried again, ever less often;
//! meanwhile a gap is told without a number.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use overview::{Lag, Span};
use tokio::time::Instant;

use crate::gitserver::GitServer;
use crate::readmodel::Index;

/// Changes that come within this are looked at together.
const GATHER: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Spans that are remembered as failed; of more the rest wait for these.
const FAILED_MAX: usize = 1_024;

struct Failed {
    next: Instant,
    pause: Duration,
}

/// Runs for as long as the hub.
pub async fn run(index: Index, git: GitServer) {
    let mut changes = index.changes();
    let mut failed: BTreeMap<Span, Failed> = BTreeMap::new();
    loop {
        changes.borrow_and_update();
        let uncounted = index.uncounted();
        failed.retain(|span, _| uncounted.contains_key(span));
        for (span, clusters) in uncounted {
            let begun = Instant::now();
            if failed.get(&span).map_or(failed.len() >= FAILED_MAX, |failed| failed.next > begun) {
                continue;
            }
            match git.distance(&span.repo, &span.from, &span.to, &clusters).await {
                Ok(distance) => {
                    failed.remove(&span);
                    tracing::debug!(repo = span.repo, from = span.from, to = span.to, commits = distance.commits, "gap counted");
                    let since = distance.since.and_then(|seconds| Timestamp::from_second(seconds).ok());
                    index.set_lag(span, Lag { commits: distance.commits, is_more: distance.is_more, since }, &clusters);
                }
                Err(why) => {
                    let pause = failed.get(&span).map_or(PAUSE_MIN, |failed| (failed.pause * 2).min(PAUSE_MAX));
                    if pause == PAUSE_MIN {
                        tracing::info!(repo = span.repo, from = span.from, to = span.to, why, "how far it is behind cannot be counted");
                    }
                    failed.insert(span, Failed { next: Instant::now() + pause, pause });
                }
            }
        }
        let next = failed.values().map(|failed| failed.next).min();
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = until(next) => {}
        }
        tokio::time::sleep(GATHER).await;
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

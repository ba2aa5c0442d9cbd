//! Asks every wanted repository for news, at its pace: an unreachable one is asked less and less often.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::GitServer;

/// Longest pause for a repository that fails.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Repositories asked at once.
const CONCURRENCY: usize = 8;

struct Pace {
    next: Instant,
    failures: u32,
}

/// Runs for as long as the hub.
pub(super) async fn run(server: GitServer) {
    let mut paces: BTreeMap<String, Pace> = BTreeMap::new();
    loop {
        tokio::time::sleep(server.poll).await;
        let now = Instant::now();
        let wanted: Vec<String> = server.mirrors.list().iter().filter(|m| m.is_wanted()).map(|m| m.url().to_owned()).collect();
        paces.retain(|repo, _| wanted.contains(repo));
        let due = wanted.into_iter().filter(|repo| paces.get(repo).is_none_or(|p| p.next <= now));
        let asked = futures::stream::iter(due).map(|repo| async { (server.refresh(&repo).await, repo) }).buffer_unordered(CONCURRENCY);
        for (outcome, repo) in asked.collect::<Vec<_>>().await {
            let pace = paces.entry(repo.clone()).or_insert(Pace { next: now, failures: 0 });
            match outcome {
                Ok(()) => *pace = Pace { next: now, failures: 0 },
                Err(error) => {
                    if pace.failures == 0 {
                        tracing::warn!(%repo, %error, "repository not readable, agents keep what they have");
                    }
                    pace.failures += 1;
                    pace.next = now + PAUSE_MAX.min(server.poll.saturating_mul(2u32.saturating_pow(pace.failures.min(16))));
                }
            }
        }
    }
}

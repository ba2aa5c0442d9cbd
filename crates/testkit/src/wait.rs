//! Waiting for what will be: in virtual time on a paused clock, in real time otherwise.

use std::time::Duration;

use tokio::time::Instant;

const LOOK_EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition holds; panics with `what` after a minute.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    eventually_within(PATIENCE, what, holds).await;
}

/// Waits until the condition holds, at most so long; returns how long it took.
pub async fn eventually_within(patience: Duration, what: &str, holds: impl AsyncFn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    begun.elapsed()
}

//! Lets go of what clusters told that are no more: their state in the records and their streams. Their history ages out.
//!
//! A cluster is known to the records by its UID, and departed when no ManagedCluster has recorded that UID and it has
//! told nothing for a while: one that is just joining tells before its UID is seen here, and one that is leaving
//! may still say so. A cluster that comes back is asked to tell all again; what it had not sent is not lost.
//!
//! Looked at now and then and not on deletion, so that a hub that was away meanwhile forgets as well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use records::{Records, Stream};

use crate::Context;
use crate::approval::recorded_uid;

const LOOK_EVERY: Duration = Duration::from_secs(300);
/// After the last word of a cluster that is no more.
const SILENT_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Runs for as long as the hub.
pub async fn run(ctx: Arc<Context>, records: Arc<dyn Records>, hub_uid: String) {
    // Whoever looked at half a list would forget the others.
    ctx.caches.clusters.ready().await;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let clusters = ctx.caches.clusters.list();
        let mut known: BTreeSet<&str> = clusters.iter().filter_map(|cluster| recorded_uid(cluster)).collect();
        known.insert(&hub_uid);
        let now = ctx.now();
        let outcome = match records.streams().await {
            Ok(streams) => forget(records.as_ref(), departed(&streams, &known, now), now).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {}
            Err(records::Error::Closed) => return,
            Err(error) => tracing::warn!(%error, "clusters that left are still recorded"),
        }
    }
}

async fn forget(records: &dyn Records, departed: BTreeSet<&str>, now: Timestamp) -> Result<(), records::Error> {
    for uid in departed {
        records.forget(uid, now).await?;
        tracing::info!(cluster_uid = uid, "what a cluster told that left is forgotten");
    }
    Ok(())
}

/// Returns the UIDs of clusters that are no more.
fn departed<'a>(streams: &'a [Stream], known: &BTreeSet<&str>, now: Timestamp) -> BTreeSet<&'a str> {
    let is_recent = |stream: &Stream| now.duration_since(stream.last_received_at) < SILENT_FOR;
    let speaking: BTreeSet<&str> = streams.iter().filter(|stream| is_recent(stream)).map(|stream| stream.cluster_uid.as_str()).collect();
    let all = streams.iter().map(|stream| stream.cluster_uid.as_str());
    all.filter(|uid| !known.contains(uid) && !speaking.contains(uid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_departed_when_nobody_has_its_uid_and_it_is_silent() {
        let now = Timestamp::from_second(100_000).unwrap();
        let check = |streams: &[(&str, i64)], known: &[&str], expect: &[&str]| {
            let stream = |(uid, minutes): &(&str, i64)| Stream {
                cluster: "c".into(),
                cluster_uid: (*uid).into(),
                incarnation: "i".into(),
                is_newest: true,
                acknowledged: 1,
                missing: 0,
                lost: 0,
                first_received_at: now,
                last_received_at: now - SignedDuration::from_mins(*minutes),
                skew_ms: None,
            };
            let streams: Vec<Stream> = streams.iter().map(stream).collect();
            let found = departed(&streams, &known.iter().copied().collect(), now);
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expect);
        };
        check(&[("a", 60), ("b", 60)], &["a"], &["b"]);
        check(&[("a", 60), ("b", 60)], &[], &["a", "b"]);
        // It may be joining, or on its way out; one of several streams is enough.
        check(&[("b", 9)], &[], &[]);
        check(&[("b", 60), ("b", 1)], &[], &[]);
        // By a clock that was wrong.
        check(&[("b", -60)], &[], &[]);
    }
}

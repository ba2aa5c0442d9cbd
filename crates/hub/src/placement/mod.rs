//! Turns Placements into PlacementDecisions.
//!
//! The choice is `placement::decide`'s; this gathers what it looks at, makes the decision objects what it says, and
//! tells the outcome on the Placement. Clusters that change in ways no Placement can see (heartbeats, conditions)
//! cause no work. Invariant: decision objects of a Placement are only ever written from one plan at a time.
//!
//! Watched: Placements, their decisions, bindings and sets, scores, and what of ManagedClusters selectors can see.

mod act;
mod observe;
mod report;

use std::sync::Arc;
use std::time::Duration;

use api::cluster::{ManagedCluster, label};
use controller::{Controller, Key, Next};

use crate::Context;
use crate::error::{Error, settle};
use crate::gather;

const WORKERS: usize = 2;
/// Clusters join and change in bursts: one decision for a burst.
const GATHER: Duration = Duration::from_millis(100);

pub fn start(ctx: &Arc<Context>) {
    let caches = &ctx.caches;
    let controller = Controller::<Key>::new("placement", &ctx.runtime)
        .watches(&caches.placements, |change| vec![change.key.clone()])
        .watches(&caches.decisions, |change| {
            let object = change.new.as_ref().or(change.old.as_ref());
            let placement = object.and_then(|d| d.metadata.labels.as_ref()).and_then(|l| l.get(label::PLACEMENT));
            placement.map(|name| Key::new(&change.key.namespace, name)).into_iter().collect()
        });
    let all = caches.placements.clone();
    let in_namespace = move |namespace: &str| -> Vec<Key> { all.list_in(namespace).iter().map(|p| Key::of(&**p)).collect() };
    let controller = controller.watches(&caches.bindings, move |change| in_namespace(&change.key.namespace));
    let (queue, all, clusters) = (controller.clone(), caches.placements.clone(), caches.clusters.clone());
    let everything = move || {
        let soon = gather::over(GATHER, clusters.count());
        all.keys().into_iter().for_each(|key| queue.add_after(key, soon));
    };
    let again = everything.clone();
    caches.sets.observe(move |change| {
        let is_news = match (&change.old, &change.new) {
            (Some(old), Some(new)) => old.spec != new.spec,
            _ => true,
        };
        if is_news {
            again();
        }
    });
    let again = everything.clone();
    caches.clusters.observe(move |change| {
        let is_news = match (&change.old, &change.new) {
            (Some(old), Some(new)) => is_visible_change(old, new),
            _ => true,
        };
        if is_news {
            again();
        }
    });
    caches.scores.observe(move |_| everything());
    let ctx = ctx.clone();
    controller.run(WORKERS, move |key| {
        let ctx = ctx.clone();
        async move { settle(reconcile(&ctx, &key).await) }
    });
}

/// Returns whether a selector, a toleration or a prioritizer could tell the two apart.
fn is_visible_change(old: &ManagedCluster, new: &ManagedCluster) -> bool {
    let claims = |c: &ManagedCluster| c.status.as_ref().map(|s| (s.cluster_claims.clone(), s.allocatable.clone()));
    old.metadata.labels != new.metadata.labels
        || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        || old.spec.taints != new.spec.taints
        || claims(old) != claims(new)
}

async fn reconcile(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let Some(seen) = observe::observe(ctx, key).await? else { return Ok(Next::OnChange) };
    let now = ctx.now();
    let decided = placement::decide(&seen.snapshot, now);
    act::act(ctx, &seen, &decided).await?;
    report::report(ctx, &seen, &decided).await?;
    Ok(match decided.look_again_at {
        Some(at) => Next::After(Duration::try_from(at.duration_since(now)).unwrap_or_default() + Duration::from_millis(10)),
        None => Next::OnChange,
    })
}

//! Turns ManifestWorkReplicaSets into one ManifestWork per selected cluster.
//!
//! The placements of the set's namespace say which clusters; each gets one work made from the template, in its own
//! namespace, under a name that follows from the set's. Works of clusters that are no longer selected are deleted.
//! Only rollout `All` is done: a set that asks for another strategy is refused for that placement (its works stay as
//! they are) and says so, since rolling out to all at once is what it was meant to avoid.
//!
//! Watched: ManifestWorkReplicaSets, their works, and PlacementDecisions.

mod act;
mod decide;
mod observe;
mod report;

use std::sync::Arc;
use std::time::Duration;

use api::cluster::label;
use api::work::ManifestWorkReplicaSet;
use controller::{Change, Controller, Key, Next};

use crate::Context;
use crate::error::{Error, settle};
use crate::gather;

const WORKERS: usize = 4;
/// A rollout changes the status of many works at once: summed up once for all that come within this.
const GATHER: Duration = Duration::from_millis(200);

pub fn start(ctx: &Arc<Context>) {
    let caches = &ctx.caches;
    let controller = Controller::<Key>::new("replicaset", &ctx.runtime)
        .watches(&caches.replica_sets, |change| if is_news(change) { vec![change.key.clone()] } else { Vec::new() });
    let (queue, sets, clusters) = (controller.clone(), caches.replica_sets.clone(), caches.clusters.clone());
    caches.decisions.observe(move |change| {
        let decision = change.new.as_ref().or(change.old.as_ref());
        let placement = decision.and_then(|d| d.metadata.labels.as_ref()).and_then(|l| l.get(label::PLACEMENT));
        let refers = |set: &ManifestWorkReplicaSet| set.spec.placement_refs.iter().any(|r| Some(&r.name) == placement);
        // A decision over many clusters is many objects, written one after the other.
        let soon = gather::over(Duration::ZERO, clusters.count());
        sets.list_in(&change.key.namespace).iter().filter(|set| refers(set)).for_each(|set| queue.add_after(Key::of(&**set), soon));
    });
    let (queue, sets, clusters) = (controller.clone(), caches.replica_sets.clone(), caches.clusters.clone());
    caches.works.observe(move |change| {
        let work = change.new.as_ref().or(change.old.as_ref());
        let Some(label) = work.and_then(|w| observe::set_label(w)) else { return };
        let soon = gather::over(GATHER, clusters.count());
        for set in sets.list() {
            if decide::label_value(&set) == label {
                queue.add_after(Key::of(&*set), soon);
            }
        }
    });
    let ctx = ctx.clone();
    controller.run(WORKERS, move |key| {
        let ctx = ctx.clone();
        async move { settle(reconcile(&ctx, &key).await) }
    });
}

/// Returns whether anything but the status, which we write, is another.
fn is_news(change: &Change<ManifestWorkReplicaSet>) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    let rest = |set: &ManifestWorkReplicaSet| {
        let m = &set.metadata;
        (m.generation, m.deletion_timestamp.clone(), m.finalizers.clone(), m.labels.clone(), m.annotations.clone(), m.uid.clone())
    };
    rest(old) != rest(new)
}

async fn reconcile(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let Some(seen) = observe::observe(ctx, key) else { return Ok(Next::OnChange) };
    let plan = decide::decide(&seen);
    let done = act::act(ctx, &seen, &plan).await;
    report::report(ctx, &seen, &plan).await?;
    done?;
    Ok(Next::OnChange)
}

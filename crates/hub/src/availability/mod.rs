//! Whether clusters are alive, from the leases their agents renew.
//!
//! The hub counts from when it *saw* a lease renewed, by its own clock, so that a store with a wrong clock is not
//! taken for dead; what the lease itself says counts only for leases the hub has not seen change (after its start).
//! Five lease durations without renewal make the cluster's Available condition Unknown; the reconcile comes back at
//! that moment exactly. Taints follow the condition. Invariant: only the agent says True or False, only the hub Unknown.
//!
//! Watched: ManagedClusters and the leases `managed-cluster-lease`.

mod act;
mod decide;
mod observe;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use controller::{Controller, Key, Next};
use parking_lot::Mutex;

use crate::Context;
use crate::error::{Error, settle};

const WORKERS: usize = 8;

/// When the hub saw a lease change, by its own clock; one entry a cluster.
pub type Sightings = Arc<Mutex<HashMap<String, observe::Sighting>>>;

pub fn start(ctx: &Arc<Context>) {
    let sightings = ctx.sightings.clone();
    let (seen_by, clock) = (sightings.clone(), ctx.runtime.clock.clone());
    let controller = Controller::<Key>::new("availability", &ctx.runtime)
        .watches(&ctx.caches.leases, move |change| {
            observe::note(&seen_by, change, clock.now());
            vec![Key::cluster_scoped(&change.key.namespace)]
        })
        .watches(&ctx.caches.clusters, |change| vec![change.key.clone()]);
    let ctx = ctx.clone();
    controller.run(WORKERS, move |key| {
        let (ctx, sightings) = (ctx.clone(), sightings.clone());
        async move { settle(reconcile(&ctx, &sightings, &key).await) }
    });
}

async fn reconcile(ctx: &Context, sightings: &Sightings, key: &Key) -> Result<Next, Error> {
    let Some(seen) = observe::observe(ctx, sightings, key) else { return Ok(Next::OnChange) };
    let now = ctx.now();
    let plan = decide::decide(&seen, now);
    act::act(ctx, &seen, &plan, now).await?;
    Ok(match plan.look_again_at {
        // A moment later than due, so that it is due then.
        Some(at) => Next::After(Duration::try_from(at.duration_since(now)).unwrap_or_default() + Duration::from_millis(10)),
        None => Next::OnChange,
    })
}

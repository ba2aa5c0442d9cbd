//! Whether clusters are alive, from the leases their agents renew and from what comes on their report streams.
//!
//! The hub counts from when it *saw* a lease renewed, by its own clock, so that a store with a wrong clock is not
//! taken for dead; what the lease itself says counts only for leases the hub has not seen change (after its start).
//! A hello or a frame on the report stream is as good a sign: agents without one live by the lease alone.
//! Five lease durations without a sign make the cluster's Available condition Unknown; the reconcile comes back at
//! that moment exactly. Taints follow the condition. Invariant: only the agent says True or False, only the hub Unknown.
//!
//! Watched: ManagedClusters and the leases `managed-cluster-lease`.

mod act;
mod decide;
mod observe;
mod sightings;

use std::sync::Arc;
use std::time::Duration;

use controller::{Controller, Key, Next};

use crate::Context;
use crate::error::{Error, settle};

pub use sightings::Sightings;

const WORKERS: usize = 8;

pub fn start(ctx: &Arc<Context>) {
    let (renewals, leavings, clock) = (ctx.sightings.clone(), ctx.sightings.clone(), ctx.runtime.clock.clone());
    let controller = Controller::<Key>::new("availability", &ctx.runtime)
        .watches(&ctx.caches.leases, move |change| {
            renewals.renewed(change, clock.now());
            vec![Key::cluster_scoped(&change.key.namespace)]
        })
        .watches(&ctx.caches.clusters, move |change| {
            if change.new.is_none() {
                leavings.forget(&change.key.name);
            }
            vec![change.key.clone()]
        });
    let ctx = ctx.clone();
    controller.run(WORKERS, move |key| {
        let ctx = ctx.clone();
        async move { settle(reconcile(&ctx, &key).await) }
    });
}

async fn reconcile(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let Some(seen) = observe::observe(ctx, key) else { return Ok(Next::OnChange) };
    let now = ctx.now();
    let plan = decide::decide(&seen, now);
    act::act(ctx, &seen, &plan, now).await?;
    Ok(match plan.look_again_at {
        // A moment later than due, so that it is due then.
        Some(at) => Next::After(Duration::try_from(at.duration_since(now)).unwrap_or_default() + Duration::from_millis(10)),
        None => Next::OnChange,
    })
}

//! Lets a cluster go: its add-ons and works first, then its rights; its namespace stays.
//!
//! A ManagedCluster carries two finalizers of the hub while it lives. When it is deleted, add-ons go before works,
//! each by annotation `cleanup-priority` (lowest and unmarked first); the agent takes down what its works applied.
//! Only when all are gone does the agent lose its rights, and the ManagedCluster end. What remains is told on it.
//!
//! Watched: ManagedClusters, and works (whose cluster may wait for them).

mod act;
mod decide;
mod observe;

use std::sync::Arc;
use std::time::Duration;

use controller::{Controller, Key, Next};

use crate::Context;
use crate::error::{Error, settle};

const WORKERS: usize = 4;
/// As Open Cluster Management's gc controller; add-ons are not watched.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub fn start(ctx: &Arc<Context>) {
    let clusters = ctx.caches.clusters.clone();
    let controller = Controller::<Key>::new("cleanup", &ctx.runtime)
        .watches(&ctx.caches.clusters, |change| vec![change.key.clone()])
        .watches(&ctx.caches.works, move |change| {
            let key = Key::cluster_scoped(&change.key.namespace);
            let is_awaited = clusters.get(&key).is_some_and(|c| c.metadata.deletion_timestamp.is_some());
            if is_awaited { vec![key] } else { Vec::new() }
        });
    let ctx = ctx.clone();
    controller.run(WORKERS, move |key| {
        let ctx = ctx.clone();
        async move { settle(reconcile(&ctx, &key).await) }
    });
}

async fn reconcile(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let Some(seen) = observe::observe(ctx, key).await? else { return Ok(Next::OnChange) };
    let plan = decide::decide(&seen);
    act::act(ctx, &seen, &plan).await?;
    Ok(if matches!(plan, decide::Plan::Delete { .. }) { Next::After(LOOK_AGAIN) } else { Next::OnChange })
}

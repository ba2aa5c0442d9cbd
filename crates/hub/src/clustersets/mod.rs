//! Sets of clusters: that `default` and `global` exist, whether a set is empty, whether a binding is bound.
//!
//! The two built-in sets are restored when somebody changes their selector or deletes them, unless they carry the
//! annotation `autoupdate: "false"`. Nothing here decides membership: `placement::clusterset` does, for all.
//!
//! Watched: ManagedClusterSets, ManagedClusterSetBindings, and the labels of ManagedClusters.

mod act;
mod decide;
mod observe;

use std::sync::Arc;
use std::time::Duration;

use controller::{Controller, Key, Next};

use crate::Context;
use crate::error::{Error, settle};
use crate::gather;

pub use act::ensure_defaults;

const WORKERS: usize = 2;
/// Many clusters change at once when a fleet comes up; counting them once is enough.
const GATHER: Duration = Duration::from_millis(200);

pub fn start(ctx: &Arc<Context>) {
    let caches = &ctx.caches;
    let sets = Controller::<Key>::new("clustersets", &ctx.runtime).watches(&caches.sets, |change| vec![change.key.clone()]);
    let (queue, all, clusters) = (sets.clone(), caches.sets.clone(), caches.clusters.clone());
    caches.clusters.observe(move |change| {
        let labels = |c: &Option<Arc<api::cluster::ManagedCluster>>| c.as_ref().and_then(|c| c.metadata.labels.clone());
        if change.old.is_some() && change.new.is_some() && labels(&change.old) == labels(&change.new) {
            return;
        }
        let soon = gather::over(GATHER, clusters.count());
        all.keys().into_iter().for_each(|key| queue.add_after(key, soon));
    });
    let bound = caches.bindings.clone();
    let bindings = Controller::<Key>::new("clustersetbindings", &ctx.runtime)
        .watches(&caches.bindings, |change| vec![change.key.clone()])
        .watches(&caches.sets, move |change| {
            if change.old.is_some() && change.new.is_some() {
                return Vec::new();
            }
            bound.keys().into_iter().filter(|key| key.name == change.key.name).collect()
        });
    let (for_sets, for_bindings) = (ctx.clone(), ctx.clone());
    sets.run(WORKERS, move |key| {
        let ctx = for_sets.clone();
        async move { settle(reconcile_set(&ctx, &key).await) }
    });
    bindings.run(WORKERS, move |key| {
        let ctx = for_bindings.clone();
        async move { settle(reconcile_binding(&ctx, &key).await) }
    });
}

async fn reconcile_set(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let seen = observe::observe_set(ctx, key);
    let plan = decide::decide_set(&key.name, &seen);
    act::act_set(ctx, &key.name, &seen, plan).await?;
    Ok(Next::OnChange)
}

async fn reconcile_binding(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let Some(binding) = ctx.caches.bindings.get(key) else { return Ok(Next::OnChange) };
    let has_set = ctx.caches.sets.get(&Key::cluster_scoped(&binding.spec.cluster_set)).is_some();
    act::say_bound(ctx, &binding, &decide::bound(&binding, has_set)).await?;
    Ok(Next::OnChange)
}

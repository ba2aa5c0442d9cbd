//! Lets accepted clusters in: their namespace, rights and heartbeat lease.
//!
//! A cluster is accepted when `spec.hubAcceptsClient` is true: by an administrator, or by `approval` for those
//! who join with a token that may. Then it gets what Open Cluster Management gives it, by the same names.
//! A cluster that is no longer accepted keeps only the right to see that. Nothing is made before acceptance.
//! Invariant: rights exist only while the cluster is accepted and not being deleted (`cleanup` takes them then).
//!
//! Watched: ManagedClusters, and the hub's own namespaces and RBAC objects, which are restored if changed.

mod act;
pub mod bootstrap;
mod decide;
mod observe;
mod rights;

pub use act::remove_rights;

use std::sync::Arc;

use controller::{Controller, Key, Next};

use crate::Context;
use crate::error::{Error, settle};

const WORKERS: usize = 8;

pub fn start(ctx: &Arc<Context>) {
    let by_label = |labels: Option<&std::collections::BTreeMap<String, String>>| -> Vec<Key> {
        labels.and_then(|l| l.get(api::CLUSTER_NAME_LABEL)).map(Key::cluster_scoped).into_iter().collect()
    };
    let caches = &ctx.caches;
    let controller = Controller::<Key>::new("registration", &ctx.runtime)
        .watches(&caches.clusters, |change| vec![change.key.clone()])
        .watches(&caches.namespaces, move |c| by_label(either(c).and_then(|o| o.metadata.labels.as_ref())))
        .watches(&caches.cluster_roles, move |c| by_label(either(c).and_then(|o| o.metadata.labels.as_ref())))
        .watches(&caches.cluster_role_bindings, move |c| by_label(either(c).and_then(|o| o.metadata.labels.as_ref())))
        .watches(&caches.role_bindings, move |c| by_label(either(c).and_then(|o| o.metadata.labels.as_ref())));
    let ctx = ctx.clone();
    controller.run(WORKERS, move |key| {
        let ctx = ctx.clone();
        async move { settle(reconcile(&ctx, &key).await) }
    });
}

fn either<K>(change: &controller::Change<K>) -> Option<&K> {
    change.new.as_deref().or(change.old.as_deref())
}

async fn reconcile(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let Some(seen) = observe::observe(ctx, key) else { return Ok(Next::OnChange) };
    let plan = decide::decide(&seen);
    act::act(ctx, &seen, &plan).await?;
    Ok(Next::OnChange)
}

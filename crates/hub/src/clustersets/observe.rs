//! A set and how many clusters are in it.

use std::sync::Arc;

use api::cluster::ManagedClusterSet;
use controller::Key;
use placement::clusterset::Membership;

use crate::Context;

pub struct Observed {
    pub set: Option<Arc<ManagedClusterSet>>,
    pub clusters_count: usize,
}

pub fn observe_set(ctx: &Context, key: &Key) -> Observed {
    let set = ctx.caches.sets.get(key);
    let clusters_count = set.as_ref().map_or(0, |set| {
        let membership = Membership::of(set);
        ctx.caches.clusters.list().iter().filter(|c| membership.contains(c)).count()
    });
    Observed { set, clusters_count }
}

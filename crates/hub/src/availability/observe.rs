//! A cluster, its lease, and when the hub last heard of it.

use std::sync::Arc;

use api::cluster::{LEASE_NAME, ManagedCluster};
use controller::Key;
use jiff::Timestamp;

use super::sightings::{Renewal, Sighting, renew_time};
use crate::Context;

pub struct Observed {
    pub cluster: Arc<ManagedCluster>,
    /// Without a renewal while the cluster has no lease of its own.
    pub sighting: Sighting,
    pub hub_started_at: Timestamp,
}

pub fn observe(ctx: &Context, key: &Key) -> Option<Observed> {
    let cluster = ctx.caches.clusters.get(key)?;
    let noted = ctx.sightings.of(&key.name);
    let lease = ctx.caches.leases.get(&Key::new(&key.name, LEASE_NAME));
    let renewal = lease.and_then(|lease| noted.renewal.or_else(|| Some(Renewal { renewed_at: renew_time(&lease)?, seen_at: None })));
    Some(Observed { cluster, sighting: Sighting { renewal, ..noted }, hub_started_at: ctx.started_at })
}

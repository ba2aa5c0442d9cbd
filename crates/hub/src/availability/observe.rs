//! A cluster, its lease, and when the hub last saw that lease renewed.

use std::sync::Arc;

use api::cluster::{LEASE_NAME, ManagedCluster};
use controller::{Change, Key};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::Sightings;
use crate::Context;

/// A renewal, as the lease tells it and as the hub saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    /// By the spoke's clock.
    pub renewed_at: Timestamp,
    /// By the hub's clock; none while only the first list has shown the lease.
    pub seen_at: Option<Timestamp>,
}

pub struct Observed {
    pub cluster: Arc<ManagedCluster>,
    pub sighting: Option<Sighting>,
    pub hub_started_at: Timestamp,
}

/// Notes a lease that changed; the hub's own first writing of it is no renewal.
pub fn note(sightings: &Sightings, change: &Change<Lease>, now: Timestamp) {
    let cluster = &change.key.namespace;
    let mut all = sightings.lock();
    let Some(lease) = &change.new else {
        all.remove(cluster);
        return;
    };
    let Some(renewed_at) = renew_time(lease) else { return };
    let before = all.get(cluster).copied();
    let seen_at = match before {
        None => None,
        Some(before) if before.renewed_at != renewed_at => Some(now),
        Some(before) => before.seen_at,
    };
    all.insert(cluster.clone(), Sighting { renewed_at, seen_at });
}

pub fn observe(ctx: &Context, sightings: &Sightings, key: &Key) -> Option<Observed> {
    let cluster = ctx.caches.clusters.get(key)?;
    let lease = ctx.caches.leases.get(&Key::new(&key.name, LEASE_NAME));
    let sighting = lease.and_then(|lease| {
        let noted = sightings.lock().get(&key.name).copied();
        noted.or_else(|| Some(Sighting { renewed_at: renew_time(&lease)?, seen_at: None }))
    });
    Some(Observed { cluster, sighting, hub_started_at: ctx.started_at })
}

fn renew_time(lease: &Lease) -> Option<Timestamp> {
    lease.spec.as_ref()?.renew_time.as_ref().map(|t| t.0)
}

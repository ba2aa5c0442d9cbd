//! When the hub last heard of each cluster: a lease renewed, or something on its report stream.
//!
//! Both arrive with the cluster's own certificate. The lease is the sign that every agent gives; the stream is there
//! within a moment after the hub was away. Kept in memory: what was heard before a start is the lease's to tell.

use std::collections::HashMap;
use std::sync::Arc;

use controller::Change;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use parking_lot::Mutex;

/// A renewal, as the lease tells it and as the hub saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Renewal {
    /// By the spoke's clock.
    pub renewed_at: Timestamp,
    /// By the hub's clock; none while only the first list has shown the lease.
    pub seen_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sighting {
    pub renewal: Option<Renewal>,
    /// When something came on the report stream, by the hub's clock.
    pub reported_at: Option<Timestamp>,
}

/// By cluster, one entry each; cheap to clone.
#[derive(Clone, Default)]
pub struct Sightings(Arc<Mutex<HashMap<String, Sighting>>>);

impl Sightings {
    /// Notes a lease that changed; the hub's own first writing of it is no renewal.
    pub fn renewed(&self, change: &Change<Lease>, now: Timestamp) {
        let cluster = &change.key.namespace;
        let Some(lease) = &change.new else {
            self.forget(cluster);
            return;
        };
        let Some(renewed_at) = renew_time(lease) else { return };
        let mut all = self.0.lock();
        let sighting = all.entry(cluster.clone()).or_default();
        let seen_at = match sighting.renewal {
            None => None,
            Some(before) if before.renewed_at != renewed_at => Some(now),
            Some(before) => before.seen_at,
        };
        sighting.renewal = Some(Renewal { renewed_at, seen_at });
    }

    /// Notes that a cluster, known by its certificate and its UID, sent something.
    pub fn reported(&self, cluster: &str, now: Timestamp) {
        self.0.lock().entry(cluster.to_owned()).or_default().reported_at = Some(now);
    }

    /// A cluster left; whoever joins under its name was not heard yet.
    pub fn forget(&self, cluster: &str) {
        self.0.lock().remove(cluster);
    }

    pub fn of(&self, cluster: &str) -> Sighting {
        self.0.lock().get(cluster).copied().unwrap_or_default()
    }

    /// Returns when a cluster was last heard.
    pub fn last(&self, cluster: &str) -> Option<Timestamp> {
        let sighting = self.of(cluster);
        sighting.renewal.map(|r| r.seen_at.unwrap_or(r.renewed_at)).max(sighting.reported_at)
    }
}

pub fn renew_time(lease: &Lease) -> Option<Timestamp> {
    lease.spec.as_ref()?.renew_time.as_ref().map(|t| t.0)
}

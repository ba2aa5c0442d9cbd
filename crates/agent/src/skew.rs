//! How far the cluster's clock is from the hub's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

const UNKNOWN: i64 = i64::MIN;

/// Hub time minus ours, as last measured; cheap to clone.
#[derive(Clone, Debug)]
pub struct ClockSkew(Arc<AtomicI64>);

impl Default for ClockSkew {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl ClockSkew {
    /// Takes note of what the hub's clock said at `here`.
    pub fn note(&self, here: Timestamp, hub: Timestamp) {
        self.0.store(here.duration_until(hub).as_millis().try_into().unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// Returns the hub's time, as far as it is known, else ours.
    pub fn hub_time(&self, here: Timestamp) -> Timestamp {
        let skew = self.ms().map_or(SignedDuration::ZERO, SignedDuration::from_millis);
        here.saturating_add(skew).unwrap_or(here)
    }

    pub fn ms(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ms| *ms != UNKNOWN)
    }
}

//! What becomes of an AppliedManifestWork whose work is gone from the hub.

use std::time::Duration;

use api::work::AppliedManifestWork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A work that vanished without being deleted (a hub that lost it, a cluster taken off its hub) has this long to
/// come back, as OCM.
pub const EVICTION_GRACE: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Eviction {
    /// Its work is there: the work's own plan decides.
    Leave,
    /// Note down since when the work is missing.
    Begin,
    Wait(Duration),
    /// Release what it applied, then let it go.
    Release,
}

/// Decides about one AppliedManifestWork. `work_exists` is `None` while the hub's works are not known.
pub fn evict(applied: &AppliedManifestWork, work_exists: Option<bool>, now: Timestamp) -> Eviction {
    if applied.metadata.deletion_timestamp.is_some() {
        return Eviction::Release;
    }
    if work_exists != Some(false) {
        return Eviction::Leave;
    }
    let Some(since) = applied.status.as_ref().and_then(|s| s.eviction_start_time.as_ref()) else { return Eviction::Begin };
    let waited = Duration::try_from(since.0.duration_until(now)).unwrap_or(Duration::ZERO);
    if waited >= EVICTION_GRACE { Eviction::Release } else { Eviction::Wait(EVICTION_GRACE - waited) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Time;

    #[test]
    fn a_lost_work_has_an_hour_to_come_back_and_an_unknown_one_forever() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let mut applied = AppliedManifestWork::default();
        assert_eq!(evict(&applied, None, now), Eviction::Leave);
        assert_eq!(evict(&applied, Some(true), now), Eviction::Leave);
        assert_eq!(evict(&applied, Some(false), now), Eviction::Begin);
        applied.status.get_or_insert_default().eviction_start_time = Some(Time("2026-01-01T11:10:00Z".parse().unwrap()));
        assert_eq!(evict(&applied, Some(false), now), Eviction::Wait(Duration::from_secs(600)));
        assert_eq!(evict(&applied, None, now), Eviction::Leave);
        applied.status.get_or_insert_default().eviction_start_time = Some(Time("2026-01-01T11:00:00Z".parse().unwrap()));
        assert_eq!(evict(&applied, Some(false), now), Eviction::Release);
        applied.metadata.deletion_timestamp = Some(Time(now));
        assert_eq!(evict(&applied, None, now), Eviction::Release);
    }
}

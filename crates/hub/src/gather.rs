//! How long news of clusters are gathered before something is decided over all of them.
//!
//! A decision over all clusters costs as much as there are clusters. Were it taken for each burst of a tenth of a second, a hub
//! on which thousands of clusters join or change would do little else: with the square of their number.

use std::time::Duration;

const FOR_EACH: Duration = Duration::from_micros(400);
/// However many clusters there are, people wait no longer.
const MOST: Duration = Duration::from_secs(2);

/// Returns how long to gather, where `base` is right for a few clusters.
pub fn over(base: Duration, clusters: usize) -> Duration {
    let for_all = FOR_EACH.saturating_mul(u32::try_from(clusters).unwrap_or(u32::MAX));
    base.saturating_add(for_all).min(MOST.max(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_fleet_is_gathered_longer_and_never_long() {
        let base = Duration::from_millis(100);
        let millis = |clusters: usize| over(base, clusters).as_millis();
        assert_eq!([0, 50, 1000, 3000, 1_000_000].map(millis), [100, 120, 500, 1300, 2000]);
        assert_eq!(over(Duration::from_secs(5), 1000), Duration::from_secs(5));
    }
}

//! What time it is.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A source of time; cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns the machine's clock.
    pub fn wall() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// Returns a clock that stands at `start` now and moves with tokio's (which tests pause and advance).
    pub fn virtual_from(start: Timestamp) -> Self {
        let begun = Instant::now();
        Self(Arc::new(move || moved(start, SignedDuration::try_from(begun.elapsed()).unwrap_or(SignedDuration::MAX))))
    }

    /// Returns this clock, wrong by `skew`: what a store with a bad battery sees.
    pub fn skewed(&self, skew: SignedDuration) -> Self {
        let inner = self.clone();
        Self(Arc::new(move || moved(inner.now(), skew)))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

/// A time beyond what can be told is the first or the last that can: a clock never panics.
fn moved(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_beyond_time_stands_at_its_end() {
        assert_eq!(Clock::wall().skewed(SignedDuration::MAX).now(), Timestamp::MAX);
        assert_eq!(Clock::wall().skewed(SignedDuration::MIN).now(), Timestamp::MIN);
    }
}

//! Growing, jittered delays.

use std::time::Duration;

/// Doubles from the first delay to the last; each is cut by up to half, so that a fleet does not knock at once.
pub struct BackOff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl BackOff {
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    pub fn reset(&mut self) {
        self.next = self.first;
    }

    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (self.next * 2).min(self.most);
        delay.mul_f64(between(0.5, 1.0))
    }
}

/// Draws a number evenly.
pub fn between(low: f64, high: f64) -> f64 {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    low + (high - low) * f64::from(random) / f64::from(u32::MAX)
}

//! How much history a store keeps before it compacts by itself.

use std::time::Duration;

/// Bounds on the retained history; whichever is reached first compacts.
///
/// Current values are never counted or dropped: this bounds what watchers may resume from and
/// what a paged list may go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    pub events_max: usize,
    /// Superseded and deleted values kept for history, with their bookkeeping.
    pub bytes_max: usize,
    /// `None` keeps history however old it is. The memory store has no clock and ignores it.
    pub age_max: Option<Duration>,
}

impl Retention {
    /// For a store that many agents watch: an agent that was away for less than ten minutes resumes.
    pub fn hub() -> Retention {
        Retention { events_max: 100_000, bytes_max: 32 << 20, age_max: Some(Duration::from_secs(600)) }
    }

    /// For one of thousands of stores in a process: its watchers are in the process too, and those that fall behind list again.
    pub fn small() -> Retention {
        Retention { events_max: 500, bytes_max: 256 << 10, age_max: None }
    }

    /// Keeps everything until told to compact.
    pub fn unbounded() -> Retention {
        Retention { events_max: usize::MAX, bytes_max: usize::MAX, age_max: None }
    }
}

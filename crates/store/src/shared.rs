//! What readers and the one who commits share: the state and the subscribers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::mvcc::{Part, State};
use crate::{Error, Event, Page, Range, Subscriber};

/// How many keys are read before the lock is given back: some tens of microseconds.
const PART_KEYS: usize = 512;

/// Readers take the lock for one answer; the committer takes it to apply what is already durable.
#[derive(Default)]
pub(crate) struct Shared {
    pub state: RwLock<State>,
    subscribers: Mutex<Arc<Vec<Arc<Subscriber>>>>,
}

impl Shared {
    pub fn new(state: State) -> Shared {
        Shared { state: RwLock::new(state), subscribers: Mutex::default() }
    }

    pub fn subscribe(&self, subscriber: Subscriber) {
        let mut subscribers = self.subscribers.lock();
        let mut more = subscribers.as_ref().clone();
        more.push(Arc::new(subscriber));
        *subscribers = Arc::new(more);
    }

    /// Returns a page, read in parts: a long list does not keep the committer waiting.
    pub fn range(&self, range: Range<'_>) -> Result<Page, Error> {
        match self.range_by_parts(&range) {
            // Compacted since the first part: then all at once, and the committer waits.
            Err(Error::Compacted(..)) => read_range(&range, |part| self.state.read().range_part(part, usize::MAX)),
            other => other,
        }
    }

    fn range_by_parts(&self, range: &Range<'_>) -> Result<Page, Error> {
        read_range(range, |part| self.state.read().range_part(part, PART_KEYS))
    }

    /// Makes one commit visible, then tells the subscribers. Callers take turns.
    pub fn publish(&self, events: &[Arc<Event>]) {
        let mut state = self.state.write();
        for event in events {
            state.apply(event.clone());
        }
        drop(state);
        self.notify(events);
    }

    pub fn notify(&self, events: &[Arc<Event>]) {
        let subscribers = self.subscribers.lock().clone();
        for subscriber in subscribers.iter() {
            // A subscriber's bug must not end the store: its other users lose nothing.
            if catch_unwind(AssertUnwindSafe(|| subscriber(events))).is_err() {
                tracing::error!(events = events.len(), "a store subscriber panicked");
            }
        }
    }
}

/// Puts parts together.
fn read_range(range: &Range<'_>, read: impl Fn(&Range<'_>) -> Result<Part, Error>) -> Result<Page, Error> {
    let limit = if range.limit == 0 { usize::MAX } else { range.limit };
    let Part { entries, remaining, revision, mut goes_on_after } = read(&Range { limit, ..range.clone() })?;
    let mut page = Page { entries, revision, remaining };
    while let Some(after) = goes_on_after {
        let limit = limit - page.entries.len();
        let part = read(&Range { after: Some(&after), at: Some(revision), limit, ..*range })?;
        page.entries.extend(part.entries);
        page.remaining += part.remaining;
        goes_on_after = part.goes_on_after;
    }
    Ok(page)
}

//! A store without a disk, for simulated clusters and tests.
//!
//! No threads and no clock: a write is done when its future is first polled, so the same inputs
//! give the same revisions. An empty store is a few hundred bytes; thousands live in one process.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::mvcc::{State, draft_one};
use crate::shared::Shared;
use crate::{Entry, Error, Event, EventKind, Page, Range, Retention, Revision, Store, Subscriber, Write};

/// A store that forgets everything when dropped.
pub struct MemoryStore {
    shared: Shared,
    /// Held while a write is applied and published, so that subscribers see revisions in order.
    turn: Mutex<()>,
    retention: Retention,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new(Retention::small())
    }
}

impl MemoryStore {
    pub fn new(retention: Retention) -> MemoryStore {
        MemoryStore { shared: Shared::default(), turn: Mutex::default(), retention }
    }

    /// Returns a store that holds these entries, as they were, and goes on after `revision`.
    /// Of what was before it knows nothing: whoever resumes from there is told that it is compacted.
    pub fn resume(retention: Retention, mut entries: Vec<Entry>, revision: Revision) -> Result<MemoryStore, Error> {
        entries.sort_unstable_by_key(|entry| entry.revision);
        let mut state = State::default();
        for entry in entries {
            state.replay(EventKind::Created, entry);
        }
        let revision = revision.max(state.revision());
        state.skip_to(revision);
        state.compact(revision)?;
        Ok(MemoryStore { shared: Shared::new(state), turn: Mutex::default(), retention })
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn revision(&self) -> Revision {
        self.shared.state.read().revision()
    }

    async fn fresh(&self) -> Result<Revision, Error> {
        Ok(self.revision())
    }

    fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<Entry>, Error> {
        self.shared.state.read().get(key, at)
    }

    fn range(&self, range: Range<'_>) -> Result<Page, Error> {
        self.shared.range(range)
    }

    fn count(&self, prefix: &str) -> usize {
        self.shared.state.read().count(prefix)
    }

    async fn write(&self, write: Write) -> Result<Entry, Error> {
        let _turn = self.turn.lock();
        let mut state = self.shared.state.write();
        let revision = state.revision() + 1;
        let event: Arc<Event> = Arc::new(draft_one(&state, write, revision)?);
        state.apply(event.clone());
        if let Some(up_to) = state.compaction_due(&self.retention) {
            state.compact(up_to)?;
        }
        drop(state);
        self.shared.notify(std::slice::from_ref(&event));
        Ok(event.entry.clone())
    }

    fn events_after(&self, prefix: &str, after: Revision) -> Result<Vec<Arc<Event>>, Error> {
        self.shared.state.read().events_after(prefix, after)
    }

    fn subscribe(&self, subscriber: Subscriber) {
        let _turn = self.turn.lock();
        self.shared.subscribe(subscriber);
    }

    async fn compact(&self, up_to: Revision) -> Result<(), Error> {
        let _turn = self.turn.lock();
        self.shared.state.write().compact(up_to).map(drop)
    }
}

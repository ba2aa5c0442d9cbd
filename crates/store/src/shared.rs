//! What readers and the one who commits share: the state and the subscribers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::mvcc::State;
use crate::{Event, Subscriber};

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

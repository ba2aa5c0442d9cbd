//! Watches: every commit goes once to each watcher it concerns.
//!
//! The store calls [`Watches::publish`] with commits in revision order. Watchers of a resource
//! stand in a [`topic::Topic`], indexed by name, namespace and one label, so that a change costs only those
//! it may concern. An event is encoded once per form and shared. A watcher that falls more than
//! [`EVENTS_BEHIND_MAX`] events behind is cut off with 410; it is never waited for.

mod event;
mod filter;
mod stream;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use store::{Event, Revision};

pub use event::{Told, WatchEvent};
pub use filter::{Fields, Filter};
pub use stream::{Form, StreamOptions, stream};
pub use topic::Subscription;
use topic::Topic;

use crate::keys;

/// How many undelivered events a watcher may hold before it is cut off.
pub const EVENTS_BEHIND_MAX: usize = 2_000;

/// All watchers of a server.
#[derive(Default)]
pub struct Watches {
    topics: RwLock<HashMap<Box<str>, Arc<Topic>>>,
    /// Everything up to here has been handed to its watchers.
    published: AtomicU64,
}

impl Watches {
    /// Hands commits to their watchers; called by the store, in revision order.
    pub fn publish(&self, events: &[Arc<Event>]) {
        for event in events {
            if let Some(parts) = keys::parts(&event.entry.key)
                && let Some(topic) = self.topics.read().get(parts.topic).cloned()
            {
                topic.publish(event, &parts);
            }
            self.published.store(event.entry.revision, Ordering::Release);
        }
    }

    /// Returns the revision up to which every watcher has been handed its events.
    pub fn published(&self) -> Revision {
        self.published.load(Ordering::Acquire)
    }

    /// Sets the point from which publishing starts: the store's revision at start.
    pub fn begin_at(&self, revision: Revision) {
        self.published.store(revision, Ordering::Release);
    }

    pub fn topic(&self, prefix: &str) -> Arc<Topic> {
        if let Some(topic) = self.topics.read().get(prefix) {
            return topic.clone();
        }
        self.topics.write().entry(prefix.into()).or_default().clone()
    }

    /// Returns the number of open watches.
    pub fn count(&self) -> usize {
        self.topics.read().values().map(|t| t.count()).sum()
    }
}

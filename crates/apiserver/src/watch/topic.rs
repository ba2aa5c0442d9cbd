//! The watchers of one resource.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use store::{Error, Event, Revision, Store};
use tokio::sync::mpsc;

use super::EVENTS_BEHIND_MAX;
use super::event::{Told, WatchEvent};
use super::filter::Filter;
use crate::keys::Parts;

/// What a watcher receives: the event and what it means to this watcher.
pub type Delivery = (Told, Arc<WatchEvent>);

/// Watchers of one resource, by where to look for them.
#[derive(Default)]
pub struct Topic(Mutex<State>);

#[derive(Default)]
struct State {
    watchers: HashMap<u64, Watcher>,
    index: HashMap<Place, Vec<u64>>,
    next_id: u64,
    /// So that labels are only looked at when someone asks for them.
    label_watchers: usize,
}

/// Where a watcher stands: the narrowest thing it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Name(Box<str>),
    Label(Box<str>, Box<str>),
    Namespace(Box<str>),
    Everything,
}

struct Watcher {
    filter: Filter,
    /// Events up to here were replayed from history.
    after: Revision,
    sender: mpsc::Sender<Delivery>,
    /// Set when the watcher fell too far behind.
    is_cut_off: Arc<AtomicBool>,
}

/// A registered watcher; dropping it ends the registration.
pub struct Subscription {
    pub history: Vec<Delivery>,
    pub receiver: mpsc::Receiver<Delivery>,
    /// Events up to here are in `history`.
    pub caught_up_to: Revision,
    is_cut_off: Arc<AtomicBool>,
    topic: Arc<Topic>,
    id: u64,
    place: Place,
}

impl Topic {
    /// Registers a watcher that has seen everything up to `after`.
    pub fn subscribe(self: &Arc<Self>, store: &dyn Store, prefix: &str, filter: Filter, after: Revision) -> Result<Subscription, Error> {
        let place = place_of(&filter);
        let (sender, receiver) = mpsc::channel(EVENTS_BEHIND_MAX);
        let is_cut_off = Arc::new(AtomicBool::new(false));
        // While the lock is held no event is published here, so history and what follows join without a gap;
        // an event that is in both is dropped by its revision.
        let mut state = self.0.lock();
        let caught_up_to = store.revision().max(after);
        let events = store.events_after(prefix, after)?;
        let history = events.into_iter().filter(|e| e.entry.revision <= caught_up_to);
        let history = history
            .filter(|e| crate::keys::parts(&e.entry.key).is_some_and(|parts| filter.admits_key(&parts)))
            .filter_map(|event| deliver(&filter, &Arc::new(WatchEvent::new(event))))
            .collect();
        let watcher = Watcher { filter, after: caught_up_to, sender, is_cut_off: is_cut_off.clone() };
        let id = state.add(place.clone(), watcher);
        drop(state);
        Ok(Subscription { history, receiver, caught_up_to, is_cut_off, topic: self.clone(), id, place })
    }

    /// Hands an event to the watchers it may concern.
    pub fn publish(&self, event: &Arc<Event>, parts: &Parts<'_>) {
        let mut state = self.0.lock();
        if state.watchers.is_empty() {
            return;
        }
        let shared = Arc::new(WatchEvent::new(event.clone()));
        let mut cut_off = Vec::new();
        for id in state.concerned(&shared, parts) {
            let Some(watcher) = state.watchers.get(&id) else { continue };
            if shared.revision() <= watcher.after || !watcher.filter.admits_key(parts) {
                continue;
            }
            if let Some(delivery) = deliver(&watcher.filter, &shared)
                && watcher.sender.try_send(delivery).is_err()
            {
                watcher.is_cut_off.store(true, Ordering::Release);
                cut_off.push((place_of(&watcher.filter), id));
            }
        }
        // Without its sender the watcher ends after what is queued; it cannot miss that it was cut off.
        for (place, id) in cut_off {
            state.remove(&place, id);
        }
    }

    pub fn count(&self) -> usize {
        self.0.lock().watchers.len()
    }
}

impl State {
    fn concerned(&self, event: &WatchEvent, parts: &Parts<'_>) -> Vec<u64> {
        let mut found = Vec::new();
        let mut at = |place: &Place| {
            if let Some(ids) = self.index.get(place) {
                found.extend_from_slice(ids);
            }
        };
        at(&Place::Everything);
        at(&Place::Name(parts.name.into()));
        if !parts.namespace.is_empty() {
            at(&Place::Namespace(parts.namespace.into()));
        }
        if self.label_watchers > 0 {
            let now = &event.now().labels;
            let gone = event.before().into_iter().flat_map(|b| b.labels.iter()).filter(|(k, v)| now.get(*k) != Some(*v));
            for (key, value) in now.iter().chain(gone) {
                at(&Place::Label(key.as_str().into(), value.as_str().into()));
            }
        }
        found
    }

    fn add(&mut self, place: Place, watcher: Watcher) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.label_watchers += usize::from(matches!(place, Place::Label(..)));
        self.watchers.insert(id, watcher);
        self.index.entry(place).or_default().push(id);
        id
    }

    fn remove(&mut self, place: &Place, id: u64) {
        if self.watchers.remove(&id).is_none() {
            return;
        }
        self.label_watchers -= usize::from(matches!(place, Place::Label(..)));
        if let Some(ids) = self.index.get_mut(place) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.index.remove(place);
            }
        }
    }
}

fn place_of(filter: &Filter) -> Place {
    if let Some(name) = &filter.name {
        return Place::Name(name.as_str().into());
    }
    if let Some((key, value)) = filter.labels.as_ref().and_then(|l| l.exact()) {
        return Place::Label(key.into(), value.into());
    }
    if filter.namespace.is_empty() { Place::Everything } else { Place::Namespace(filter.namespace.as_str().into()) }
}

/// Returns what the event means to one who sees only what the filter admits.
fn deliver(filter: &Filter, event: &Arc<WatchEvent>) -> Option<Delivery> {
    if !filter.needs_fields() {
        return Some((event.told(), event.clone()));
    }
    let is_in = event.told() != Told::Deleted && filter.admits(event.now());
    let was_in = event.before().is_some_and(|before| filter.admits(before));
    let told = match (was_in, is_in) {
        (false, true) => Told::Added,
        (true, true) => Told::Modified,
        (true, false) => Told::Deleted,
        (false, false) => return None,
    };
    Some((told, event.clone()))
}

impl Subscription {
    /// Returns whether the watcher fell too far behind; what is queued is still whole.
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Acquire)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.topic.0.lock().remove(&self.place, self.id);
    }
}

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
///
/// The lock is held to look up and to register, never to deliver. That is enough: the store shows a commit
/// before it is published, so who registers after a publication looked its watchers up finds it in history.
#[derive(Default)]
pub struct Topic(Mutex<State>);

/// Watchers of one place, by id. Who delivers holds on to the list; a change meanwhile makes a copy.
type Watchers = Arc<Vec<Arc<Watcher>>>;

#[derive(Default)]
struct State {
    everything: Watchers,
    /// By `namespace/name`; a name in any namespace, or in none, is `/name`.
    names: HashMap<Box<str>, Watchers>,
    namespaces: HashMap<Box<str>, Watchers>,
    /// By key and value.
    labels: HashMap<Box<str>, HashMap<Box<str>, Watchers>>,
    count: usize,
    next_id: u64,
}

/// Where a watcher stands: the narrowest thing it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Name(Box<str>),
    Label(Box<str>, Box<str>),
    Namespace(Box<str>),
    Everything,
}

struct Watcher {
    id: u64,
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
        // 1. Most of the history, while others publish.
        let mut events = store.events_after(prefix, after)?;
        let read_to = events.last().map_or(after, |event| event.entry.revision);
        // 2. The rest, and the registration: what is published from here on finds the watcher, and
        // what is in both is dropped by its revision.
        let mut state = self.0.lock();
        let caught_up_to = store.revision().max(after);
        events.extend(store.events_after(prefix, read_to)?);
        let id = state.next_id;
        let watcher = Arc::new(Watcher { id, filter, after: caught_up_to, sender, is_cut_off: is_cut_off.clone() });
        state.add(&place, watcher.clone());
        drop(state);
        let history = events.into_iter().filter(|e| e.entry.revision <= caught_up_to);
        let history = history
            .filter(|e| crate::keys::parts(&e.entry.key).is_some_and(|parts| watcher.filter.admits_key(&parts)))
            .filter_map(|event| deliver(&watcher.filter, &Arc::new(WatchEvent::new(event))))
            .collect();
        Ok(Subscription { history, receiver, caught_up_to, is_cut_off, topic: self.clone(), id, place })
    }

    /// Hands an event to the watchers it may concern.
    pub fn publish(&self, event: &Arc<Event>, parts: &Parts<'_>) {
        let Some((shared, places)) = self.concerned(event, parts) else { return };
        let mut cut_off = Vec::new();
        for watcher in places.iter().flat_map(|watchers| watchers.iter()) {
            if !watcher.hand(&shared, parts) {
                cut_off.push((place_of(&watcher.filter), watcher.id));
            }
        }
        if cut_off.is_empty() {
            return;
        }
        drop(places);
        // Without its sender the watcher ends after what is queued; it cannot miss that it was cut off.
        let mut state = self.0.lock();
        cut_off.iter().for_each(|(place, id)| state.remove(place, *id));
    }

    /// Returns the lists of watchers that an event may concern, unless there are none.
    fn concerned(&self, event: &Arc<Event>, parts: &Parts<'_>) -> Option<(Arc<WatchEvent>, Vec<Watchers>)> {
        let state = self.0.lock();
        if state.count == 0 {
            return None;
        }
        let shared = Arc::new(WatchEvent::new(event.clone()));
        let places = state.concerned(&shared, parts);
        (!places.is_empty()).then_some((shared, places))
    }

    pub fn count(&self) -> usize {
        self.0.lock().count
    }
}

impl Watcher {
    /// Queues the event if it concerns the watcher; returns whether there was room.
    fn hand(&self, event: &Arc<WatchEvent>, parts: &Parts<'_>) -> bool {
        if event.revision() <= self.after || !self.filter.admits_key(parts) {
            return true;
        }
        let has_room = deliver(&self.filter, event).is_none_or(|delivery| self.sender.try_send(delivery).is_ok());
        if !has_room {
            self.is_cut_off.store(true, Ordering::Release);
        }
        has_room
    }
}

impl State {
    fn concerned(&self, event: &WatchEvent, parts: &Parts<'_>) -> Vec<Watchers> {
        let key = &*event.event.entry.key;
        let mut found = Vec::new();
        found.extend((!self.everything.is_empty()).then(|| self.everything.clone()));
        if !self.names.is_empty() {
            found.extend(self.names.get(&key[parts.topic.len()..]).cloned());
            if !parts.namespace.is_empty() {
                found.extend(self.names.get(&key[key.len() - parts.name.len() - 1..]).cloned());
            }
        }
        found.extend(self.namespaces.get(parts.namespace).cloned());
        // Labels are only looked at when someone asks for them.
        if !self.labels.is_empty() {
            let now = &event.now().labels;
            let gone = event.before().into_iter().flat_map(|b| b.labels.iter()).filter(|(k, v)| now.get(*k) != Some(*v));
            found.extend(now.iter().chain(gone).filter_map(|(key, value)| self.labels.get(&**key)?.get(&**value)).cloned());
        }
        found
    }

    fn add(&mut self, place: &Place, watcher: Arc<Watcher>) {
        self.next_id += 1;
        self.count += 1;
        let watchers = match place {
            Place::Everything => &mut self.everything,
            Place::Name(name) => self.names.entry(name.clone()).or_default(),
            Place::Namespace(namespace) => self.namespaces.entry(namespace.clone()).or_default(),
            Place::Label(key, value) => self.labels.entry(key.clone()).or_default().entry(value.clone()).or_default(),
        };
        // Ids only grow, so the list stays sorted.
        Arc::make_mut(watchers).push(watcher);
    }

    /// Removes a watcher, if it is there.
    fn remove(&mut self, place: &Place, id: u64) {
        let was_there = match place {
            Place::Everything => take(&mut self.everything, id),
            Place::Name(name) => remove_from(&mut self.names, name, id),
            Place::Namespace(namespace) => remove_from(&mut self.namespaces, namespace, id),
            Place::Label(key, value) => {
                let Some(values) = self.labels.get_mut(key) else { return };
                let was_there = remove_from(values, value, id);
                if values.is_empty() {
                    self.labels.remove(key);
                }
                was_there
            }
        };
        self.count -= usize::from(was_there);
    }
}

fn remove_from(places: &mut HashMap<Box<str>, Watchers>, place: &str, id: u64) -> bool {
    let Some(watchers) = places.get_mut(place) else { return false };
    let was_there = take(watchers, id);
    if watchers.is_empty() {
        places.remove(place);
    }
    was_there
}

/// Removes a watcher; returns whether it was there.
fn take(watchers: &mut Watchers, id: u64) -> bool {
    let found = watchers.binary_search_by_key(&id, |watcher| watcher.id);
    if let Ok(index) = found {
        Arc::make_mut(watchers).remove(index);
    }
    found.is_ok()
}

fn place_of(filter: &Filter) -> Place {
    if let Some(name) = &filter.name {
        return Place::Name(format!("{}/{name}", filter.namespace).into());
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

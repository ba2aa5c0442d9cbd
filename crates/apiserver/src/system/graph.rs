//! Who owns whom: only objects that have owners are in it.
//!
//! As kubernetes pkg/controller/garbagecollector/graph_builder.go, without the nodes: whether an owner exists is read
//! from the store when it matters.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use store::{Event, EventKind};

use super::garbage::{FOREGROUND, ORPHAN};
use super::stored::{DELETION_TIMESTAMP, OWNER_REFERENCES, OwnerUid, Owners, mentions, shared};

type Uid = Arc<str>;
/// Of the store.
type Key = Arc<str>;

/// Dependents by owner, and back.
#[derive(Default)]
pub struct Graph {
    dependents: HashMap<Uid, BTreeSet<Key>>,
    owners: HashMap<Key, BTreeSet<Uid>>,
    /// Owners that wait until their dependents are gone.
    waiting: HashMap<Uid, Key>,
    /// Owners that were seen to go and still have dependents: good to know when their kind is not served any longer.
    gone: BTreeSet<Uid>,
}

impl Graph {
    /// Takes in an event; queues the keys to look at.
    pub fn concerns(&mut self, event: &Event, queue: &mut dyn FnMut(Key)) {
        let (key, value) = (&event.entry.key, &event.entry.value);
        let has_owners = mentions(value, OWNER_REFERENCES);
        match event.kind {
            EventKind::Deleted if self.owners.is_empty() && self.waiting.is_empty() => {}
            EventKind::Deleted => {
                let uid = Owners::of(value).uid;
                let dependents = self.dependents_of(&uid);
                if !dependents.is_empty() {
                    self.gone.insert(shared(&uid));
                }
                dependents.into_iter().for_each(&mut *queue);
                self.waiting.remove(&*uid);
                for owner in self.set_owners(key, BTreeSet::new()) {
                    if let Some(waiting) = self.waiting.get(&owner) {
                        queue(waiting.clone());
                    }
                }
            }
            EventKind::Created | EventKind::Updated => {
                if has_owners || self.owners.contains_key(key) {
                    let owners = Owners::of(value).owner_references;
                    // An owner that waits may be blocked by this one no longer.
                    for waiting in owners.iter().filter_map(|owner| self.waiting.get(&*owner.uid)) {
                        queue(waiting.clone());
                    }
                    if !self.has_owners(key, &owners) {
                        let owners: BTreeSet<Uid> = owners.iter().map(|owner| shared(&owner.uid)).collect();
                        let is_owned = !owners.is_empty();
                        // An owner that lost a dependent may be done waiting.
                        for owner in self.set_owners(key, owners) {
                            if let Some(waiting) = self.waiting.get(&owner) {
                                queue(waiting.clone());
                            }
                        }
                        if is_owned {
                            queue(key.clone());
                        }
                    }
                }
                if mentions(value, DELETION_TIMESTAMP) && (mentions(value, FOREGROUND) || mentions(value, ORPHAN)) {
                    // Dependents first: an owner that waits makes them garbage.
                    let uid = Owners::of(value).uid;
                    self.dependents_of(&uid).into_iter().for_each(&mut *queue);
                    queue(key.clone());
                }
            }
        }
    }

    /// Returns whether an object is known to have just these owners.
    fn has_owners(&self, key: &Key, owners: &[OwnerUid<'_>]) -> bool {
        let Some(known) = self.owners.get(key) else { return owners.is_empty() };
        owners.iter().all(|owner| known.contains(&*owner.uid)) && known.iter().all(|known| owners.iter().any(|owner| *owner.uid == **known))
    }

    pub fn dependents_of(&self, owner: &str) -> Vec<Key> {
        self.dependents.get(owner).map(|keys| keys.iter().cloned().collect()).unwrap_or_default()
    }

    /// Returns whether an owner was seen to go.
    pub fn is_gone(&self, owner: &str) -> bool {
        self.gone.contains(owner)
    }

    /// Remembers that an owner is to be looked at when it loses a dependent.
    pub fn wait(&mut self, owner: &str, key: &str) {
        self.waiting.insert(shared(owner), shared(key));
    }

    /// Replaces the owners of an object; returns those it no longer has.
    fn set_owners(&mut self, key: &Key, owners: BTreeSet<Uid>) -> Vec<Uid> {
        let before = self.owners.remove(key).unwrap_or_default();
        let lost: Vec<Uid> = before.difference(&owners).cloned().collect();
        for owner in &lost {
            if let Some(keys) = self.dependents.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(owner);
                    self.gone.remove(owner);
                }
            }
        }
        for owner in &owners {
            self.dependents.entry(owner.clone()).or_default().insert(key.clone());
        }
        if !owners.is_empty() {
            self.owners.insert(key.clone(), owners);
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::Entry;

    use super::*;

    fn event(kind: EventKind, name: &str, owners: &[&str], extra: serde_json::Value) -> Event {
        let owners: Vec<_> = owners.iter().map(|uid| json!({"uid": uid, "kind": "X", "name": uid, "apiVersion": "v1"})).collect();
        let mut metadata = json!({"name": name, "uid": format!("uid-{name}")});
        if !owners.is_empty() {
            metadata["ownerReferences"] = json!(owners);
        }
        for (field, value) in extra.as_object().into_iter().flatten() {
            metadata[field] = value.clone();
        }
        let value = json!({ "metadata": metadata }).to_string().into();
        Event { kind, entry: Entry { key: name.into(), value, revision: 1, created: 1 }, previous: None }
    }

    fn take(graph: &mut Graph, event: &Event) -> Vec<String> {
        let mut queued = Vec::new();
        graph.concerns(event, &mut |key| queued.push(key.to_string()));
        queued
    }

    #[test]
    fn only_what_matters_is_queued() {
        use EventKind::{Created, Deleted, Updated};
        let mut graph = Graph::default();
        let none = || json!({});
        assert!(take(&mut graph, &event(Created, "plain", &[], none())).is_empty());
        assert!(take(&mut graph, &event(Deleted, "plain", &[], none())).is_empty());
        assert_eq!(take(&mut graph, &event(Created, "child", &["uid-a", "uid-b"], none())), ["child"]);
        assert!(take(&mut graph, &event(Updated, "child", &["uid-a", "uid-b"], none())).is_empty());
        // An owner goes: its dependents are looked at; the other owner's loss is noted.
        assert_eq!(take(&mut graph, &event(Deleted, "a", &[], none())), ["child"]);
        assert_eq!(take(&mut graph, &event(Updated, "child", &["uid-b"], none())), ["child"]);
        assert!(take(&mut graph, &event(Deleted, "a", &[], none())).is_empty());
        // An owner that waits hears of the dependent's end.
        let waiting = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]});
        assert_eq!(take(&mut graph, &event(Updated, "b", &[], waiting)), ["child", "b"]);
        graph.wait("uid-b", "b");
        assert_eq!(take(&mut graph, &event(Deleted, "child", &["uid-b"], none())), ["b"]);
        assert!(take(&mut graph, &event(Deleted, "b", &[], none())).is_empty());
        assert!(graph.dependents.is_empty() && graph.owners.is_empty() && graph.waiting.is_empty() && graph.gone.is_empty());
    }
}

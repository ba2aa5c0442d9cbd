//! The state both stores serve from: every key's retained versions and the log of events.
//!
//! One allocation is shared by all that refer to a version: the index, the log and the
//! subscribers hold the same `Arc<Event>`, and all versions of a key the same key.
//! So a live 1 KB object costs about 300 bytes more than its value (see `overhead_per_object`).
//!
//! Invariants: the log is in revision order; for every key the index holds the newest version at
//! the compacted revision (unless that is a deletion) and every later one; a version that left
//! the log no longer holds the value before it.
//!
//! What it does not do: assign meaning to time (see `Retention`), lock, or persist.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::{Change, Entry, Error, Event, EventKind, Expect, Range, Retention, Revision, Write};

/// Bookkeeping of one event that exists only for history: the event, its log slot and its share of a chain.
const EVENT_BYTES: usize = 160;

/// The retained versions of one key, newest apart because nearly every key has only that.
struct Chain {
    newest: Arc<Event>,
    /// Oldest first.
    /// Boxed: a pointer instead of four words in every chain.
    #[expect(clippy::box_collection)]
    older: Option<Box<VecDeque<Arc<Event>>>>,
}

impl Chain {
    fn push(&mut self, event: Arc<Event>) {
        let previous = std::mem::replace(&mut self.newest, event);
        self.older.get_or_insert_default().push_back(previous);
    }

    /// Returns the newest version that is not after a revision.
    fn at(&self, revision: Revision) -> Option<&Arc<Event>> {
        if self.newest.entry.revision <= revision {
            return Some(&self.newest);
        }
        let older = self.older.as_ref()?;
        let after = older.partition_point(|event| event.entry.revision <= revision);
        after.checked_sub(1).and_then(|index| older.get(index))
    }
}

/// What one look at a range found.
pub(crate) struct Part {
    pub entries: Vec<Entry>,
    /// Entries beyond the limit.
    pub remaining: u64,
    pub revision: Revision,
    /// There are more keys, after this one.
    pub goes_on_after: Option<Arc<str>>,
}

/// Everything a store remembers.
#[derive(Default)]
pub(crate) struct State {
    index: BTreeMap<Arc<str>, Chain>,
    log: VecDeque<Arc<Event>>,
    revision: Revision,
    compacted: Revision,
    /// First and last revision of each range that a crash may have lost; nobody may resume from within.
    gaps: Vec<(Revision, Revision)>,
    history_bytes: usize,
}

impl State {
    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    pub fn history_events(&self) -> usize {
        self.log.len()
    }

    pub fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    pub fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<Entry>, Error> {
        let at = self.readable(at)?;
        let event = self.index.get(key).and_then(|chain| chain.at(at));
        Ok(event.and_then(|event| live(event)).map(|event| event.entry.clone()))
    }

    /// Returns entries as [`crate::Store::range`] does, but looks at no more than `keys_max` keys.
    pub fn range_part(&self, range: &Range<'_>, keys_max: usize) -> Result<Part, Error> {
        let at = self.readable(range.at)?;
        let mut part = Part { entries: Vec::new(), remaining: 0, revision: at, goes_on_after: None };
        let mut last: Option<&Arc<str>> = None;
        for (index, (key, chain)) in self.chains_of(range.prefix, range.after).enumerate() {
            if index == keys_max {
                part.goes_on_after = last.cloned();
                break;
            }
            last = Some(key);
            match chain.at(at).and_then(live) {
                Some(event) if part.entries.len() < range.limit => part.entries.push(event.entry.clone()),
                Some(_) => part.remaining += 1,
                None => {}
            }
        }
        Ok(part)
    }

    pub fn count(&self, prefix: &str) -> usize {
        self.chains(prefix, None).filter(|chain| live(&chain.newest).is_some()).count()
    }

    pub fn events_after(&self, prefix: &str, after: Revision) -> Result<Vec<Arc<Event>>, Error> {
        self.readable(Some(after))?;
        let start = self.log.partition_point(|event| event.entry.revision <= after);
        if let Some(found) = self.events_of_few(prefix, after, self.log.len() - start) {
            return Ok(found);
        }
        Ok(self.log.range(start..).filter(|event| event.entry.key.starts_with(prefix)).cloned().collect())
    }

    /// Returns the events of a prefix from its keys, if those have fewer versions than `versions_max`: whoever
    /// follows one object or one namespace does not look through everybody's history.
    fn events_of_few(&self, prefix: &str, after: Revision, versions_max: usize) -> Option<Vec<Arc<Event>>> {
        let mut seen = 0;
        let mut found = Vec::new();
        for chain in self.chains(prefix, None) {
            seen += 1 + chain.older.as_ref().map_or(0, |older| older.len());
            if seen > versions_max {
                return None;
            }
            let versions = chain.older.iter().flat_map(|older| older.iter()).chain([&chain.newest]);
            found.extend(versions.filter(|event| event.entry.revision > after).cloned());
        }
        found.sort_unstable_by_key(|event| event.entry.revision);
        Some(found)
    }

    /// Takes in one committed event.
    pub fn apply(&mut self, event: Arc<Event>) {
        debug_assert!(event.entry.revision > self.revision, "events are applied in revision order");
        self.revision = event.entry.revision;
        self.history_bytes += history_bytes(&event);
        self.log.push_back(event.clone());
        match self.index.get_mut(&*event.entry.key) {
            Some(chain) => chain.push(event),
            None => {
                self.index.insert(event.entry.key.clone(), Chain { newest: event, older: None });
            }
        }
    }

    /// Moves on to a revision without an event.
    pub fn skip_to(&mut self, revision: Revision) {
        debug_assert!(revision >= self.revision, "revisions only grow");
        self.revision = revision;
    }

    /// Records that what happened from `first` to `last` may be lost.
    pub fn add_gap(&mut self, first: Revision, last: Revision) {
        self.gaps.push((first, last));
    }

    /// Makes an event of a row that was logged before; the value before it is the one in memory.
    pub fn replay(&mut self, kind: EventKind, entry: Entry) {
        let before =
            self.index.get_key_value(&*entry.key).map(|(key, chain)| (key.clone(), live(&chain.newest).map(|e| e.entry.value.clone())));
        let (key, previous) = before.unwrap_or_else(|| (entry.key.clone(), None));
        self.apply(Arc::new(Event { kind, entry: Entry { key, ..entry }, previous }));
    }

    /// Returns the revision to compact to when the history is over its bounds.
    /// It frees an eighth more than it must, so that compaction is not done for every write.
    pub fn compaction_due(&self, retention: &Retention) -> Option<Revision> {
        if self.log.len() <= retention.events_max && self.history_bytes <= retention.bytes_max {
            return None;
        }
        let events_goal = retention.events_max - retention.events_max / 8;
        let bytes_goal = retention.bytes_max - retention.bytes_max / 8;
        let (mut events, mut bytes) = (self.log.len(), self.history_bytes);
        let mut up_to = None;
        for event in &self.log {
            if events <= events_goal && bytes <= bytes_goal {
                break;
            }
            events -= 1;
            bytes -= history_bytes(event);
            up_to = Some(event.entry.revision);
        }
        up_to
    }

    /// Forgets history up to a revision; returns the revisions of the versions dropped, ascending.
    pub fn compact(&mut self, up_to: Revision) -> Result<Vec<Revision>, Error> {
        if up_to > self.revision {
            return Err(Error::Future(up_to, self.revision));
        }
        let mut dropped = Vec::new();
        if up_to <= self.compacted {
            return Ok(dropped);
        }
        while self.log.front().is_some_and(|event| event.entry.revision <= up_to) {
            let event = self.log.pop_front().expect("the front was just seen");
            self.history_bytes -= history_bytes(&event);
            let (key, revision) = (event.entry.key.clone(), event.entry.revision);
            drop(event);
            self.trim(&key, revision, up_to, &mut dropped);
        }
        if self.log.capacity() > 4 * self.log.len().max(256) {
            self.log.shrink_to(2 * self.log.len());
        }
        self.compacted = up_to;
        self.gaps.retain(|&(_, last)| last > up_to);
        dropped.sort_unstable();
        Ok(dropped)
    }

    /// Drops what `revision` superseded, if it is the newest version of its key up to `up_to`.
    fn trim(&mut self, key: &Arc<str>, revision: Revision, up_to: Revision, dropped: &mut Vec<Revision>) {
        let chain = self.index.get_mut(key).expect("a logged version is in the index");
        // 1. A later event of this key is compacted too and will do it.
        if chain.at(up_to).is_some_and(|base| base.entry.revision != revision) {
            return;
        }
        // 2. All before it go.
        if let Some(older) = &mut chain.older {
            let before = older.partition_point(|event| event.entry.revision < revision);
            dropped.extend(older.drain(..before).map(|event| event.entry.revision));
        }
        // 3. So does a deletion itself; a value stays, without the value before it.
        let is_newest = chain.newest.entry.revision == revision;
        let base = match &mut chain.older {
            Some(older) if !is_newest => older.front_mut().expect("the base is in the chain"),
            _ => &mut chain.newest,
        };
        if base.kind != EventKind::Deleted {
            forget_previous(base);
        } else {
            dropped.push(revision);
            if is_newest {
                self.index.remove(key);
                return;
            }
            chain.older.as_mut().and_then(|older| older.pop_front());
        }
        if chain.older.as_ref().is_some_and(|older| older.is_empty()) {
            chain.older = None;
        }
    }

    /// Returns the revision to read at, if it can be read.
    fn readable(&self, at: Option<Revision>) -> Result<Revision, Error> {
        let Some(at) = at else { return Ok(self.revision) };
        if at > self.revision {
            return Err(Error::Future(at, self.revision));
        }
        if at < self.compacted {
            return Err(Error::Compacted(at, self.compacted));
        }
        match self.gaps.iter().find(|&&(first, last)| (first..=last).contains(&at)) {
            Some(&(_, last)) => Err(Error::Compacted(at, last + 1)),
            None => Ok(at),
        }
    }

    fn chains<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> impl Iterator<Item = &'a Chain> {
        self.chains_of(prefix, after).map(|(_, chain)| chain)
    }

    fn chains_of<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> impl Iterator<Item = (&'a Arc<str>, &'a Chain)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let end = after_prefix(prefix);
        let end = match &end {
            // `BTreeMap::range` panics on a range that ends before it starts.
            Some(end) if after.is_none_or(|after| after < end.as_str()) => Bound::Excluded(end.as_str()),
            Some(_) => Bound::Included(after.unwrap_or(prefix)),
            None => Bound::Unbounded,
        };
        self.index.range::<str, _>((start, end))
    }
}

/// Writes of one commit, checked against the state they will be applied to and against each other.
#[derive(Default)]
pub(crate) struct Draft {
    pub events: Vec<Arc<Event>>,
    changed: HashMap<Arc<str>, Arc<Event>>,
}

impl Draft {
    /// Checks a write and gives it a revision.
    pub fn stage(&mut self, state: &State, write: Write, revision: Revision) -> Result<Arc<Event>, Error> {
        let event = Arc::new(draft(self.current(state, &write.key), write, revision)?);
        self.changed.insert(event.entry.key.clone(), event.clone());
        self.events.push(event.clone());
        Ok(event)
    }

    /// Returns whether an earlier write of this draft changed the key.
    pub fn has_changed(&self, key: &str) -> bool {
        self.changed.contains_key(key)
    }

    fn current<'a>(&'a self, state: &'a State, key: &str) -> Option<&'a Arc<Event>> {
        self.changed.get(key).or_else(|| state.index.get(key).map(|chain| &chain.newest))
    }
}

/// Checks a single write that is applied before the next is looked at.
pub(crate) fn draft_one(state: &State, write: Write, revision: Revision) -> Result<Event, Error> {
    draft(state.index.get(&*write.key).map(|chain| &chain.newest), write, revision)
}

fn draft(newest: Option<&Arc<Event>>, write: Write, revision: Revision) -> Result<Event, Error> {
    let current = newest.and_then(live).map(|event| &event.entry);
    let is_as_expected = match write.expect {
        Expect::Anything => true,
        Expect::Absent => current.is_none(),
        Expect::Revision(expected) => current.is_some_and(|entry| entry.revision == expected),
    };
    let (kind, template) = match (write.change, current) {
        (Change::Put(template), None) => (EventKind::Created, template),
        (Change::Put(template), Some(_)) => (EventKind::Updated, template),
        (Change::Delete(template), Some(_)) => (EventKind::Deleted, template),
        (Change::Delete(_), None) => return Err(Error::Unexpected(None)),
    };
    if !is_as_expected {
        return Err(Error::Unexpected(current.cloned()));
    }
    let entry = Entry {
        key: newest.map_or(write.key, |event| event.entry.key.clone()),
        value: template.stamp(revision),
        revision,
        created: current.map_or(revision, |entry| entry.created),
    };
    Ok(Event { kind, entry, previous: current.map(|entry| entry.value.clone()) })
}

/// Returns the event if it left a value.
fn live(event: &Arc<Event>) -> Option<&Arc<Event>> {
    (event.kind != EventKind::Deleted).then_some(event)
}

/// Drops the value before, in place unless somebody else still looks at the event.
fn forget_previous(event: &mut Arc<Event>) {
    if event.previous.is_none() {
        return;
    }
    match Arc::get_mut(event) {
        Some(event) => event.previous = None,
        None => *event = Arc::new(Event { kind: event.kind, entry: event.entry.clone(), previous: None }),
    }
}

/// Returns what an event costs beyond the current values.
fn history_bytes(event: &Event) -> usize {
    let previous = event.previous.as_ref().map_or(0, |value| value.len());
    match event.kind {
        // The event is also the holder of the current value; only its log slot is extra.
        EventKind::Created => size_of::<Arc<Event>>(),
        EventKind::Updated => EVENT_BYTES + previous,
        EventKind::Deleted => EVENT_BYTES + previous + event.entry.value.len(),
    }
}

/// Returns the least string greater than all that start with the prefix; `None` if there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let (index, last) = prefix.char_indices().next_back()?;
    match (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32) {
        Some(next) => Some(format!("{}{next}", &prefix[..index])),
        None => after_prefix(&prefix[..index]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, Template};

    fn put(state: &mut State, key: &str, value: &str) {
        let change = Change::Put(Template::plain(value));
        let write = Write { key: key.into(), expect: Expect::Anything, change, durability: Durability::Durable };
        let event = draft_one(state, write, state.revision + 1).expect("the write is unconditional");
        state.apply(Arc::new(event));
    }

    fn delete(state: &mut State, key: &str) {
        let change = Change::Delete(Template::plain("gone"));
        let write = Write { key: key.into(), expect: Expect::Anything, change, durability: Durability::Durable };
        let event = draft_one(state, write, state.revision + 1).expect("the key exists");
        state.apply(Arc::new(event));
    }

    #[test]
    fn after_prefix_is_the_next_string() {
        let check = |prefix, expect: Option<&str>| assert_eq!(after_prefix(prefix).as_deref(), expect);
        check("/a/", Some("/a0"));
        check("é", Some("ê"));
        check("\u{d7ff}", Some("\u{e000}"));
        check("a\u{10ffff}", Some("b"));
        check("\u{10ffff}", None);
        check("", None);
    }

    #[test]
    fn compaction_drops_what_was_superseded_and_says_so() {
        let mut state = State::default();
        put(&mut state, "a", "1");
        put(&mut state, "b", "2");
        put(&mut state, "a", "3");
        delete(&mut state, "b");
        put(&mut state, "a", "5");
        assert_eq!(state.compact(4).unwrap(), [1, 2, 4]);
        assert_eq!(state.index.len(), 1);
        let before_last = state.get("a", Some(4)).unwrap().unwrap();
        assert_eq!(before_last.value, "3");
        assert_eq!(state.compact(5).unwrap(), [3]);
        assert!(state.index["a"].older.is_none());
        assert_eq!(state.history_bytes, 0);
    }

    #[test]
    fn a_version_outside_the_history_does_not_hold_the_value_before() {
        let mut state = State::default();
        put(&mut state, "a", "1");
        put(&mut state, "a", "2");
        let watched = state.log[1].clone();
        state.compact(2).unwrap();
        assert!(state.index["a"].newest.previous.is_none());
        assert!(watched.previous.is_some(), "who still holds the event keeps it whole");
    }

    #[test]
    fn one_hot_key_is_compacted_once_per_key_not_per_event() {
        let mut state = State::default();
        for n in 0..20_000 {
            put(&mut state, "hot", &n.to_string());
        }
        assert_eq!(state.compact(19_999).unwrap().len(), 19_998);
        assert_eq!(state.get("hot", Some(19_999)).unwrap().unwrap().value, "19998");
    }

    #[test]
    fn automatic_compaction_leaves_an_eighth_of_room() {
        let retention = Retention { events_max: 80, bytes_max: usize::MAX, age_max: None };
        let mut state = State::default();
        for n in 0..81 {
            put(&mut state, &format!("k{n}"), "v");
        }
        assert_eq!(state.compaction_due(&retention), Some(11));
        state.compact(11).unwrap();
        assert_eq!(state.compaction_due(&retention), None);
    }

    #[test]
    fn overhead_per_object() {
        // Arc<Event> 8 in the log and 8 + 8 in the index, the key's pointer 16 in the index; the rest is the event.
        assert_eq!(size_of::<Chain>(), 16);
        assert!(size_of::<Event>() <= 104, "{}", size_of::<Event>());
    }
}

//! Compares what clients and watchers were told with the one order that the store committed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use store::{Event, EventKind};

use super::client::{Answer, Record};
use super::model::{Op, Outcome, State, field_of};
use super::space::{Filter, Key, Kind};
use super::watcher::{Segment, Start};

/// How often the server retries an unconditional write.
const ATTEMPTS: usize = 10;

/// One commit, as the store told it.
pub struct Version {
    pub revision: u64,
    pub key: Key,
    pub kind: EventKind,
    pub object: Value,
    pub state: State,
    /// The key's live object before.
    before: Option<usize>,
}

/// The order in which everything happened.
pub struct History {
    pub versions: Vec<Version>,
    by_key: BTreeMap<Key, Vec<usize>>,
    /// Oldest revision that could still be read at the end.
    pub compacted: u64,
}

impl History {
    /// Builds the history of events in commit order and checks what must hold of it alone.
    pub fn of(events: &[Event], compacted: u64) -> History {
        let mut history = History { versions: Vec::new(), by_key: BTreeMap::new(), compacted };
        let (mut newest, mut uids) = (0, BTreeSet::new());
        for event in events {
            assert!(event.entry.revision > newest, "revision {} after {newest}", event.entry.revision);
            newest = event.entry.revision;
            let Some(key) = Key::of_store(&event.entry.key) else { continue };
            let object: Value = serde_json::from_slice(&event.entry.value).expect("a stored object");
            let state = State::of(key.kind, &object);
            let places = history.by_key.entry(key.clone()).or_default();
            let last = places.last().copied().filter(|i| history.versions[*i].kind != EventKind::Deleted);
            let version = Version { revision: newest, key: key.clone(), kind: event.kind, object, state, before: last };
            places.push(history.versions.len());
            history.versions.push(version);
            history.check_version(history.versions.len() - 1, &mut uids);
        }
        history
    }

    /// Checks revision, uid, creationTimestamp and generation of one commit against the one before.
    fn check_version(&self, index: usize, uids: &mut BTreeSet<String>) {
        let new = &self.versions[index];
        let at = format!("{:?} at {}", new.key, new.revision);
        assert_eq!(new.object["metadata"]["resourceVersion"], new.revision.to_string(), "{at}: carries another revision");
        let Some(old) = new.before.map(|i| &self.versions[i]) else {
            assert_eq!(new.kind, EventKind::Created, "{at}: changes what is not there");
            assert!(uids.insert(new.state.uid.clone()) && !new.state.uid.is_empty(), "{at}: its uid was used before");
            assert!(!new.state.created.is_empty(), "{at}: has no creationTimestamp");
            return;
        };
        assert_ne!(new.kind, EventKind::Created, "{at}: created while it is there");
        assert_eq!((&new.state.uid, &new.state.created), (&old.state.uid, &old.state.created), "{at}: changed its identity");
        let grown = new.state.generation - old.state.generation;
        assert!((0..=2).contains(&grown), "{at}: generation went from {} to {}", old.state.generation, new.state.generation);
        if !new.key.kind.counts_generations() {
            assert_eq!(new.state.generation, 0, "{at}: has a generation");
        } else if new.kind == EventKind::Updated {
            let is_due = i64::from(new.state.values != old.state.values) + i64::from(new.state.is_terminating && !old.state.is_terminating);
            assert_eq!(grown, is_due, "{at}: generation counts changes of the spec and the deletion, nothing else");
        }
        if new.kind == EventKind::Deleted && old.state.finalizers.is_empty() {
            let mut last = old.object.clone();
            last["metadata"]["resourceVersion"] = new.object["metadata"]["resourceVersion"].clone();
            assert_eq!(new.object, last, "{at}: the deletion must show the last state");
        }
    }

    fn live(&self, index: Option<usize>) -> Option<&Version> {
        index.map(|i| &self.versions[i]).filter(|v| v.kind != EventKind::Deleted)
    }

    /// Returns the object as it was at a revision.
    fn at(&self, key: &Key, revision: u64) -> Option<&Version> {
        let places = self.by_key.get(key)?;
        let after = places.partition_point(|i| self.versions[*i].revision <= revision);
        self.live(after.checked_sub(1).map(|i| places[i]))
    }

    /// Returns what the object was at any time from `lo` to `hi`; `None` is absent.
    fn during(&self, key: &Key, lo: u64, hi: u64) -> Vec<Option<&Version>> {
        let changes = self.by_key.get(key).into_iter().flatten().filter(|i| (lo + 1..=hi).contains(&self.versions[**i].revision));
        std::iter::once(self.at(key, lo)).chain(changes.map(|i| self.live(Some(*i)))).collect()
    }

    fn in_scope<'a>(&'a self, kind: Kind, filter: &'a Filter) -> impl Iterator<Item = &'a Version> {
        self.versions.iter().filter(move |v| v.key.kind == kind && filter.admits_key(&v.key))
    }

    /// Returns what a list at a revision must show.
    fn listed(&self, kind: Kind, filter: &Filter, revision: u64) -> Vec<&Value> {
        let keys = self.by_key.keys().filter(|key| key.kind == kind);
        let found = keys.filter_map(|key| self.at(key, revision)).filter(|v| filter.admits(&v.key, &v.state.labels));
        found.map(|v| &v.object).collect()
    }

    /// Returns what a watcher with this filter must be told of after a revision.
    fn told(&self, kind: Kind, filter: &Filter, after: u64) -> Vec<(&'static str, Value)> {
        let mut told = Vec::new();
        for version in self.in_scope(kind, filter).filter(|v| v.revision > after) {
            let before = self.live(version.before);
            let was_in = before.is_some_and(|b| filter.admits(&b.key, &b.state.labels));
            let is_in = version.kind != EventKind::Deleted && filter.admits(&version.key, &version.state.labels);
            match (was_in, is_in) {
                (false, true) => told.push(("ADDED", version.object.clone())),
                (true, true) => told.push(("MODIFIED", version.object.clone())),
                (true, false) if version.kind == EventKind::Deleted => told.push(("DELETED", version.object.clone())),
                (true, false) => {
                    let mut last = before.expect("it was there").object.clone();
                    last["metadata"]["resourceVersion"] = version.object["metadata"]["resourceVersion"].clone();
                    told.push(("DELETED", last));
                }
                (false, false) => {}
            }
        }
        told
    }
}

/// Checks everything that clients were answered.
pub fn check_records(history: &History, records: &[Record]) -> Counts {
    let mut counts = Counts::default();
    let mut writers = BTreeMap::new();
    for record in records {
        match record {
            Record::Write { who, key, op, answer } => {
                let is_stored = check_write(history, who, key, op, answer, &mut writers);
                counts.stored += usize::from(is_stored);
                counts.refused += usize::from(answer.code >= 400);
                counts.conflicts += usize::from(answer.code == 409);
            }
            Record::Get { key, answer } => {
                check_get(history, key, answer);
                counts.reads += 1;
            }
            Record::List { kind, filter, limit, pages } => {
                check_list(history, *kind, filter, *limit, pages);
                counts.reads += pages.len();
                counts.expired += pages.iter().filter(|p| p.code == 410).count();
            }
            Record::DeleteCollection { kind, filter, answer } => check_collection(history, *kind, filter, answer),
        }
    }
    // What no single write explains, a deletion of a collection must.
    for version in history.versions.iter().filter(|v| v.key.is_contested() && !writers.contains_key(&v.revision)) {
        let is_explained = records.iter().any(|record| match record {
            Record::DeleteCollection { kind, filter, answer } => {
                let names = |item: &Value| item["metadata"]["uid"] == *version.state.uid;
                *kind == version.key.kind
                    && filter.admits_key(&version.key)
                    && (answer.lo + 1..=answer.hi).contains(&version.revision)
                    && answer.body["items"].as_array().is_some_and(|items| items.iter().any(names))
                    && is_outcome(history, version, "", &Op::Delete { uid: None, revision: None })
            }
            _ => false,
        });
        assert!(is_explained, "nobody wrote {:?} {:?} at {}: {}", version.kind, version.key, version.revision, version.object);
    }
    counts
}

/// How much a run did, so that a test can tell that it was no idle one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub stored: usize,
    pub refused: usize,
    pub conflicts: usize,
    pub reads: usize,
    pub expired: usize,
    pub events: usize,
    pub bookmarks: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.stored += other.stored;
        self.refused += other.refused;
        self.conflicts += other.conflicts;
        self.reads += other.reads;
        self.expired += other.expired;
        self.events += other.events;
        self.bookmarks += other.bookmarks;
    }
}

/// Returns whether the operation turns what was there before the version into the version.
fn is_outcome(history: &History, version: &Version, who: &str, op: &Op) -> bool {
    let before = history.live(version.before);
    match State::after(before.map(|b| (&b.state, b.revision)), &version.key, who, op) {
        Outcome::Stored(state) => version.kind != EventKind::Deleted && is_state(&state, &version.state, before.is_none()),
        // A plain deletion shows the last state.
        Outcome::Removed(_) if matches!(op, Op::Delete { .. }) => version.kind == EventKind::Deleted,
        Outcome::Removed(state) => version.kind == EventKind::Deleted && is_state(&state, &version.state, false),
        Outcome::Same | Outcome::Refused(_) | Outcome::Conflicts(_) => false,
    }
}

/// Compares the model's state with the real one; of a new object the model does not know the identity.
fn is_state(model: &State, real: &State, is_new: bool) -> bool {
    let mut model = model.clone();
    if is_new {
        (model.uid, model.created) = (real.uid.clone(), real.created.clone());
    }
    model == *real
}

fn check_write<'a>(history: &History, who: &str, key: &Key, op: &'a Op, answer: &Answer, writers: &mut BTreeMap<u64, &'a Op>) -> bool {
    let told = || {
        let all = history.by_key.get(key).into_iter().flatten().map(|i| &history.versions[*i]);
        let near = all.filter(|v| v.revision + 40 > answer.lo && v.revision < answer.hi + 10);
        let seen: Vec<String> = near.map(|v| format!("{}: {:?} {:?}", v.revision, v.kind, v.state)).collect();
        format!(
            "{who} did {op:?} to {key:?} and was answered {} {}\nfrom {} to {}, near it\n{}",
            answer.code,
            answer.body,
            answer.lo,
            answer.hi,
            seen.join("\n")
        )
    };
    if answer.code >= 400 {
        check_refusal(history, who, key, op, answer, &told);
        return false;
    }
    // A removed ConfigMap is answered with a Status that names its uid, all else with the object.
    let version = if answer.body["kind"] == "Status" {
        let uid = answer.body["details"]["uid"].as_str().unwrap_or_default();
        let places = history.by_key.get(key).into_iter().flatten().map(|i| &history.versions[*i]);
        places.filter(|v| v.kind == EventKind::Deleted).find(|v| v.state.uid == uid)
    } else {
        let revision: u64 = answer.body["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|r| r.parse().ok())
            .unwrap_or_else(|| panic!("no revision: {}", told()));
        let found = history.versions.iter().find(|v| v.revision == revision && v.key == *key);
        if let Some(found) = found {
            assert_eq!(found.object, answer.body, "the answer is not what was stored: {}", told());
        }
        found
    };
    let version = version.unwrap_or_else(|| panic!("there was no such commit: {}", told()));
    let other = writers.get(&version.revision).copied();
    if other.is_none() && (answer.lo + 1..=answer.hi).contains(&version.revision) && is_outcome(history, version, who, op) {
        writers.insert(version.revision, op);
        return true;
    }
    // It changed nothing: then it must have been so at some time in between.
    let is_same = history
        .during(key, answer.lo, answer.hi)
        .into_iter()
        .flatten()
        .any(|v| v.revision == version.revision && State::after(Some((&v.state, v.revision)), key, who, op) == Outcome::Same);
    let before = history.live(version.before).map(|b| State::after(Some((&b.state, b.revision)), key, who, op));
    assert!(is_same, "the model says otherwise: {}\nstored: {:?}\nmodel: {before:?}\nother writer: {other:?}", told(), version.state);
    false
}

fn check_refusal(history: &History, who: &str, key: &Key, op: &Op, answer: &Answer, told: &dyn Fn() -> String) {
    let during = history.during(key, answer.lo, answer.hi);
    let causes = answer.body["details"]["causes"].as_array().into_iter().flatten();
    let causes: Vec<&Value> = causes.filter(|c| c["reason"] == "FieldManagerConflict").collect();
    let fields: BTreeSet<String> = causes.iter().map(|c| field_of(key.kind, c["field"].as_str().unwrap_or_default())).collect();
    assert!(
        causes.iter().all(|c| c["message"].as_str().is_some_and(|m| m.contains("conflict with \""))),
        "a conflict names no manager: {}",
        told()
    );
    let is_true = during.iter().any(|v| match State::after(v.map(|v| (&v.state, v.revision)), key, who, op) {
        Outcome::Refused(code) => code == answer.code,
        Outcome::Conflicts(expected) => answer.code == 409 && expected == fields,
        Outcome::Stored(_) | Outcome::Removed(_) | Outcome::Same => false,
    });
    let is_worn_out = answer.code == 409 && fields.is_empty() && during.len() > ATTEMPTS;
    assert!(is_true || is_worn_out, "the refusal was not true at any time: {}", told());
}

fn check_get(history: &History, key: &Key, answer: &Answer) {
    let during = history.during(key, answer.lo, answer.hi);
    let is_true = match answer.code {
        200 => during.iter().flatten().any(|v| v.object == answer.body),
        404 => during.iter().any(Option::is_none),
        _ => false,
    };
    assert!(is_true, "from {} to {} {key:?} was never {}", answer.lo, answer.hi, answer.body);
}

fn check_list(history: &History, kind: Kind, filter: &Filter, limit: usize, pages: &[Answer]) {
    let told = |text: &str| format!("{text}: list of {kind:?} {filter:?} limit {limit}: {pages:#?}");
    let revision: u64 = pages[0].body["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|r| r.parse().ok())
        .unwrap_or_else(|| panic!("{}", told("no revision")));
    assert!((pages[0].lo..=pages[0].hi).contains(&revision), "{}", told("not the newest"));
    let expected = history.listed(kind, filter, revision);
    let mut seen = 0;
    for (index, page) in pages.iter().enumerate() {
        if page.code == 410 && index > 0 {
            assert!(revision < history.compacted, "{}", told("refused as expired, but it was retained"));
            return;
        }
        assert_eq!(page.code, 200, "{}", told("refused"));
        assert_eq!(page.body["metadata"]["resourceVersion"], revision.to_string(), "{}", told("another revision"));
        let items = page.body["items"].as_array().expect("items");
        assert!(limit == 0 || items.len() <= limit, "{}", told("too long a page"));
        let is_right = items.iter().zip(&expected[seen.min(expected.len())..]).all(|(a, b)| a == *b);
        assert!(is_right && seen + items.len() <= expected.len(), "{}\nexpected {expected:#?}", told("other objects"));
        seen += items.len();
        if let Some(remaining) = page.body["metadata"]["remainingItemCount"].as_u64() {
            assert_eq!(remaining as usize, expected.len() - seen, "{}", told("wrong remainingItemCount"));
        }
    }
    assert_eq!(seen, expected.len(), "{}", told("objects are missing"));
}

/// Each object a deletion of a collection names was there, and is gone or marked.
fn check_collection(history: &History, kind: Kind, filter: &Filter, answer: &Answer) {
    if answer.code == 409 {
        return;
    }
    assert_eq!(answer.code, 200, "deletecollection of {kind:?} {filter:?}: {}", answer.body);
    for item in answer.body["items"].as_array().into_iter().flatten() {
        let uid = item["metadata"]["uid"].as_str().unwrap_or_default();
        let versions: Vec<&Version> = history.in_scope(kind, filter).filter(|v| v.state.uid == uid).collect();
        assert!(versions.iter().any(|v| v.object == *item), "deletecollection names what never was: {item}");
        let is_done = versions.iter().any(|v| v.revision <= answer.hi && (v.kind == EventKind::Deleted || v.state.is_terminating));
        assert!(is_done, "deletecollection left {item}");
    }
}

/// Checks one watch: order, completeness, transitions, bookmarks.
pub fn check_segment(history: &History, segment: &Segment) -> Counts {
    let told = |text: &str| format!("{text}: {segment:#?}");
    let mut counts = Counts::default();
    if segment.code != 200 {
        assert_eq!(segment.code, 410, "{}", told("refused"));
    }
    let is_error = |e: &&super::watcher::Told| e.what == "ERROR";
    if let Some(error) = segment.events.iter().find(is_error) {
        assert_eq!(error.object["code"], 410, "{}", told("an error"));
        let from = match segment.start {
            Start::At(revision) => revision,
            Start::Any | Start::Streamed => segment.lo,
        };
        assert!(from < history.compacted, "{}", told("refused as too old, but it was retained"));
        assert_eq!(segment.events.len(), 1, "{}", told("events with an error"));
        return Counts { expired: 1, ..counts };
    }
    let candidates = match segment.start {
        Start::At(revision) => revision..=revision,
        Start::Any | Start::Streamed => segment.lo..=segment.hi,
    };
    let outcomes: Vec<Result<(), String>> = candidates.map(|begin| follow(history, segment, begin, &mut counts)).collect();
    assert!(outcomes.iter().any(Result::is_ok), "{}\n{:#?}", told("not what happened"), outcomes);
    counts
}

/// Compares the events of a watch with what must be told if it began at `begin`.
fn follow(history: &History, segment: &Segment, begin: u64, counts: &mut Counts) -> Result<(), String> {
    let (kind, filter) = (segment.kind, &segment.filter);
    *counts = Counts::default();
    let mut expected: Vec<(&str, Value)> = Vec::new();
    if segment.start == Start::Any || segment.start == Start::Streamed {
        expected.extend(history.listed(kind, filter, begin).into_iter().map(|o| ("ADDED", o.clone())));
    }
    let initial = expected.len();
    expected.extend(history.told(kind, filter, begin));
    let revision_of = |object: &Value| object["metadata"]["resourceVersion"].as_str().and_then(|r| r.parse::<u64>().ok()).unwrap_or(0);
    let mut seen = 0;
    let mut is_begun = segment.start != Start::Streamed;
    for (index, event) in segment.events.iter().enumerate() {
        let revision = event.revision().ok_or_else(|| format!("event {index} has no revision"))?;
        if event.what == "BOOKMARK" {
            counts.bookmarks += 1;
            let ends_initial = event.object["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true";
            if ends_initial {
                if is_begun || seen != initial || revision != begin {
                    return Err(format!("event {index}: the initial events end at the wrong place"));
                }
                is_begun = true;
            }
            if revision > event.at {
                return Err(format!("event {index}: a bookmark from the future"));
            }
            if expected[seen.max(initial)..].iter().any(|(_, object)| revision_of(object) <= revision) {
                return Err(format!("event {index}: the bookmark {revision} promises more than was sent"));
            }
            continue;
        }
        let Some((what, object)) = expected.get(seen) else { return Err(format!("event {index} is one too many")) };
        if event.what != *what || event.object != *object {
            return Err(format!("event {index}: expected {what} {object}"));
        }
        if seen >= initial && !is_begun {
            return Err(format!("event {index} comes before the end of the initial events"));
        }
        seen += 1;
    }
    counts.events = seen;
    if segment.is_whole && seen < expected.len() {
        return Err(format!("{} events are missing, first {:?}", expected.len() - seen, expected[seen]));
    }
    Ok(())
}

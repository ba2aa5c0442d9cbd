//! Both stores against a sequential model: any history of writes, compactions and reopenings
//! gives the same answers at every revision.

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::{Error, Expect, MemoryStore, Range, Retention, Revision, Store};

use crate::support::{delete, keys, lazy, outcome, put, sqlite};

#[derive(Clone, Debug)]
enum Step {
    Put { key: u8, expect: Guess, is_lazy: bool },
    Delete { key: u8, expect: Guess },
    Compact { back: u64 },
    Reopen,
}

/// An expectation that depends on what is there.
#[derive(Clone, Copy, Debug)]
enum Guess {
    Anything,
    Absent,
    Right,
    Stale,
}

fn step() -> impl Strategy<Value = Step> {
    let guess = prop_oneof![Just(Guess::Anything), Just(Guess::Absent), Just(Guess::Right), Just(Guess::Stale)];
    prop_oneof![
        6 => (0..6_u8, guess.clone(), any::<bool>()).prop_map(|(key, expect, is_lazy)| Step::Put { key, expect, is_lazy }),
        3 => (0..6_u8, guess).prop_map(|(key, expect)| Step::Delete { key, expect }),
        1 => (0..12_u64).prop_map(|back| Step::Compact { back }),
        1 => Just(Step::Reopen),
    ]
}

type Keys = BTreeMap<String, (String, Revision, Revision)>;

/// A snapshot of everything per revision: as simple as can be.
struct Model {
    snapshots: Vec<Keys>,
    compacted: Revision,
}

impl Model {
    fn newest(&self) -> Revision {
        self.snapshots.len() as Revision - 1
    }

    fn expectation(&self, key: &str, guess: Guess) -> Expect {
        let current = self.snapshots[self.newest() as usize].get(key).map_or(0, |&(_, revision, _)| revision);
        match guess {
            Guess::Anything => Expect::Anything,
            Guess::Absent => Expect::Absent,
            Guess::Right => Expect::Revision(current),
            Guess::Stale => Expect::Revision(current.wrapping_sub(1)),
        }
    }

    /// Carries out a write of a value, or a deletion; returns the outcome as `support::outcome` says it.
    fn write(&mut self, key: &str, value: Option<String>, expect: Expect) -> String {
        let mut now = self.snapshots[self.newest() as usize].clone();
        let current = now.get(key).cloned();
        let is_met = match (expect, &current) {
            (Expect::Anything, _) | (Expect::Absent, None) => true,
            (Expect::Revision(expected), Some((_, revision, _))) => expected == *revision,
            _ => false,
        };
        let revision = self.newest() + 1;
        let outcome = match (value, &current) {
            (None, None) => return "unexpected nothing".to_string(),
            (_, Some((value, revision, _))) if !is_met => return format!("unexpected {value} @{revision}"),
            (_, None) if !is_met => return "unexpected nothing".to_string(),
            (Some(value), _) => {
                let created = current.map_or(revision, |(_, _, created)| created);
                now.insert(key.to_string(), (value.clone(), revision, created));
                format!("{key}={value} @{revision} from {created}")
            }
            (None, Some((_, _, created))) => {
                now.remove(key);
                format!("{key}=last @{revision} from {created}")
            }
        };
        self.snapshots.push(now);
        outcome
    }
}

fn check(store: &dyn Store, model: &Model) {
    assert_eq!(store.revision(), model.newest());
    let mut events = 0;
    for at in 0..=model.newest() {
        let page = store.range(Range { at: Some(at), ..Range::default() });
        if at < model.compacted {
            assert!(matches!(page, Err(Error::Compacted(a, oldest)) if (a, oldest) == (at, model.compacted)));
            assert!(matches!(store.events_after("", at), Err(Error::Compacted(..))));
            continue;
        }
        let snapshot = &model.snapshots[at as usize];
        let page = page.expect("the revision is retained");
        assert_eq!(keys(&page.entries), snapshot.keys().collect::<Vec<_>>(), "at {at}");
        for entry in page.entries {
            let (value, revision, created) = &snapshot[&*entry.key];
            assert_eq!((&*entry.value, entry.revision, entry.created), (value.as_bytes(), *revision, *created));
        }
        events = events.max(store.events_after("", at).expect("the revision is retained").len());
    }
    assert_eq!(events as u64, model.newest() - model.compacted, "one event for each retained revision");
    // Applying the events to the oldest snapshot gives the newest.
    let mut replayed = model.snapshots[model.compacted as usize].clone();
    for event in store.events_after("", model.compacted).unwrap() {
        let entry = &event.entry;
        let before = replayed.remove(&*entry.key);
        assert_eq!(event.previous.as_deref(), before.as_ref().map(|(value, ..)| value.as_bytes()));
        if event.kind != store::EventKind::Deleted {
            replayed.insert(entry.key.to_string(), (String::from_utf8_lossy(&entry.value).into(), entry.revision, entry.created));
        }
    }
    assert_eq!(&replayed, model.snapshots.last().unwrap());
}

async fn run(steps: Vec<Step>, mut store: Box<dyn Store>, reopen: impl Fn(Box<dyn Store>) -> Box<dyn Store>) {
    let mut model = Model { snapshots: vec![Keys::new()], compacted: 0 };
    for (index, step) in steps.into_iter().enumerate() {
        match step {
            Step::Put { key, expect, is_lazy } => {
                let (key, value) = (format!("k{key}"), format!("v{index}"));
                let write = put(&key, value.as_str(), model.expectation(&key, expect));
                let expected = model.write(&key, Some(value), write.expect);
                let write = if is_lazy { lazy(write) } else { write };
                assert_eq!(outcome(store.write(write).await), expected);
            }
            Step::Delete { key, expect } => {
                let key = format!("k{key}");
                let write = delete(&key, model.expectation(&key, expect));
                let expected = model.write(&key, None, write.expect);
                assert_eq!(outcome(store.write(write).await), expected);
            }
            Step::Compact { back } => {
                let up_to = model.newest().saturating_sub(back);
                model.compacted = model.compacted.max(up_to);
                store.compact(up_to).await.unwrap();
            }
            Step::Reopen => store = reopen(store),
        }
    }
    check(&*store, &model);
    check(&*reopen(store), &model);
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn the_memory_store_is_the_model(steps in prop::collection::vec(step(), 0..80)) {
        block_on(run(steps, Box::new(MemoryStore::new(Retention::unbounded())), |store| store));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn the_sqlite_store_is_the_model(steps in prop::collection::vec(step(), 0..60)) {
        let directory = tempfile::tempdir().unwrap();
        let reopen = |store: Box<dyn Store>| -> Box<dyn Store> {
            drop(store);
            Box::new(sqlite(directory.path()))
        };
        block_on(run(steps, Box::new(sqlite(directory.path())), reopen));
    }
}

//! kill -9 under load: nothing acknowledged is lost, no deletion undone, no revision used twice.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use store::{Change, Error, Expect, Options, Retention, Store, Template};

use crate::support::{CHILD_DIRECTORY, child, delete, lazy, set, text};

const TASKS: usize = 16;
const KEYS: usize = 5;
/// More with `STORE_CRASH_ROUNDS`.
const ROUNDS: usize = 4;

/// Every third operation on a key is a deletion.
fn is_delete(operation: u64) -> bool {
    operation % 3 == 2
}

fn options() -> Options {
    // Little history and small blocks, so that compaction, checkpoints and reservations happen all the time.
    let retention = Retention { events_max: 300, ..Retention::unbounded() };
    Options { retention, revision_block: 50, checkpoint_bytes: 256 << 10, wal_bytes_max: 1 << 20, ..Options::default() }
}

/// Writes until killed; says on standard output what was acknowledged.
#[tokio::test]
#[ignore = "run by the parent test in a process of its own"]
async fn child_writes_until_killed() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else { return };
    let store = std::sync::Arc::new(store::SqliteStore::open(directory, options()).expect("the store opens"));
    let tasks = (0..TASKS).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            // Goes on where the store is: one after the last operation that left a value.
            let first = (0..KEYS).map(|key| next_operation(&*store, &name(task, key))).collect::<Vec<_>>();
            for step in 0.. {
                let key = name(task, step % KEYS);
                let operation = first[step % KEYS] + (step / KEYS) as u64;
                let value = format!("{operation} {}", "x".repeat(500));
                let write = match is_delete(operation) {
                    true => delete(&key, Expect::Anything),
                    false => set(&key, value),
                };
                say(&format!("ack {key} {operation} {}", store.write(write).await.expect("the disk is fine").revision));
                let lease = store.write(lazy(set(&format!("lease/{task}"), step.to_string()))).await.expect("the disk is fine");
                say(&format!("lazy {}", lease.revision));
            }
        })
    });
    futures::future::join_all(tasks).await;
}

fn name(task: usize, key: usize) -> String {
    format!("k/{task}/{key}")
}

fn next_operation(store: &dyn Store, key: &str) -> u64 {
    let entry = store.get(key, None).expect("now is readable");
    // After a deletion the count starts again, at the beginning of a put-put-delete cycle.
    entry.map_or(0, |entry| operation_of(&text(&entry)) + 1)
}

fn operation_of(value: &str) -> u64 {
    value.split(' ').next().and_then(|number| number.parse().ok()).expect("a value starts with its operation")
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent listens");
}

#[derive(Default)]
struct Seen {
    /// The last acknowledged operation of each key in the current round.
    acknowledged: HashMap<String, u64>,
    /// Every revision ever acknowledged, and in which round.
    revisions: HashMap<u64, usize>,
    newest: u64,
}

impl Seen {
    fn note(&mut self, round: usize, revision: u64) {
        let earlier = self.revisions.insert(revision, round);
        assert_eq!(earlier, None, "revision {revision} of round {round} was used before");
        self.newest = self.newest.max(revision);
    }
}

#[tokio::test]
async fn kill_nine_under_load_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let rounds = std::env::var("STORE_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let mut seen = Seen::default();
    for round in 0..rounds {
        // A different moment every time: just after opening, in the middle, after many checkpoints.
        load_and_kill(directory.path(), round, 200 + round * 1_700 % 5_000, &mut seen);
        let store = store::SqliteStore::open(directory.path(), options()).expect("the store opens after kill -9");
        check_values(&store, &seen);
        assert!(store.revision() >= seen.newest, "{} is before {}, which was seen", store.revision(), seen.newest);
        check_resumption(&store, &seen, round);
        let put = store::Write { change: Change::Put(Template::plain("after")), ..set("after", "") };
        seen.note(round, store.write(put).await.unwrap().revision);
    }
}

fn load_and_kill(directory: &Path, round: usize, lines: usize, seen: &mut Seen) {
    seen.acknowledged.clear();
    let mut child = child("crash::child_writes_until_killed", directory).stdout(Stdio::piped()).spawn().expect("the child starts");
    let mut taken = 0;
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("the child writes text");
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["ack", key, operation, revision] => {
                seen.acknowledged.insert(key.to_string(), operation.parse().unwrap());
                seen.note(round, revision.parse().unwrap());
            }
            ["lazy", revision] => seen.note(round, revision.parse().unwrap()),
            _ => continue,
        }
        taken += 1;
        if taken == lines {
            child.kill().expect("the child can be killed");
        }
    }
    child.wait().expect("the child has ended");
    assert!(taken >= lines, "the child ended by itself after {taken} lines");
}

/// Each key is as its last acknowledged operation left it, or the one after, which was on its way.
fn check_values(store: &dyn Store, seen: &Seen) {
    assert!(!seen.acknowledged.is_empty());
    for (key, &acknowledged) in &seen.acknowledged {
        let found = store.get(key, None).unwrap().map(|entry| operation_of(&text(&entry)));
        let possible = [acknowledged, acknowledged + 1].map(|operation| (!is_delete(operation)).then_some(operation));
        assert!(possible.contains(&found), "{key}: {acknowledged} was acknowledged, {found:?} is there");
    }
}

/// Whoever saw a revision gets all events after it, or is told that it cannot.
fn check_resumption(store: &dyn Store, seen: &Seen, round: usize) {
    let seen_in_round = |revision: &u64| seen.revisions.get(revision) == Some(&round);
    for &revision in seen.revisions.keys().filter(|revision| seen_in_round(revision)) {
        match store.events_after("", revision) {
            Ok(events) => assert!(events.iter().all(|event| event.entry.revision > revision)),
            Err(Error::Compacted(..)) => {}
            Err(error) => panic!("{revision}: {error}"),
        }
    }
}

//! What the cluster tells its hub, kept until the hub has it.
//!
//! Other parts call [`Reporter::report`] with the whole current value of a key, as often as they like: only a
//! change becomes a report. [`spool`] keeps reports until they are acknowledged, bounded, in a file where
//! there is a state directory; [`stream`] sends them (protocol: [`api::report`]).
//!
//! Invariant: a report that was sent is in the spool's file before, so that no sequence is ever used twice.

mod file;
mod spool;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::report::{Complete, Kind, Report, Up, VALUE_BYTES_MAX};
use controller::Clock;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::StateDir;
use spool::Spool;

pub(crate) use stream::run;

/// State that is remembered to tell changes from repetitions; a store has some hundred keys of a few hundred bytes.
const CURRENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Takes reports from all parts of the agent; cheap to clone, never blocks.
#[derive(Clone)]
pub struct Reporter(Arc<Inner>);

struct Inner {
    clock: Clock,
    state: Mutex<State>,
    /// Wakes the stream.
    changed: Notify,
}

struct State {
    spool: Spool,
    /// The last value of each key of state.
    current: BTreeMap<(Kind, String), Box<RawValue>>,
    current_bytes: usize,
    /// Kinds that were complete once, and so can be told again as a whole.
    complete: Vec<Kind>,
    /// The first sequence of this process: whatever an earlier one told and this one does not is gone.
    since: u64,
}

impl Reporter {
    /// Opens the spool. One that cannot be read is set aside: the hub sees a new incarnation.
    pub(crate) fn open(state_dir: &StateDir, clock: Clock) -> Self {
        let spool = Spool::open(state_dir.file("reports.ndjson").as_deref(), clock.now());
        let since = spool.next_sequence();
        let state = State { spool, current: BTreeMap::new(), current_bytes: 0, complete: Vec::new(), since };
        Self(Arc::new(Inner { clock, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Tells the whole current value of a key, if it differs from what was told last.
    pub fn report<V: Serialize + ?Sized>(&self, kind: Kind, key: &str, value: &V) {
        match serde_json::value::to_raw_value(value) {
            Ok(value) if value.get().len() <= VALUE_BYTES_MAX => self.tell(kind, key, Some(value)),
            Ok(value) => {
                let bytes = value.get().len();
                tracing::error!(%kind, key, bytes, bytes_max = VALUE_BYTES_MAX, "report dropped: its value is too long");
            }
            Err(error) => tracing::error!(%kind, key, %error, "report dropped: its value is no JSON"),
        }
    }

    /// Tells that a key is gone, if it was there.
    pub fn gone(&self, kind: Kind, key: &str) {
        self.tell(kind, key, None);
    }

    /// Tells that all current keys of a kind have been told by this process: others that the hub has are gone.
    /// Once is enough; [`Reporter::gone`] does the rest.
    pub fn complete(&self, kind: Kind) {
        let mut state = self.0.state.lock();
        let since = state.since;
        if !state.complete.contains(&kind) {
            state.complete.push(kind.clone());
        }
        let sequence = state.spool.next_sequence();
        state.spool.append(Up::Complete(Complete { sequence, kind, since }));
        drop(state);
        self.0.changed.notify_one();
    }

    fn tell(&self, kind: Kind, key: &str, value: Option<Box<RawValue>>) {
        let mut state = self.0.state.lock();
        if kind.is_state() && !state.remember(&kind, key, value.as_deref()) {
            return;
        }
        let now = self.0.clock.now();
        let sequence = state.spool.next_sequence();
        state.spool.append(Up::Report(Report { sequence, observed_at: now, kind, key: key.to_owned(), value }));
        drop(state);
        self.0.changed.notify_one();
    }

    /// Tells all state again, under new sequences: the hub may have lost some of it.
    fn tell_all_again(&self) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let since = state.spool.next_sequence();
        state.since = since;
        let values: Vec<(Kind, String, Box<RawValue>)> =
            state.current.iter().map(|((kind, key), value)| (kind.clone(), key.clone(), value.clone())).collect();
        for (kind, key, value) in values {
            let sequence = state.spool.next_sequence();
            state.spool.append(Up::Report(Report { sequence, observed_at: now, kind, key, value: Some(value) }));
        }
        for kind in state.complete.clone() {
            let sequence = state.spool.next_sequence();
            state.spool.append(Up::Complete(Complete { sequence, kind, since }));
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

impl State {
    /// Takes note of a value and returns whether it is news.
    fn remember(&mut self, kind: &Kind, key: &str, value: Option<&RawValue>) -> bool {
        let place = (kind.clone(), key.to_owned());
        let known = self.current.get(&place);
        let is_news = match (known, value) {
            // What an earlier process told is told off by `complete`.
            (None, None) => false,
            (Some(known), Some(value)) => known.get() != value.get(),
            (Some(_), None) | (None, Some(_)) => true,
        };
        if !is_news {
            return false;
        }
        if let Some(known) = self.current.remove(&place) {
            self.current_bytes -= known.get().len();
        }
        if let Some(value) = value {
            if self.current_bytes + value.get().len() <= CURRENT_BYTES_MAX {
                self.current_bytes += value.get().len();
                self.current.insert(place, value.to_owned());
            } else {
                tracing::warn!(%kind, key, "too much state to remember: this key is reported at every look");
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reporter(state_dir: &StateDir) -> Reporter {
        Reporter::open(state_dir, Clock::wall())
    }

    fn told(reporter: &Reporter) -> Vec<String> {
        let state = reporter.0.state.lock();
        let lines = state.spool.after(0, usize::MAX);
        let brief = |line: &[u8]| {
            let frame: Up = api::report::decode(line).unwrap();
            match frame {
                Up::Report(r) => format!("{} {} {} {}", r.sequence, r.kind, r.key, r.value.map_or("gone".into(), |v| v.get().to_owned())),
                Up::Complete(c) => format!("{} {} complete since {}", c.sequence, c.kind, c.since),
                Up::Gap(g) => format!("gap {}-{} {:?}", g.from, g.to, g.reason),
                Up::Hello(_) => unreachable!("the spool holds no hello"),
            }
        };
        lines.iter().map(|(_, line)| brief(line)).collect()
    }

    #[test]
    fn only_changes_become_reports() {
        let reporter = reporter(&StateDir::memory());
        for value in [1, 1, 2, 2, 1] {
            reporter.report(Kind::Workload, "a", &json!({"ready": value}));
        }
        reporter.gone(Kind::Workload, "a");
        reporter.gone(Kind::Workload, "a");
        reporter.report(Kind::Event, "e", "same");
        reporter.report(Kind::Event, "e", "same");
        assert_eq!(
            told(&reporter),
            [
                r#"1 workload a {"ready":1}"#,
                r#"2 workload a {"ready":2}"#,
                r#"3 workload a {"ready":1}"#,
                "4 workload a gone",
                r#"5 event e "same""#,
                r#"6 event e "same""#
            ]
        );
    }

    #[test]
    fn a_hub_that_forgot_is_told_everything_again() {
        let reporter = reporter(&StateDir::memory());
        reporter.report(Kind::Workload, "a", &1);
        reporter.report(Kind::Workload, "b", &1);
        reporter.complete(Kind::Workload);
        reporter.gone(Kind::Workload, "b");
        reporter.0.state.lock().spool.acknowledge(4);
        reporter.tell_all_again();
        assert_eq!(told(&reporter), ["5 workload a 1", "6 workload complete since 5"]);
    }

    #[test]
    fn a_restart_goes_on_with_its_sequences_and_says_what_is_gone_since() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = StateDir::open(directory.path()).unwrap();
        let first = reporter(&state_dir);
        first.report(Kind::Workload, "a", &1);
        first.report(Kind::Workload, "b", &1);
        let incarnation = first.0.state.lock().spool.incarnation().to_owned();
        drop(first);
        let second = reporter(&state_dir);
        assert_eq!(second.0.state.lock().spool.incarnation(), incarnation);
        second.report(Kind::Workload, "a", &1);
        second.complete(Kind::Workload);
        assert_eq!(told(&second), ["1 workload a 1", "2 workload b 1", "3 workload a 1", "4 workload complete since 3"]);
    }
}

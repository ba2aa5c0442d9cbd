//! A queue of keys and the loop that reconciles them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Cache, Change, Runtime};

// The first retry comes quickly, since most failures are conflicts; the last within a minute,
// so that an operator who removed the cause does not wait.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(60);

/// When to look at the key again, if nothing changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something changes.
    OnChange,
    After(Duration),
}

struct State<T> {
    /// Keys to reconcile, by when and in order of arrival.
    due: BTreeMap<(Instant, u64), T>,
    /// Where a key stands in `due`.
    queued: HashMap<T, (Instant, u64)>,
    running: BTreeSet<T>,
    failures: HashMap<T, Failures>,
    arrivals: u64,
}

/// Failures in a row.
#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    retry_at: Instant,
}

impl Failures {
    /// Counts one more. What fails before its retry was due, because something else changed, says nothing new: the retry does not
    /// move, or a busy key would soon wait for a minute.
    fn and_one(before: Option<Self>, now: Instant) -> Self {
        match before {
            Some(before) if now < before.retry_at => before,
            before => {
                let count = before.map_or(0, |b| b.count).saturating_add(1);
                Self { count, retry_at: now + RETRY_MOST.min(RETRY_FIRST * 2u32.saturating_pow((count - 1).min(16))) }
            }
        }
    }
}

struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

impl<T: Clone + Ord + Hash> Queue<T> {
    /// Queues a key for `at`, or earlier if it is queued for earlier already.
    fn add(&self, key: T, at: Instant) {
        let mut state = self.state.lock();
        if let Some(&(queued_at, order)) = state.queued.get(&key) {
            if queued_at <= at {
                return;
            }
            state.due.remove(&(queued_at, order));
        }
        state.arrivals += 1;
        let place = (at, state.arrivals);
        state.due.insert(place, key.clone());
        state.queued.insert(key, place);
        drop(state);
        self.changed.notify_one();
    }

    /// Waits for the next due key that is not running.
    async fn take(&self) -> T {
        loop {
            let changed = self.changed.notified();
            let wait_until = {
                let mut state = self.state.lock();
                let now = Instant::now();
                let found = state.due.iter().find(|(_, key)| !state.running.contains(key)).map(|(place, _)| *place);
                match found {
                    Some(place) if place.0 <= now => {
                        let key = state.due.remove(&place).expect("the place was just found");
                        state.queued.remove(&key);
                        state.running.insert(key.clone());
                        return key;
                    }
                    other => other.map(|place| place.0),
                }
            };
            match wait_until {
                Some(at) => tokio::select! { () = changed => {}, () = tokio::time::sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }

    fn done(&self, key: &T, next: Option<Next>) {
        let mut state = self.state.lock();
        state.running.remove(key);
        let now = Instant::now();
        let again = match next {
            Some(next) => {
                state.failures.remove(key);
                match next {
                    Next::OnChange => None,
                    Next::After(delay) => Some(now + delay),
                }
            }
            None => {
                let failures = Failures::and_one(state.failures.get(key).copied(), now);
                state.failures.insert(key.clone(), failures);
                Some(failures.retry_at)
            }
        };
        drop(state);
        match again {
            Some(at) => self.add(key.clone(), at),
            // A key that changed while it ran may be waiting.
            None => self.changed.notify_one(),
        }
    }
}

/// Reconciles keys of one domain.
pub struct Controller<T> {
    name: &'static str,
    runtime: Runtime,
    queue: Arc<Queue<T>>,
}

impl<T> Clone for Controller<T> {
    fn clone(&self) -> Self {
        Self { name: self.name, runtime: self.runtime.clone(), queue: self.queue.clone() }
    }
}

impl<T: Clone + Ord + Hash + Debug + Display + Send + Sync + 'static> Controller<T> {
    pub fn new(name: &'static str, runtime: &Runtime) -> Self {
        let state = State { due: BTreeMap::new(), queued: HashMap::new(), running: BTreeSet::new(), failures: HashMap::new(), arrivals: 0 };
        Self { name, runtime: runtime.clone(), queue: Arc::new(Queue { state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// Queues the keys that each change of a cache concerns.
    pub fn watches<K: Send + Sync + 'static>(
        self,
        cache: &Cache<K>,
        keys_of: impl Fn(&Change<K>) -> Vec<T> + Send + Sync + 'static,
    ) -> Self {
        let queue = self.queue.clone();
        cache.observe(move |change| {
            for key in keys_of(change) {
                queue.add(key, Instant::now());
            }
        });
        self
    }

    /// Queues a key now.
    pub fn add(&self, key: T) {
        self.queue.add(key, Instant::now());
    }

    pub fn add_after(&self, key: T, delay: Duration) {
        self.queue.add(key, Instant::now() + delay);
    }

    /// Starts `workers` loops of `reconcile`; a panic in one ends that reconcile only.
    pub fn run<F, R, E>(self, workers: usize, reconcile: F)
    where
        F: Fn(T) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Next, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let (runs, errors) = (Counter::<u64>::default(), Counter::<u64>::default());
        {
            let mut metrics = self.runtime.metrics.lock();
            let domain = metrics.sub_registry_with_label(("controller".into(), self.name.into()));
            domain.register("muster_reconciles", "Reconciles run", runs.clone());
            domain.register("muster_reconcile_errors", "Reconciles that failed and are retried", errors.clone());
        }
        for _ in 0..workers.max(1) {
            let (name, queue, reconcile) = (self.name, self.queue.clone(), reconcile.clone());
            let (runs, errors) = (runs.clone(), errors.clone());
            self.runtime.spawn(name, async move {
                loop {
                    let key = queue.take().await;
                    runs.inc();
                    let outcome = std::panic::AssertUnwindSafe(reconcile(key.clone())).catch_unwind().await;
                    let next = match outcome {
                        Ok(Ok(next)) => Some(next),
                        Ok(Err(error)) => {
                            errors.inc();
                            tracing::warn!(controller = name, %key, %error, "reconcile failed, will retry");
                            None
                        }
                        Err(_) => {
                            errors.inc();
                            tracing::error!(controller = name, %key, "reconcile panicked, will retry");
                            None
                        }
                    };
                    queue.done(&key, next);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;
    use parking_lot::Mutex;

    #[tokio::test(start_paused = true)]
    async fn a_failing_key_is_retried_with_growing_delay_and_others_go_on() {
        let runtime = Runtime::new(Clock::wall());
        let seen: Arc<Mutex<Vec<(String, u128)>>> = Arc::default();
        let controller = Controller::<String>::new("test", &runtime);
        let begun = Instant::now();
        let log = seen.clone();
        controller.clone().run(1, move |key: String| {
            let log = log.clone();
            async move {
                let mut log = log.lock();
                log.push((key.clone(), begun.elapsed().as_millis() / 10));
                let failures = log.iter().filter(|(k, _)| *k == "bad").count();
                if key == "bad" && failures < 4 { Err("no") } else { Ok(Next::OnChange) }
            }
        });
        controller.add("bad".into());
        controller.add("good".into());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let bad: Vec<u128> = seen.lock().iter().filter(|(k, _)| k == "bad").map(|(_, at)| *at).collect();
        assert_eq!(bad, [0, 5, 15, 35]);
        assert_eq!(seen.lock().iter().filter(|(k, _)| k == "good").count(), 1);
        runtime.stop().await;
    }

    /// Once a set whose clusters joined one after the other failed twenty times in a second, and then waited for a minute.
    #[tokio::test(start_paused = true)]
    async fn a_key_that_changes_while_it_fails_is_retried_as_soon_as_one_that_does_not() {
        let runtime = Runtime::new(Clock::wall());
        let (begun, done) = (Instant::now(), Arc::new(Mutex::new(None)));
        let controller = Controller::<String>::new("test", &runtime);
        let said = done.clone();
        controller.clone().run(2, move |_| {
            let said = said.clone();
            async move {
                if begun.elapsed() < Duration::from_millis(400) {
                    return Err("not yet");
                }
                said.lock().get_or_insert(begun.elapsed());
                Ok(Next::OnChange)
            }
        });
        for _ in 0..40 {
            controller.add("busy".into());
            tokio::time::sleep(Duration::from_millis(9)).await;
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
        let took = done.lock().expect("it was retried");
        assert!(took < Duration::from_millis(900), "{took:?}");
        runtime.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_it_runs_runs_once_more() {
        let runtime = Runtime::new(Clock::wall());
        let runs = Arc::new(Mutex::new(0));
        let controller = Controller::<String>::new("test", &runtime);
        let counted = runs.clone();
        controller.clone().run(4, move |_| {
            let counted = counted.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                *counted.lock() += 1;
                Ok::<_, String>(Next::OnChange)
            }
        });
        controller.add("a".into());
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..3 {
            controller.add("a".into());
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(*runs.lock(), 2);
        runtime.stop().await;
    }
}

//! One task that runs the controllers of a simulated cluster.
//!
//! It watches the kinds it needs through an ordinary client ([`feed`]), keeps what they say in slim form
//! ([`world`]), and works a queue of objects: observe, decide ([`crate::workloads`]), act ([`act`]). Most of
//! what is written to a cluster is written here, so it goes straight into the API server. One task, one
//! object at a time: light enough for thousands of clusters in a process, and in virtual time the same
//! from run to run. What the server answers to a write is known at once, so that the next decision
//! never works on what it itself has made outdated.

mod act;
mod events;
mod feed;
mod observe;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use apiserver::Writer;
use controller::{Key, Runtime};
use jiff::{SignedDuration, Timestamp};

use crate::kind::Kind;
use crate::workloads::Action;
use crate::workloads::node::Machine;
use feed::{Feed, News};
use world::World;

pub use events::EventLevel;

// Node leases say that kubelets live; every minute is seldom enough to cost nothing.
const LEASE_EVERY: SignedDuration = SignedDuration::from_secs(60);
// Timers are looked at this often at least, since a wall clock may be set.
const LOOK_MOST: Duration = Duration::from_secs(60);
const RETRY_FIRST: SignedDuration = SignedDuration::from_millis(100);
const RETRY_MOST: SignedDuration = SignedDuration::from_secs(30);

/// What a cluster's controllers need to know beside its API.
#[derive(Clone, Debug)]
pub struct Options {
    pub machines: Vec<Machine>,
    pub seed: u64,
    pub events: EventLevel,
}

/// What is reconciled: an object of a kind, or a machine by its name as a Node.
type Task = (Kind, Key);

/// Starts the controllers of one cluster; they run until the runtime stops.
pub fn start(runtime: &Runtime, client: kube::Client, writer: Writer, options: Options) {
    let clock = runtime.clock.clone();
    let task = async move { Driver::new(writer, clock, options).run(&client).await };
    runtime.spawn("cluster controllers", task);
}

struct Driver {
    writer: Writer,
    clock: controller::Clock,
    options: Options,
    world: World,
    events: events::Recorder,
    dirty: BTreeSet<Task>,
    /// Tasks to look at later, and when each is.
    timers: BTreeSet<(Timestamp, Task)>,
    due: BTreeMap<Task, Timestamp>,
    failures: BTreeMap<Task, u32>,
    lease_due: Timestamp,
}

impl Driver {
    fn new(writer: Writer, clock: controller::Clock, options: Options) -> Self {
        let lease_due = clock.now();
        let events = events::Recorder::new(options.events);
        Self {
            writer,
            clock,
            options,
            world: World::default(),
            events,
            dirty: BTreeSet::new(),
            timers: BTreeSet::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
            lease_due,
        }
    }

    async fn run(mut self, client: &kube::Client) {
        let mut feed = Feed::start(client);
        // Decisions on half a picture would be wrong: first all lists.
        while !self.world.is_complete() {
            match feed.next().await {
                Some(news) => self.learn(news),
                None => return,
            }
        }
        let machines: Vec<String> = self.options.machines.iter().map(|m| m.name.clone()).collect();
        self.dirty.extend(machines.into_iter().map(|name| (Kind::Node, Key::cluster_scoped(name))));
        loop {
            self.renew_leases(self.clock.now()).await;
            self.wake_due();
            let pause = if self.dirty.is_empty() { self.until_next() } else { Duration::ZERO };
            tokio::select! {
                biased;
                news = feed.next() => match news {
                    Some(news) => self.learn(news),
                    None => return,
                },
                () = tokio::time::sleep(pause), if self.dirty.is_empty() => {}
                () = std::future::ready(()), if !self.dirty.is_empty() => self.work().await,
            }
        }
    }

    fn learn(&mut self, news: News) {
        let affected = self.world.learn(news);
        self.dirty.extend(affected);
    }

    fn wake_due(&mut self) {
        let now = self.clock.now();
        while let Some((at, task)) = self.timers.first().cloned()
            && at <= now
        {
            self.timers.pop_first();
            self.due.remove(&task);
            self.dirty.insert(task);
        }
    }

    fn until_next(&self) -> Duration {
        let now = self.clock.now();
        let next = self.timers.first().map_or(self.lease_due, |(at, _)| (*at).min(self.lease_due));
        Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO).min(LOOK_MOST)
    }

    /// Plans to look at a task at `at`, or earlier if that is planned.
    fn look_again(&mut self, task: Task, at: Timestamp) {
        if let Some(planned) = self.due.get(&task) {
            if *planned <= at {
                return;
            }
            self.timers.remove(&(*planned, task.clone()));
        }
        self.due.insert(task.clone(), at);
        self.timers.insert((at, task));
    }

    async fn work(&mut self) {
        let Some(task) = self.dirty.pop_first() else { return };
        let now = self.clock.now();
        let plan = observe::decide(&self.world, &self.options, &task, now);
        tracing::trace!(kind = %task.0, object = %task.1, actions = plan.actions.len(), again_at = ?plan.again_at, "decided");
        if let Some(at) = plan.again_at {
            self.look_again(task.clone(), at);
        }
        for action in plan.actions {
            // What was done a moment ago is not in this status yet, and it is looked at again at once.
            if matches!(action, Action::Status { .. }) && self.dirty.contains(&task) {
                continue;
            }
            if let Err(error) = self.act(action, now).await {
                self.retry(task, &error, now);
                return;
            }
        }
        self.failures.remove(&task);
    }

    fn retry(&mut self, task: Task, error: &kube::Error, now: Timestamp) {
        let failures = self.failures.entry(task.clone()).or_default();
        *failures += 1;
        let delay = (RETRY_FIRST * 2i32.pow((*failures - 1).min(10))).min(RETRY_MOST);
        tracing::debug!(kind = %task.0, object = %task.1, %error, "write failed, will look again");
        self.look_again(task, now + delay);
    }
}

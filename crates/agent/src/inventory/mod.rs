//! The workloads of the cluster, told to the hub when they change.
//!
//! One watch per kind that makes pods. Of each object only a summary is kept (the [`Reporter`](crate::report::Reporter)
//! remembers what it told); what another workload controls is left out, since its owner is told, with what its pods run.
//! Whether a workload is well is told at once; how far its rollout is, in bursts of small steps, a moment later and once.

mod pods;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::report::{Kind, PodTrouble, Workload, workload_key};
use futures::StreamExt;
use futures::stream::BoxStream;
use kube::core::GroupVersionKind;
use kube::core::discovery::ApiResource;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use self::pods::Pods;
use crate::Context;
use crate::feed::{Event, Feed, Lean};

/// Kinds that make pods, and pods that nothing controls.
const KINDS: [(&str, &str, &str, &str); 7] = [
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("apps", "v1", "DaemonSet", "daemonsets"),
    ("apps", "v1", "ReplicaSet", "replicasets"),
    ("batch", "v1", "Job", "jobs"),
    ("batch", "v1", "CronJob", "cronjobs"),
    ("", "v1", "Pod", "pods"),
];
/// Objects listed at a time: a Pod is some 10 KB.
const PAGE: u32 = 50;
/// Workloads that are told of all kinds together; those seen after them are not.
const WORKLOADS_MAX: usize = 5000;
/// Steps of a rollout are gathered for so long.
const GATHER: Duration = Duration::from_secs(1);

/// Starts looking for as long as the context's runtime lives.
pub(crate) fn start(context: &Context) {
    let listed = Arc::new(watch::Sender::new(0usize));
    let (seen, steps) = (Arc::new(Mutex::new(Seen::default())), Arc::new(Notify::new()));
    context.runtime.spawn("inventory-steps", tell_steps(context.clone(), seen.clone(), steps.clone()));
    for (group, version, kind, plural) in KINDS {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let look = Look { context: context.clone(), kind, seen: seen.clone(), listed: listed.clone(), steps: steps.clone() };
        let feed = Feed::of(&context.local, &resource).pages(PAGE);
        context.runtime.spawn("inventory", look.run(feed.start()));
    }
    let context = context.clone();
    context.runtime.clone().spawn("inventory-complete", async move {
        // Once every kind is listed, what an earlier process told and nobody tells now is gone.
        if listed.subscribe().wait_for(|kinds| *kinds == KINDS.len()).await.is_ok() {
            context.reporter.complete(Kind::Workload);
        }
    });
}

/// Tells how far rollouts are.
async fn tell_steps(context: Context, seen: Arc<Mutex<Seen>>, steps: Arc<Notify>) {
    loop {
        steps.notified().await;
        tokio::time::sleep(GATHER).await;
        let mut seen = seen.lock();
        for key in std::mem::take(&mut seen.due) {
            seen.now(&key).iter().for_each(|workload| context.reporter.report(Kind::Workload, &key, workload));
        }
    }
}

/// What all kinds together know.
#[derive(Default)]
struct Seen {
    /// Workloads as they are, without what their pods say.
    workloads: BTreeMap<String, Workload>,
    pods: Pods,
    /// How well each was when it was told last.
    told: BTreeMap<String, (String, Option<PodTrouble>)>,
    /// Workloads whose last steps are still to be told.
    due: BTreeSet<String>,
}

impl Seen {
    /// Returns a workload with what its pods say.
    fn now(&self, key: &str) -> Option<Workload> {
        let workload = self.workloads.get(key)?;
        let (digests, trouble) = self.pods.of(key);
        Some(Workload { digests, trouble, ..workload.clone() })
    }

    /// Returns whether a workload is to be told now; else it is told with the next steps.
    fn is_told_now(&mut self, key: &str, workload: &Workload) -> bool {
        let how_well = (workload.health.clone(), workload.trouble.clone());
        if self.told.get(key) == Some(&how_well) {
            self.due.insert(key.to_owned());
            return false;
        }
        self.due.remove(key);
        self.told.insert(key.to_owned(), how_well);
        true
    }
}

struct Look {
    context: Context,
    kind: &'static str,
    seen: Arc<Mutex<Seen>>,
    /// How many kinds have been listed.
    listed: Arc<watch::Sender<usize>>,
    steps: Arc<Notify>,
}

impl Look {
    async fn run(self, mut events: BoxStream<'static, Event<Lean>>) {
        let mut listing: Option<BTreeSet<String>> = None;
        let mut is_first = true;
        loop {
            let next = tokio::select! {
                next = events.next() => next,
                () = self.recovery() => {
                    self.recover();
                    continue;
                }
            };
            let Some(event) = next else { return };
            match event {
                Event::Init => listing = Some(BTreeSet::new()),
                Event::InitApply(Lean(object)) => {
                    if let Some(listing) = &mut listing {
                        listing.insert(key_of(self.kind, &object));
                    }
                    self.tell(object);
                }
                Event::Apply(Lean(object)) => self.tell(object),
                Event::Delete(Lean(object)) => self.gone(&key_of(self.kind, &object)),
                Event::InitDone => {
                    let listing = listing.take().unwrap_or_default();
                    self.known().iter().filter(|key| !listing.contains(*key)).for_each(|key| self.gone(key));
                    if std::mem::take(&mut is_first) {
                        self.listed.send_modify(|kinds| *kinds += 1);
                    }
                }
                Event::Interrupted | Event::Resumed => {}
            }
        }
    }

    /// Waits until the first pod has recovered, if this looks at pods; what changes in between comes with an event.
    async fn recovery(&self) {
        let next = if self.kind == "Pod" { self.seen.lock().pods.next_recovery() } else { None };
        match next {
            Some(at) => {
                let left = Duration::try_from(at.duration_since(self.context.runtime.clock.now())).unwrap_or_default();
                tokio::time::sleep(left).await;
            }
            None => std::future::pending().await,
        }
    }

    fn recover(&self) {
        let mut seen = self.seen.lock();
        let recovered = seen.pods.recover(self.context.runtime.clock.now());
        recovered.iter().for_each(|workload| self.report(&mut seen, workload));
    }

    /// Returns the keys of this kind that are known.
    fn known(&self) -> Vec<String> {
        let seen = self.seen.lock();
        let start = workload_key(self.kind, "", "");
        let start = start.trim_end_matches('/');
        let keys = seen.workloads.keys().chain(seen.pods.keys());
        keys.filter(|key| key.strip_prefix(start).is_some_and(|rest| rest.starts_with('/'))).cloned().collect()
    }

    /// Takes note of one object and tells the workload that it is, or is a part of.
    fn tell(&self, object: Value) {
        let key = key_of(self.kind, &object);
        let metadata = &object["metadata"];
        let controller = metadata["ownerReferences"].as_array().into_iter().flatten().find(|owner| owner["controller"] == true);
        let mut seen = self.seen.lock();
        let Some(controller) = controller else { return self.tell_workload(&mut seen, key, object) };
        let owner = workload_key(text(&controller["kind"]), text(&metadata["namespace"]), text(&controller["name"]));
        let root = match self.kind {
            "Pod" => seen.pods.set(&key, owner, &object, self.context.runtime.clock.now()),
            // Its pods may have been seen before it.
            _ => {
                seen.pods.set_parent(&key, owner.clone());
                Some(owner)
            }
        };
        if let Some(root) = root {
            self.report(&mut seen, &root);
        }
    }

    fn tell_workload(&self, seen: &mut Seen, key: String, object: Value) {
        let known = seen.workloads.get(&key);
        if known.is_none() && seen.workloads.len() >= WORKLOADS_MAX {
            tracing::warn!(kind = self.kind, workloads_max = WORKLOADS_MAX, "too many workloads: this one is not told");
            return;
        }
        let now = self.context.runtime.clock.now();
        if self.kind == "Pod" {
            // Nothing controls it: it stands for itself.
            seen.pods.set(&key, key.clone(), &object, now);
        }
        let mut workload = workload::summary(self.kind, object);
        workload.since = match seen.workloads.get(&key) {
            Some(known) if known.health == workload.health => known.since,
            Some(_) => Some(now),
            None => Some(workload.since.unwrap_or(now)),
        };
        seen.workloads.insert(key.clone(), workload);
        self.report(seen, &key);
    }

    /// Tells a workload: now if it is better or worse than it was told to be, else in a moment.
    fn report(&self, seen: &mut Seen, key: &str) {
        let Some(workload) = seen.now(key) else { return };
        match seen.is_told_now(key, &workload) {
            true => self.context.reporter.report(Kind::Workload, key, &workload),
            false => self.steps.notify_one(),
        }
    }

    fn gone(&self, key: &str) {
        let mut seen = self.seen.lock();
        seen.pods.remove_parent(key);
        let root = seen.pods.remove(key);
        seen.told.remove(key);
        if seen.workloads.remove(key).is_some() {
            self.context.reporter.gone(Kind::Workload, key);
        }
        if let Some(root) = root {
            self.report(&mut seen, &root);
        }
    }
}

fn key_of(kind: &str, object: &Value) -> String {
    let metadata = &object["metadata"];
    workload_key(kind, text(&metadata["namespace"]), text(&metadata["name"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_workload_is_well_is_told_at_once_and_the_steps_between_together() {
        let mut seen = Seen::default();
        let mut told = |health: &str, ready: i64, trouble: Option<PodTrouble>| {
            let workload = Workload { health: health.to_owned(), ready, trouble, ..Workload::default() };
            let is_now = seen.is_told_now("w", &workload);
            (is_now, seen.due.contains("w"))
        };
        let (now, soon) = ((true, false), (false, true));
        assert_eq!(told("Progressing", 0, None), now);
        assert_eq!(told("Progressing", 1, None), soon);
        assert_eq!(told("Progressing", 2, None), soon);
        assert_eq!(told("Healthy", 3, None), now, "the steps before it need not be told any more");
        assert_eq!(told("Healthy", 4, None), soon);
        let trouble = PodTrouble { reason: "ImagePullBackOff".to_owned(), ..PodTrouble::default() };
        assert_eq!(told("Healthy", 4, Some(trouble.clone())), now);
        assert_eq!(told("Healthy", 4, Some(trouble)), soon);
        assert_eq!(told("Healthy", 4, None), now);
    }
}

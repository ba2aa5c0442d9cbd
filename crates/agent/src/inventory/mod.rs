//! The workloads of the cluster, told to the hub when they change.
//!
//! One watch per kind that makes pods. Of each object only a summary is kept (the [`Reporter`](crate::report::Reporter)
//! remembers what it told); what another workload controls is left out, since its owner is told.

mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::report::{Kind, workload_key};
use futures::StreamExt;
use jiff::Timestamp;
use kube::Api;
use kube::api::DynamicObject;
use kube::core::GroupVersionKind;
use kube::core::discovery::ApiResource;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Context;

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
/// Workloads that are told; a cluster with more tells the first by name of each kind.
const WORKLOADS_MAX: usize = 5000;

/// Starts looking for as long as the context's runtime lives.
pub(crate) fn start(context: &Context) {
    let listed = Arc::new(watch::Sender::new(0usize));
    for (group, version, kind, plural) in KINDS {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let look = Look { context: context.clone(), kind, known: Mutex::default(), listed: listed.clone() };
        context.runtime.spawn("inventory", look.run(Api::all_with(context.local.clone(), &resource)));
    }
    let context = context.clone();
    context.runtime.clone().spawn("inventory-complete", async move {
        // Once every kind is listed, what an earlier process told and nobody tells now is gone.
        if listed.subscribe().wait_for(|kinds| *kinds == KINDS.len()).await.is_ok() {
            context.reporter.complete(Kind::Workload);
        }
    });
}

struct Look {
    context: Context,
    kind: &'static str,
    /// Told workloads, with health and since when it is so.
    known: Mutex<BTreeMap<String, (String, Timestamp)>>,
    /// How many kinds have been listed.
    listed: Arc<watch::Sender<usize>>,
}

impl Look {
    async fn run(self, api: Api<DynamicObject>) {
        let mut events = watcher(api, Config::default().page_size(PAGE)).default_backoff().boxed();
        let mut listing: Option<BTreeSet<String>> = None;
        let mut is_first = true;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listing = Some(BTreeSet::new()),
                Ok(Event::InitApply(object)) => {
                    if let (Some(key), Some(listing)) = (self.tell(object), &mut listing) {
                        listing.insert(key);
                    }
                }
                Ok(Event::Apply(object)) => drop(self.tell(object)),
                Ok(Event::Delete(object)) => self.gone(&key_of(self.kind, &object)),
                Ok(Event::InitDone) => {
                    let listing = listing.take().unwrap_or_default();
                    let gone: Vec<String> = self.known.lock().keys().filter(|key| !listing.contains(*key)).cloned().collect();
                    gone.iter().for_each(|key| self.gone(key));
                    if std::mem::take(&mut is_first) {
                        self.listed.send_modify(|kinds| *kinds += 1);
                    }
                }
                Err(error) => tracing::debug!(kind = self.kind, %error, "inventory watch interrupted"),
            }
        }
    }

    /// Tells one object, unless another workload stands for it; returns its key if it was told.
    fn tell(&self, object: DynamicObject) -> Option<String> {
        let key = key_of(self.kind, &object);
        if object.metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true)) {
            return None;
        }
        let mut workload = workload::summary(self.kind, &object)?;
        {
            let mut known = self.known.lock();
            if known.len() >= WORKLOADS_MAX && !known.contains_key(&key) {
                tracing::warn!(kind = self.kind, workloads_max = WORKLOADS_MAX, "too many workloads: this one is not told");
                return None;
            }
            let now = self.context.runtime.clock.now();
            let since = match known.get(&key) {
                Some((health, since)) if *health == workload.health => *since,
                Some(_) => now,
                None => workload.since.unwrap_or(now),
            };
            known.insert(key.clone(), (workload.health.clone(), since));
            workload.since = Some(since);
        }
        self.context.reporter.report(Kind::Workload, &key, &workload);
        Some(key)
    }

    fn gone(&self, key: &str) {
        if self.known.lock().remove(key).is_some() {
            self.context.reporter.gone(Kind::Workload, key);
        }
    }
}

fn key_of(kind: &str, object: &DynamicObject) -> String {
    let metadata = &object.metadata;
    workload_key(kind, metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

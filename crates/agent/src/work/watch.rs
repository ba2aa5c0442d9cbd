//! Noticing that an applied object changed: one metadata watch per kind that works apply.
//!
//! Nothing is kept: an event names the AppliedManifestWorks that own the object, and these are looked at again.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::work::ObjectId;
use futures::StreamExt;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;

use super::mapper;
use controller::Runtime;

/// Kinds watched at once; objects of further kinds are looked at every few minutes.
const KINDS_MAX: usize = 64;
/// Objects listed at a time.
const PAGE: u32 = 100;

type Wake = Arc<dyn Fn(&str) + Send + Sync>;

/// Starts watches as kinds turn up; cheap to clone.
#[derive(Clone)]
pub struct Watches {
    runtime: Runtime,
    local: Client,
    wake: Wake,
    /// Group, version and resource.
    watched: Arc<Mutex<BTreeSet<(String, String, String)>>>,
}

impl Watches {
    /// `wake` is called with the name of the AppliedManifestWork whose object changed.
    pub fn new(runtime: &Runtime, local: &Client, wake: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { runtime: runtime.clone(), local: local.clone(), wake: Arc::new(wake), watched: Arc::default() }
    }

    /// Sees to it that the kind of an object is watched.
    pub fn watch(&self, id: &ObjectId) {
        let key = (id.group.clone(), id.version.clone(), id.resource.clone());
        let mut watched = self.watched.lock();
        if watched.contains(&key) {
            return;
        }
        if watched.len() >= KINDS_MAX {
            tracing::debug!(resource = %id.resource, "too many kinds to watch: objects of this one are looked at every few minutes");
            return;
        }
        watched.insert(key);
        drop(watched);
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(self.local.clone(), &mapper::api_resource(id, ""));
        let wake = self.wake.clone();
        self.runtime.spawn("work-watch", async move {
            let mut events = watcher(api, Config::default().page_size(PAGE)).default_backoff().boxed();
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => tell(&wake, &object),
                    Ok(Event::Init | Event::InitDone) | Err(_) => {}
                }
            }
        });
    }
}

fn tell(wake: &Wake, object: &PartialObjectMeta<DynamicObject>) {
    for owner in object.owner_references() {
        if owner.kind == "AppliedManifestWork" {
            wake(&owner.name);
        }
    }
}

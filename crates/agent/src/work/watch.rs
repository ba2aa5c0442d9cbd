//! Noticing that an applied object changed: one metadata watch per kind that works apply.
//!
//! An event names the AppliedManifestWorks that own the object, and these are looked at again: at once if it is gone, a
//! moment later if it changed, since changes come in bursts. Small objects are kept as they were read, so that an object
//! that no event told of since is not read again; before a watch is complete, and while it is broken, all are read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ::work::ObjectId;
use futures::StreamExt;
use kube::Client;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use super::mapper;
use crate::feed::{Event, Feed, Wanted};
use controller::Runtime;

/// Kinds watched at once; objects of further kinds are looked at every few minutes.
const KINDS_MAX: usize = 64;
/// Objects listed at a time.
const PAGE: u32 = 100;
/// An Application's status is written every few moments while it is synced: the hub is told of it through its work this often.
const GATHER: Duration = Duration::from_secs(1);
/// What is kept of one object as JSON, and of all: namespaces and the like, which every look would read.
const KEPT_BYTES_MAX: usize = 4 << 10;
const KEPT_ALL_BYTES_MAX: usize = 128 << 10;

type Wake = Arc<dyn Fn(&str, Duration) + Send + Sync>;
/// Group, version and resource.
type KindName = (String, String, String);

/// Starts watches as kinds turn up; cheap to clone.
#[derive(Clone)]
pub struct Watches {
    runtime: Runtime,
    local: Client,
    wake: Wake,
    watched: Arc<Mutex<Watched>>,
}

#[derive(Default)]
struct Watched {
    kinds: BTreeMap<KindName, Kind>,
    kept_bytes: usize,
}

#[derive(Default)]
struct Kind {
    /// Whether the watch tells of every change now.
    is_complete: bool,
    /// How many events there were.
    events: u64,
    /// As read, and still so; by namespace and name. None where there is no such object.
    kept: HashMap<(String, String), Option<Box<str>>>,
}

/// What is known before an object is read; see [`Watches::keep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(Option<u64>);

#[derive(Deserialize)]
struct Changed {
    metadata: Metadata,
}

impl Wanted for Changed {
    fn revision(&self) -> &str {
        &self.metadata.resource_version
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    namespace: String,
    name: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    deletion_timestamp: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    name: String,
}

fn kind_name(id: &ObjectId) -> KindName {
    (id.group.clone(), id.version.clone(), id.resource.clone())
}

fn place(id: &ObjectId) -> (String, String) {
    (id.namespace.clone(), id.name.clone())
}

impl Watched {
    fn forget(&mut self, kind: &KindName, place: Option<&(String, String)>) {
        let Some(kind) = self.kinds.get_mut(kind) else { return };
        let size = |kept: &Option<Box<str>>| kept.as_ref().map_or(0, |json| json.len());
        let bytes = match place {
            Some(place) => kind.kept.remove(place).as_ref().map_or(0, size),
            None => std::mem::take(&mut kind.kept).values().map(size).sum(),
        };
        self.kept_bytes -= bytes;
    }
}

impl Watches {
    /// `wake` is called with the name of the AppliedManifestWork whose object changed, and how soon to look at it.
    pub fn new(runtime: &Runtime, local: &Client, wake: impl Fn(&str, Duration) + Send + Sync + 'static) -> Self {
        Self { runtime: runtime.clone(), local: local.clone(), wake: Arc::new(wake), watched: Arc::default() }
    }

    /// Returns an object as it was read, if it is still so: `Some(None)` where it is known to be missing.
    pub fn kept(&self, id: &ObjectId) -> Option<Option<Value>> {
        let watched = self.watched.lock();
        let kept = watched.kinds.get(&kind_name(id)).filter(|kind| kind.is_complete)?.kept.get(&place(id))?;
        Some(kept.as_ref().and_then(|json| serde_json::from_str(json).ok()))
    }

    /// Returns what to hand to [`Watches::keep`] after a read that begins now.
    pub fn mark(&self, id: &ObjectId) -> Mark {
        Mark(self.watched.lock().kinds.get(&kind_name(id)).filter(|kind| kind.is_complete).map(|kind| kind.events))
    }

    /// Keeps an object as it was read, unless something changed since the mark, or it is large.
    pub fn keep(&self, id: &ObjectId, mark: Mark, object: Option<&Value>) {
        let json = object.map(Value::to_string);
        let bytes = json.as_ref().map_or(0, String::len);
        let (name, place) = (kind_name(id), place(id));
        let mut watched = self.watched.lock();
        watched.forget(&name, Some(&place));
        let fits = bytes <= KEPT_BYTES_MAX && watched.kept_bytes + bytes <= KEPT_ALL_BYTES_MAX;
        let Some(kind) = watched.kinds.get_mut(&name).filter(|kind| fits && kind.is_complete && mark.0 == Some(kind.events)) else {
            return;
        };
        kind.kept.insert(place, json.map(String::into_boxed_str));
        watched.kept_bytes += bytes;
    }

    /// Forgets an object that we write: the event comes later.
    pub fn touch(&self, id: &ObjectId) {
        let name = kind_name(id);
        let mut watched = self.watched.lock();
        watched.forget(&name, Some(&place(id)));
        if let Some(kind) = watched.kinds.get_mut(&name) {
            kind.events += 1;
        }
    }

    /// Sees to it that the kind of an object is watched.
    pub fn watch(&self, id: &ObjectId) {
        let name = kind_name(id);
        let mut watched = self.watched.lock();
        if watched.kinds.contains_key(&name) {
            return;
        }
        if watched.kinds.len() >= KINDS_MAX {
            tracing::debug!(resource = %id.resource, "too many kinds to watch: objects of this one are looked at every few minutes");
            return;
        }
        watched.kinds.insert(name.clone(), Kind::default());
        drop(watched);
        let mut events = Feed::of(&self.local, &mapper::api_resource(id, "")).pages(PAGE).metadata_only().start::<Changed>();
        let this = self.clone();
        self.runtime.spawn("work-watch", async move {
            while let Some(event) = events.next().await {
                this.heed(&name, &event);
            }
        });
    }

    fn heed(&self, name: &KindName, event: &Event<Changed>) {
        let (object, delay) = match event {
            Event::Init | Event::InitDone | Event::Interrupted | Event::Resumed => {
                let mut watched = self.watched.lock();
                watched.forget(name, None);
                if let Some(kind) = watched.kinds.get_mut(name) {
                    kind.events += 1;
                    kind.is_complete = matches!(event, Event::InitDone | Event::Resumed);
                }
                return;
            }
            Event::Apply(object) | Event::InitApply(object) if object.metadata.deletion_timestamp.is_none() => (object, GATHER),
            Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => (object, Duration::ZERO),
        };
        let mut watched = self.watched.lock();
        watched.forget(name, Some(&(object.metadata.namespace.clone(), object.metadata.name.clone())));
        if let Some(kind) = watched.kinds.get_mut(name) {
            kind.events += 1;
        }
        drop(watched);
        for owner in object.metadata.owner_references.iter().filter(|owner| owner.kind == "AppliedManifestWork") {
            (self.wake)(&owner.name, delay);
        }
    }
}

#[cfg(test)]
mod tests {
    use controller::Clock;
    use serde_json::json;

    use super::*;

    fn changed(name: &str, is_going: bool) -> Changed {
        let mut object = json!({"metadata": {"name": name, "ownerReferences": [{"kind": "AppliedManifestWork", "name": "w"}]}});
        if is_going {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(object).unwrap()
    }

    #[tokio::test]
    async fn an_object_is_read_again_only_after_it_changed_and_never_known_while_the_watch_is_broken() {
        let runtime = Runtime::new(Clock::wall());
        let refused = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
        });
        let woken: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let log = woken.clone();
        let watches = Watches::new(&runtime, &Client::new(refused, "default"), move |_, delay| log.lock().push(delay));
        let id = |name: &str| ObjectId { version: "v1".into(), resource: "namespaces".into(), name: name.into(), ..ObjectId::default() };
        let (a, kind, object) = (id("a"), kind_name(&id("a")), json!({"metadata": {"name": "a"}}));
        watches.watched.lock().kinds.insert(kind.clone(), Kind::default());
        let read = |id: &ObjectId, object: Option<&Value>| watches.keep(id, watches.mark(id), object);
        read(&a, Some(&object));
        assert_eq!(watches.kept(&a), None, "the watch is not complete");
        watches.heed(&kind, &Event::InitDone);
        read(&a, Some(&object));
        read(&id("missing"), None);
        assert_eq!((watches.kept(&a), watches.kept(&id("missing"))), (Some(Some(object.clone())), Some(None)));
        watches.heed(&kind, &Event::Apply(changed("other", false)));
        assert_eq!(watches.kept(&a), Some(Some(object.clone())));
        watches.heed(&kind, &Event::Apply(changed("a", false)));
        assert_eq!(watches.kept(&a), None);
        // What changes while it is read is not kept.
        let mark = watches.mark(&a);
        watches.heed(&kind, &Event::Delete(changed("a", false)));
        watches.keep(&a, mark, Some(&object));
        assert_eq!(watches.kept(&a), None);
        let large = json!({"metadata": {"name": "a"}, "data": "x".repeat(KEPT_BYTES_MAX)});
        read(&a, Some(&large));
        assert_eq!(watches.kept(&a), None);
        read(&a, Some(&object));
        watches.heed(&kind, &Event::Apply(changed("b", true)));
        watches.heed(&kind, &Event::Interrupted);
        assert_eq!((watches.kept(&a), watches.watched.lock().kept_bytes), (None, 0));
        watches.heed(&kind, &Event::Resumed);
        read(&a, Some(&object));
        assert_eq!(watches.kept(&a), Some(Some(object)));
        watches.touch(&a);
        assert_eq!((watches.kept(&a), watches.watched.lock().kept_bytes), (None, 0));
        assert_eq!(*woken.lock(), [GATHER, GATHER, Duration::ZERO, Duration::ZERO]);
        runtime.stop().await;
    }
}

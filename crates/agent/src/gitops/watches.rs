//! What lives on the cluster of the kinds that Applications manage: one watch per kind, little kept per object.
//!
//! A kind whose health or images matter is watched whole, others by metadata only. Kept are objects tracked to an
//! Application or named by one; of these only what [`Live`] holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use controller::Runtime;
use futures::{Stream, StreamExt};
use gitops::{Key, Live};
use kube::Client;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch as signal;

use crate::served::Kind;

/// Kinds watched at once; beyond that an Application says so.
const KINDS_MAX: usize = 128;
/// Objects listed at a time, so that a long list is never in memory as a whole.
const PAGE: u32 = 50;
const READY_TIMEOUT: Duration = Duration::from_secs(15);

/// Told of an Application (by its name in tracking ids) or an object named by one, whenever it changes.
pub(super) type Wake = Arc<dyn Fn(&Key, Option<&str>) + Send + Sync>;

type KindName = (String, String);

/// Watches as they are needed; cheap to clone.
#[derive(Clone)]
pub(super) struct Watches(Arc<Inner>);

struct Inner {
    client: Client,
    runtime: Runtime,
    wake: Wake,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By group and kind: whether the first list is complete.
    kinds: BTreeMap<KindName, signal::Receiver<bool>>,
    live: BTreeMap<Key, Live>,
    /// Named by an Application, by the name of its owner.
    wanted: BTreeMap<String, BTreeSet<Key>>,
}

impl State {
    fn is_wanted(&self, key: &Key) -> bool {
        self.wanted.values().any(|keys| keys.contains(key))
    }
}

impl Watches {
    pub fn new(client: &Client, runtime: &Runtime, wake: Wake) -> Self {
        Self(Arc::new(Inner { client: client.clone(), runtime: runtime.clone(), wake, state: Mutex::default() }))
    }

    /// Says which objects an Application names; returns those that are not kept yet and must be read once.
    pub fn want(&self, owner: &str, keys: BTreeSet<Key>) -> Vec<Key> {
        let mut state = self.0.state.lock();
        let before = state.wanted.insert(owner.to_owned(), keys.clone()).unwrap_or_default();
        let State { wanted, live, .. } = &mut *state;
        for key in before.difference(&keys) {
            let is_elsewhere = wanted.values().any(|keys| keys.contains(key));
            if !is_elsewhere && live.get(key).is_some_and(|l| l.tracked_by().is_none()) {
                live.remove(key);
            }
        }
        keys.into_iter().filter(|key| !before.contains(key) && !live.contains_key(key)).collect()
    }

    /// Forgets an Application.
    pub fn unwant(&self, owner: &str) {
        self.want(owner, BTreeSet::new());
        self.0.state.lock().wanted.remove(owner);
    }

    /// Sees to it that a kind is watched and its first list complete.
    pub async fn watch(&self, kind: &Kind) -> Result<(), String> {
        let name = (kind.resource.group.clone(), kind.resource.kind.clone());
        let mut ready = {
            let mut state = self.0.state.lock();
            match state.kinds.get(&name) {
                Some(ready) => ready.clone(),
                None if state.kinds.len() >= KINDS_MAX => {
                    return Err(format!("more than {KINDS_MAX} kinds to watch; split the Applications"));
                }
                None => {
                    let (done, ready) = signal::channel(false);
                    state.kinds.insert(name, ready.clone());
                    self.start(kind.resource.clone(), done);
                    ready
                }
            }
        };
        match tokio::time::timeout(READY_TIMEOUT, ready.wait_for(|is_ready| *is_ready)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(format!("{} cannot be listed on the cluster", kind.resource.plural)),
        }
    }

    /// Returns the live objects an Application names or tracks.
    pub fn of(&self, owner: &str, instance: &str) -> BTreeMap<Key, Live> {
        let state = self.0.state.lock();
        let wanted = state.wanted.get(owner);
        let is_its =
            |live: &Live| wanted.is_some_and(|keys| keys.contains(&live.key)) || live.tracked_by().is_some_and(|(app, _)| app == instance);
        state.live.values().filter(|l| is_its(l)).map(|l| (l.key.clone(), l.clone())).collect()
    }

    /// Takes in what the API answered to a read or a write, before the watch tells.
    pub fn note(&self, object: &Value) {
        self.0.state.lock().put(Live::of(object));
    }

    fn start(&self, resource: ApiResource, done: signal::Sender<bool>) {
        let client = self.0.client.clone();
        let config = Config::default().page_size(PAGE);
        let this = self.clone();
        let is_whole = kinds::health::has_rule(&resource.group, &resource.kind);
        self.0.runtime.spawn("gitops watch", async move {
            if is_whole {
                let api = kube::Api::<DynamicObject>::all_with(client, &resource);
                this.follow(watcher(api, config).default_backoff(), &resource, &done).await;
            } else {
                let api = kube::Api::<PartialObjectMeta<DynamicObject>>::all_with(client, &resource);
                this.follow(watcher(api, config).default_backoff(), &resource, &done).await;
            }
        });
    }

    async fn follow<K, S>(&self, events: S, resource: &ApiResource, done: &signal::Sender<bool>)
    where
        K: Serialize,
        S: Stream<Item = Result<Event<K>, kube::runtime::watcher::Error>>,
    {
        let mut events = std::pin::pin!(events);
        let mut listed: Option<BTreeSet<Key>> = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed = Some(BTreeSet::new()),
                Ok(Event::InitApply(object)) => {
                    let live = read(&object, resource);
                    if let Some(listed) = &mut listed {
                        listed.insert(live.key.clone());
                    }
                    self.apply(live);
                }
                Ok(Event::InitDone) => {
                    if let Some(listed) = listed.take() {
                        self.retain(resource, &listed);
                    }
                    done.send_replace(true);
                }
                Ok(Event::Apply(object)) => self.apply(read(&object, resource)),
                Ok(Event::Delete(object)) => self.remove(&read(&object, resource)),
                Err(error) => tracing::debug!(kind = resource.kind, %error, "watch interrupted"),
            }
        }
    }

    fn apply(&self, live: Live) {
        let (key, app) = (live.key.clone(), live.tracked_by().map(|(app, _)| app.to_owned()));
        let mut state = self.0.state.lock();
        if app.is_none() && !state.is_wanted(&key) {
            return;
        }
        let is_news = state.put(live);
        drop(state);
        if is_news {
            (self.0.wake)(&key, app.as_deref());
        }
    }

    fn remove(&self, gone: &Live) {
        let mut state = self.0.state.lock();
        // Made again meanwhile, by us: the news is old.
        if state.live.get(&gone.key).is_none_or(|known| known.uid != gone.uid) {
            return;
        }
        let known = state.live.remove(&gone.key);
        drop(state);
        let app = known.as_ref().and_then(|l| l.tracked_by()).map(|(app, _)| app.to_owned());
        (self.0.wake)(&gone.key, app.as_deref());
    }

    /// Drops what a fresh list no longer has.
    fn retain(&self, resource: &ApiResource, listed: &BTreeSet<Key>) {
        let is_of_kind = |key: &Key| key.group == resource.group && key.kind == resource.kind;
        let gone: Vec<Live> =
            self.0.state.lock().live.values().filter(|l| is_of_kind(&l.key) && !listed.contains(&l.key)).cloned().collect();
        gone.iter().for_each(|live| self.remove(live));
    }
}

impl State {
    /// Keeps the newer of two states; returns whether it was news.
    fn put(&mut self, live: Live) -> bool {
        let number = |l: &Live| l.resource_version.parse::<u64>().unwrap_or(0);
        if let Some(known) = self.live.get(&live.key)
            && known.uid == live.uid
            && (known.resource_version == live.resource_version || number(known) > number(&live))
        {
            return false;
        }
        self.live.insert(live.key.clone(), live).is_none_or(|_| true)
    }
}

/// What is kept of a watched object; a metadata watch does not say its kind.
fn read<K: Serialize>(object: &K, resource: &ApiResource) -> Live {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = json!(resource.api_version);
    value["kind"] = json!(resource.kind);
    Live::of(&value)
}

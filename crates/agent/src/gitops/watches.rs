//! What lives on the cluster of the kinds that Applications manage: one watch per kind, little kept per object.
//!
//! A kind whose health or images matter is watched whole, others by metadata only. Kept are objects tracked to an
//! Application or named by one; of these only what [`Live`] holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use controller::Runtime;
use futures::StreamExt;
use futures::stream::BoxStream;
use gitops::{Key, Live, News};
use kube::Client;
use kube::api::ApiResource;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch as signal;

use crate::feed::{Event, Feed, Lean};
use crate::served::Kind;

/// Kinds watched at once; beyond that an Application says so.
const KINDS_MAX: usize = 128;
/// Objects listed at a time, so that a long list is never in memory as a whole.
const PAGE: u32 = 50;
const READY_TIMEOUT: Duration = Duration::from_secs(15);

/// Told of an Application (by its name in tracking ids), or none for an object that is named by one, whenever the object has
/// news.
pub(super) type Wake = Arc<dyn Fn(Option<&str>, News) + Send + Sync>;

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

    /// Says which objects an Application names; returns those that are not kept yet and must be read once. What is of a kind that
    /// is not watched yet need not: its first list is still to come.
    pub fn want(&self, owner: &str, keys: BTreeSet<Key>) -> Vec<Key> {
        let mut state = self.0.state.lock();
        let before = state.wanted.insert(owner.to_owned(), keys.clone()).unwrap_or_default();
        let State { wanted, live, kinds } = &mut *state;
        for key in before.difference(&keys) {
            let is_elsewhere = wanted.values().any(|keys| keys.contains(key));
            if !is_elsewhere && live.get(key).is_some_and(|l| l.tracked_by().is_none()) {
                live.remove(key);
            }
        }
        let is_listed = |key: &Key| kinds.contains_key(&(key.group.clone(), key.kind.clone()));
        keys.into_iter().filter(|key| !before.contains(key) && !live.contains_key(key) && is_listed(key)).collect()
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
    pub fn note(&self, object: &Value) -> Live {
        let is_whole = kinds::health::has_rule(kinds::group_of(object), kinds::kind_of(object));
        let live = if is_whole { Live::of(object) } else { Live::of_metadata(object) };
        self.0.state.lock().put(live.clone());
        live
    }

    /// Takes in that we deleted an object and nothing holds it.
    pub fn note_gone(&self, key: &Key, uid: &str) {
        let mut state = self.0.state.lock();
        if state.live.get(key).is_some_and(|known| known.uid == uid) {
            state.live.remove(key);
        }
    }

    fn start(&self, resource: ApiResource, done: signal::Sender<bool>) {
        let this = self.clone();
        let is_whole = kinds::health::has_rule(&resource.group, &resource.kind);
        let feed = Feed::of(&self.0.client, &resource).pages(PAGE);
        let feed = if is_whole { feed } else { feed.metadata_only() };
        self.0.runtime.spawn("gitops watch", async move { this.follow(feed.start(), &resource, &done).await });
    }

    async fn follow(&self, mut events: BoxStream<'static, Event<Lean>>, resource: &ApiResource, done: &signal::Sender<bool>) {
        let mut listed: Option<BTreeSet<Key>> = None;
        while let Some(event) = events.next().await {
            match event {
                Event::Init => listed = Some(BTreeSet::new()),
                Event::InitApply(object) => {
                    let live = read(object, resource);
                    if let Some(listed) = &mut listed {
                        listed.insert(live.key.clone());
                    }
                    self.apply(live, State::put_listed);
                }
                Event::InitDone => {
                    if let Some(listed) = listed.take() {
                        self.retain(resource, &listed);
                    }
                    done.send_replace(true);
                }
                Event::Apply(object) => self.apply(read(object, resource), State::put),
                Event::Delete(object) => self.remove(&read(object, resource)),
                Event::Interrupted | Event::Resumed => {}
            }
        }
    }

    fn apply(&self, live: Live, put: impl FnOnce(&mut State, Live) -> News) {
        let (key, app) = (live.key.clone(), live.tracked_by().map(|(app, _)| app.to_owned()));
        let mut state = self.0.state.lock();
        if app.is_none() && !state.is_wanted(&key) {
            return;
        }
        let news = put(&mut state, live);
        drop(state);
        if news != News::Nothing {
            (self.0.wake)(app.as_deref(), news);
        }
    }

    fn remove(&self, gone: &Live) {
        let mut state = self.0.state.lock();
        match state.live.get(&gone.key) {
            Some(known) if known.uid == gone.uid => {}
            // Made again meanwhile, by us: the news is old.
            Some(_) => return,
            // Whoever deleted it knows; another that names it as well does not.
            None => {
                let is_shared = state.wanted.values().filter(|keys| keys.contains(&gone.key)).count() > 1;
                drop(state);
                if is_shared {
                    (self.0.wake)(None, News::Change);
                }
                return;
            }
        }
        let known = state.live.remove(&gone.key);
        drop(state);
        let app = known.as_ref().and_then(|l| l.tracked_by()).map(|(app, _)| app.to_owned());
        (self.0.wake)(app.as_deref(), News::Change);
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
    /// Keeps the newer of two states; returns what is new of it.
    fn put(&mut self, live: Live) -> News {
        let number = |l: &Live| l.resource_version.parse::<u64>().unwrap_or(0);
        let news = match self.live.get(&live.key) {
            None => News::Change,
            // Also of an object that was deleted, and made again by us before its last events were here.
            Some(known) if known.resource_version == live.resource_version || number(known) > number(&live) => return News::Nothing,
            Some(known) => live.news_since(known),
        };
        self.live.insert(live.key.clone(), live);
        news
    }

    /// Keeps a state out of a fresh list, which tells what there is: another object of the name counts, whatever its version.
    fn put_listed(&mut self, live: Live) -> News {
        if self.live.get(&live.key).is_some_and(|known| known.uid != live.uid) {
            self.live.remove(&live.key);
        }
        self.put(live)
    }
}

/// What is kept of a watched object; neither a list nor a metadata watch says its kind.
fn read(Lean(mut object): Lean, resource: &ApiResource) -> Live {
    object["apiVersion"] = json!(resource.api_version);
    object["kind"] = json!(resource.kind);
    Live::of(&object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(uid: &str, version: &str) -> Live {
        let metadata = json!({"name": "migrate", "namespace": "edge", "uid": uid, "resourceVersion": version});
        Live::of(&json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {}}))
    }

    #[test]
    fn the_last_events_of_a_deleted_object_do_not_hide_the_one_made_after_it() {
        let mut state = State::default();
        state.put(job("old", "5"));
        state.live.remove(&job("old", "5").key);
        state.put(job("new", "9"));
        assert_eq!(state.put(job("old", "7")), News::Nothing);
        assert_eq!(state.live[&job("new", "9").key].uid, "new");
        assert_eq!(state.put(job("new", "10")), News::Nothing, "it is the same but for its version");
        assert_eq!(state.live[&job("new", "9").key].resource_version, "10");
        assert_eq!(state.put_listed(job("restored", "3")), News::Change);
        assert_eq!(state.live[&job("new", "9").key].uid, "restored");
    }
}

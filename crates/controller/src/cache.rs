//! All objects of a kind, kept current by a watch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Resource, ResourceExt};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::watch as signal;

use crate::Runtime;

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    pub fn cluster_scoped(name: impl Into<String>) -> Self {
        Self::new("", name)
    }

    pub fn of<K: ResourceExt>(object: &K) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// An object that came, changed or went.
#[derive(Clone, Debug)]
pub struct Change<K> {
    pub key: Key,
    pub old: Option<Arc<K>>,
    pub new: Option<Arc<K>>,
}

type Observer<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

struct Inner<K> {
    objects: RwLock<BTreeMap<Key, Arc<K>>>,
    observers: RwLock<Vec<Arc<Observer<K>>>>,
    ready: signal::Sender<bool>,
}

/// All objects of a kind; cheap to clone.
pub struct Cache<K>(Arc<Inner<K>>);

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Cache<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default,
{
    /// Starts to list and watch; a broken watch is resumed with back-off for as long as the runtime lives.
    pub fn start(runtime: &Runtime, api: Api<K>, config: watch::Config) -> Self {
        let cache = Self(Arc::new(Inner { objects: RwLock::default(), observers: RwLock::default(), ready: signal::Sender::new(false) }));
        let fed = cache.clone();
        runtime.spawn("cache", async move {
            let mut events = watcher::watcher(api, config).default_backoff().boxed();
            let mut listed: Option<BTreeSet<Key>> = None;
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Init) => listed = Some(BTreeSet::new()),
                    Ok(Event::InitApply(object)) => {
                        if let Some(listed) = &mut listed {
                            listed.insert(Key::of(&object));
                        }
                        fed.apply(object);
                    }
                    Ok(Event::InitDone) => {
                        if let Some(listed) = listed.take() {
                            fed.retain(&listed);
                        }
                        fed.0.ready.send_replace(true);
                    }
                    Ok(Event::Apply(object)) => fed.apply(object),
                    Ok(Event::Delete(object)) => fed.remove(&Key::of(&object)),
                    Err(error) => {
                        tracing::debug!(kind = %K::kind(&K::DynamicType::default()), %error, "watch interrupted");
                    }
                }
            }
        });
        cache
    }

    fn apply(&self, object: K) {
        let key = Key::of(&object);
        let new = Arc::new(object);
        let old = self.0.objects.write().insert(key.clone(), new.clone());
        if old.as_ref().is_some_and(|o| o.resource_version().is_some() && o.resource_version() == new.resource_version()) {
            return;
        }
        self.tell(&Change { key, old, new: Some(new) });
    }

    fn remove(&self, key: &Key) {
        let old = self.0.objects.write().remove(key);
        if old.is_some() {
            self.tell(&Change { key: key.clone(), old, new: None });
        }
    }

    /// Drops what a fresh list no longer has.
    fn retain(&self, listed: &BTreeSet<Key>) {
        let gone: Vec<Key> = self.0.objects.read().keys().filter(|k| !listed.contains(k)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }
}

impl<K> Cache<K> {
    /// Waits for the first complete list.
    pub async fn ready(&self) {
        let mut ready = self.0.ready.subscribe();
        // The sender lives in self, so waiting cannot fail.
        let _ = ready.wait_for(|is_ready| *is_ready).await;
    }

    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.0.objects.read().get(key).cloned()
    }

    /// Returns all objects by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.0.objects.read().values().cloned().collect()
    }

    /// Returns the objects of one namespace by name.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        let objects = self.0.objects.read();
        let from = Key::new(namespace, "");
        objects.range(from..).take_while(|(key, _)| key.namespace == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// Returns how many objects there are.
    pub fn count(&self) -> usize {
        self.0.objects.read().len()
    }

    pub fn keys(&self) -> Vec<Key> {
        self.0.objects.read().keys().cloned().collect()
    }

    /// Calls `observer` with every object there is, then with every change. It must not block.
    /// An object that arrives meanwhile may be shown twice.
    pub fn observe(&self, observer: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let observer: Arc<Observer<K>> = Arc::new(Box::new(observer));
        self.0.observers.write().push(observer.clone());
        let present: Vec<_> = self.0.objects.read().iter().map(|(key, object)| (key.clone(), object.clone())).collect();
        for (key, object) in present {
            observer(&Change { key, old: None, new: Some(object) });
        }
    }

    fn tell(&self, change: &Change<K>) {
        let observers = self.0.observers.read().clone();
        for observer in observers {
            observer(change);
        }
    }
}

//! What the controllers know of their cluster, and whom a change concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use controller::Key;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Task;
use super::feed::{News, WATCHED};
use crate::faults::Table as Faults;
use crate::kind::Kind;
use crate::model::{
    ConfigMap, ControllerRevision, CronJob, DaemonSet, Deployment, HorizontalPodAutoscaler, Ingress, Job, Meta, Node,
    PersistentVolumeClaim, Pod, ReplicaSet, Service, StatefulSet,
};

/// A kind that is kept.
pub trait Kept: DeserializeOwned {
    const KIND: Kind;
    fn meta(&self) -> &Meta;
    fn meta_mut(&mut self) -> &mut Meta;
}

macro_rules! kept {
    ($($kind:ident),*) => {$(
        impl Kept for $kind {
            const KIND: Kind = Kind::$kind;
            fn meta(&self) -> &Meta { &self.metadata }
            fn meta_mut(&mut self) -> &mut Meta { &mut self.metadata }
        }
    )*};
}
kept!(
    Node,
    ConfigMap,
    PersistentVolumeClaim,
    Service,
    ControllerRevision,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    HorizontalPodAutoscaler,
    Ingress,
    CronJob,
    Job,
    Pod
);

/// All objects of a kind by namespace and name.
pub struct Objects<T>(BTreeMap<Key, Arc<T>>);

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Kept> Objects<T> {
    pub fn get(&self, key: &Key) -> Option<&Arc<T>> {
        self.0.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(|object| &**object)
    }

    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a T> {
        self.0.range(Key::new(namespace, "")..).take_while(move |(key, _)| key.namespace == namespace).map(|(_, object)| &**object)
    }

    pub fn controlled_by<'a>(&'a self, owner: &'a Meta) -> Vec<&'a T> {
        self.in_namespace(&owner.namespace).filter(|object| object.meta().is_controlled_by(&owner.uid)).collect()
    }
}

#[derive(Default)]
pub struct World {
    pub nodes: Objects<Node>,
    pub claims: Objects<PersistentVolumeClaim>,
    pub services: Objects<Service>,
    pub revisions: Objects<ControllerRevision>,
    pub deployments: Objects<Deployment>,
    pub replica_sets: Objects<ReplicaSet>,
    pub stateful_sets: Objects<StatefulSet>,
    pub daemon_sets: Objects<DaemonSet>,
    pub autoscalers: Objects<HorizontalPodAutoscaler>,
    pub ingresses: Objects<Ingress>,
    pub cron_jobs: Objects<CronJob>,
    pub jobs: Objects<Job>,
    pub pods: Objects<Pod>,
    config_maps: Objects<ConfigMap>,
    pub faults: Faults,
    /// When the kubelet last changed a pod's status, exactly; before that, when it got the pod.
    pub steps: BTreeMap<Key, Timestamp>,
    /// What we last published behind each Service.
    pub slices: BTreeMap<Key, Arc<crate::model::EndpointSlice>>,
    listed: BTreeSet<Kind>,
    /// Revisions that answers to our writes have shown and the watch has not: they need not be read twice.
    answered: BTreeSet<(Kind, String)>,
    /// What was put in last.
    newest: Option<(Kind, String)>,
    /// Objects removed by us whose removal the watch has not shown yet: by uid, so that a late event does not revive them.
    removed: BTreeSet<String>,
}

impl World {
    /// Returns whether every kind was listed once.
    pub fn is_complete(&self) -> bool {
        self.listed.len() == WATCHED.len()
    }

    /// Takes in what a watch says; returns what should be looked at.
    pub fn learn(&mut self, news: News) -> Vec<Task> {
        match news {
            News::Listed(kind, objects) => {
                self.listed.insert(kind);
                self.answered.retain(|(of, _)| *of != kind);
                match kind {
                    Kind::Node => self.relist(|w| &mut w.nodes, &objects),
                    Kind::ConfigMap => self.relist(|w| &mut w.config_maps, &objects),
                    Kind::PersistentVolumeClaim => self.relist(|w| &mut w.claims, &objects),
                    Kind::Service => self.relist(|w| &mut w.services, &objects),
                    Kind::ControllerRevision => self.relist(|w| &mut w.revisions, &objects),
                    Kind::Deployment => self.relist(|w| &mut w.deployments, &objects),
                    Kind::ReplicaSet => self.relist(|w| &mut w.replica_sets, &objects),
                    Kind::StatefulSet => self.relist(|w| &mut w.stateful_sets, &objects),
                    Kind::DaemonSet => self.relist(|w| &mut w.daemon_sets, &objects),
                    Kind::HorizontalPodAutoscaler => self.relist(|w| &mut w.autoscalers, &objects),
                    Kind::Ingress => self.relist(|w| &mut w.ingresses, &objects),
                    Kind::CronJob => self.relist(|w| &mut w.cron_jobs, &objects),
                    Kind::Job => self.relist(|w| &mut w.jobs, &objects),
                    Kind::Pod => self.relist(|w| &mut w.pods, &objects),
                    Kind::PersistentVolume | Kind::EndpointSlice | Kind::Lease | Kind::Event => Vec::new(),
                }
            }
            News::Changed(kind, revision, object) => {
                if self.answered.remove(&(kind, revision)) {
                    Vec::new()
                } else {
                    self.put(kind, object.get())
                }
            }
            News::Deleted(kind, object) => match kind {
                Kind::Node => self.remove(|w| &mut w.nodes, &object),
                Kind::ConfigMap => self.remove(|w| &mut w.config_maps, &object),
                Kind::PersistentVolumeClaim => self.remove(|w| &mut w.claims, &object),
                Kind::Service => self.remove(|w| &mut w.services, &object),
                Kind::ControllerRevision => self.remove(|w| &mut w.revisions, &object),
                Kind::Deployment => self.remove(|w| &mut w.deployments, &object),
                Kind::ReplicaSet => self.remove(|w| &mut w.replica_sets, &object),
                Kind::StatefulSet => self.remove(|w| &mut w.stateful_sets, &object),
                Kind::DaemonSet => self.remove(|w| &mut w.daemon_sets, &object),
                Kind::HorizontalPodAutoscaler => self.remove(|w| &mut w.autoscalers, &object),
                Kind::Ingress => self.remove(|w| &mut w.ingresses, &object),
                Kind::CronJob => self.remove(|w| &mut w.cron_jobs, &object),
                Kind::Job => self.remove(|w| &mut w.jobs, &object),
                Kind::Pod => self.remove(|w| &mut w.pods, &object),
                Kind::PersistentVolume | Kind::EndpointSlice | Kind::Lease | Kind::Event => Vec::new(),
            },
        }
    }

    /// Takes in one object as the answer to a write has it.
    pub fn answer(&mut self, kind: Kind, text: &str) -> Vec<Task> {
        self.newest = None;
        let affected = self.put(kind, text);
        self.answered.extend(self.newest.take());
        affected
    }

    /// Takes in one object.
    fn put(&mut self, kind: Kind, text: &str) -> Vec<Task> {
        match kind {
            Kind::Node => self.insert(|w| &mut w.nodes, text),
            Kind::ConfigMap => self.insert(|w| &mut w.config_maps, text),
            Kind::PersistentVolumeClaim => self.insert(|w| &mut w.claims, text),
            Kind::Service => self.insert(|w| &mut w.services, text),
            Kind::ControllerRevision => self.insert(|w| &mut w.revisions, text),
            Kind::Deployment => self.insert(|w| &mut w.deployments, text),
            Kind::ReplicaSet => self.insert(|w| &mut w.replica_sets, text),
            Kind::StatefulSet => self.insert(|w| &mut w.stateful_sets, text),
            Kind::DaemonSet => self.insert(|w| &mut w.daemon_sets, text),
            Kind::HorizontalPodAutoscaler => self.insert(|w| &mut w.autoscalers, text),
            Kind::Ingress => self.insert(|w| &mut w.ingresses, text),
            Kind::CronJob => self.insert(|w| &mut w.cron_jobs, text),
            Kind::Job => self.insert(|w| &mut w.jobs, text),
            Kind::Pod => self.insert(|w| &mut w.pods, text),
            Kind::EndpointSlice => {
                if let Ok(slice) = serde_json::from_str::<crate::model::EndpointSlice>(text)
                    && let Some(service) = slice.metadata.controller()
                {
                    self.slices.insert(Key::new(&slice.metadata.namespace, &service.name), Arc::new(slice));
                }
                Vec::new()
            }
            Kind::PersistentVolume | Kind::Lease | Kind::Event => Vec::new(),
        }
    }

    fn relist<T: Kept>(&mut self, table: fn(&mut Self) -> &mut Objects<T>, objects: &[Box<RawValue>]) -> Vec<Task> {
        let mut affected = Vec::new();
        let mut seen = BTreeSet::new();
        for object in objects {
            affected.extend(self.insert_parsed(table, object.get(), Some(&mut seen)));
        }
        let gone: Vec<Key> = table(self).0.keys().filter(|key| !seen.contains(*key)).cloned().collect();
        for key in gone {
            affected.extend(self.forget(table, &key));
        }
        affected
    }

    fn insert<T: Kept>(&mut self, table: fn(&mut Self) -> &mut Objects<T>, text: &str) -> Vec<Task> {
        self.insert_parsed(table, text, None)
    }

    fn insert_parsed<T: Kept>(
        &mut self,
        table: fn(&mut Self) -> &mut Objects<T>,
        text: &str,
        seen: Option<&mut BTreeSet<Key>>,
    ) -> Vec<Task> {
        let object: T = match serde_json::from_str(text) {
            Ok(object) => object,
            Err(error) => {
                tracing::warn!(kind = %T::KIND, %error, "an object is not of the form its kind has, left out");
                return Vec::new();
            }
        };
        let meta = object.meta();
        let key = Key::new(&meta.namespace, &meta.name);
        if let Some(seen) = seen {
            seen.insert(key.clone());
        }
        if self.removed.contains(&meta.uid) {
            return Vec::new();
        }
        // A watch may show what an answer to a write has shown before.
        let number = |meta: &Meta| meta.resource_version.parse::<u64>().unwrap_or(0);
        if table(self).0.get(&key).is_some_and(|known| known.meta().uid == meta.uid && number(known.meta()) >= number(meta)) {
            return Vec::new();
        }
        let affected = self.concerns(T::KIND, meta, &key);
        self.newest = Some((T::KIND, meta.resource_version.clone()));
        let object = Arc::new(object);
        table(self).0.insert(key, object);
        if T::KIND == Kind::ConfigMap {
            return self.set_faults();
        }
        affected
    }

    fn remove<T: Kept>(&mut self, table: fn(&mut Self) -> &mut Objects<T>, object: &RawValue) -> Vec<Task> {
        #[derive(serde::Deserialize)]
        struct Named {
            metadata: Meta,
        }
        let Ok(Named { metadata }) = serde_json::from_str::<Named>(object.get()) else { return Vec::new() };
        self.removed.remove(&metadata.uid);
        let key = Key::new(&metadata.namespace, &metadata.name);
        // A successor of the same name may be here already.
        if table(self).0.get(&key).is_some_and(|known| known.meta().uid != metadata.uid) {
            return Vec::new();
        }
        let mut affected = self.forget(table, &key);
        affected.extend(self.concerns(T::KIND, &metadata, &key));
        affected
    }

    fn forget<T: Kept>(&mut self, table: fn(&mut Self) -> &mut Objects<T>, key: &Key) -> Vec<Task> {
        let Some(gone) = table(self).0.remove(key) else { return Vec::new() };
        match T::KIND {
            Kind::Pod => {
                self.steps.remove(key);
            }
            Kind::Service => {
                self.slices.remove(key);
            }
            Kind::ConfigMap => return self.set_faults(),
            _ => {}
        }
        self.concerns(T::KIND, gone.meta(), key)
    }

    /// Notes that we deleted a pod for good, before the watch says so.
    pub fn removed_pod(&mut self, key: &Key) -> Vec<Task> {
        let Some(pod) = self.pods.0.get(key).cloned() else { return Vec::new() };
        self.removed.insert(pod.metadata.uid.clone());
        self.forget(|w| &mut w.pods, key)
    }

    /// Notes that an object is on its way out, before the watch says so.
    pub fn deleting(&mut self, kind: Kind, key: &Key, now: Timestamp) -> Vec<Task> {
        match kind {
            Kind::Pod => self.mark_deleting(|w| &mut w.pods, key, now),
            Kind::ReplicaSet => self.mark_deleting(|w| &mut w.replica_sets, key, now),
            Kind::Job => self.mark_deleting(|w| &mut w.jobs, key, now),
            Kind::ControllerRevision => self.mark_deleting(|w| &mut w.revisions, key, now),
            _ => Vec::new(),
        }
    }

    fn mark_deleting<T: Kept + Clone>(&mut self, table: fn(&mut Self) -> &mut Objects<T>, key: &Key, now: Timestamp) -> Vec<Task> {
        let Some(object) = table(self).0.get_mut(key) else { return Vec::new() };
        let meta = Arc::make_mut(object).meta_mut();
        let grace = meta.deletion_grace_period_seconds.unwrap_or(30);
        meta.deletion_timestamp.get_or_insert(now + jiff::SignedDuration::from_secs(grace));
        let meta = meta.clone();
        self.concerns(T::KIND, &meta, key)
    }

    /// Notes that a pod has a node, before the watch says so.
    pub fn bound(&mut self, key: &Key, node: &str, now: Timestamp) -> Vec<Task> {
        let Some(pod) = self.pods.0.get_mut(key) else { return Vec::new() };
        self.steps.insert(key.clone(), now);
        Arc::make_mut(pod).spec.node_name = node.to_owned();
        let meta = pod.metadata.clone();
        self.concerns(Kind::Pod, &meta, key)
    }

    fn set_faults(&mut self) -> Vec<Task> {
        let faults = self.config_maps.iter().next().map(Faults::of).unwrap_or_default();
        for (rule, problem) in &faults.problems {
            tracing::warn!(%rule, %problem, "a rule of ConfigMap kube-system/sim-faults is not usable, left out");
        }
        self.faults = faults;
        self.pods.0.keys().map(|key| (Kind::Pod, key.clone())).collect()
    }

    /// Returns what a change of an object concerns: itself, its controller, and who looks at such objects.
    fn concerns(&self, kind: Kind, meta: &Meta, key: &Key) -> Vec<Task> {
        let mut affected = vec![(kind, key.clone())];
        if let Some(owner) = meta.controller()
            && let Some(kind) = WATCHED.iter().find(|kind| kind.name() == owner.kind)
        {
            affected.push((*kind, Key::new(&meta.namespace, &owner.name)));
        }
        match kind {
            Kind::Pod => {
                let selects = |service: &&Service| {
                    !service.spec.selector.is_empty() && service.spec.selector.iter().all(|(k, v)| meta.labels.get(k) == Some(v))
                };
                let behind = self.services.in_namespace(&meta.namespace).filter(selects);
                affected.extend(behind.map(|s| (Kind::Service, Key::new(&meta.namespace, &s.metadata.name))));
            }
            Kind::Node => {
                let daemon_sets = self.daemon_sets.0.keys().map(|key| (Kind::DaemonSet, key.clone()));
                affected.extend(daemon_sets.chain(self.unscheduled("")));
            }
            Kind::PersistentVolumeClaim => affected.extend(self.unscheduled(&meta.namespace)),
            Kind::Deployment => {
                let scalers = self.autoscalers.in_namespace(&meta.namespace).filter(|a| a.spec.scale_target_ref.name == meta.name);
                affected.extend(scalers.map(|a| (Kind::HorizontalPodAutoscaler, Key::new(&meta.namespace, &a.metadata.name))));
            }
            _ => {}
        }
        affected
    }

    /// Returns the pods without a node, in one namespace or in all.
    fn unscheduled(&self, namespace: &str) -> Vec<Task> {
        self.pods
            .0
            .iter()
            .filter(|(key, pod)| pod.spec.node_name.is_empty() && (namespace.is_empty() || key.namespace == namespace))
            .map(|(key, _)| (Kind::Pod, key.clone()))
            .collect()
    }

    /// Returns an address that no pod has.
    pub fn free_pod_ip(&self) -> Ipv4Addr {
        let taken: BTreeSet<&str> = self.pods.iter().map(|pod| pod.status.pod_ip.as_str()).collect();
        free_ip([10, 42], &taken)
    }

    /// Returns an address that no Service has.
    pub fn free_service_ip(&self) -> Ipv4Addr {
        let taken: BTreeSet<&str> = self.services.iter().map(|service| service.spec.cluster_ip.as_str()).collect();
        free_ip([10, 43], &taken)
    }
}

fn free_ip(net: [u8; 2], taken: &BTreeSet<&str>) -> Ipv4Addr {
    (10u16..)
        .map(|host| Ipv4Addr::new(net[0], net[1], (host >> 8) as u8, host as u8))
        .find(|ip| !taken.contains(ip.to_string().as_str()))
        .unwrap_or(Ipv4Addr::new(net[0], net[1], 255, 254))
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;

    #[test]
    fn what_an_answer_has_shown_is_not_looked_at_again_when_the_watch_shows_it() {
        let pod = |revision: &str| {
            let object = json!({"metadata": {"name": "a", "namespace": "b", "uid": "u", "resourceVersion": revision}});
            to_raw_value(&object).expect("JSON")
        };
        let shown = |revision: &str| News::Changed(Kind::Pod, revision.to_owned(), pod(revision));
        let mut world = World::default();
        assert_eq!(world.answer(Kind::Pod, pod("5").get()).len(), 1);
        assert!(world.learn(shown("5")).is_empty());
        assert!(world.answered.is_empty(), "it is shown once");
        assert_eq!(world.learn(shown("6")).len(), 1, "somebody else's write");
        // A write that changed nothing is answered with what there was, and the watch shows nothing.
        assert!(world.answer(Kind::Pod, pod("6").get()).is_empty());
        assert!(world.answered.is_empty());
        world.answer(Kind::Pod, pod("7").get());
        world.learn(News::Listed(Kind::Pod, vec![pod("7")]));
        assert!(world.answered.is_empty(), "a watch that begins anew shows only what comes after");
    }
}

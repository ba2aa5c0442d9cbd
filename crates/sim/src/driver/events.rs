//! Kubernetes Events: what `kubectl describe` tells, in bounded number.
//!
//! The same thing said again raises the count of the Event there is.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::workloads::{api_time, fnv};

/// How much a cluster tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EventLevel {
    /// All events, as a real cluster writes.
    All,
    /// Warnings, and what happens to Deployments and Jobs; of pods that start at once no status before they run. For many
    /// clusters in a process.
    #[default]
    Notable,
}

// A real cluster forgets events after an hour; we keep the newest of each cluster.
const KEPT_MOST: usize = 200;

pub struct Recorder {
    level: EventLevel,
    /// Name and how often said, by what is said.
    said: BTreeMap<u64, (String, u32)>,
    order: VecDeque<(u64, String, String)>,
}

/// What to write for an event.
pub enum Writing {
    Create { namespace: String, object: Value },
    Again { namespace: String, name: String, patch: Value },
}

/// What is said of which object.
pub struct Said<'a> {
    pub kind: Kind,
    pub namespace: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    pub warning: bool,
    pub reason: &'a str,
    pub message: &'a str,
}

impl Recorder {
    pub fn new(level: EventLevel) -> Self {
        Self { level, said: BTreeMap::new(), order: VecDeque::new() }
    }

    /// Returns what to write, if anything, and the namespace and name of an event to forget.
    pub fn record(&mut self, said: &Said, now: Timestamp) -> (Option<Writing>, Option<(String, String)>) {
        let is_notable = said.warning || matches!(said.kind, Kind::Deployment | Kind::Job | Kind::CronJob);
        if self.level == EventLevel::Notable && !is_notable {
            return (None, None);
        }
        let namespace = if said.namespace.is_empty() { "default" } else { said.namespace };
        let id = fnv(format!("{}/{}/{}", said.uid, said.reason, said.message).as_bytes());
        if let Some((name, count)) = self.said.get_mut(&id) {
            *count += 1;
            let patch = json!({"count": count, "lastTimestamp": api_time(now)});
            return (Some(Writing::Again { namespace: namespace.into(), name: name.clone(), patch }), None);
        }
        let name = format!("{}.{id:016x}", said.name);
        self.said.insert(id, (name.clone(), 1));
        self.order.push_back((id, namespace.to_owned(), name.clone()));
        let forgotten = if self.order.len() > KEPT_MOST { self.order.pop_front() } else { None };
        let forgotten = forgotten.map(|(id, namespace, name)| {
            self.said.remove(&id);
            (namespace, name)
        });
        let component = match said.kind {
            Kind::Pod if said.reason.ends_with("Scheduling") || said.reason == "Scheduled" => "default-scheduler",
            Kind::Pod => "kubelet",
            Kind::Deployment => "deployment-controller",
            Kind::ReplicaSet => "replicaset-controller",
            Kind::StatefulSet => "statefulset-controller",
            Kind::DaemonSet => "daemonset-controller",
            Kind::Job => "job-controller",
            Kind::CronJob => "cronjob-controller",
            _ => "kube-controller-manager",
        };
        let object = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": said.kind.api_version(), "kind": said.kind.name(),
                "namespace": said.namespace, "name": said.name, "uid": said.uid,
            },
            "type": if said.warning { "Warning" } else { "Normal" },
            "reason": said.reason, "message": said.message, "count": 1,
            "firstTimestamp": api_time(now), "lastTimestamp": api_time(now),
            "source": {"component": component}, "reportingComponent": component, "reportingInstance": "",
        });
        (Some(Writing::Create { namespace: namespace.into(), object }), forgotten)
    }
}

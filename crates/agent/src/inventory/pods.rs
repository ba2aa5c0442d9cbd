//! What runs, and what keeps from running, of the pods that workloads make.
//!
//! Pods are not told one by one. Of each only the digests and its trouble are kept; a workload is told with those of
//! its pods, found through what controls them: Pod -> ReplicaSet -> Deployment, Pod -> Job -> CronJob.

use std::collections::{BTreeMap, BTreeSet};

use api::report::PodTrouble;
use kube::api::DynamicObject;
use serde_json::Value;

/// Pods that are remembered; of a cluster with more, workloads are told without the pods beyond.
const PODS_MAX: usize = 10_000;
/// Of what a container or the scheduler says.
const MESSAGE_CHARS_MAX: usize = 300;
/// Reasons for waiting that do not go away by waiting.
const TROUBLES: [&str; 10] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
];

/// Keys are those of [`api::report::workload_key`].
#[derive(Default)]
pub struct Pods {
    pods: BTreeMap<String, Pod>,
    /// By what controls them directly.
    by_owner: BTreeMap<String, BTreeSet<String>>,
    /// What controls a ReplicaSet or a Job.
    parents: BTreeMap<String, String>,
    children: BTreeMap<String, BTreeSet<String>>,
}

struct Pod {
    owner: String,
    digests: Vec<(String, String)>,
    trouble: Option<PodTrouble>,
}

impl Pods {
    /// Takes note of a pod; returns the workload that it is a part of.
    pub fn set(&mut self, key: &str, owner: String, object: &DynamicObject) -> Option<String> {
        if self.pods.len() >= PODS_MAX && !self.pods.contains_key(key) {
            tracing::warn!(pods_max = PODS_MAX, "too many pods: workloads are told without this one");
            return None;
        }
        let root = self.root(&owner);
        self.by_owner.entry(owner.clone()).or_default().insert(key.to_owned());
        let pod = Pod { owner, digests: digests(&object.data), trouble: trouble(&object.data) };
        self.pods.insert(key.to_owned(), pod);
        Some(root)
    }

    /// Forgets a pod; returns the workload that it was a part of.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let pod = self.pods.remove(key)?;
        let root = self.root(&pod.owner);
        if let Some(keys) = self.by_owner.get_mut(&pod.owner) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_owner.remove(&pod.owner);
            }
        }
        Some(root)
    }

    /// Takes note of what controls a ReplicaSet or a Job.
    pub fn set_parent(&mut self, child: &str, parent: String) {
        self.children.entry(parent.clone()).or_default().insert(child.to_owned());
        self.parents.insert(child.to_owned(), parent);
    }

    pub fn remove_parent(&mut self, child: &str) {
        let Some(parent) = self.parents.remove(child) else { return };
        if let Some(children) = self.children.get_mut(&parent) {
            children.remove(child);
            if children.is_empty() {
                self.children.remove(&parent);
            }
        }
    }

    /// Returns the keys of pods, and of what controls them, that are known.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.pods.keys().chain(self.parents.keys())
    }

    fn root(&self, owner: &str) -> String {
        self.parents.get(owner).map_or(owner, String::as_str).to_owned()
    }

    /// Returns what runs of a workload and what keeps from running.
    pub fn of(&self, workload: &str) -> (BTreeMap<String, String>, Option<PodTrouble>) {
        let owners = self.children.get(workload).into_iter().flatten().map(String::as_str).chain([workload]);
        let pods = owners.filter_map(|owner| self.by_owner.get(owner)).flatten().filter_map(|key| self.pods.get(key));
        let mut digests = BTreeMap::new();
        let mut trouble: Option<PodTrouble> = None;
        for pod in pods {
            digests.extend(pod.digests.iter().cloned());
            match (&mut trouble, &pod.trouble) {
                (Some(known), Some(found)) if known.reason == found.reason && known.image == found.image => known.pods += 1,
                (None, Some(found)) => trouble = Some(found.clone()),
                _ => {}
            }
        }
        (digests, trouble)
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    list(pod, "/status/initContainerStatuses").chain(list(pod, "/status/containerStatuses"))
}

/// The image as the pod asks for it: a node may call it otherwise.
fn image<'a>(pod: &'a Value, status: &'a Value) -> &'a str {
    let mut containers = list(pod, "/spec/initContainers").chain(list(pod, "/spec/containers"));
    let asked = containers.find(|c| c["name"] == status["name"]).and_then(|c| c["image"].as_str());
    asked.or(status["image"].as_str()).unwrap_or_default()
}

fn digests(pod: &Value) -> Vec<(String, String)> {
    let digest = |status: &Value| {
        let id = status["imageID"].as_str()?;
        let digest = id.rsplit(['@', '/']).next().filter(|d| d.starts_with("sha256:"))?;
        Some((image(pod, status).to_owned(), digest.to_owned()))
    };
    statuses(pod).filter_map(digest).collect()
}

fn trouble(pod: &Value) -> Option<PodTrouble> {
    let told = |reason: &str, message: &Value, image: &str| PodTrouble {
        // One and the same: the kubelet alternates between trying and waiting.
        reason: if reason == "ErrImagePull" { "ImagePullBackOff" } else { reason }.to_owned(),
        message: message.as_str().unwrap_or_default().chars().take(MESSAGE_CHARS_MAX).collect(),
        image: image.to_owned(),
        pods: 1,
    };
    let waiting = statuses(pod).find_map(|status| {
        let waiting = status.pointer("/state/waiting")?;
        let reason = waiting["reason"].as_str().filter(|reason| TROUBLES.contains(reason))?;
        Some(told(reason, &waiting["message"], image(pod, status)))
    });
    waiting.or_else(|| {
        let is_unschedulable = |c: &&Value| c["type"] == "PodScheduled" && c["status"] == "False" && c["reason"] == "Unschedulable";
        list(pod, "/status/conditions").find(is_unschedulable).map(|c| told("Unschedulable", &c["message"], ""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(yaml: &str) -> DynamicObject {
        serde_saphyr::from_str(yaml).unwrap()
    }

    const BAD: &str = "
metadata: {name: b}
spec: {containers: [{name: c, image: 'shop/web:2'}]}
status: {containerStatuses: [{name: c, image: 'docker.io/shop/web:2', imageID: '', state: {waiting: {reason: ErrImagePull, message: not found}}}]}
";
    const GOOD: &str = "
metadata: {name: a}
spec: {containers: [{name: c, image: 'shop/web:1'}]}
status: {containerStatuses: [{name: c, image: 'docker.io/shop/web:1', imageID: 'docker.io/shop/web@sha256:11', state: {running: {}}}]}
";

    #[test]
    fn a_workload_is_told_with_what_its_pods_run_and_what_keeps_them() {
        let mut pods = Pods::default();
        assert_eq!(pods.set("Pod/n/a", "ReplicaSet/n/r1".into(), &pod(GOOD)).as_deref(), Some("ReplicaSet/n/r1"));
        pods.set_parent("ReplicaSet/n/r1", "Deployment/n/d".into());
        pods.set_parent("ReplicaSet/n/r2", "Deployment/n/d".into());
        assert_eq!(pods.set("Pod/n/b", "ReplicaSet/n/r2".into(), &pod(BAD)).as_deref(), Some("Deployment/n/d"));
        pods.set("Pod/n/c", "ReplicaSet/n/r2".into(), &pod(BAD));
        let (digests, trouble) = pods.of("Deployment/n/d");
        assert_eq!(digests, BTreeMap::from([("shop/web:1".to_owned(), "sha256:11".to_owned())]));
        let trouble = trouble.unwrap();
        let expect = ("ImagePullBackOff", "not found", "shop/web:2", 2);
        assert_eq!((trouble.reason.as_str(), trouble.message.as_str(), trouble.image.as_str(), trouble.pods), expect);
        assert_eq!(pods.remove("Pod/n/b").as_deref(), Some("Deployment/n/d"));
        pods.remove("Pod/n/c");
        pods.remove_parent("ReplicaSet/n/r2");
        assert_eq!(pods.of("Deployment/n/d").1, None);
    }

    #[test]
    fn a_pod_that_no_node_takes_is_in_trouble() {
        let waits = pod(
            "{metadata: {name: p}, status: {conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: 0/1 nodes}]}}",
        );
        assert_eq!(trouble(&waits.data).unwrap().reason, "Unschedulable");
        let starts = pod("{metadata: {name: p}, status: {containerStatuses: [{name: c, state: {waiting: {reason: ContainerCreating}}}]}}");
        assert_eq!(trouble(&starts.data), None);
    }
}

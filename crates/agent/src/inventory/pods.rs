//! What runs, and what keeps from running, of the pods that workloads make.
//!
//! Pods are not told one by one. Of each only the digests and its trouble are kept; a workload is told with those of
//! its pods, found through what controls them: Pod -> ReplicaSet -> Deployment, Pod -> Job -> CronJob.

use std::collections::{BTreeMap, BTreeSet};

use api::report::PodTrouble;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Pods that are remembered; of a cluster with more, workloads are told without the pods beyond.
const PODS_MAX: usize = 10_000;
/// ReplicaSets and Jobs that are remembered for their pods' sake; pods of those beyond count for them, not for what
/// controls them.
const PARENTS_MAX: usize = 20_000;
/// A container that ended badly so often and runs again is in a crash loop until it is ready and has run so long: the
/// trouble is the same while it waits and while it tries.
const RESTARTS_MIN: i64 = 2;
const STEADY_AFTER: SignedDuration = SignedDuration::from_secs(60);
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
    /// Pods whose trouble is over at a time, if nothing happens before.
    recovering: BTreeMap<String, Timestamp>,
}

struct Pod {
    owner: String,
    digests: Vec<(String, String)>,
    trouble: Option<PodTrouble>,
}

impl Pods {
    /// Takes note of a pod; returns the workload that it is a part of.
    pub fn set(&mut self, key: &str, owner: String, object: &Value, now: Timestamp) -> Option<String> {
        if self.pods.len() >= PODS_MAX && !self.pods.contains_key(key) {
            tracing::warn!(pods_max = PODS_MAX, "too many pods: workloads are told without this one");
            return None;
        }
        let root = self.root(&owner);
        self.by_owner.entry(owner.clone()).or_default().insert(key.to_owned());
        let (trouble, until) = trouble(object, now).map_or((None, None), |(trouble, until)| (Some(trouble), until));
        match until {
            Some(until) => drop(self.recovering.insert(key.to_owned(), until)),
            None => drop(self.recovering.remove(key)),
        }
        let pod = Pod { owner, digests: digests(object), trouble };
        self.pods.insert(key.to_owned(), pod);
        Some(root)
    }

    /// Forgets a pod; returns the workload that it was a part of.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.recovering.remove(key);
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

    /// Returns when the next pod has recovered.
    pub fn next_recovery(&self) -> Option<Timestamp> {
        self.recovering.values().min().copied()
    }

    /// Takes the trouble from pods that have recovered by now; returns the workloads that they are parts of.
    pub fn recover(&mut self, now: Timestamp) -> BTreeSet<String> {
        let recovered: Vec<String> = self.recovering.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        let mut roots = BTreeSet::new();
        for key in recovered {
            self.recovering.remove(&key);
            let Some(pod) = self.pods.get_mut(&key) else { continue };
            pod.trouble = None;
            let owner = pod.owner.clone();
            roots.insert(self.root(&owner));
        }
        roots
    }

    /// Takes note of what controls a ReplicaSet or a Job.
    pub fn set_parent(&mut self, child: &str, parent: String) {
        // It keeps its controller for life, but one of the same name may come after it.
        if self.parents.get(child).is_some_and(|known| *known != parent) {
            self.remove_parent(child);
        }
        if self.parents.len() >= PARENTS_MAX && !self.parents.contains_key(child) {
            tracing::warn!(
                child,
                parents_max = PARENTS_MAX,
                "too many ReplicaSets and Jobs: what controls this one is told without its pods"
            );
            return;
        }
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

/// Returns what keeps a pod from running, and, if it is over by itself, when.
fn trouble(pod: &Value, now: Timestamp) -> Option<(PodTrouble, Option<Timestamp>)> {
    let told = |reason: &str, message: &str, image: &str| PodTrouble {
        // One and the same: the kubelet alternates between trying and waiting.
        reason: if reason == "ErrImagePull" { "ImagePullBackOff" } else { reason }.to_owned(),
        message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
        image: image.to_owned(),
        pods: 1,
    };
    let waiting = statuses(pod).find_map(|status| {
        let waiting = status.pointer("/state/waiting")?;
        let reason = waiting["reason"].as_str().filter(|reason| TROUBLES.contains(reason))?;
        Some((told(reason, waiting["message"].as_str().unwrap_or_default(), image(pod, status)), None))
    });
    let crashing = || {
        statuses(pod).find_map(|status| {
            let until = crashing(status).filter(|until| until.is_none_or(|until| until > now))?;
            let last = last_end(status);
            let text = format!(
                "ended with exit code {} ({}), started again {} times",
                last["exitCode"],
                text(&last["reason"]),
                status["restartCount"]
            );
            Some((told("CrashLoopBackOff", &text, image(pod, status)), until))
        })
    };
    waiting.or_else(crashing).or_else(|| {
        let is_unschedulable = |c: &&Value| c["type"] == "PodScheduled" && c["status"] == "False" && c["reason"] == "Unschedulable";
        let found = list(pod, "/status/conditions").find(is_unschedulable)?;
        Some((told("Unschedulable", text(&found["message"]), ""), None))
    })
}

/// Returns whether a container that does not wait is in a crash loop all the same, and until when if it goes on well.
fn crashing(status: &Value) -> Option<Option<Timestamp>> {
    let has_failed = last_end(status)["exitCode"].as_i64().is_some_and(|code| code != 0);
    if status["restartCount"].as_i64().unwrap_or(0) < RESTARTS_MIN || !has_failed {
        return None;
    }
    let ended_well = status.pointer("/state/terminated/exitCode").is_some_and(|code| *code == 0);
    if ended_well {
        return None;
    }
    let started_at = || status.pointer("/state/running/startedAt")?.as_str()?.parse::<Timestamp>().ok();
    match started_at().filter(|_| status["ready"] == true) {
        Some(started_at) => Some(Some(started_at.checked_add(STEADY_AFTER).unwrap_or(started_at))),
        None => Some(None),
    }
}

/// How a container ended last.
fn last_end(status: &Value) -> &Value {
    let ends = ["/state/terminated", "/lastState/terminated"].into_iter().find_map(|pointer| status.pointer(pointer));
    ends.unwrap_or(&Value::Null)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn pod(yaml: &str) -> Value {
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
        assert_eq!(pods.set("Pod/n/a", "ReplicaSet/n/r1".into(), &pod(GOOD), NOW).as_deref(), Some("ReplicaSet/n/r1"));
        pods.set_parent("ReplicaSet/n/r1", "Deployment/n/d".into());
        pods.set_parent("ReplicaSet/n/r2", "Deployment/n/d".into());
        assert_eq!(pods.set("Pod/n/b", "ReplicaSet/n/r2".into(), &pod(BAD), NOW).as_deref(), Some("Deployment/n/d"));
        pods.set("Pod/n/c", "ReplicaSet/n/r2".into(), &pod(BAD), NOW);
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
        assert_eq!(trouble(&waits, NOW).unwrap().0.reason, "Unschedulable");
        let starts = pod("{metadata: {name: p}, status: {containerStatuses: [{name: c, state: {waiting: {reason: ContainerCreating}}}]}}");
        assert_eq!(trouble(&starts, NOW), None);
    }

    #[test]
    fn a_crash_loop_is_one_trouble_while_it_waits_and_while_it_tries() {
        let mut pods = Pods::default();
        let mut check = |seconds: i64, status: &str, expect: Option<&str>, next: Option<i64>| {
            let object = pod(&format!("{{metadata: {{name: a}}, status: {{containerStatuses: [{{name: c, {status}}}]}}}}"));
            pods.set("Pod/n/a", "Pod/n/a".into(), &object, Timestamp::from_second(seconds).unwrap());
            let found = pods.of("Pod/n/a").1;
            assert_eq!(found.map(|trouble| trouble.reason).as_deref(), expect, "{status}");
            assert_eq!(pods.next_recovery(), next.map(|at| Timestamp::from_second(at).unwrap()), "{status}");
        };
        const LAST: &str = "lastState: {terminated: {exitCode: 1, reason: Error}}";
        const SINCE_100: &str = "state: {running: {startedAt: '1970-01-01T00:01:40Z'}}";
        let loops = Some("CrashLoopBackOff");
        check(10, &format!("restartCount: 1, {SINCE_100}, {LAST}"), None, None);
        check(90, &format!("restartCount: 2, state: {{waiting: {{reason: CrashLoopBackOff}}}}, {LAST}"), loops, None);
        check(100, &format!("restartCount: 3, {SINCE_100}, {LAST}"), loops, None);
        check(101, "restartCount: 3, state: {terminated: {exitCode: 1}}", loops, None);
        check(101, &format!("restartCount: 3, state: {{terminated: {{exitCode: 0}}}}, {LAST}"), None, None);
        check(102, &format!("restartCount: 3, ready: true, {SINCE_100}, {LAST}"), loops, Some(160));
        check(160, &format!("restartCount: 3, ready: true, {SINCE_100}, {LAST}"), None, None);
        check(102, &format!("restartCount: 3, ready: true, {SINCE_100}, {LAST}"), loops, Some(160));
        assert_eq!(pods.recover(Timestamp::from_second(159).unwrap()), BTreeSet::new());
        assert_eq!(pods.recover(Timestamp::from_second(160).unwrap()), BTreeSet::from(["Pod/n/a".to_owned()]));
        assert_eq!((pods.of("Pod/n/a").1, pods.next_recovery()), (None, None));
    }

    #[test]
    fn what_is_remembered_of_replica_sets_has_an_end() {
        let mut pods = Pods::default();
        for number in 0..PARENTS_MAX + 10 {
            pods.set_parent(&format!("ReplicaSet/n/{number}"), "Deployment/n/d".into());
        }
        assert_eq!((pods.parents.len(), pods.children["Deployment/n/d"].len()), (PARENTS_MAX, PARENTS_MAX));
        pods.set_parent("ReplicaSet/n/0", "Deployment/n/e".into());
        assert_eq!((pods.children["Deployment/n/d"].len(), pods.children["Deployment/n/e"].len()), (PARENTS_MAX - 1, 1));
    }
}

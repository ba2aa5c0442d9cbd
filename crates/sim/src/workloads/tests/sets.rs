use serde_json::{Value, json};

use super::super::{daemonset, replicaset, statefulset, template_hash};
use super::{at, from, show, status};
use crate::model::{DaemonSet, Node, Pod, ReplicaSet, StatefulSet};

fn pod(name: &str, labels: Value, ready: bool) -> Pod {
    let conditions = if ready { json!([{"type": "Ready", "status": "True", "lastTransitionTime": at(0).to_string()}]) } else { json!([]) };
    from(json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": labels, "creationTimestamp": at(0).to_string()},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running", "conditions": conditions},
    }))
}

#[test]
fn a_replica_set_makes_what_is_missing_and_deletes_what_serves_least() {
    let set: ReplicaSet = from(json!({
        "metadata": {"name": "web-x", "namespace": "shop", "uid": "r", "generation": 1},
        "spec": {"replicas": 2, "minReadySeconds": 10, "template": {"metadata": {"labels": {"app": "a"}}}},
    }));
    let check = |pods: &[Pod]| replicaset::reconcile(&replicaset::Observed { set: &set, pods: pods.iter().collect() }, at(5));
    let plan = check(&[]);
    assert_eq!(show(&plan).len(), 2);
    assert_ne!(show(&plan)[0], show(&plan)[1]);
    let pods = [pod("a", json!({"app": "a"}), true), pod("b", json!({"app": "a"}), false), pod("c", json!({}), true)];
    let plan = check(&pods);
    assert_eq!(show(&plan), ["delete Pod b"]);
    assert_eq!((&status(&plan)["readyReplicas"], &status(&plan)["fullyLabeledReplicas"]), (&json!(2), &json!(2)));
    // Ready is not available yet: looked at again when it is.
    assert_eq!((&status(&plan)["availableReplicas"], plan.again_at), (&Value::Null, Some(at(10))));
}

fn stateful(spec: Value) -> StatefulSet {
    let mut full = json!({"replicas": 3, "template": {"metadata": {"labels": {"app": "db"}}, "spec": {}}});
    for (key, value) in spec.as_object().expect("a spec") {
        full[key] = value.clone();
    }
    from(json!({"metadata": {"name": "db", "namespace": "shop", "uid": "s", "generation": 1}, "spec": full}))
}

fn hash_of(set: &StatefulSet) -> String {
    format!("db-{}", template_hash(set.spec.template.text()))
}

fn settle(set: &StatefulSet, pods: &[Pod]) -> Vec<String> {
    let seen = statefulset::Observed { set, pods: pods.iter().collect(), revisions: vec![], claims: vec![] };
    show(&statefulset::reconcile(&seen, at(60))).into_iter().filter(|line| !line.contains("ControllerRevision")).collect()
}

#[test]
fn a_stateful_set_grows_one_ready_pod_after_the_other() {
    let set = stateful(json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}));
    let new = json!({"controller-revision-hash": hash_of(&set)});
    assert_eq!(settle(&set, &[]), ["create PersistentVolumeClaim data-db-0", "create Pod db-0"]);
    assert!(settle(&set, &[pod("db-0", new.clone(), false)]).is_empty());
    assert_eq!(settle(&set, &[pod("db-0", new, true)])[1], "create Pod db-1");
    let parallel = stateful(json!({"podManagementPolicy": "Parallel"}));
    assert_eq!(settle(&parallel, &[]).len(), 3);
}

#[test]
fn a_stateful_set_updates_from_the_last_pod_down_to_the_partition() {
    let old = json!({"controller-revision-hash": "db-old"});
    let all = |labels: [&Value; 3]| [0, 1, 2].map(|i| pod(&format!("db-{i}"), labels[i].clone(), true));
    let set = stateful(json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}));
    let new = json!({"controller-revision-hash": hash_of(&set)});
    assert_eq!(settle(&set, &all([&old, &old, &old])), ["delete Pod db-2"]);
    assert_eq!(settle(&set, &all([&old, &old, &new])), ["delete Pod db-1"]);
    assert!(settle(&set, &all([&old, &new, &new])).is_empty());
    let on_delete = stateful(json!({"updateStrategy": {"type": "OnDelete"}}));
    assert!(settle(&on_delete, &all([&old, &old, &old])).is_empty());
    let smaller = stateful(json!({"replicas": 1}));
    let new = json!({"controller-revision-hash": hash_of(&smaller)});
    assert_eq!(settle(&smaller, &all([&new, &new, &new])), ["delete Pod db-2"]);
}

#[test]
fn a_daemon_set_has_one_pod_on_each_node_and_replaces_one_at_a_time() {
    let nodes: Vec<Node> = ["n1", "n2"].map(|n| from(json!({"metadata": {"name": n, "labels": {"disk": "ssd"}}}))).into();
    let set: DaemonSet = from(json!({
        "metadata": {"name": "agent", "namespace": "shop", "uid": "d", "generation": 1},
        "spec": {"template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"nodeSelector": {"disk": "ssd"}}},
                 "updateStrategy": {"type": "RollingUpdate"}},
    }));
    let settle = |pods: &[Pod]| {
        let seen = daemonset::Observed { set: &set, pods: pods.iter().collect(), revisions: vec![], nodes: nodes.iter().collect() };
        let plan = daemonset::reconcile(&seen, at(60));
        (show(&plan).into_iter().filter(|line| !line.contains("ControllerRevision")).collect::<Vec<_>>(), status(&plan))
    };
    assert_eq!(settle(&[]).0.len(), 2);
    let on = |name: &str, node: &str, hash: &str| {
        let mut pod = pod(name, json!({"controller-revision-hash": hash}), true);
        pod.spec.node_name = node.into();
        pod
    };
    let (actions, status) = settle(&[on("a", "n1", "old"), on("b", "n2", "old")]);
    assert_eq!(actions, ["delete Pod a"]);
    assert_eq!((&status["numberAvailable"], &status["updatedNumberScheduled"]), (&json!(2), &Value::Null));
    // While one node has none, no other pod is taken away; a pod on a node that is gone is.
    let (actions, _) = settle(&[on("b", "n2", "old"), on("c", "n9", "old")]);
    assert_eq!(actions.len(), 2);
    assert!(actions[0] == "delete Pod c" && actions[1].starts_with("create Pod agent-"), "{actions:?}");
}

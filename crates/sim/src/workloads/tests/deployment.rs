use serde_json::{Value, json};

use super::super::deployment::{Observed, reconcile};
use super::super::template_hash;
use super::{at, from, show, status};
use crate::model::{Deployment, ReplicaSet};

const TEMPLATE: &str = r#"{"metadata":{"labels":{"app":"a"}},"spec":{}}"#;

fn deployment(spec: Value, status: Value) -> Deployment {
    let mut full = json!({"selector": {"matchLabels": {"app": "a"}}, "template": serde_json::from_str::<Value>(TEMPLATE).expect("JSON")});
    for (key, value) in spec.as_object().expect("a spec") {
        full[key] = value.clone();
    }
    from(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "d", "generation": 2, "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": full, "status": status,
    }))
}

/// An old or the current ReplicaSet: size, pods, available.
fn set(hash: &str, revision: i64, replicas: i64, pods: i64, available: i64, desired: i64) -> ReplicaSet {
    from(json!({
        "metadata": {
            "name": format!("web-{hash}"), "namespace": "shop", "uid": hash, "labels": {"pod-template-hash": hash},
            "creationTimestamp": at(revision).to_string(),
            "annotations": {"deployment.kubernetes.io/revision": revision.to_string(), "deployment.kubernetes.io/desired-replicas": desired.to_string()},
        },
        "spec": {"replicas": replicas},
        "status": {"replicas": pods, "readyReplicas": available, "availableReplicas": available},
    }))
}

/// Returns the sizes that a plan sets, as `hash: size`.
fn sizes(deployment: &Deployment, sets: &[ReplicaSet]) -> Vec<String> {
    let plan = reconcile(&Observed { deployment, replica_sets: sets.iter().collect() }, at(100));
    let patched = plan.actions.iter().filter_map(|action| match action {
        super::Action::Patch { name, patch, .. } => {
            patch["spec"]["replicas"].as_i64().map(|n| format!("{}: {n}", name.trim_start_matches("web-")))
        }
        super::Action::Create { object, .. } => Some(format!("new: {}", object["spec"]["replicas"])),
        _ => None,
    });
    patched.collect()
}

fn current_hash() -> String {
    template_hash(TEMPLATE)
}

#[test]
fn a_new_deployment_gets_a_replica_set_and_says_so() {
    let deployment = deployment(json!({"replicas": 2}), json!({}));
    let plan = reconcile(&Observed { deployment: &deployment, replica_sets: vec![] }, at(0));
    let hash = current_hash();
    assert!(show(&plan)[0].starts_with(&format!("create ReplicaSet web-{hash}")), "{:?}", show(&plan));
    let status = status(&plan);
    assert_eq!(status["observedGeneration"], 2);
    assert_eq!(status["conditions"][0]["reason"], "MinimumReplicasUnavailable");
    assert_eq!(status["conditions"][1]["reason"], "NewReplicaSetCreated");
}

#[test]
fn rolling_keeps_between_max_unavailable_and_max_surge() {
    let (hash, four) = (
        current_hash(),
        json!({"replicas": 4, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}),
    );
    let check = |old: [i64; 3], new: Option<[i64; 3]>| {
        let mut sets = vec![set("old", 1, old[0], old[1], old[2], 4)];
        sets.extend(new.map(|n| set(&hash, 2, n[0], n[1], n[2], 4)));
        sizes(&deployment(four.clone(), json!({})), &sets).join(", ").replace(&hash, "new")
    };
    assert_eq!(check([4, 4, 4], None), "new: 1");
    // One may be missing: as soon as the new set exists the old shrinks.
    assert_eq!(check([4, 4, 4], Some([1, 1, 0])), "old: 3");
    assert_eq!(check([3, 3, 3], Some([1, 1, 0])), "new: 2");
    // Nothing to gain while the new pods are not available.
    assert_eq!(check([3, 3, 3], Some([2, 2, 0])), "");
    assert_eq!(check([3, 3, 3], Some([2, 2, 2])), "old: 1");
    assert_eq!(check([1, 1, 1], Some([2, 2, 2])), "new: 4");
    // Old pods that do not serve go first, without waiting.
    assert_eq!(check([4, 4, 1], Some([1, 1, 1])), "old: 2");
    assert_eq!(check([1, 1, 1], Some([4, 4, 4])), "old: 0");
    assert_eq!(check([0, 0, 0], Some([4, 4, 4])), "");
}

#[test]
fn recreate_waits_until_no_old_pod_is_left() {
    let two = deployment(json!({"replicas": 2, "strategy": {"type": "Recreate"}}), json!({}));
    assert_eq!(sizes(&two, &[set("old", 1, 2, 2, 2, 2)]), ["old: 0"]);
    assert!(sizes(&two, &[set("old", 1, 0, 1, 0, 2)]).is_empty());
    assert_eq!(sizes(&two, &[set("old", 1, 0, 0, 0, 2)]), ["new: 2"]);
}

#[test]
fn a_resize_in_the_middle_of_a_rollout_is_spread() {
    let hash = current_hash();
    let ten = deployment(json!({"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}}), json!({}));
    let sets = [set("old", 1, 4, 4, 4, 5), set(&hash, 2, 2, 2, 1, 5)];
    assert_eq!(sizes(&ten, &sets), ["old: 8", &format!("{hash}: 4")]);
}

#[test]
fn a_paused_deployment_is_only_resized() {
    let hash = current_hash();
    let paused = deployment(json!({"replicas": 3, "paused": true}), json!({}));
    assert_eq!(sizes(&paused, &[set("old", 1, 2, 2, 2, 2)]), ["old: 3"]);
    let plan = reconcile(&Observed { deployment: &paused, replica_sets: vec![&set(&hash, 2, 3, 3, 3, 3)] }, at(0));
    assert_eq!(status(&plan)["conditions"][1]["reason"], "DeploymentPaused");
}

fn progressing(status_before: Value, available: i64, now: i64) -> (String, Option<i64>) {
    let deployment = deployment(json!({"replicas": 2, "progressDeadlineSeconds": 60}), status_before);
    let current = set(&current_hash(), 2, 2, 2, available, 2);
    let plan = reconcile(&Observed { deployment: &deployment, replica_sets: vec![&current] }, at(now));
    let status = if status(&plan).is_null() { deployment.status.value() } else { status(&plan) };
    let again = plan.again_at.map(|t| t.duration_since(at(0)).as_secs());
    (status["conditions"][1]["reason"].as_str().unwrap_or_default().to_owned(), again)
}

#[test]
fn a_rollout_that_does_not_move_fails_at_its_deadline() {
    let (reason, _) = progressing(json!({}), 0, 0);
    assert_eq!(reason, "ReplicaSetUpdated");
    let stuck = json!({
        "replicas": 2, "updatedReplicas": 2,
        "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "lastUpdateTime": at(0).to_string()}],
    });
    assert_eq!(progressing(stuck.clone(), 0, 30).1, Some(61));
    assert_eq!(progressing(stuck.clone(), 0, 61).0, "ProgressDeadlineExceeded");
    assert_eq!(progressing(stuck.clone(), 1, 61).0, "ReplicaSetUpdated");
    assert_eq!(progressing(stuck, 2, 61).0, "NewReplicaSetAvailable");
}

#[test]
fn history_beyond_the_limit_goes_when_the_rollout_is_done() {
    let hash = current_hash();
    let deployment = deployment(json!({"replicas": 1, "revisionHistoryLimit": 1}), json!({}));
    let sets = [set("a", 1, 0, 0, 0, 1), set("b", 2, 0, 0, 0, 1), set(&hash, 3, 1, 1, 1, 1)];
    let plan = reconcile(&Observed { deployment: &deployment, replica_sets: sets.iter().collect() }, at(0));
    let deleted: Vec<String> = show(&plan).into_iter().filter(|line| line.starts_with("delete")).collect();
    assert_eq!(deleted, ["delete ReplicaSet web-a"]);
}

#[test]
fn rolling_back_makes_the_old_set_the_newest_revision() {
    let hash = current_hash();
    let deployment = deployment(json!({"replicas": 1}), json!({}));
    let sets = [set(&hash, 1, 0, 0, 0, 1), set("newer", 2, 1, 1, 1, 1)];
    let plan = reconcile(&Observed { deployment: &deployment, replica_sets: sets.iter().collect() }, at(0));
    assert!(show(&plan)[0].contains(r#""deployment.kubernetes.io/revision":"3""#), "{:?}", show(&plan));
    assert!(show(&plan)[1].starts_with("patch Deployment web"));
}

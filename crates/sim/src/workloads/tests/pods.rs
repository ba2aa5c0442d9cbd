use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{condition, kubelet, scheduler};
use super::{at, from, reasons, show, status};
use crate::faults::Table;
use crate::model::{Node, Pod};

fn pod(spec: Value, annotations: Value) -> Pod {
    let mut full = json!({"nodeName": "n1", "restartPolicy": "Always", "containers": [{"name": "main", "image": "shop/web:1"}]});
    for (key, value) in spec.as_object().expect("a spec") {
        full[key] = value.clone();
    }
    from(json!({"metadata": {"name": "p", "namespace": "shop", "uid": "u", "annotations": annotations}, "spec": full}))
}

/// Runs a pod through its life: (second, phase, ready, state of the first container, restarts) at each change.
fn live(pod: Pod, until: i64) -> Vec<String> {
    live_told(pod, until, false)
}

fn live_told(mut pod: Pod, until: i64, is_terse: bool) -> Vec<String> {
    // Who binds a pod remembers when.
    let (mut now, mut since, mut seen) = (at(0), is_terse.then(|| at(0)), Vec::<String>::new());
    while now <= at(until) {
        let faults = Table::default();
        let observed = kubelet::Observed {
            pod: &pod,
            faults: &faults,
            since,
            node_ip: "192.0.2.1".into(),
            free_ip: Ipv4Addr::new(10, 42, 0, 10),
            seed: 1,
            is_terse,
        };
        let plan = kubelet::reconcile(&observed, now);
        let written = status(&plan);
        if !written.is_null() {
            pod.status = crate::model::PodStatus::of(&written);
            since = Some(now);
            let list = if written["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing" {
                "initContainerStatuses"
            } else {
                "containerStatuses"
            };
            let first = &written[list][0];
            let state = first["state"]
                .as_object()
                .and_then(|s| s.iter().next())
                .map(|(k, v)| format!("{k} {}", v["reason"].as_str().unwrap_or_default()));
            let second = now.duration_since(at(0)).as_secs_f64().ceil();
            let phase = written["phase"].as_str().unwrap_or_default();
            let ready = condition(&written, "Ready")["status"].as_str().unwrap_or_default().to_owned();
            seen.push(format!("{second}s {phase} ready={ready} {} restarts={}", state.unwrap_or_default().trim(), first["restartCount"]));
            continue;
        }
        match plan.again_at {
            Some(next) if next > now => now = next,
            _ => break,
        }
    }
    seen
}

#[test]
fn a_pod_runs_and_is_ready_after_its_probe_delay() {
    assert_eq!(
        live(pod(json!({}), json!({})), 60),
        ["0s Pending ready=False waiting ContainerCreating restarts=0", "1s Running ready=True running restarts=0"]
    );
    let probed = json!({"containers": [{"name": "main", "image": "x", "readinessProbe": {"initialDelaySeconds": 5}}]});
    assert_eq!(
        live(pod(probed, json!({})), 60)[1..],
        ["1s Running ready=False running restarts=0", "6s Running ready=True running restarts=0"]
    );
}

#[test]
fn of_many_clusters_only_a_slow_start_is_told_before_it_is_over() {
    let quick = pod(json!({}), json!({}));
    assert_eq!(live_told(quick, 60, true), ["1s Running ready=True running restarts=0"]);
    let slow = pod(json!({}), json!({"sim.muster.dev/start-after": "5s"}));
    assert_eq!(
        live_told(slow, 60, true),
        ["0s Pending ready=False waiting ContainerCreating restarts=0", "5s Running ready=True running restarts=0"]
    );
}

#[test]
fn an_image_that_is_not_there_is_said_and_backed_off() {
    let bad = pod(json!({"containers": [{"name": "main", "image": "shop/web:2-bad"}]}), json!({}));
    assert_eq!(
        live(bad, 600)[1..],
        ["1s Pending ready=False waiting ErrImagePull restarts=0", "11s Pending ready=False waiting ImagePullBackOff restarts=0"]
    );
}

#[test]
fn a_crashing_container_restarts_with_growing_back_off() {
    let crashing = pod(json!({}), json!({"sim.muster.dev/fault": "crash-loop", "sim.muster.dev/exit-code": "3"}));
    let seen = live(crashing, 50);
    assert_eq!(
        seen[1..6],
        [
            "1s Running ready=False running restarts=0",
            "2s Running ready=False running restarts=1",
            "3s Running ready=False waiting CrashLoopBackOff restarts=1",
            "12s Running ready=False running restarts=2",
            "13s Running ready=False waiting CrashLoopBackOff restarts=2",
        ],
        "{seen:#?}"
    );
    assert!(seen.iter().any(|line| line.starts_with("3") && line.ends_with("running restarts=3")), "{seen:#?}");
}

#[test]
fn a_pod_that_is_never_ready_runs() {
    let seen = live(pod(json!({}), json!({"sim.muster.dev/fault": "never-ready"})), 3600);
    assert_eq!(seen[1..], ["1s Running ready=False running restarts=0"]);
}

#[test]
fn a_task_succeeds_or_fails_by_its_exit_code() {
    let never = json!({"restartPolicy": "Never"});
    assert!(live(pod(never.clone(), json!({})), 60).last().expect("steps").contains("Succeeded ready=False terminated Completed"));
    let failing = live(pod(never, json!({"sim.muster.dev/exit-code": "2"})), 60);
    assert!(failing.last().expect("steps").contains("Failed ready=False terminated Error"), "{failing:?}");
}

#[test]
fn init_containers_go_first() {
    let spec = json!({"initContainers": [
        {"name": "migrate", "image": "x"}, {"name": "proxy", "image": "x", "restartPolicy": "Always"},
    ]});
    let seen = live(pod(spec, json!({})), 60);
    assert_eq!(seen[0], "0s Pending ready=False waiting PodInitializing restarts=0");
    assert_eq!(seen.last().expect("steps"), "1s Running ready=True running restarts=0");
    let stuck = json!({"initContainers": [{"name": "migrate", "image": "x:missing"}]});
    assert!(live(pod(stuck, json!({})), 60)[1].contains("Pending ready=False waiting ErrImagePull"));
}

#[test]
fn a_deleted_pod_stops_soon_or_at_its_deadline() {
    let stop = |annotations: Value, now: Timestamp| {
        let mut pod = pod(json!({}), annotations);
        pod.metadata.deletion_timestamp = Some(at(30));
        pod.metadata.deletion_grace_period_seconds = Some(30);
        let faults = Table::default();
        let (node_ip, free_ip) = (String::new(), Ipv4Addr::LOCALHOST);
        kubelet::reconcile(&kubelet::Observed { pod: &pod, faults: &faults, since: None, node_ip, free_ip, seed: 1, is_terse: false }, now)
    };
    assert!(show(&stop(json!({}), at(0))).is_empty());
    assert_eq!(show(&stop(json!({}), at(1))), ["remove Pod p"]);
    let slow = json!({"sim.muster.dev/fault": "slow-stop"});
    assert_eq!(stop(slow.clone(), at(1)).again_at, Some(at(30)));
    assert_eq!(show(&stop(slow, at(30))), ["remove Pod p"]);
}

#[test]
fn scheduling_takes_the_emptiest_node_that_fits_and_says_why_none_does() {
    let node = |name: &str, cpu: &str| -> Node {
        from(
            json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi"}, "conditions": [{"type": "Ready", "status": "True"}]}}),
        )
    };
    let nodes = [node("n1", "4"), node("n2", "500m")];
    let schedule = |spec: Value, claims: Vec<(&str, bool)>| {
        let mut wanted = pod(spec, json!({}));
        wanted.spec.node_name.clear();
        let there = pod(json!({}), json!({}));
        let faults = Table::default();
        let seen = scheduler::Observed { pod: &wanted, nodes: nodes.iter().collect(), pods: vec![&there], claims, faults: &faults };
        let plan = scheduler::reconcile(&seen, at(0));
        let why = condition(&status(&plan), "PodScheduled")["message"].as_str().unwrap_or_default().to_owned();
        (show(&plan), why, reasons(&plan))
    };
    assert_eq!(schedule(json!({}), vec![]).0, ["bind p n2"]);
    let wants = |cpu: &str| json!({"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]});
    assert_eq!(schedule(wants("1"), vec![]).0, ["bind p n1"]);
    let (_, why, said) = schedule(wants("8"), vec![]);
    assert_eq!((why.as_str(), said), ("0/2 nodes are available: 2 Insufficient cpu.", vec!["FailedScheduling"]));
    let with_claim = json!({"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]});
    assert!(schedule(with_claim.clone(), vec![]).1.contains("persistentvolumeclaim \"data\" not found"));
    assert!(schedule(with_claim.clone(), vec![("data", false)]).1.contains("unbound"));
    assert_eq!(schedule(with_claim, vec![("data", true)]).0.len(), 1);
    assert!(schedule(json!({"nodeSelector": {"disk": "ssd"}}), vec![]).1.contains("2 node(s) didn't match Pod's node affinity/selector"));
}

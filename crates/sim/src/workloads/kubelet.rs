//! Kubelet: a scheduled pod's way from Pending to Ready, through failures, to its end.
//!
//! No container runs. What it would do comes from the orders for it ([`crate::faults`]) and from a few
//! defaults: a container starts within half a second, is ready when its probes' delays are over, and runs for
//! ever, or for a second if its pod is meant to end. States, reasons and back-offs are kubelet's.
//! Times in a status are whole seconds; [`Observed::since`] carries the exact time of the last step.

use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Action, Plan, api_time, condition};
use crate::faults::{Fault, Orders, Table};
use crate::kind::Kind;
use crate::model::{Container, Pod};

const BACKOFF_FIRST: SignedDuration = SignedDuration::from_secs(10);
const BACKOFF_MOST: SignedDuration = SignedDuration::from_secs(300);
const PULL_BACKOFF: SignedDuration = SignedDuration::from_secs(10);
const CRASH_AFTER: SignedDuration = SignedDuration::from_secs(1);
const TASK_RUNS_FOR: SignedDuration = SignedDuration::from_secs(1);
const STOPS_AFTER: SignedDuration = SignedDuration::from_millis(300);
/// A start that takes no longer need not be told before it is over.
const QUICK_START: SignedDuration = SignedDuration::from_millis(500);

/// A pod with a node, and what decides its next step.
pub struct Observed<'a> {
    pub pod: &'a Pod,
    pub faults: &'a Table,
    /// When this kubelet took the pod's last step, or got the pod, if it remembers.
    pub since: Option<Timestamp>,
    pub node_ip: String,
    /// Address for the pod if it has none.
    pub free_ip: Ipv4Addr,
    /// Differs between clusters, so that not all of them take equally long.
    pub seed: u64,
    /// Tells nobody that a pod is about to start when it starts at once: for many clusters in a process.
    pub is_terse: bool,
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let pod = seen.pod;
    if pod.spec.node_name.is_empty() {
        return plan;
    }
    // 1. A pod on its way out is stopped, then removed.
    if let Some(deadline) = pod.metadata.deletion_timestamp {
        stop(seen, deadline, now, &mut plan);
        return plan;
    }
    if pod.is_finished() {
        return plan;
    }
    let before = pod.status.json.value();
    let mut boxes = boxes(pod, &before);
    let started_at = time(&before["startTime"]).unwrap_or(now);
    // 2. A pod that is new to the node is acknowledged first: people see what takes time.
    if before["startTime"].is_null() {
        let delay = start_delay(seen, &boxes);
        match seen.since.filter(|_| seen.is_terse && delay <= QUICK_START) {
            Some(since) if now < since + delay => {
                plan.look_again(since + delay);
                return plan;
            }
            Some(_) => {}
            None => {
                plan.look_again(now + delay);
                return publish(seen, &before, &boxes, None, now, plan);
            }
        }
    }
    // 3. A pod past its deadline is killed.
    if let Some(deadline) = pod.spec.active_deadline_seconds {
        let due = started_at + SignedDuration::from_secs(deadline);
        if due <= now {
            kill_all(&mut boxes, now);
            let why = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline");
            return publish(seen, &before, &boxes, Some(why), now, plan);
        }
        plan.look_again(due);
    }
    // 4. Init containers one after the other, then all others at once.
    let is_fresh = boxes.iter().all(|c| matches!(c.state, State::Waiting { .. }) && c.last.is_none());
    let mut is_initialized = true;
    for container in boxes.iter_mut().filter(|c| c.role != Role::Main) {
        if is_initialized {
            advance(seen, container, is_fresh, started_at, now, &mut plan);
        }
        is_initialized &= match container.role {
            Role::Sidecar => container.is_started,
            _ => matches!(container.state, State::Ended(ref end) if end.exit_code == 0),
        };
    }
    if is_initialized {
        for container in boxes.iter_mut().filter(|c| c.role == Role::Main) {
            advance(seen, container, is_fresh, started_at, now, &mut plan);
        }
        // The sidecars of a pod that has done its work end with it.
        if is_task(pod) && boxes.iter().filter(|c| c.role == Role::Main).all(|c| c.is_over(pod)) {
            boxes.iter_mut().filter(|c| c.role == Role::Sidecar).for_each(|c| c.end(0, "Completed", now));
        }
    }
    publish(seen, &before, &boxes, None, now, plan)
}

fn stop(seen: &Observed, deadline: Timestamp, now: Timestamp, plan: &mut Plan) {
    let meta = &seen.pod.metadata;
    let grace = SignedDuration::from_secs(meta.deletion_grace_period_seconds.unwrap_or(30));
    let due = if seen.faults.pod_fault(seen.pod) == Some(Fault::SlowStop) {
        deadline
    } else {
        deadline.min(deadline - grace + STOPS_AFTER + SignedDuration::from_millis(jitter(seen, "stop", 200)))
    };
    if due > now && !seen.pod.is_finished() {
        plan.look_again(due);
        return;
    }
    plan.act(Action::Delete {
        kind: Kind::Pod,
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        grace_period_seconds: Some(0),
    });
}

/// Returns a number of milliseconds below `most` that is the same for this pod each time.
fn jitter(seen: &Observed, what: &str, most: u64) -> i64 {
    let meta = &seen.pod.metadata;
    (super::fnv(format!("{}/{what}/{}/{}", seen.seed, meta.namespace, meta.name).as_bytes()) % most.max(1)) as i64
}

fn start_delay(seen: &Observed, boxes: &[Box]) -> SignedDuration {
    let ordered = boxes.iter().filter_map(|c| c.orders(seen).start_after()).max();
    ordered.unwrap_or(SignedDuration::from_millis(100 + jitter(seen, "start", 400)))
}

// ---- one container ----

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Init,
    Sidecar,
    Main,
}

/// How a run of a container ended.
#[derive(Clone, Debug, PartialEq)]
struct End {
    exit_code: i64,
    reason: String,
    started_at: Timestamp,
    finished_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Waiting { reason: String, message: String },
    Running { since: Timestamp },
    Ended(End),
}

/// A container of the pod as its status has it.
struct Box<'a> {
    spec: &'a Container,
    role: Role,
    state: State,
    last: Option<End>,
    restarts: i64,
    is_ready: bool,
    is_started: bool,
}

fn boxes<'a>(pod: &'a Pod, status: &Value) -> Vec<Box<'a>> {
    let init = pod.spec.init_containers.iter().map(|c| (c, if c.restart_policy == "Always" { Role::Sidecar } else { Role::Init }));
    let main = pod.spec.containers.iter().map(|c| (c, Role::Main));
    let has_init = !pod.spec.init_containers.is_empty();
    init.chain(main)
        .map(|(spec, role)| {
            let list = if role == Role::Main { "containerStatuses" } else { "initContainerStatuses" };
            let found = status[list].as_array().and_then(|all| all.iter().find(|c| c["name"] == *spec.name));
            let known = found.cloned().unwrap_or(Value::Null);
            let waiting = if role == Role::Main && !has_init { "ContainerCreating" } else { "PodInitializing" };
            Box {
                spec,
                role,
                state: read_state(&known["state"]).unwrap_or(State::Waiting { reason: waiting.into(), message: String::new() }),
                last: read_end(&known["lastState"]["terminated"]),
                restarts: known["restartCount"].as_i64().unwrap_or(0),
                is_ready: known["ready"].as_bool().unwrap_or(false),
                is_started: known["started"].as_bool().unwrap_or(false),
            }
        })
        .collect()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn read_state(state: &Value) -> Option<State> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(since) = time(&state["running"]["startedAt"]) {
        return Some(State::Running { since });
    }
    if let Some(end) = read_end(&state["terminated"]) {
        return Some(State::Ended(end));
    }
    let waiting = state["waiting"].as_object()?;
    Some(State::Waiting { reason: text(waiting.get("reason")?), message: waiting.get("message").map(text).unwrap_or_default() })
}

fn read_end(terminated: &Value) -> Option<End> {
    Some(End {
        exit_code: terminated["exitCode"].as_i64()?,
        reason: terminated["reason"].as_str().unwrap_or_default().to_owned(),
        started_at: time(&terminated["startedAt"])?,
        finished_at: time(&terminated["finishedAt"])?,
    })
}

impl Box<'_> {
    fn orders(&self, seen: &Observed) -> Orders {
        seen.faults.orders(seen.pod, &self.spec.name, &self.spec.image)
    }

    fn run(&mut self, now: Timestamp) {
        self.state = State::Running { since: now };
    }

    fn end(&mut self, exit_code: i64, reason: &str, now: Timestamp) {
        if let State::Running { since } = self.state {
            self.state = State::Ended(End { exit_code, reason: reason.into(), started_at: since, finished_at: now });
            self.is_ready = false;
            self.is_started = false;
        }
    }

    fn is_restarted(&self, pod: &Pod, end: &End) -> bool {
        match (self.role, pod.spec.restart_policy.as_str()) {
            (Role::Sidecar, _) => true,
            (_, "Never") => false,
            (Role::Init, _) | (_, "OnFailure") => end.exit_code != 0,
            (Role::Main, _) => true,
        }
    }

    /// Returns whether the container has ended for good.
    fn is_over(&self, pod: &Pod) -> bool {
        matches!(&self.state, State::Ended(end) if !self.is_restarted(pod, end))
    }

    fn backoff(&self) -> SignedDuration {
        (BACKOFF_FIRST * 2i32.pow((self.restarts - 1).clamp(0, 6) as u32)).min(BACKOFF_MOST)
    }
}

/// Takes a container as far as it has come by now, and plans when to look at it again.
fn advance(seen: &Observed, container: &mut Box, is_fresh: bool, started_at: Timestamp, now: Timestamp, plan: &mut Plan) {
    let orders = container.orders(seen);
    if matches!(container.state, State::Waiting { .. }) {
        leave_waiting(seen, container, &orders, is_fresh, started_at, now, plan);
    }
    if let State::Running { since } = container.state {
        watch_running(seen, container, &orders, since, now, plan);
    }
    if let State::Ended(end) = &container.state
        && container.is_restarted(seen.pod, end)
    {
        restart(seen, container, end.clone(), now, plan);
        if let State::Running { since } = container.state {
            watch_running(seen, container, &orders, since, now, plan);
        }
    }
}

fn leave_waiting(
    seen: &Observed,
    container: &mut Box,
    orders: &Orders,
    is_fresh: bool,
    started_at: Timestamp,
    now: Timestamp,
    plan: &mut Plan,
) {
    let State::Waiting { reason, .. } = &container.state else { return };
    let image = &container.spec.image;
    let since = seen.since.unwrap_or(started_at);
    match reason.as_str() {
        "CrashLoopBackOff" => {
            let ended = container.last.as_ref().map_or(started_at, |end| end.finished_at);
            let due = ended + container.backoff();
            if now < due {
                return plan.look_again(due);
            }
            container.restarts += 1;
            container.run(now);
        }
        "ErrImagePull" if orders.fault == Some(Fault::ImageNotFound) => {
            let due = since + PULL_BACKOFF;
            if now < due {
                return plan.look_again(due);
            }
            let message = format!("Back-off pulling image {image:?}: ErrImagePull: {}", not_found(image));
            container.state = State::Waiting { reason: "ImagePullBackOff".into(), message };
            plan.inform(Kind::Pod, &seen.pod.metadata, "BackOff", format!("Back-off pulling image {image:?}"));
        }
        "ImagePullBackOff" if orders.fault == Some(Fault::ImageNotFound) => {}
        "ErrImagePull" | "ImagePullBackOff" => container.run(now),
        _ => {
            let ordered = orders.start_after();
            let due = since + ordered.unwrap_or(SignedDuration::from_millis(100 + jitter(seen, "start", 400)));
            // After an init container there is little left to wait for.
            if now < due && (ordered.is_some() || is_fresh) {
                return plan.look_again(due);
            }
            if orders.fault == Some(Fault::ImageNotFound) {
                let message = not_found(image);
                plan.warn(Kind::Pod, &seen.pod.metadata, "Failed", format!("Failed to pull image {image:?}: {message}"));
                container.state = State::Waiting { reason: "ErrImagePull".into(), message };
                return plan.look_again(now + PULL_BACKOFF);
            }
            plan.inform(Kind::Pod, &seen.pod.metadata, "Started", format!("Started container {}", container.spec.name));
            container.run(now);
        }
    }
}

fn not_found(image: &str) -> String {
    format!("rpc error: code = NotFound desc = failed to pull and unpack image {image:?}: failed to resolve reference {image:?}: not found")
}

fn watch_running(seen: &Observed, container: &mut Box, orders: &Orders, since: Timestamp, now: Timestamp, plan: &mut Plan) {
    // 1. Its end, by order or because it is a task.
    let is_task = container.role == Role::Init || container.role == Role::Main && is_task(seen.pod);
    let end = match orders.fault {
        Some(Fault::OomKilled) => Some((orders.run_for().unwrap_or(CRASH_AFTER), 137, "OOMKilled")),
        Some(Fault::CrashLoop) => Some((orders.run_for().unwrap_or(CRASH_AFTER), orders.exit_code.unwrap_or(1), "Error")),
        _ if orders.exit_code.is_some_and(|code| code != 0) => {
            Some((orders.run_for().unwrap_or(TASK_RUNS_FOR), orders.exit_code.unwrap_or(1), "Error"))
        }
        _ if container.role == Role::Init => Some((orders.run_for().unwrap_or_default(), 0, "Completed")),
        _ if is_task => Some((orders.run_for().unwrap_or(TASK_RUNS_FOR), 0, "Completed")),
        _ => orders.run_for().map(|after| (after, 0, "Completed")),
    };
    if let Some((after, exit_code, reason)) = end {
        let due = exact(seen, since) + after;
        if due <= now {
            return container.end(i64::from(exit_code), reason, now);
        }
        plan.look_again(due);
    }
    // 2. Started and ready, when the probes' delays are over. A task that has no probe is ready at once.
    let delay = |probe: &Option<crate::model::Probe>| SignedDuration::from_secs(probe.as_ref().map_or(0, |p| p.initial_delay_seconds));
    let started_at = exact(seen, since) + delay(&container.spec.startup_probe);
    container.is_started = started_at <= now;
    let ready_at = started_at + delay(&container.spec.readiness_probe) + orders.ready_after().unwrap_or_default();
    // A container that is going to crash does not serve before.
    let is_doomed = matches!(orders.fault, Some(Fault::NeverReady | Fault::CrashLoop | Fault::OomKilled));
    container.is_ready = container.role != Role::Init && ready_at <= now && !is_doomed;
    for at in [started_at, ready_at].into_iter().filter(|at| *at > now) {
        plan.look_again(at);
    }
    if orders.fault == Some(Fault::NeverReady) && container.is_started && !seen.pod.status.json.text().contains("\"started\":true") {
        let message = "Readiness probe failed: HTTP probe failed with statuscode: 503".to_owned();
        plan.warn(Kind::Pod, &seen.pod.metadata, "Unhealthy", message);
    }
}

/// Returns whether the pod is meant to end.
fn is_task(pod: &Pod) -> bool {
    matches!(pod.spec.restart_policy.as_str(), "Never" | "OnFailure")
}

/// Returns a time of the status as exactly as it is remembered.
fn exact(seen: &Observed, at: Timestamp) -> Timestamp {
    seen.since.filter(|since| since.as_second() == at.as_second()).unwrap_or(at)
}

/// Restarts an ended container: the first time at once, then after a growing back-off.
fn restart(seen: &Observed, container: &mut Box, end: End, now: Timestamp, plan: &mut Plan) {
    let meta = &seen.pod.metadata;
    container.last = Some(end);
    if container.restarts == 0 {
        container.restarts = 1;
        return container.run(now);
    }
    let (name, backoff) = (&container.spec.name, container.backoff());
    let pod = format!("{}_{}({})", meta.name, meta.namespace, meta.uid);
    let text = format!("back-off {}s restarting failed container={name} pod={pod}", backoff.as_secs());
    plan.warn(Kind::Pod, meta, "BackOff", format!("Back-off restarting failed container {name} in pod {pod}"));
    plan.look_again(now + backoff);
    container.state = State::Waiting { reason: "CrashLoopBackOff".into(), message: text };
}

fn kill_all(boxes: &mut [Box], now: Timestamp) {
    boxes.iter_mut().for_each(|c| c.end(137, "Error", now));
}

// ---- status ----

fn publish(seen: &Observed, before: &Value, boxes: &[Box], failed: Option<(&str, &str)>, now: Timestamp, mut plan: Plan) -> Plan {
    let pod = seen.pod;
    let phase = if failed.is_some() { "Failed" } else { phase(pod, boxes) };
    let is_over = matches!(phase, "Succeeded" | "Failed");
    let (main, init): (Vec<&Box>, Vec<&Box>) = boxes.iter().partition(|c| c.role == Role::Main);
    let statuses = |of: &[&Box]| of.iter().map(|c| container_status(seen, c)).collect::<Vec<Value>>();
    let has_ip = boxes.iter().any(|c| !matches!(c.state, State::Waiting { .. }) || c.restarts > 0);
    let ip = match before["podIP"].as_str() {
        Some(ip) => Some(ip.to_owned()),
        None if pod.spec.host_network => Some(seen.node_ip.clone()),
        None => has_ip.then(|| seen.free_ip.to_string()),
    };
    let mut status = json!({
        "phase": phase,
        "conditions": conditions(before, boxes, phase, is_over, now),
        "containerStatuses": statuses(&main),
        "hostIP": seen.node_ip, "hostIPs": [{"ip": seen.node_ip}],
        "startTime": if before["startTime"].is_null() { api_time(now) } else { before["startTime"].clone() },
        "qosClass": qos(pod),
    });
    if !init.is_empty() {
        status["initContainerStatuses"] = Value::Array(statuses(&init));
    }
    if let Some(ip) = ip {
        status["podIPs"] = json!([{"ip": ip}]);
        status["podIP"] = json!(ip);
    }
    if let Some((reason, message)) = failed {
        status["reason"] = json!(reason);
        status["message"] = json!(message);
    }
    plan.set_status(Kind::Pod, &pod.metadata, &pod.status.json, status);
    plan
}

/// As kubelet's `getPhase`.
fn phase(pod: &Pod, boxes: &[Box]) -> &'static str {
    let init_failed = boxes
        .iter()
        .any(|c| c.role == Role::Init && matches!(&c.state, State::Ended(end) if end.exit_code != 0) && pod.spec.restart_policy == "Never");
    if init_failed {
        return "Failed";
    }
    let init_done = boxes.iter().all(|c| match c.role {
        Role::Init => matches!(&c.state, State::Ended(end) if end.exit_code == 0),
        Role::Sidecar => c.is_started || matches!(c.state, State::Ended(_)),
        Role::Main => true,
    });
    let main = || boxes.iter().filter(|c| c.role == Role::Main);
    let never_ran = main().any(|c| matches!(c.state, State::Waiting { .. }) && c.last.is_none());
    if !init_done || never_ran {
        "Pending"
    } else if main().any(|c| !c.is_over(pod)) {
        "Running"
    } else if main().all(|c| matches!(&c.state, State::Ended(end) if end.exit_code == 0)) {
        "Succeeded"
    } else {
        "Failed"
    }
}

fn conditions(before: &Value, boxes: &[Box], phase: &str, is_over: bool, now: Timestamp) -> Vec<Value> {
    let names = |of: &dyn Fn(&Box) -> bool| boxes.iter().filter(|c| of(c)).map(|c| c.spec.name.as_str()).collect::<Vec<_>>().join(" ");
    let unready = names(&|c| c.role != Role::Init && !c.is_ready);
    let uninitialized = names(&|c| match c.role {
        Role::Init => !matches!(&c.state, State::Ended(end) if end.exit_code == 0),
        Role::Sidecar => !c.is_started,
        Role::Main => false,
    });
    let is_ready = unready.is_empty() && uninitialized.is_empty() && phase == "Running";
    let is_initialized = uninitialized.is_empty() || phase == "Succeeded";
    let (ready_reason, ready_message) = match (is_ready, is_over) {
        (true, _) => ("", String::new()),
        (false, true) if phase == "Succeeded" => ("PodCompleted", String::new()),
        (false, true) => ("PodFailed", String::new()),
        (false, false) => ("ContainersNotReady", format!("containers with unready status: [{unready}]")),
    };
    let (init_reason, init_message) = if is_initialized {
        ("", String::new())
    } else {
        ("ContainersNotInitialized", format!("containers with incomplete status: [{uninitialized}]"))
    };
    let sandbox = !is_over && boxes.iter().any(|c| !matches!(c.state, State::Waiting { .. }) || c.restarts > 0);
    [
        ("PodReadyToStartContainers", sandbox, "", String::new()),
        ("Initialized", is_initialized, init_reason, init_message),
        ("Ready", is_ready, ready_reason, ready_message.clone()),
        ("ContainersReady", is_ready, ready_reason, ready_message),
        ("PodScheduled", true, "", String::new()),
    ]
    .into_iter()
    .map(|(kind, holds, reason, message)| {
        let old = condition(before, kind);
        let status = if holds { "True" } else { "False" };
        let since = if old["status"] == status { old["lastTransitionTime"].clone() } else { api_time(now) };
        let mut wanted = json!({"type": kind, "status": status, "lastTransitionTime": since});
        if !reason.is_empty() {
            wanted["reason"] = json!(reason);
        }
        if !message.is_empty() {
            wanted["message"] = json!(message);
        }
        wanted
    })
    .collect()
}

fn container_status(seen: &Observed, container: &Box) -> Value {
    let image = &container.spec.image;
    let id = |run: i64| format!("containerd://{}", digest(&format!("{}/{}/{run}", seen.pod.metadata.uid, container.spec.name)));
    let has_run = !matches!(container.state, State::Waiting { .. }) || container.last.is_some();
    let run_now = container.restarts;
    let mut status = json!({
        "name": container.spec.name, "image": image, "imageID": if has_run { image_id(image) } else { String::new() },
        "ready": container.is_ready || matches!(&container.state, State::Ended(end) if container.role == Role::Init && end.exit_code == 0),
        "started": container.is_started, "restartCount": container.restarts,
        "state": match &container.state {
            State::Waiting { reason, message } if message.is_empty() => json!({"waiting": {"reason": reason}}),
            State::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            State::Running { since } => json!({"running": {"startedAt": api_time(*since)}}),
            State::Ended(end) => json!({"terminated": ended(end, &id(run_now))}),
        },
        "lastState": match &container.last {
            Some(end) => json!({"terminated": ended(end, &id((run_now - 1).max(0)))}),
            None => json!({}),
        },
    });
    if has_run {
        status["containerID"] = json!(id(run_now));
    }
    status
}

fn ended(end: &End, container_id: &str) -> Value {
    json!({
        "exitCode": end.exit_code, "reason": end.reason, "containerID": container_id,
        "startedAt": api_time(end.started_at), "finishedAt": api_time(end.finished_at),
    })
}

fn qos(pod: &Pod) -> &'static str {
    let asks = |c: &Container| c.resources.requests.cpu.is_some() || c.resources.requests.memory.is_some();
    if pod.spec.containers.iter().any(asks) { "Burstable" } else { "BestEffort" }
}

/// Returns what a registry would say an image is: its digest, or one that is the same for the same tag everywhere.
pub fn image_id(image: &str) -> String {
    match image.split_once('@') {
        Some(_) => image.to_owned(),
        None => {
            let last_slash = image.rfind('/').map_or(0, |i| i + 1);
            let repository = match image[last_slash..].find(':') {
                Some(colon) => &image[..last_slash + colon],
                None => image,
            };
            format!("{repository}@sha256:{}", digest(image))
        }
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        use std::fmt::Write;
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

//! Node: made once for each machine of the cluster, Ready, with its capacity.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Action, Plan, api_time, condition};
use crate::kind::Kind;
use crate::model::Node;

/// One machine as the cluster's description has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub name: String,
    pub address: String,
    pub cpu: u32,
    pub memory_gib: u32,
    pub kubernetes_version: String,
    pub is_control_plane: bool,
    pub is_ready: bool,
}

pub struct Observed<'a> {
    pub machine: &'a Machine,
    pub node: Option<&'a Node>,
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let machine = seen.machine;
    let Some(node) = seen.node else {
        let mut object = node_object(machine);
        object["status"] = status(machine, &Value::Null, now);
        plan.act(Action::Create { kind: Kind::Node, object });
        return plan;
    };
    plan.set_status(Kind::Node, &node.metadata, &node.status, status(machine, &node.status.value(), now));
    plan
}

fn node_object(machine: &Machine) -> Value {
    let mut labels = json!({
        "kubernetes.io/hostname": machine.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
    });
    if machine.is_control_plane {
        labels["node-role.kubernetes.io/control-plane"] = json!("true");
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": machine.name, "labels": labels},
        "spec": {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"]},
    })
}

fn status(machine: &Machine, before: &Value, now: Timestamp) -> Value {
    let capacity = json!({
        "cpu": machine.cpu.to_string(), "memory": format!("{}Gi", machine.memory_gib), "pods": "110", "ephemeral-storage": "100Gi",
    });
    let ready = if machine.is_ready { "True" } else { "False" };
    let conditions: Vec<Value> = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", ready, if machine.is_ready { "KubeletReady" } else { "KubeletNotReady" }, "kubelet is posting ready status"),
    ]
    .into_iter()
    .map(|(kind, status, reason, message)| {
        let old = condition(before, kind);
        if old["status"] == status {
            return old.clone();
        }
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": api_time(now), "lastTransitionTime": api_time(now),
        })
    })
    .collect();
    json!({
        "capacity": capacity, "allocatable": capacity, "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": machine.address}, {"type": "Hostname", "address": machine.name}],
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "osImage": "Simulated Linux", "kernelVersion": "6.6.0-sim",
            "containerRuntimeVersion": "containerd://2.0.0-sim", "kubeletVersion": machine.kubernetes_version,
            "kubeProxyVersion": machine.kubernetes_version, "bootID": "", "machineID": "", "systemUUID": "",
        },
    })
}

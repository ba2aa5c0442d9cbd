//! What a cluster's own controllers decide: one pure function per kind.
//!
//! `reconcile(&Observed, now) -> Plan` takes what is there and returns what to do: a few API writes and
//! when to look again. No function remembers anything between calls, so a controller that was restarted
//! decides the same. Wording of conditions and events, and order of steps, follow kube-controller-manager
//! and kubelet, because GitOps engines and people read them.

pub mod autoscaler;
pub mod claim;
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod ingress;
pub mod job;
pub mod kubelet;
pub mod node;
pub mod replicaset;
pub mod scheduler;
pub mod service;
pub mod statefulset;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::kind::Kind;
use crate::model::{Json, Meta, Pod};

/// What to do, in this order, and when to look again if nothing changes before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub again_at: Option<Timestamp>,
}

/// One API write.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Create {
        kind: Kind,
        object: Value,
    },
    /// Merges into the object what only this controller writes.
    Patch {
        kind: Kind,
        namespace: String,
        name: String,
        patch: Value,
    },
    /// Makes the status what is given, removing what is not.
    Status {
        kind: Kind,
        namespace: String,
        name: String,
        status: Value,
    },
    Delete {
        kind: Kind,
        namespace: String,
        name: String,
        uid: String,
        grace_period_seconds: Option<i64>,
    },
    /// Assigns a pod to a node.
    Bind {
        namespace: String,
        name: String,
        node: String,
    },
    /// Tells people, by a Kubernetes Event.
    Event {
        kind: Kind,
        namespace: String,
        name: String,
        uid: String,
        warning: bool,
        reason: &'static str,
        message: String,
    },
}

impl Plan {
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Looks again at `at`, or earlier if that is planned already.
    pub fn look_again(&mut self, at: Timestamp) {
        self.again_at = Some(self.again_at.map_or(at, |planned| planned.min(at)));
    }

    /// Writes a status if it differs from the one there.
    pub fn set_status(&mut self, kind: Kind, meta: &Meta, before: &Json, status: Value) {
        let status = without_nulls(status);
        if *before != Json::of(&status) {
            self.act(Action::Status { kind, namespace: meta.namespace.clone(), name: meta.name.clone(), status });
        }
    }

    pub fn patch(&mut self, kind: Kind, meta: &Meta, patch: Value) {
        self.act(Action::Patch { kind, namespace: meta.namespace.clone(), name: meta.name.clone(), patch });
    }

    pub fn delete(&mut self, kind: Kind, meta: &Meta) {
        self.act(Action::Delete {
            kind,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            grace_period_seconds: None,
        });
    }

    pub fn warn(&mut self, kind: Kind, meta: &Meta, reason: &'static str, message: String) {
        self.event(kind, meta, true, reason, message);
    }

    pub fn inform(&mut self, kind: Kind, meta: &Meta, reason: &'static str, message: String) {
        self.event(kind, meta, false, reason, message);
    }

    fn event(&mut self, kind: Kind, meta: &Meta, warning: bool, reason: &'static str, message: String) {
        let (namespace, name, uid) = (meta.namespace.clone(), meta.name.clone(), meta.uid.clone());
        self.act(Action::Event { kind, namespace, name, uid, warning, reason, message });
    }
}

/// Returns the value without members that are null, as Go's `omitempty` leaves them out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// Returns the number, or null for 0, which Go's `omitempty` leaves out.
fn nonzero(n: i64) -> Value {
    if n == 0 { Value::Null } else { json!(n) }
}

/// Formats a time as the API does: whole seconds.
pub fn api_time(at: Timestamp) -> Value {
    json!(Timestamp::from_second(at.as_second()).unwrap_or(at).to_string())
}

/// A condition that is wanted.
struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: String,
}

/// Returns the condition of that type, or null.
fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    const NONE: &Value = &Value::Null;
    status["conditions"].as_array().and_then(|all| all.iter().find(|c| c["type"] == kind)).unwrap_or(NONE)
}

/// Returns a hash of a template that is the same on every machine and in every release.
fn template_hash(template: &str) -> String {
    // Kubernetes prints such hashes with letters and digits that cannot form words.
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = fnv(template.as_bytes());
    let mut text = String::with_capacity(10);
    for _ in 0..10 {
        text.push(ALPHABET[(hash % ALPHABET.len() as u64) as usize] as char);
        hash /= ALPHABET.len() as u64;
    }
    text
}

/// Returns the 64-bit FNV-1a hash, finished so that near inputs differ in every bit.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// Returns five letters for a pod name that no pod of `taken` ends with; the same for the same input.
fn pod_suffix(owner: &Meta, ordinal: usize, now: Timestamp, taken: &[&Pod]) -> String {
    (0u32..)
        .map(|attempt| {
            let seed = format!("{}/{}/{}/{}/{}", owner.namespace, owner.name, ordinal, now.as_millisecond(), attempt);
            template_hash(&seed)[..5].to_owned()
        })
        .find(|suffix| !taken.iter().any(|pod| pod.metadata.name.ends_with(suffix)))
        .expect("one of four billion suffixes is free")
}

/// A pod made from a template for a controller.
fn pod_from_template(template: &Value, owner: &Meta, api_version: &str, kind: &str, name: &str) -> Value {
    let mut metadata = template["metadata"].as_object().cloned().unwrap_or_default();
    metadata.retain(|key, _| matches!(key.as_str(), "labels" | "annotations" | "finalizers"));
    metadata.insert("name".into(), json!(name));
    metadata.insert("namespace".into(), json!(owner.namespace));
    metadata.insert("ownerReferences".into(), json!([owner.owner_reference(api_version, kind)]));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// Orders pods by how little is lost when they are deleted, as upstream's `ActivePods`.
fn deletion_rank(pod: &Pod) -> (bool, u8, bool, i64, std::cmp::Reverse<Timestamp>, std::cmp::Reverse<Timestamp>, String) {
    let phase = match pod.status.phase.as_str() {
        "" | "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    (
        !pod.spec.node_name.is_empty(),
        phase,
        pod.status.ready,
        -pod.status.restarts,
        std::cmp::Reverse(pod.status.ready_since.unwrap_or(Timestamp::MAX)),
        std::cmp::Reverse(pod.metadata.created_at()),
        pod.metadata.name.clone(),
    )
}

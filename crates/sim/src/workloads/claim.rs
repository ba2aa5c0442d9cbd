//! PersistentVolumeClaim: bound at once to a volume made for it, as a local-path provisioner does.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Action, Plan};
use crate::kind::Kind;
use crate::model::PersistentVolumeClaim;

pub struct Observed<'a> {
    pub claim: &'a PersistentVolumeClaim,
}

pub fn reconcile(seen: &Observed, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (claim, meta) = (seen.claim, &seen.claim.metadata);
    // A class that says so by name never binds: the way to order a claim that stays Pending.
    let class = claim.spec.storage_class_name.as_deref().unwrap_or("local-path");
    if meta.is_being_deleted() || class == "never" {
        if claim.status.value()["phase"].is_null() {
            plan.set_status(Kind::PersistentVolumeClaim, meta, &claim.status, json!({"phase": "Pending"}));
        }
        return plan;
    }
    let capacity = claim.spec.resources.value()["requests"].clone();
    let volume = if claim.spec.volume_name.is_empty() { format!("pvc-{}", meta.uid) } else { claim.spec.volume_name.clone() };
    if claim.spec.volume_name.is_empty() {
        plan.act(Action::Create { kind: Kind::PersistentVolume, object: volume_object(claim, &volume, class, &capacity) });
        plan.patch(Kind::PersistentVolumeClaim, meta, json!({"spec": {"volumeName": volume}}));
    }
    let status = json!({"phase": "Bound", "accessModes": claim.spec.access_modes, "capacity": capacity});
    plan.set_status(Kind::PersistentVolumeClaim, meta, &claim.status, status);
    plan
}

fn volume_object(claim: &PersistentVolumeClaim, name: &str, class: &str, capacity: &Value) -> Value {
    let meta = &claim.metadata;
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": claim.spec.access_modes, "capacity": capacity, "storageClassName": class,
            "persistentVolumeReclaimPolicy": "Delete", "volumeMode": "Filesystem",
            "hostPath": {"path": format!("/var/lib/storage/{name}"), "type": "DirectoryOrCreate"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid,
            },
        },
        "status": {"phase": "Bound"},
    })
}

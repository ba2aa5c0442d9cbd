//! Letting go of objects that a work applied: because they left its spec, or because the work goes.

use api::work::{AppliedManifestResourceMeta, AppliedManifestWork, ManifestWorkSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Live, ObjectId, config};

/// What to do with one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Release {
    /// Delete it, if it still has this UID.
    Delete { id: ObjectId, uid: String },
    /// Take our owner reference off, so that it stays.
    Disown { id: ObjectId, owner_uid: String, why: String },
    /// It is gone or no longer ours.
    Forget { id: ObjectId, why: String },
    /// It is on its way out, or could not be read.
    Wait { id: ObjectId, why: String },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasePlan {
    /// Dependents before what they depend on.
    pub steps: Vec<Release>,
    /// What has to be looked at again before it is forgotten.
    pub remaining: Vec<AppliedManifestResourceMeta>,
}

impl ReleasePlan {
    pub fn is_done(&self) -> bool {
        self.remaining.is_empty()
    }
}

/// Plans the release of the applied resources that are not `wanted`. Without a spec (the work is gone from the
/// hub) nothing is orphaned.
pub fn release(
    applied: &AppliedManifestWork,
    spec: Option<&ManifestWorkSpec>,
    wanted: &[ObjectId],
    live: &dyn Fn(&ObjectId) -> Live,
) -> ReleasePlan {
    let owner_uid = applied.metadata.uid.clone().unwrap_or_default();
    let resources = applied.status.iter().flat_map(|status| &status.applied_resources);
    let mut unwanted: Vec<&AppliedManifestResourceMeta> =
        resources.filter(|meta| !wanted.iter().any(|id| id.is_same_object(&ObjectId::of_meta(meta)))).collect();
    // The reverse of the order they were applied in.
    unwanted.reverse();
    let mut plan = ReleasePlan::default();
    for meta in unwanted {
        let id = ObjectId::of_meta(meta);
        let is_orphaned = spec.is_some_and(|spec| config::is_orphaned(spec, &id));
        let step = decide(id.clone(), meta, &live(&id), &owner_uid, is_orphaned);
        match step {
            Release::Delete { .. } | Release::Wait { .. } => plan.remaining.push(meta.clone()),
            Release::Disown { .. } | Release::Forget { .. } => {}
        }
        plan.steps.push(step);
    }
    plan
}

fn decide(id: ObjectId, meta: &AppliedManifestResourceMeta, live: &Live, owner_uid: &str, is_orphaned: bool) -> Release {
    // 1. Is it still there, and the same?
    let object = match live {
        Live::Missing => return Release::Forget { id, why: "it is gone".into() },
        Live::Unreadable(why) => return Release::Wait { id, why: why.clone() },
        Live::Present(object) => object,
    };
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    if uid != meta.uid && !meta.uid.is_empty() {
        return Release::Forget { id, why: "another object has its name now".into() };
    }
    // 2. Is it ours, and ours alone?
    let owners: &[Value] = object["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !owners.iter().any(|owner| owner["uid"] == owner_uid) {
        return Release::Forget { id, why: "this work does not own it (any more)".into() };
    }
    if owners.iter().any(|owner| owner["kind"] == "AppliedManifestWork" && owner["uid"] != owner_uid) {
        return Release::Disown { id, owner_uid: owner_uid.into(), why: "another work owns it too".into() };
    }
    if is_orphaned {
        return Release::Disown { id, owner_uid: owner_uid.into(), why: "deleteOption orphans it".into() };
    }
    // 3. Then it goes.
    if object["metadata"]["deletionTimestamp"].is_null() {
        Release::Delete { id, uid: uid.to_owned() }
    } else {
        Release::Wait { id, why: "it is being deleted".into() }
    }
}

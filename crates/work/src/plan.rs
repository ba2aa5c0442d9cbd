//! What to do next for one work.

use std::time::Duration;

use api::conditions;
use api::work::{AppliedManifestWork, condition, finalizer};
use serde::{Deserialize, Serialize};

use crate::strategy::{self, Apply, Change};
use crate::{Live, ObjectId, Observed, ReleasePlan, release};

/// Drift that no watch showed is found this often, as OCM's resync (4 minutes).
const RESYNC: Duration = Duration::from_secs(240);
/// Objects that are going, or that wait for another, are looked at this often.
const SOON: Duration = Duration::from_secs(5);
/// An executor that may not is asked about again, as OCM.
const DENIED_AGAIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub stage: Stage,
    /// When to look again if nothing changes before.
    pub look_again: Option<Duration>,
}

/// One step at a time: each stage but `Apply` and `Rest` changes what the next look sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Put the finalizer on the work.
    AddFinalizer,
    /// Create the AppliedManifestWork, with its finalizer.
    CreateApplied { name: String },
    /// The work came back before it was evicted.
    CancelEviction,
    /// Apply all of `applies` in order; when every one succeeded, also `prune`.
    Apply { applies: Vec<Apply>, prune: ReleasePlan },
    /// The work is being deleted.
    Release(ReleasePlan),
    /// Everything is released: delete the AppliedManifestWork, then let the work go.
    Finish,
    /// Nothing to do, and why.
    Rest { why: String },
}

/// Returns the name of a work's AppliedManifestWork.
pub fn applied_name(hub_hash: &str, work: &str) -> String {
    format!("{hub_hash}-{work}")
}

/// Decides what to do next for a work.
pub fn plan(seen: &Observed<'_>) -> Plan {
    let work = seen.work;
    let is_held = work.metadata.finalizers.iter().flatten().any(|f| f == finalizer::MANIFEST_WORK);
    // 1. A work that goes: release first, then let it go.
    if work.metadata.deletion_timestamp.is_some() {
        return match seen.applied {
            _ if !is_held => rest("the work is being deleted, and holds nothing here"),
            None => now(Stage::Finish),
            Some(applied) => going(seen, applied),
        };
    }
    // 2. Nothing is applied before it is certain that it will be cleaned up.
    if !is_held {
        return now(Stage::AddFinalizer);
    }
    let Some(applied) = seen.applied else {
        return now(Stage::CreateApplied {
            name: applied_name(&seen.settings.hub_hash, work.metadata.name.as_deref().unwrap_or_default()),
        });
    };
    if applied.metadata.deletion_timestamp.is_some() {
        return Plan { stage: Stage::Rest { why: "its AppliedManifestWork is being deleted".into() }, look_again: Some(SOON) };
    }
    if applied.status.as_ref().is_some_and(|s| s.eviction_start_time.is_some()) {
        return now(Stage::CancelEviction);
    }
    // 3. A complete work is never applied again.
    if conditions::is_true(work.conditions(), condition::COMPLETE) {
        return rest("the work is complete");
    }
    applying(seen, applied)
}

fn applying(seen: &Observed<'_>, applied: &AppliedManifestWork) -> Plan {
    let manifests = &seen.work.spec.workload.manifests;
    let mut applies: Vec<Apply> =
        manifests.iter().enumerate().map(|(ordinal, manifest)| strategy::decide(seen, applied, ordinal, &manifest.0)).collect();
    applies.sort_by_key(|apply| (kinds::order::work_rank(&apply.kind), apply.ordinal));
    let wanted: Vec<ObjectId> = applies.iter().map(|apply| apply.id.clone()).collect();
    let prune = release(applied, Some(&seen.work.spec), &wanted, &live_of(seen));
    let waits = !prune.is_done() || applies.iter().any(|apply| matches!(apply.change, Change::Wait { .. }));
    let look_again = if waits {
        SOON
    } else if !seen.denied.is_empty() {
        DENIED_AGAIN
    } else {
        RESYNC
    };
    Plan { stage: Stage::Apply { applies, prune }, look_again: Some(look_again) }
}

fn going(seen: &Observed<'_>, applied: &AppliedManifestWork) -> Plan {
    let release = release(applied, Some(&seen.work.spec), &[], &live_of(seen));
    // Disowning is an action too: what it releases stays only if our reference is off before the owner goes.
    let has_steps = release.steps.iter().any(|step| !matches!(step, crate::Release::Forget { .. }));
    if has_steps { Plan { stage: Stage::Release(release), look_again: Some(SOON) } } else { now(Stage::Finish) }
}

fn live_of<'a>(seen: &'a Observed<'_>) -> impl Fn(&ObjectId) -> Live + use<'a> {
    |id| seen.live.get(id).cloned().unwrap_or(Live::Missing)
}

fn now(stage: Stage) -> Plan {
    Plan { stage, look_again: None }
}

fn rest(why: &str) -> Plan {
    Plan { stage: Stage::Rest { why: why.into() }, look_again: None }
}

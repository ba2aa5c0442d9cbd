//! Whether to sync without being asked (`controller/appcontroller.go`, autoSync).
//!
//! One difference from Argo CD, on purpose: with `selfHeal`, a sync that failed after all its retries is tried again
//! after the self-heal back-off, since a store must not stay broken until somebody commits.

use api::argo::{
    Application, Operation, OperationInitiator, OperationState, RetryStrategy, SyncOperation, SyncOperationResource, operation_phase,
};
use jiff::{SignedDuration, Timestamp};

use crate::{Comparison, SyncCode, retry, task::is_partial};

// 2 s x 3^n, at most 5 min, as Argo CD's self-heal back-off.
const HEAL_FIRST: SignedDuration = SignedDuration::from_secs(2);
const HEAL_FACTOR: i64 = 3;
const HEAL_MOST: SignedDuration = SignedDuration::from_secs(300);

/// What automated sync decided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Auto {
    Start(Box<Operation>),
    Nothing {
        why: String,
        /// When it may decide otherwise though nothing changes.
        next: Option<SignedDuration>,
        /// Something a person should see.
        error: Option<String>,
    },
}

fn nothing(why: impl Into<String>) -> Auto {
    Auto::Nothing { why: why.into(), next: None, error: None }
}

/// Decides, given that no operation is running.
pub(crate) fn decide(app: &Application, comparison: &Comparison, revision: &str, now: Timestamp) -> Auto {
    // 1. It must be on.
    let Some(automated) = app.spec.sync_policy.as_ref().and_then(|p| p.automated.as_ref()).filter(|a| a.is_enabled()) else {
        return nothing("automated sync is off");
    };
    let (prunes, heals) = (automated.prune.unwrap_or(false), automated.self_heal.unwrap_or(false));
    // 2. Something must be out of sync that a sync would change.
    if comparison.sync != SyncCode::OutOfSync {
        return nothing(format!("{} with {}", comparison.sync, short(revision)));
    }
    let out_of_sync = || comparison.resources.iter().filter(|r| r.counts && r.sync == Some(SyncCode::OutOfSync));
    if !prunes && out_of_sync().all(|r| r.requires_pruning) {
        return nothing("only resources that are no longer in Git are out of sync, and prune is off");
    }
    // 3. It must not delete everything by mistake.
    let managed = comparison.resources.iter().filter(|r| r.sync.is_some());
    let count = managed.clone().count();
    if prunes && !automated.allow_empty.unwrap_or(false) && count > 0 && managed.clone().all(|r| r.requires_pruning) {
        let why = format!("automated sync would delete all {count} resources; set spec.syncPolicy.automated.allowEmpty or sync by hand");
        return Auto::Nothing { why: why.clone(), next: None, error: Some(why) };
    }
    // 4. Once per revision, and again only to heal.
    let last = app.status.as_ref().and_then(|s| s.operation_state.as_ref());
    let Some(last) = last.filter(|last| was_attempted(last, app, revision)) else {
        return Auto::Start(Box::new(operation(app, revision, prunes, Vec::new(), None)));
    };
    let has_succeeded = last.phase == operation_phase::SUCCEEDED;
    if !heals {
        let why = if has_succeeded {
            format!("{} was synced already, and selfHeal is off", short(revision))
        } else {
            format!("the last sync to {} failed and is not tried again: {}", short(revision), last.message)
        };
        return Auto::Nothing { error: (!has_succeeded).then(|| why.clone()), why, next: None };
    }
    let elapsed = last.finished_at.as_ref().map_or(SignedDuration::MAX, |at| now.duration_since(at.0));
    let (attempts, wait) = back_off(last, elapsed);
    if elapsed < wait {
        let left = wait - elapsed;
        let error = (!has_succeeded)
            .then(|| format!("the last sync to {} failed: {}; trying again in {} s", short(revision), last.message, left.as_secs().max(1)));
        return Auto::Nothing { why: format!("waiting {} s before healing again", left.as_secs().max(1)), next: Some(left), error };
    }
    // A failed sync is done again as a whole; a healed one in part, without hooks.
    let resources = if has_succeeded || is_partial(&last.operation) {
        let picked = out_of_sync().filter(|r| prunes || !r.requires_pruning);
        picked
            .map(|r| SyncOperationResource {
                group: r.key.group.clone(),
                kind: r.key.kind.clone(),
                name: r.key.name.clone(),
                namespace: r.key.namespace.clone(),
                exclude: false,
            })
            .collect()
    } else {
        Vec::new()
    };
    Auto::Start(Box::new(operation(app, revision, prunes, resources, Some(attempts + 1))))
}

/// Returns how many healings there were in a row, and how long to wait since the last.
fn back_off(last: &OperationState, elapsed: SignedDuration) -> (i64, SignedDuration) {
    let attempts = last.operation.sync.as_ref().and_then(|s| s.auto_heal_attempts_count).unwrap_or(0);
    let times = HEAL_FACTOR.saturating_pow(u32::try_from(attempts).unwrap_or(0).min(10));
    let wait = SignedDuration::from_secs(HEAL_FIRST.as_secs().saturating_mul(times)).min(HEAL_MOST);
    // After a quiet time twice as long it is a new disturbance, not the same one coming back.
    if elapsed > wait * 2 { (0, SignedDuration::ZERO) } else { (attempts, wait) }
}

fn was_attempted(last: &OperationState, app: &Application, revision: &str) -> bool {
    last.sync_result.as_ref().is_some_and(|result| result.revision == revision && result.source.as_ref() == app.spec.sources().first())
}

fn operation(app: &Application, revision: &str, prune: bool, resources: Vec<SyncOperationResource>, attempts: Option<i64>) -> Operation {
    let policy = app.spec.sync_policy.as_ref();
    let retry = policy.and_then(|p| p.retry.clone());
    Operation {
        sync: Some(SyncOperation {
            revision: revision.to_owned(),
            prune,
            resources,
            sync_options: policy.map(|p| p.sync_options.clone()).unwrap_or_default(),
            auto_heal_attempts_count: attempts,
            ..SyncOperation::default()
        }),
        initiated_by: Some(OperationInitiator { username: String::new(), automated: true }),
        info: Vec::new(),
        retry: Some(retry.unwrap_or(RetryStrategy { limit: Some(retry::AUTOMATED_LIMIT), ..RetryStrategy::default() })),
    }
}

pub(crate) fn short(revision: &str) -> &str {
    revision.get(..7).unwrap_or(revision)
}

//! Whether the cluster agrees with Git, resource by resource.

use std::collections::BTreeMap;
use std::fmt;

use kinds::{Health, HealthStatus};

use crate::options::{SyncOptions, has_compare_option};
use crate::{Key, Live, Target, Verdict, hook};

/// How a resource, or the whole Application, stands to Git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncCode {
    Synced,
    OutOfSync,
    Unknown,
}

impl fmt::Display for SyncCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => api::argo::sync_status::SYNCED,
            Self::OutOfSync => api::argo::sync_status::OUT_OF_SYNC,
            Self::Unknown => api::argo::sync_status::UNKNOWN,
        })
    }
}

/// One resource of an Application.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    pub key: Key,
    pub version: String,
    /// None for hooks, copies and what is never applied.
    pub sync: Option<SyncCode>,
    /// Whether it counts for the Application's own status.
    pub counts: bool,
    pub is_hook: bool,
    /// Whether it is live but not in Git.
    pub requires_pruning: bool,
    /// Whether its deletion waits for a person's word.
    pub requires_confirmation: bool,
    pub wave: i64,
    pub health: Option<Health>,
    /// Whether the Application's health minds it.
    pub health_counts: bool,
    pub images: Vec<String>,
    /// Why it is out of sync, in words; empty where it is missing.
    pub note: String,
}

/// All resources of an Application, by key.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub resources: Vec<Resource>,
    pub sync: SyncCode,
    /// Objects the server refuses, with its reason.
    pub refused: Vec<(Key, String)>,
    /// Objects another Application claims as well.
    pub shared: Vec<(Key, String)>,
}

/// Compares targets with the live objects named by them or tracked to the Application `instance`.
pub fn compare(targets: &[Target], live: &BTreeMap<Key, Live>, verdicts: &BTreeMap<Key, Verdict>, instance: &str) -> Comparison {
    let (mut refused, mut shared) = (Vec::new(), Vec::new());
    let mut resources: Vec<Resource> = Vec::new();
    for target in targets.iter().filter(|t| !t.is_generated()) {
        let found = live.get(&target.key);
        let verdict = verdicts.get(&target.key).unwrap_or(&Verdict::Unasked);
        if let Verdict::Invalid(why) = verdict {
            refused.push((target.key.clone(), why.clone()));
        }
        if let Some((other, true)) = found.and_then(Live::tracked_by)
            && other != instance
        {
            shared.push((target.key.clone(), other.to_owned()));
        }
        resources.push(of_target(target, found, verdict));
    }
    let is_target = |key: &Key| targets.iter().any(|t| t.key == *key);
    let extra = live.values().filter(|l| l.tracked_by() == Some((instance, true)) && !is_target(&l.key));
    resources.extend(extra.map(of_extra));
    resources.sort_by(|a, b| a.key.cmp(&b.key));
    let counted = |code: SyncCode| resources.iter().any(|r| r.counts && r.sync == Some(code));
    let sync = if counted(SyncCode::OutOfSync) {
        SyncCode::OutOfSync
    } else if counted(SyncCode::Unknown) {
        SyncCode::Unknown
    } else {
        SyncCode::Synced
    };
    Comparison { resources, sync, refused, shared }
}

fn of_target(target: &Target, live: Option<&Live>, verdict: &Verdict) -> Resource {
    let annotations = target.annotations();
    let is_managed = !target.is_hook() && !target.is_skipped();
    let code = match (live, verdict) {
        (None, _) | (Some(_), Verdict::Different(_) | Verdict::Invalid(_)) => SyncCode::OutOfSync,
        (Some(_), Verdict::Same) => SyncCode::Synced,
        (Some(_), Verdict::Unasked) => SyncCode::Unknown,
    };
    let health = match live {
        Some(live) => live.health.clone(),
        None if is_managed => Some(Health::new(HealthStatus::Missing, "")),
        None => None,
    };
    Resource {
        key: target.key.clone(),
        version: target.version.clone(),
        sync: is_managed.then_some(code),
        counts: is_managed,
        is_hook: target.is_hook(),
        requires_pruning: false,
        requires_confirmation: requires_confirmation(annotations),
        wave: target.wave(),
        health,
        health_counts: is_managed && annotations[api::argo::annotation::IGNORE_HEALTHCHECK] != "true",
        images: live.map(|l| l.images.clone()).unwrap_or_default(),
        note: match verdict {
            // Fields only, never their values.
            Verdict::Different(paths) => format!("differs from Git: {}", paths.join(", ")),
            Verdict::Invalid(why) => why.clone(),
            Verdict::Same | Verdict::Unasked => String::new(),
        },
    }
}

fn requires_confirmation(annotations: &serde_json::Value) -> bool {
    let own = SyncOptions::default().with_annotations(annotations);
    own.is("Prune", "confirm") || own.is("Delete", "confirm")
}

/// A live object that is not in Git (any more).
fn of_extra(live: &Live) -> Resource {
    let annotations = &live.annotations;
    let is_hook = hook::is_hook(annotations);
    Resource {
        key: live.key.clone(),
        version: live.version.clone(),
        sync: (!is_hook).then_some(SyncCode::OutOfSync),
        counts: !is_hook && !has_compare_option(annotations, "IgnoreExtraneous"),
        is_hook,
        requires_pruning: !is_hook,
        requires_confirmation: requires_confirmation(annotations),
        wave: hook::wave(annotations),
        health: live.health.clone(),
        health_counts: !is_hook && annotations[api::argo::annotation::IGNORE_HEALTHCHECK] != "true",
        images: live.images.clone(),
        note: if is_hook { String::new() } else { "is not in Git".to_owned() },
    }
}

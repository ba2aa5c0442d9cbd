//! Hooks: objects that run at a phase of a sync instead of being kept.
//!
//! As gitops-engine `pkg/sync/hook`: an Argo annotation overrides Helm's; a word nobody knows makes a hook that never runs.

use api::argo::annotation::{HOOK, HOOK_DELETE_POLICY, SYNC_WAVE};
use serde_json::Value;

/// When objects are applied, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    PreSync,
    Sync,
    PostSync,
    SyncFail,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreSync => "PreSync",
            Self::Sync => "Sync",
            Self::PostSync => "PostSync",
            Self::SyncFail => "SyncFail",
        }
    }
}

/// When a finished hook is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeletePolicy {
    BeforeHookCreation,
    HookSucceeded,
    HookFailed,
}

const HELM_HOOK: &str = "helm.sh/hook";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";
const HELM_DELETE_POLICY: &str = "helm.sh/hook-delete-policy";

fn words<'a>(annotations: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    annotations[key].as_str().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// Helm's hooks that are none here.
fn is_ignored_helm_hook(word: &str) -> bool {
    word == "crd-install"
}

/// Returns whether an object with these annotations is a hook.
pub(crate) fn is_hook(annotations: &Value) -> bool {
    if words(annotations, HOOK).any(|word| word != "Skip") {
        return true;
    }
    // `Skip` alone is an object that is never applied, and no hook.
    words(annotations, HOOK).next().is_none() && words(annotations, HELM_HOOK).any(|word| !is_ignored_helm_hook(word))
}

/// Returns whether an object is never applied.
pub(crate) fn is_skipped(annotations: &Value) -> bool {
    let mut all = words(annotations, HOOK);
    all.next() == Some("Skip") && all.next().is_none()
}

/// Returns the phases of a sync a hook runs in.
pub(crate) fn phases(annotations: &Value) -> Vec<Phase> {
    let mut phases: Vec<Phase> = if words(annotations, HOOK).next().is_some() {
        words(annotations, HOOK).filter_map(argo_phase).collect()
    } else {
        words(annotations, HELM_HOOK).filter_map(helm_phase).collect()
    };
    phases.sort();
    phases.dedup();
    phases
}

fn argo_phase(word: &str) -> Option<Phase> {
    match word {
        "PreSync" => Some(Phase::PreSync),
        "Sync" => Some(Phase::Sync),
        "PostSync" => Some(Phase::PostSync),
        "SyncFail" => Some(Phase::SyncFail),
        _ => None,
    }
}

fn helm_phase(word: &str) -> Option<Phase> {
    match word {
        "pre-install" | "pre-upgrade" => Some(Phase::PreSync),
        "post-install" | "post-upgrade" => Some(Phase::PostSync),
        _ => None,
    }
}

/// Returns when a hook is deleted; before it is made again, if it says nothing.
pub(crate) fn delete_policies(annotations: &Value) -> Vec<DeletePolicy> {
    let argo = words(annotations, HOOK_DELETE_POLICY).filter_map(|word| match word {
        "BeforeHookCreation" => Some(DeletePolicy::BeforeHookCreation),
        "HookSucceeded" => Some(DeletePolicy::HookSucceeded),
        "HookFailed" => Some(DeletePolicy::HookFailed),
        _ => None,
    });
    let helm = words(annotations, HELM_DELETE_POLICY).filter_map(|word| match word {
        "before-hook-creation" => Some(DeletePolicy::BeforeHookCreation),
        "hook-succeeded" => Some(DeletePolicy::HookSucceeded),
        "hook-failed" => Some(DeletePolicy::HookFailed),
        _ => None,
    });
    let mut policies: Vec<DeletePolicy> = argo.collect();
    if policies.is_empty() {
        policies = helm.collect();
    }
    if policies.is_empty() {
        policies.push(DeletePolicy::BeforeHookCreation);
    }
    policies
}

/// Returns an object's wave.
pub(crate) fn wave(annotations: &Value) -> i64 {
    let number = |key: &str| annotations[key].as_str().and_then(|text| text.trim().parse().ok());
    number(SYNC_WAVE).or_else(|| number(HELM_WEIGHT)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hooks_are_read_from_argos_annotation_then_from_helms() {
        let of = |hook: &str, helm: &str| {
            let annotations = json!({HOOK: hook, HELM_HOOK: helm});
            (is_hook(&annotations), phases(&annotations))
        };
        assert_eq!(of("PostSync, PreSync", ""), (true, vec![Phase::PreSync, Phase::PostSync]));
        assert_eq!(of("Sync", "pre-install"), (true, vec![Phase::Sync]));
        assert_eq!(of("", "pre-install,pre-upgrade,post-delete"), (true, vec![Phase::PreSync]));
        assert_eq!(of("garbage", ""), (true, vec![]));
        assert_eq!(of("", "crd-install"), (false, vec![]));
        assert_eq!(of("Skip", ""), (false, vec![]));
        assert!(is_skipped(&json!({HOOK: "Skip"})) && !is_skipped(&json!({HOOK: "Skip,Sync"})));
    }

    #[test]
    fn waves_and_policies_have_defaults() {
        assert_eq!(wave(&json!({SYNC_WAVE: "-5", HELM_WEIGHT: "1"})), -5);
        assert_eq!(wave(&json!({SYNC_WAVE: "soon", HELM_WEIGHT: "1"})), 1);
        assert_eq!(wave(&json!({})), 0);
        assert_eq!(delete_policies(&json!({})), [DeletePolicy::BeforeHookCreation]);
        assert_eq!(delete_policies(&json!({HELM_DELETE_POLICY: "hook-succeeded"})), [DeletePolicy::HookSucceeded]);
    }
}

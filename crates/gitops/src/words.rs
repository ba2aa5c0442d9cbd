//! Words in one resource's annotations that are accepted but not acted on, each named with the resource.

use api::argo::annotation::{COMPARE_OPTIONS, HOOK, HOOK_DELETE_POLICY, SYNC_OPTIONS, SYNC_WAVE};
use api::argo::{ApplicationCondition, condition};
use serde_json::Value;

use crate::unsupported::is_acted_on;
use crate::{Key, Target};

/// Words named in one condition, so that it stays readable.
const NAMED_MAX: usize = 5;

const HOOKS: [&str; 5] = ["PreSync", "Sync", "PostSync", "SyncFail", "Skip"];
const POLICIES: [&str; 3] = ["BeforeHookCreation", "HookSucceeded", "HookFailed"];
const HELM_HOOK: &str = "helm.sh/hook";
/// Helm runs these at other times than a sync; Argo CD passes over the last three without a word, as we do.
const HELM_DELETE_HOOKS: [&str; 2] = ["pre-delete", "post-delete"];

/// Returns a condition that names what of the resources' annotations is not acted on, if there is any.
pub(crate) fn condition<'a>(targets: impl Iterator<Item = &'a Target>) -> Option<ApplicationCondition> {
    let mut all: Vec<String> = targets.flat_map(|target| not_acted_on(&target.key, target.annotations())).collect();
    let count = all.len();
    all.truncate(NAMED_MAX);
    if count > NAMED_MAX {
        all.push(format!("and {} more", count - NAMED_MAX));
    }
    (count > 0).then(|| ApplicationCondition {
        type_: condition::FIELDS_NOT_ACTED_ON.to_owned(),
        message: format!("accepted but not acted on: {}", all.join(", ")),
        last_transition_time: None,
    })
}

fn not_acted_on(key: &Key, annotations: &Value) -> Vec<String> {
    let text = |annotation: &str| annotations[annotation].as_str().unwrap_or_default();
    let words =
        |annotation: &str| text(annotation).split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let mut named: Vec<(&str, String)> = Vec::new();
    let mut name = |annotation: &'static str, words: Vec<String>| named.extend(words.into_iter().map(|word| (annotation, word)));
    let without = |annotation: &str, known: &[&str]| words(annotation).into_iter().filter(|w| !known.contains(&w.as_str())).collect();
    name(HOOK, without(HOOK, &HOOKS));
    name(HOOK_DELETE_POLICY, without(HOOK_DELETE_POLICY, &POLICIES));
    if text(HOOK).is_empty() {
        name(HELM_HOOK, words(HELM_HOOK).into_iter().filter(|w| HELM_DELETE_HOOKS.contains(&w.as_str())).collect());
    }
    name(SYNC_WAVE, words(SYNC_WAVE).into_iter().filter(|_| text(SYNC_WAVE).trim().parse::<i64>().is_err()).collect());
    name(SYNC_OPTIONS, words(SYNC_OPTIONS).into_iter().filter(|option| !is_acted_on(option)).collect());
    name(COMPARE_OPTIONS, words(COMPARE_OPTIONS).into_iter().filter(|option| !is_comparison(option)).collect());
    named.into_iter().map(|(annotation, word)| format!("{key}: metadata.annotations[{annotation}] ({word})")).collect()
}

/// Whether a comparison by the server's dry run, with what its webhooks change, does what the word asks for.
pub(crate) fn is_comparison(word: &str) -> bool {
    matches!(word, "IgnoreExtraneous" | "ServerSideDiff=true" | "IncludeMutationWebhook=true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_word_nobody_acts_on_is_named_with_its_resource() {
        let of = |annotation: &str, text: &str| {
            let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "shop"}});
            not_acted_on(&Key::of(&object), &json!({ annotation: text })).join(", ")
        };
        assert_eq!(of(HOOK, "PostDelete,PreSync"), "batch/Job shop/j: metadata.annotations[argocd.argoproj.io/hook] (PostDelete)");
        assert_eq!(of(HELM_HOOK, "pre-delete, test"), "batch/Job shop/j: metadata.annotations[helm.sh/hook] (pre-delete)");
        assert!(of(HOOK_DELETE_POLICY, "Never").ends_with("(Never)"));
        assert!(of(SYNC_WAVE, "soon").ends_with("(soon)"));
        assert!(of(SYNC_OPTIONS, "Force=true").ends_with("(Force=true)"));
        assert!(of(SYNC_OPTIONS, "ServerSideApply=false").ends_with("(ServerSideApply=false)"));
        assert!(of(COMPARE_OPTIONS, "ServerSideDiff=false").ends_with("(ServerSideDiff=false)"));
        for (annotation, text) in [
            (HOOK, "PreSync, Skip"),
            (SYNC_WAVE, " -3"),
            (SYNC_OPTIONS, "Prune=confirm,Delete=false,Replace=true,Validate=false,PrunePropagationPolicy=orphan"),
            (COMPARE_OPTIONS, "IgnoreExtraneous"),
        ] {
            assert_eq!(of(annotation, text), "");
        }
    }
}

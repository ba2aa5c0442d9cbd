//! The tasks of a sync and their order: phase, wave, kind, name; what others need first (`sync_tasks.go`).

use std::collections::BTreeMap;

use api::argo::{Operation, OperationState, ResourceResult, operation_phase as phase_word};
use serde_json::json;

use crate::hook::{self, DeletePolicy, Phase};
use crate::options::SyncOptions;
use crate::{Comparison, Key, Live, SyncCode, Target};

/// One object to apply or to prune, in one phase.
#[derive(Clone, Debug)]
pub(crate) struct Task<'a> {
    pub phase: Phase,
    pub wave: i64,
    pub key: Key,
    pub version: String,
    /// None for a prune.
    pub target: Option<&'a Target>,
    pub live: Option<&'a Live>,
    pub is_hook: bool,
    pub options: SyncOptions,
    /// What came of it so far in this operation.
    pub result: Option<ResourceResult>,
}

impl Task<'_> {
    pub fn is_prune(&self) -> bool {
        self.target.is_none()
    }

    fn phase_word(&self) -> &str {
        self.result.as_ref().map_or("", |r| r.hook_phase.as_str())
    }

    pub fn is_pending(&self) -> bool {
        self.phase_word().is_empty()
    }

    pub fn is_running(&self) -> bool {
        self.phase_word() == phase_word::RUNNING
    }

    pub fn is_completed(&self) -> bool {
        matches!(self.phase_word(), phase_word::SUCCEEDED | phase_word::FAILED | phase_word::ERROR)
    }

    pub fn has_failed(&self) -> bool {
        matches!(self.phase_word(), phase_word::FAILED | phase_word::ERROR)
    }

    /// Whether an old run of the hook stands in the way.
    pub fn needs_deleting(&self) -> bool {
        self.is_hook
            && self.is_pending()
            && self.live.is_some()
            && self.target.is_some_and(|t| t.has_policy(DeletePolicy::BeforeHookCreation))
    }

    pub fn group(&self) -> (Phase, i64) {
        (self.phase, self.wave)
    }
}

/// What tasks are made of.
pub(crate) struct Inputs<'a, 's> {
    pub targets: &'a [Target],
    pub live: &'a BTreeMap<Key, Live>,
    pub comparison: &'s Comparison,
    pub state: &'s OperationState,
    pub options: &'s SyncOptions,
    pub revision: &'s str,
}

/// Returns an operation's tasks in the order they run.
pub(crate) fn tasks<'a>(inputs: &Inputs<'a, '_>) -> Vec<Task<'a>> {
    let mut tasks: Vec<Task<'a>> = inputs.targets.iter().flat_map(|target| of_target(inputs, target)).collect();
    tasks.extend(inputs.comparison.resources.iter().filter(|r| r.requires_pruning).filter_map(|r| of_prune(inputs, &r.key)));
    tasks.retain(|task| is_selected(inputs, task));
    mirror_prune_waves(&mut tasks);
    tasks.sort_by(|a, b| {
        a.group().cmp(&b.group()).then_with(|| rank(a).cmp(&rank(b))).then_with(|| (&a.key.name, &a.key).cmp(&(&b.key.name, &b.key)))
    });
    bubble(&mut tasks);
    tasks
}

/// Prunes come first in their wave, dependants before what they need.
fn rank(task: &Task<'_>) -> i64 {
    let rank = i64::try_from(kinds::order::sync_rank(&task.key.kind)).unwrap_or(i64::MAX);
    if task.is_prune() { -1 - rank } else { rank }
}

fn of_target<'a>(inputs: &Inputs<'a, '_>, target: &'a Target) -> Vec<Task<'a>> {
    if target.is_skipped() || (target.is_generated() && !target.is_hook()) {
        return Vec::new();
    }
    let phases = target.phases();
    let make = |phase: Phase| {
        let mut key = target.key.clone();
        if target.is_generated() {
            key.name = generated_name(target, phase, inputs);
        }
        Task {
            phase,
            wave: target.wave(),
            version: target.version.clone(),
            target: Some(target),
            live: inputs.live.get(&key),
            is_hook: target.is_hook(),
            options: inputs.options.with_annotations(target.annotations()),
            result: result_of(inputs.state, &key, phase),
            key,
        }
    };
    phases.into_iter().map(make).collect()
}

/// `<generateName><revision>-<phase>-<start>`, as Argo CD: the same through one operation, new in the next.
fn generated_name(target: &Target, phase: Phase, inputs: &Inputs<'_, '_>) -> String {
    let stem = target.object["metadata"]["generateName"].as_str().unwrap_or_default();
    let begun = inputs.state.started_at.as_ref().map_or(0, |t| t.0.as_second());
    let revision: String = inputs.revision.chars().take(7).collect();
    format!("{stem}{revision}-{}-{begun}", phase.as_str().to_lowercase())
}

fn of_prune<'a>(inputs: &Inputs<'a, '_>, key: &Key) -> Option<Task<'a>> {
    let live = inputs.live.get(key)?;
    Some(Task {
        phase: Phase::Sync,
        wave: hook::wave(&live.annotations),
        key: key.clone(),
        version: live.version.clone(),
        target: None,
        live: Some(live),
        is_hook: false,
        options: inputs.options.with_annotations(&live.annotations),
        result: result_of(inputs.state, key, Phase::Sync),
    })
}

fn result_of(state: &OperationState, key: &Key, phase: Phase) -> Option<ResourceResult> {
    let results = &state.sync_result.as_ref()?.resources;
    results.iter().find(|r| Key::of_result(r) == *key && r.sync_phase == phase.as_str()).cloned()
}

/// Returns whether the operation is about the task: all, or a part (then without hooks), or only what is out of sync.
fn is_selected(inputs: &Inputs<'_, '_>, task: &Task<'_>) -> bool {
    if is_partial(&inputs.state.operation) {
        let resources = inputs.state.operation.sync.as_ref().map(|s| s.resources.as_slice()).unwrap_or_default();
        let includes = resources.iter().any(|r| !r.exclude);
        let named = |exclude: bool| resources.iter().any(|r| r.exclude == exclude && task.key.is_selected_by(r));
        return !task.is_hook && !named(true) && (!includes || named(false));
    }
    let is_wanted = task.is_hook || task.is_prune() || task.result.is_some() || !inputs.options.is("ApplyOutOfSyncOnly", "true");
    is_wanted || inputs.comparison.resources.iter().any(|r| r.key == task.key && r.sync != Some(SyncCode::Synced))
}

/// Returns whether an operation is about some resources only.
pub(crate) fn is_partial(operation: &Operation) -> bool {
    operation.sync.as_ref().is_some_and(|s| !s.resources.is_empty())
}

/// What was applied last goes first: distinct waves w1..wn of prunes are exchanged, wi with w(n+1-i);
/// `PruneLast` goes after everything.
fn mirror_prune_waves(tasks: &mut [Task<'_>]) {
    let mut waves: Vec<i64> = tasks.iter().filter(|t| t.is_prune()).map(|t| t.wave).collect();
    waves.sort_unstable();
    waves.dedup();
    for task in tasks.iter_mut().filter(|t| t.is_prune()) {
        let at = waves.binary_search(&task.wave).expect("every wave was collected");
        task.wave = waves[waves.len() - 1 - at];
    }
    let last = tasks.iter().filter(|t| t.phase == Phase::Sync).map(|t| t.wave).max().unwrap_or(0);
    for task in tasks.iter_mut().filter(|t| t.is_prune() && t.options.is("PruneLast", "true")) {
        task.wave = last + 1;
    }
}

/// Moves a Namespace before the first object in it and a definition before its first object, into that object's
/// phase and wave.
fn bubble(tasks: &mut Vec<Task<'_>>) {
    for kind in ["CustomResourceDefinition", "Namespace"] {
        for at in 0..tasks.len() {
            if tasks[at].key.kind != kind || tasks[at].is_prune() {
                continue;
            }
            let provider = &tasks[at];
            let Some(first) = tasks[..at].iter().position(|task| !task.is_prune() && needs(task, provider)) else { continue };
            let mut moved = tasks.remove(at);
            (moved.phase, moved.wave) = tasks[first].group();
            tasks.insert(first, moved);
        }
    }
}

fn needs(task: &Task<'_>, provider: &Task<'_>) -> bool {
    if provider.key.kind == "Namespace" {
        return task.key.namespace == provider.key.name;
    }
    let Some(definition) = provider.target.map(|t| &t.object["spec"]) else { return false };
    definition["group"] == json!(task.key.group) && definition["names"]["kind"] == json!(task.key.kind)
}

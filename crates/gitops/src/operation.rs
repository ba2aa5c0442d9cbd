//! One step of a running sync (`sync_context.go`): what to do now, what to wait for, when it is over.
//!
//! The state between two steps is `status.operationState`; nothing else is remembered. A step acts on one wave at most.
//!
//! Two differences from Argo CD, on purpose: a hook carries no finalizer, so that a removed agent leaves nothing
//! stuck; and an automated sync that waits for health gives way to a newer commit.

use std::collections::BTreeMap;

use api::Time;
use api::argo::{OperationState, ResourceResult, SyncOperationResult, operation_phase as phase_word, result_code};
use jiff::Timestamp;
use kinds::HealthStatus;
use serde_json::{Value, json};

use crate::confirm;
use crate::hook::DeletePolicy;
use crate::task::{Task, is_partial};
use crate::{Key, Live, Verdict};

/// Ends an operation for good: nobody wants it tried again.
pub(crate) const TERMINATED: &str = "operation terminated";
pub(crate) const SUPERSEDED: &str = "superseded by ";

/// How an object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Foreground,
    Background,
    Orphan,
}

impl Propagation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Foreground => "Foreground",
            Self::Background => "Background",
            Self::Orphan => "Orphan",
        }
    }

    /// Reads a `PrunePropagationPolicy`; foreground if it says nothing.
    pub(crate) fn parse(word: Option<&str>) -> Self {
        match word {
            Some("background") => Self::Background,
            Some("orphan") => Self::Orphan,
            _ => Self::Foreground,
        }
    }
}

/// Something to do on the cluster; doing it twice does no harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Server-side apply with force, as the engine's field manager.
    Apply { key: Key, version: String, object: Value },
    /// Put the object in place of the live one, or create it.
    Replace { key: Key, version: String, object: Value },
    /// Delete the object of this uid; `release` removes a hook finalizer first.
    Delete { key: Key, version: String, uid: String, propagation: Propagation, release: bool },
}

impl Action {
    pub fn key(&self) -> &Key {
        match self {
            Self::Apply { key, .. } | Self::Replace { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

/// Actions that may run at once; groups run one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Whether the groups after it wait for its success.
    pub is_required: bool,
    pub actions: Vec<Action>,
}

/// What came of each action: `(group, action)` to a message, or the reason it failed. What was not tried is absent.
pub type Outcomes = BTreeMap<(usize, usize), Result<String, String>>;

/// What a step decided.
pub(crate) struct Step {
    pub state: OperationState,
    pub groups: Vec<Group>,
    /// What to write down for each action.
    pub results: BTreeMap<(usize, usize), ResourceResult>,
    /// What the operation becomes if all actions succeed.
    pub then: Then,
    /// Whether hooks of the failure phase wait for a failure.
    pub has_fail_hooks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The state is already what it should be, whatever the actions bring.
    Keep,
    /// It is over, and well.
    Succeed,
    /// More is to come: look again at once.
    GoOn,
}

/// What a step looks at.
pub(crate) struct Inputs<'a> {
    pub tasks: Vec<Task<'a>>,
    pub state: OperationState,
    pub verdicts: &'a BTreeMap<Key, Verdict>,
    pub now: Timestamp,
    /// The Application's namespace object, if it is to be made.
    pub namespace: Option<Value>,
    /// When a person last said that what asks for it may be deleted.
    pub approved_at: Option<Timestamp>,
}

impl Step {
    pub fn keep(state: OperationState, groups: Vec<Group>) -> Self {
        Self { state, groups, results: BTreeMap::new(), then: Then::Keep, has_fail_hooks: false }
    }
}

/// Decides one step.
pub(crate) fn step(inputs: Inputs<'_>) -> Step {
    let Inputs { mut tasks, mut state, verdicts, now, namespace, approved_at } = inputs;
    let prunes = state.operation.sync.as_ref().is_some_and(|s| s.prune);
    let is_first = state.sync_result.as_ref().is_none_or(|r| r.resources.is_empty());
    // 1. Everything must be acceptable before anything is touched.
    if is_first {
        let refused = refusals(&tasks, verdicts);
        if !refused.is_empty() {
            refused.into_iter().for_each(|result| record(&mut state, result));
            finish(&mut state, phase_word::FAILED, "one or more objects failed to apply (dry run)", now);
            return Step::keep(state, Vec::new());
        }
    }
    // 2. What ran is looked at again.
    refresh(&mut tasks, &mut state);
    // 3. Several waves or a hook: wait for what runs.
    let has_waves = tasks.windows(2).any(|pair| pair[0].group() != pair[1].group());
    let waits_for: Vec<&Task<'_>> = tasks.iter().filter(|t| t.is_running() && (has_waves || t.is_hook)).collect();
    if let Some(first) = waits_for.first() {
        state.message = waiting(first, waits_for.len());
        return Step::keep(state, Vec::new());
    }
    let (fail_tasks, mut tasks): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|t| t.phase == crate::hook::Phase::SyncFail);
    // 4. A failure ends it, after its hooks.
    if tasks.iter().any(Task::has_failed) {
        return fail(state, &tasks, fail_tasks, "one or more synchronization tasks completed unsuccessfully", now);
    }
    let going: Vec<&Task<'_>> =
        tasks.iter().filter(|t| t.is_prune() && t.is_completed() && t.live.is_some_and(|l| l.is_being_deleted)).collect();
    if has_waves && let Some(first) = going.first() {
        state.message = format!("waiting for the deletion of {}{}", first.key, and_more(going.len()));
        return Step::keep(state, Vec::new());
    }
    // 5. Nothing is left.
    let cleanup = clean_up(&tasks, DeletePolicy::HookSucceeded);
    tasks.retain(Task::is_pending);
    if tasks.is_empty() {
        finish(&mut state, phase_word::SUCCEEDED, "successfully synced (no more tasks)", now);
        return Step::keep(state, cleanup);
    }
    // 6. A person's word, if a prune asks for one: the whole sync waits, as in Argo CD.
    let is_approved = state.started_at.as_ref().is_some_and(|begun| approved_at.is_some_and(|at| at.as_second() >= begun.0.as_second()));
    let unconfirmed: Vec<&Key> =
        tasks.iter().filter(|t| prunes && t.is_prune() && t.options.is("Prune", "confirm")).map(|t| &t.key).collect();
    if let Some(first) = unconfirmed.first().filter(|_| !is_approved) {
        state.message = confirm::waiting("pruning", &format!("{first}{}", and_more(unconfirmed.len())));
        return Step::keep(state, Vec::new());
    }
    // 7. The next wave.
    let current = tasks[0].group();
    let more = tasks.iter().any(|t| t.group() != current || t.is_hook) || !cleanup.is_empty();
    tasks.retain(|t| t.group() == current);
    state.phase = phase_word::RUNNING.to_owned();
    state.message = "one or more tasks are running".to_owned();
    let old: Vec<Action> = tasks.iter().filter(|t| t.needs_deleting()).filter_map(|t| delete(t.live?, Propagation::Background)).collect();
    if !old.is_empty() {
        state.message = format!("waiting for the deletion of {}{}, left by an earlier sync", old[0].key(), and_more(old.len()));
        return Step::keep(state, vec![Group { is_required: true, actions: old }]);
    }
    run(state, &tasks, prunes, namespace.filter(|_| is_first), if more { Then::GoOn } else { Then::Succeed }, !fail_tasks.is_empty())
}

/// The actions of one wave: prunes first, then kind by kind.
fn run(state: OperationState, tasks: &[Task<'_>], prunes: bool, namespace: Option<Value>, then: Then, has_fail_hooks: bool) -> Step {
    let mut step = Step { state, groups: Vec::new(), results: BTreeMap::new(), then, has_fail_hooks };
    if let Some(object) = namespace {
        let action = Action::Apply { key: Key::of(&object), version: "v1".into(), object };
        step.groups.push(Group { is_required: true, actions: vec![action] });
    }
    let mut pruned = Group { is_required: true, actions: Vec::new() };
    let at = step.groups.len();
    for task in tasks.iter().filter(|t| t.is_prune()) {
        let ignored = if task.options.is("Prune", "false") {
            Some("ignored (no prune)")
        } else if !prunes {
            Some("ignored (requires pruning)")
        } else {
            None
        };
        if let Some(message) = ignored {
            record(&mut step.state, result(task, result_code::PRUNE_SKIPPED, phase_word::SUCCEEDED, message));
        } else if let Some(action) = task.live.and_then(|l| delete(l, Propagation::parse(task.options.get("PrunePropagationPolicy")))) {
            step.results.insert((at, pruned.actions.len()), result(task, result_code::PRUNED, phase_word::SUCCEEDED, "pruned"));
            pruned.actions.push(action);
        }
    }
    if !pruned.actions.is_empty() {
        step.groups.push(pruned);
    }
    let mut kind = None;
    for task in tasks.iter().filter(|t| !t.is_prune()) {
        let Some(target) = task.target else { continue };
        if kind != Some(&task.key.kind) || step.groups.is_empty() {
            step.groups.push(Group { is_required: false, actions: Vec::new() });
            kind = Some(&task.key.kind);
        }
        let group = step.groups.len() - 1;
        let actions = &mut step.groups[group].actions;
        step.results.insert((group, actions.len()), result(task, result_code::SYNCED, phase_word::RUNNING, ""));
        actions.push(apply(task, &target.object));
    }
    step
}

fn apply(task: &Task<'_>, object: &Value) -> Action {
    let (key, version, mut object) = (task.key.clone(), task.version.clone(), object.clone());
    if object["metadata"]["name"].is_null() {
        object["metadata"]["name"] = json!(key.name);
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("generateName");
        }
    }
    // Replacing either would delete what depends on it.
    let may_replace = !matches!(key.kind.as_str(), "CustomResourceDefinition" | "Namespace");
    if task.options.is("Replace", "true") && may_replace {
        Action::Replace { key, version, object }
    } else {
        Action::Apply { key, version, object }
    }
}

fn delete(live: &Live, propagation: Propagation) -> Option<Action> {
    let (key, version, uid) = (live.key.clone(), live.version.clone(), live.uid.clone());
    (!live.is_being_deleted || live.is_held).then_some(Action::Delete { key, version, uid, propagation, release: live.is_held })
}

/// Folds what came of the actions into the state. Returns whether to look again at once.
pub(crate) fn conclude(step: Step, outcomes: &Outcomes, now: Timestamp) -> (OperationState, bool) {
    let Step { mut state, groups, results, then, has_fail_hooks } = step;
    let mut failed = Vec::new();
    for (at, outcome) in outcomes {
        match (results.get(at).cloned(), outcome) {
            (Some(mut result), Ok(message)) => {
                if !message.is_empty() {
                    result.message = message.clone();
                }
                record(&mut state, result);
            }
            (Some(mut result), Err(why)) => {
                failed.push(format!("{}: {why}", Key::of_result(&result)));
                result.status = result_code::SYNC_FAILED.to_owned();
                result.hook_phase = phase_word::FAILED.to_owned();
                result.message = why.clone();
                record(&mut state, result);
            }
            (None, Err(why)) => {
                let key = groups.get(at.0).and_then(|g| g.actions.get(at.1)).map(|a| a.key().to_string()).unwrap_or_default();
                failed.push(format!("{key}: {why}"));
            }
            (None, Ok(_)) => {}
        }
    }
    if then == Then::Keep {
        return (state, false);
    }
    if let Some(first) = failed.first() {
        if has_fail_hooks {
            // The next step sees the failed task and runs them.
            return (state, true);
        }
        finish(
            &mut state,
            phase_word::FAILED,
            &format!("one or more objects failed to apply, reason: {first}{}", and_more(failed.len())),
            now,
        );
        return (state, false);
    }
    if then == Then::Succeed {
        finish(&mut state, phase_word::SUCCEEDED, "successfully synced (all tasks run)", now);
    }
    (state, true)
}

/// Ends the operation as failed, or runs its failure hooks before.
fn fail(mut state: OperationState, tasks: &[Task<'_>], hooks: Vec<Task<'_>>, message: &str, now: Timestamp) -> Step {
    let reasons: Vec<String> = tasks.iter().filter(|t| t.has_failed()).map(|t| format!("{}: {}", t.key, failure_text(t))).collect();
    let message = match reasons.first() {
        Some(first) => format!("{message}, reason: {first}{}", and_more(reasons.len())),
        None => message.to_owned(),
    };
    let pending: Vec<Task<'_>> = hooks.iter().filter(|t| t.is_pending()).cloned().collect();
    if let Some(first) = pending.first() {
        let wave = first.wave;
        let wave_tasks: Vec<Task<'_>> = pending.into_iter().filter(|t| t.wave == wave).collect();
        let old: Vec<Action> =
            wave_tasks.iter().filter(|t| t.needs_deleting()).filter_map(|t| delete(t.live?, Propagation::Background)).collect();
        state.message = message;
        if !old.is_empty() {
            return Step::keep(state, vec![Group { is_required: true, actions: old }]);
        }
        return run(state, &wave_tasks, false, None, Then::GoOn, false);
    }
    let all: Vec<Task<'_>> = tasks.iter().chain(&hooks).cloned().collect();
    finish(&mut state, phase_word::FAILED, &message, now);
    Step::keep(state, clean_up(&all, DeletePolicy::HookFailed))
}

fn failure_text(task: &Task<'_>) -> String {
    task.result.as_ref().map(|r| r.message.clone()).filter(|m| !m.is_empty()).unwrap_or_else(|| "it failed".to_owned())
}

/// Ends an operation that was told to end: its running hooks are deleted.
pub(crate) fn terminate(mut state: OperationState, tasks: &[Task<'_>], now: Timestamp) -> Step {
    let hooks: Vec<Action> =
        tasks.iter().filter(|t| t.is_hook && t.is_running()).filter_map(|t| delete(t.live?, Propagation::Background)).collect();
    finish(&mut state, phase_word::FAILED, TERMINATED, now);
    Step::keep(state, if hooks.is_empty() { Vec::new() } else { vec![Group { is_required: false, actions: hooks }] })
}

/// Deletes finished hooks whose policy asks for it.
fn clean_up(tasks: &[Task<'_>], policy: DeletePolicy) -> Vec<Group> {
    let has_ended_so = |task: &&Task<'_>| task.is_completed() && task.has_failed() == (policy == DeletePolicy::HookFailed);
    let hooks = tasks.iter().filter(|t| t.is_hook && t.target.is_some_and(|target| target.has_policy(policy))).filter(has_ended_so);
    let actions: Vec<Action> = hooks.filter_map(|t| delete(t.live?, Propagation::Background)).collect();
    if actions.is_empty() { Vec::new() } else { vec![Group { is_required: false, actions }] }
}

/// Says how running tasks stand by their live objects' health.
fn refresh(tasks: &mut [Task<'_>], state: &mut OperationState) {
    for task in tasks.iter_mut().filter(|t| t.is_running()) {
        let Some(mut result) = task.result.clone() else { continue };
        let ended = match (task.live, task.live.and_then(|l| l.health.as_ref())) {
            (None, _) if task.is_hook => {
                Some((phase_word::FAILED, "it is gone before its outcome was seen; remove ttlSecondsAfterFinished".to_owned()))
            }
            (None, _) => None,
            (Some(_), None) => Some((phase_word::SUCCEEDED, result.message.clone())),
            (Some(_), Some(health)) => match health.status {
                HealthStatus::Healthy => Some((phase_word::SUCCEEDED, health.message.clone())),
                HealthStatus::Degraded => Some((phase_word::FAILED, health.message.clone())),
                HealthStatus::Unknown if task.is_hook => Some((phase_word::FAILED, health.message.clone())),
                HealthStatus::Unknown | HealthStatus::Progressing | HealthStatus::Suspended | HealthStatus::Missing => None,
            },
        };
        if let Some((phase, message)) = ended {
            result.hook_phase = phase.to_owned();
            if !message.is_empty() {
                result.message = message;
            }
            record(state, result.clone());
            task.result = Some(result);
        }
    }
}

fn refusals(tasks: &[Task<'_>], verdicts: &BTreeMap<Key, Verdict>) -> Vec<ResourceResult> {
    let why = |task: &Task<'_>| -> Option<String> {
        let target = task.target?;
        if !target.is_kind_known {
            let is_let_pass = task.options.is("SkipDryRunOnMissingResource", "true");
            let kind = &task.key.kind;
            return (!is_let_pass).then(|| {
                format!("the cluster has no kind {kind} in group {:?}; apply its CustomResourceDefinition first", task.key.group)
            });
        }
        match verdicts.get(&task.key) {
            Some(Verdict::Invalid(why)) => Some(why.clone()),
            _ => None,
        }
    };
    tasks.iter().filter_map(|task| Some(result(task, result_code::SYNC_FAILED, phase_word::FAILED, &why(task)?))).collect()
}

fn result(task: &Task<'_>, code: &str, phase: &str, message: &str) -> ResourceResult {
    let Key { group, kind, namespace, name } = task.key.clone();
    let hook_type = if task.is_hook { task.phase.as_str().to_owned() } else { String::new() };
    ResourceResult {
        group,
        version: task.version.clone(),
        kind,
        namespace,
        name,
        status: if task.is_hook && code == result_code::SYNCED { String::new() } else { code.to_owned() },
        message: message.to_owned(),
        hook_type,
        hook_phase: phase.to_owned(),
        sync_phase: task.phase.as_str().to_owned(),
        images: task.target.map(|t| kinds::images(&t.object).into_iter().collect()).unwrap_or_default(),
    }
}

/// Writes a result down in the place of the one before.
fn record(state: &mut OperationState, result: ResourceResult) {
    let results = &mut state.sync_result.get_or_insert_with(SyncOperationResult::default).resources;
    match results.iter_mut().find(|r| Key::of_result(r) == Key::of_result(&result) && r.sync_phase == result.sync_phase) {
        Some(old) => *old = result,
        None => results.push(result),
    }
}

/// Ends the operation, or has it wait for another try.
pub(crate) fn finish(state: &mut OperationState, phase: &str, message: &str, now: Timestamp) {
    let count = state.retry_count.unwrap_or(0);
    let may_retry = phase != phase_word::SUCCEEDED && message != TERMINATED && !message.starts_with(SUPERSEDED);
    state.finished_at = Some(Time(now));
    if may_retry && crate::retry::is_allowed(state.operation.retry.as_ref(), count) {
        let wait = crate::retry::wait(state.operation.retry.as_ref(), count);
        state.phase = phase_word::RUNNING.to_owned();
        state.retry_count = Some(count + 1);
        state.message = format!("{message}. Trying again (number {}) in {} s", count + 1, wait.as_secs());
    } else {
        state.phase = phase.to_owned();
        state.message = match count {
            0 => message.to_owned(),
            _ if phase == phase_word::SUCCEEDED => message.to_owned(),
            count => format!("{message} (tried again {count} times)"),
        };
    }
}

/// Returns whether an operation keeps no history: it was about a part.
pub(crate) fn leaves_no_history(state: &OperationState) -> bool {
    is_partial(&state.operation)
}

fn waiting(first: &Task<'_>, count: usize) -> String {
    let what = if first.is_hook { "completion of hook" } else { "healthy state of" };
    format!("waiting for {what} {}{}", first.key, and_more(count))
}

fn and_more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

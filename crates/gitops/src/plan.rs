//! One look at an Application: what its status says, and what is to be done now.

use std::collections::BTreeMap;

use api::Time;
use api::argo::{
    Application, ApplicationCondition, ApplicationSpec, ApplicationStatus, Operation, OperationState, SyncOperationResult, condition,
    operation_phase,
};
use jiff::{SignedDuration, Timestamp};
use kinds::{Health, HealthStatus};
use serde_json::{Value, json};

use crate::auto::{self, Auto, short};
use crate::confirm;
use crate::operation::{self, Step};
use crate::options::SyncOptions;
use crate::status::{self, Said};
use crate::task::{self, Inputs};
use crate::unsupported::refused;
use crate::{Comparison, Group, Key, Live, Outcomes, SyncCode, Targets, Verdict, compare, health, invalid, retry, unsupported};

/// What a revision renders to, and how the server takes it.
#[derive(Clone, Copy, Debug)]
pub struct Desired<'a> {
    /// The commit.
    pub revision: &'a str,
    pub source_type: &'a str,
    pub targets: &'a Targets,
    pub verdicts: &'a BTreeMap<Key, Verdict>,
}

/// All that matters for one look.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    pub app: &'a Application,
    /// The Application's name in tracking ids.
    pub instance: &'a str,
    /// What the target revision asks for, or why that is not known.
    pub desired: Result<Desired<'a>, String>,
    /// The same for the operation's revision, where that is another one.
    pub operation_desired: Option<Result<Desired<'a>, String>>,
    /// Live objects named by targets or tracked to the Application.
    pub live: &'a BTreeMap<Key, Live>,
    /// Whether the destination's namespace exists; it matters only where [`may_make_namespace`] says so.
    pub has_namespace: bool,
    pub controller_namespace: &'a str,
    pub now: Timestamp,
}

/// What to do, and what the status says before it is done.
pub struct Plan {
    /// Whether `operation` has been taken up and is to be removed.
    pub takes_operation: bool,
    /// Why nothing is done, in words an operator can use; or what is done.
    pub reason: String,
    /// When to look again, even if nothing changes.
    pub next: Option<SignedDuration>,
    /// Why objects are out of sync, in words, where they are not just missing.
    pub notes: BTreeMap<Key, String>,
    said: Draft,
    step: Option<Step>,
}

/// A status without its operation.
struct Draft {
    spec: ApplicationSpec,
    before: ApplicationStatus,
    sync: SyncCode,
    revision: String,
    source_type: String,
    health: Health,
    comparison: Option<Comparison>,
    conditions: Vec<ApplicationCondition>,
    operation: Option<OperationState>,
    controller_namespace: String,
    now: Timestamp,
}

impl Draft {
    fn status(self, operation: Option<OperationState>, has_stepped: bool, now: Timestamp) -> ApplicationStatus {
        status::status(Said {
            spec: &self.spec,
            before: self.before,
            sync: self.sync,
            revision: &self.revision,
            source_type: &self.source_type,
            health: self.health,
            comparison: self.comparison.as_ref(),
            conditions: self.conditions,
            operation,
            has_stepped,
            controller_namespace: &self.controller_namespace,
            now,
        })
    }
}

impl Plan {
    /// Returns what to do now.
    pub fn groups(&self) -> &[Group] {
        self.step.as_ref().map_or(&[], |step| &step.groups)
    }

    /// Returns the status after the actions, and whether to look again at once.
    pub fn finish(mut self, outcomes: &Outcomes, now: Timestamp) -> (ApplicationStatus, bool) {
        let has_stepped = self.step.is_some();
        // What comes after an operation that has just ended is for the next look to say.
        let stands_at = |o: &OperationState| (o.phase.clone(), o.finished_at.clone());
        let before = self.said.operation.as_ref().map(stands_at);
        let (operation, again) = match self.step {
            Some(step) => {
                let (state, again) = operation::conclude(step, outcomes, now);
                let has_moved = before.as_ref() != Some(&stands_at(&state));
                (Some(state), again || has_moved)
            }
            None => (self.said.operation.take(), false),
        };
        let at = self.said.now;
        (self.said.status(operation, has_stepped, at), again)
    }
}

/// Decides for one Application.
pub fn plan(observed: &Observed<'_>) -> Plan {
    let app = observed.app;
    let before = app.status.clone().unwrap_or_default();
    let mut conditions: Vec<ApplicationCondition> = Vec::new();
    let fields = unsupported(app);
    if !fields.is_empty() {
        conditions.push(said(condition::FIELDS_NOT_ACTED_ON, format!("accepted but not acted on: {}", fields.join(", "))));
    }
    let is_valid = invalid(app).map(|why| conditions.push(said(condition::INVALID_SPEC_ERROR, why))).is_none();
    let comparison = match &observed.desired {
        Ok(desired) if is_valid => Some(compare(&desired.targets.targets, observed.live, desired.verdicts, observed.instance)),
        Ok(_) => None,
        Err(why) => {
            if is_valid {
                conditions.push(said(condition::COMPARISON_ERROR, why.clone()));
            }
            None
        }
    };
    if let (Ok(desired), Some(comparison)) = (&observed.desired, &comparison) {
        conditions.extend(desired.targets.conditions.iter().cloned());
        let refused = comparison.refused.iter().map(|(key, why)| said(condition::COMPARISON_ERROR, format!("{key}: {why}")));
        conditions.extend(refused);
        let shared = comparison
            .shared
            .iter()
            .map(|(key, other)| said(condition::SHARED_RESOURCE_WARNING, format!("{key} is part of Application {other} as well")));
        conditions.extend(shared);
    }
    let mut draft = Draft {
        spec: app.spec.clone(),
        sync: comparison.as_ref().map_or(SyncCode::Unknown, |c| c.sync),
        revision: observed.desired.as_ref().map_or(before.sync.revision.clone(), |d| d.revision.to_owned()),
        source_type: observed.desired.as_ref().map_or(String::new(), |d| d.source_type.to_owned()),
        health: comparison.as_ref().map_or_else(|| health_without_git(observed), health::roll_up),
        comparison,
        conditions,
        operation: before.operation_state.clone(),
        before,
        controller_namespace: observed.controller_namespace.to_owned(),
        now: observed.now,
    };
    let decision = if is_valid { decide(observed, &mut draft) } else { Decision::nothing("the spec is not usable, see status.conditions") };
    let Decision { step, takes_operation, reason, next } = decision;
    let notes = draft.comparison.iter().flat_map(|c| &c.resources).filter(|r| r.sync == Some(SyncCode::OutOfSync) && !r.note.is_empty());
    let notes = notes.map(|r| (r.key.clone(), r.note.clone())).collect();
    Plan { takes_operation, reason, next, notes, said: draft, step }
}

struct Decision {
    step: Option<Step>,
    takes_operation: bool,
    reason: String,
    next: Option<SignedDuration>,
}

impl Decision {
    fn nothing(why: impl Into<String>) -> Self {
        Self { step: None, takes_operation: false, reason: why.into(), next: None }
    }
}

/// Chooses the operation to go on with: the running one, one asked for, or one of our own.
fn decide(observed: &Observed<'_>, draft: &mut Draft) -> Decision {
    let running = draft.operation.as_ref().filter(|o| matches!(o.phase.as_str(), operation_phase::RUNNING | operation_phase::TERMINATING));
    if let Some(state) = running.cloned() {
        return go_on(observed, draft, state);
    }
    if let Some(asked) = &observed.app.operation {
        let mut decision = start(observed, draft, asked.clone());
        decision.takes_operation = true;
        return decision;
    }
    let (Ok(desired), Some(comparison)) = (&observed.desired, &draft.comparison) else {
        return Decision::nothing("Git's wishes are not known, see status.conditions");
    };
    match auto::decide(observed.app, comparison, desired.revision, observed.now) {
        Auto::Start(operation) => start(observed, draft, *operation),
        Auto::Nothing { why, next, error } => {
            draft.conditions.extend(error.map(|message| said(condition::SYNC_ERROR, message)));
            Decision { step: None, takes_operation: false, reason: why, next }
        }
    }
}

fn start(observed: &Observed<'_>, draft: &Draft, mut operation: Operation) -> Decision {
    let why = refused(&operation);
    let (Some(sync), None) = (operation.sync.as_mut(), &why) else {
        let state = OperationState {
            operation,
            phase: operation_phase::ERROR.to_owned(),
            message: why.unwrap_or_default(),
            started_at: Some(Time(observed.now)),
            finished_at: Some(Time(observed.now)),
            ..OperationState::default()
        };
        return keep(state, "the operation is not usable");
    };
    if sync.sync_options.is_empty() {
        sync.sync_options = observed.app.spec.sync_policy.as_ref().map(|p| p.sync_options.clone()).unwrap_or_default();
    }
    let state = OperationState {
        operation,
        phase: operation_phase::RUNNING.to_owned(),
        started_at: Some(Time(observed.now)),
        ..OperationState::default()
    };
    go_on(observed, draft, state)
}

fn keep(state: OperationState, reason: &str) -> Decision {
    Decision { step: Some(Step::keep(state, Vec::new())), takes_operation: false, reason: reason.to_owned(), next: None }
}

fn go_on(observed: &Observed<'_>, draft: &Draft, mut state: OperationState) -> Decision {
    let now = observed.now;
    let desired = match observed.operation_desired.as_ref().unwrap_or(&observed.desired) {
        Ok(desired) => desired,
        Err(_) if state.phase == operation_phase::TERMINATING => {
            operation::finish(&mut state, operation_phase::FAILED, operation::TERMINATED, now);
            return keep(state, "terminated");
        }
        Err(why) => {
            operation::finish(&mut state, operation_phase::ERROR, why, now);
            return keep(state, "the operation's revision is not known");
        }
    };
    let is_automated = state.operation.initiated_by.as_ref().is_some_and(|i| i.automated);
    // A newer commit replaces an automated sync that only waits.
    if is_automated
        && let Ok(newest) = &observed.desired
        && state.sync_result.as_ref().is_some_and(|r| !r.revision.is_empty() && r.revision != newest.revision)
        && !has_running_hook(&state)
    {
        let message = format!("{}{}", operation::SUPERSEDED, short(newest.revision));
        operation::finish(&mut state, operation_phase::FAILED, &message, now);
        let mut decision = keep(state, &message);
        decision.next = Some(SignedDuration::ZERO);
        return decision;
    }
    // A failed try waits for the next, which begins afresh.
    if state.phase == operation_phase::RUNNING
        && let Some(failed_at) = &state.finished_at
    {
        let wait = retry::wait(state.operation.retry.as_ref(), (state.retry_count.unwrap_or(1) - 1).max(0));
        let elapsed = now.duration_since(failed_at.0);
        if elapsed < wait {
            let reason = state.message.clone();
            let mut decision = keep(state, &reason);
            decision.next = Some(wait - elapsed);
            return decision;
        }
        state.finished_at = None;
        state.sync_result = None;
    }
    let result = state.sync_result.get_or_insert_with(SyncOperationResult::default);
    result.revision = desired.revision.to_owned();
    let source = state.operation.sync.as_ref().and_then(|s| s.source.clone());
    result.source = source.or_else(|| observed.app.spec.sources().first().cloned());
    let words = state.operation.sync.as_ref().map(|s| s.sync_options.clone()).unwrap_or_default();
    let options = SyncOptions::new(words.iter().map(String::as_str));
    let own;
    let comparison = match (&observed.operation_desired, &draft.comparison) {
        (None, Some(comparison)) => comparison,
        _ => {
            own = compare(&desired.targets.targets, observed.live, desired.verdicts, observed.instance);
            &own
        }
    };
    let inputs = Inputs {
        targets: &desired.targets.targets,
        comparison,
        live: observed.live,
        state: &state,
        options: &options,
        revision: desired.revision,
    };
    let tasks = task::tasks(&inputs);
    if state.phase == operation_phase::TERMINATING {
        let step = operation::terminate(state, &tasks, now);
        return Decision { step: Some(step), takes_operation: false, reason: "terminated".into(), next: None };
    }
    let namespace = namespace_to_make(observed, &options, desired.targets);
    let approved_at = confirm::approved_at(observed.app);
    let step = operation::step(operation::Inputs { tasks, state, verdicts: desired.verdicts, now, namespace, approved_at });
    let reason = format!("sync to {}: {}", short(desired.revision), step.state.message);
    let next = (step.state.phase == operation_phase::RUNNING && step.state.finished_at.is_some())
        .then(|| retry::wait(step.state.operation.retry.as_ref(), (step.state.retry_count.unwrap_or(1) - 1).max(0)));
    Decision { step: Some(step), takes_operation: false, reason, next }
}

fn has_running_hook(state: &OperationState) -> bool {
    state
        .sync_result
        .as_ref()
        .is_some_and(|r| r.resources.iter().any(|r| !r.hook_type.is_empty() && r.hook_phase == operation_phase::RUNNING))
}

/// Returns whether a sync of an Application, or the operation it asks for, may make the destination's namespace.
pub fn may_make_namespace(app: &Application) -> bool {
    let running = app.status.as_ref().and_then(|s| s.operation_state.as_ref()).map(|state| &state.operation);
    let asked = [running, app.operation.as_ref()].into_iter().flatten().filter_map(|o| o.sync.as_ref()).map(|s| &s.sync_options);
    let all = asked.chain(app.spec.sync_policy.as_ref().map(|p| &p.sync_options));
    all.into_iter().any(|words| SyncOptions::new(words.iter().map(String::as_str)).is("CreateNamespace", "true"))
}

/// Returns the destination's namespace object, if the sync is to make it or to keep its metadata.
fn namespace_to_make(observed: &Observed<'_>, options: &SyncOptions, targets: &Targets) -> Option<Value> {
    let name = observed.app.spec.destination.namespace.as_str();
    let managed = observed.app.spec.sync_policy.as_ref().and_then(|p| p.managed_namespace_metadata.as_ref());
    let is_in_git = targets.targets.iter().any(|t| t.key.kind == "Namespace" && t.key.group.is_empty() && t.key.name == name);
    if name.is_empty() || is_in_git || !options.is("CreateNamespace", "true") || (observed.has_namespace && managed.is_none()) {
        return None;
    }
    let mut object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    if let Some(managed) = managed {
        object["metadata"]["labels"] = json!(managed.labels);
        object["metadata"]["annotations"] = json!(managed.annotations);
    }
    Some(object)
}

/// The health of what is live, when Git's wishes are unknown; with nothing live it is unknown, never green.
fn health_without_git(observed: &Observed<'_>) -> Health {
    let own: BTreeMap<Key, Live> = observed
        .live
        .iter()
        .filter(|(_, l)| l.tracked_by() == Some((observed.instance, true)))
        .map(|(k, l)| (k.clone(), l.clone()))
        .collect();
    if own.is_empty() {
        return Health::new(HealthStatus::Unknown, "nothing of it is known to be on the cluster");
    }
    health::roll_up(&compare(&[], &own, &BTreeMap::new(), observed.instance))
}

fn said(type_: &str, message: impl Into<String>) -> ApplicationCondition {
    ApplicationCondition { type_: type_.to_owned(), message: message.into(), last_transition_time: None }
}

//! The Application's status, in Argo CD's shape.

use api::Time;
use api::argo::{
    ApplicationCondition, ApplicationSpec, ApplicationStatus, ApplicationSummary, ComparedTo, HealthStatus, OperationState, ResourceStatus,
    RevisionHistory, SyncStatus, condition,
};
use jiff::Timestamp;
use kinds::Health;

use crate::operation::leaves_no_history;
use crate::{Comparison, SyncCode};

/// Resources listed one by one: some 3,000 no longer fit into what etcd stores.
const RESOURCES_MAX: usize = 1_000;
/// Conditions of one Application.
const CONDITIONS_MAX: usize = 20;
const HISTORY_DEFAULT: i64 = 10;

/// What the status says beside the operation.
pub(crate) struct Said<'a> {
    pub spec: &'a ApplicationSpec,
    pub before: ApplicationStatus,
    pub sync: SyncCode,
    pub revision: &'a str,
    pub source_type: &'a str,
    pub health: Health,
    pub comparison: Option<&'a Comparison>,
    pub conditions: Vec<ApplicationCondition>,
    pub operation: Option<OperationState>,
    /// Whether the operation was in progress until now.
    pub has_stepped: bool,
    pub controller_namespace: &'a str,
    pub now: Timestamp,
}

/// Returns the new status; times of what did not change stay.
pub(crate) fn status(said: Said<'_>) -> ApplicationStatus {
    let Said {
        spec,
        before,
        sync,
        revision,
        source_type,
        health,
        comparison,
        mut conditions,
        operation,
        has_stepped,
        controller_namespace,
        now,
    } = said;
    let now = whole_second(now);
    let resources = match comparison {
        Some(comparison) => {
            if comparison.resources.len() > RESOURCES_MAX {
                conditions.push(cut("status.resources", RESOURCES_MAX, comparison.resources.len()));
            }
            comparison.resources.iter().take(RESOURCES_MAX).map(resource_status).collect()
        }
        None => before.resources,
    };
    let images = comparison.map(|comparison| {
        let mut images: Vec<String> = comparison.resources.iter().flat_map(|r| r.images.iter().cloned()).collect();
        images.sort();
        images.dedup();
        images
    });
    // Revision and source belong together: after an error both are those of the last comparison.
    let compared_to = if comparison.is_some() || before.sync.revision.is_empty() { compared_to(spec) } else { before.sync.compared_to };
    let history = history(spec, before.history, operation.as_ref().filter(|_| has_stepped));
    ApplicationStatus {
        sync: SyncStatus { status: sync.to_string(), compared_to, revision: revision.to_owned(), revisions: Vec::new() },
        health: health_status(&health, &before.health, now),
        resources,
        operation_state: operation,
        history,
        conditions: keep_times(conditions, &before.conditions, now),
        summary: ApplicationSummary { images: images.unwrap_or(before.summary.images), ..before.summary },
        source_type: if source_type.is_empty() { before.source_type } else { source_type.to_owned() },
        source_types: before.source_types,
        reconciled_at: Some(Time(now)),
        observed_at: before.observed_at,
        resource_health_source: String::new(),
        controller_namespace: controller_namespace.to_owned(),
    }
}

fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn compared_to(spec: &ApplicationSpec) -> ComparedTo {
    ComparedTo {
        source: spec.sources().first().cloned(),
        sources: Vec::new(),
        destination: spec.destination.clone(),
        ignore_differences: spec.ignore_differences.clone(),
    }
}

fn health_status(health: &Health, before: &HealthStatus, now: Timestamp) -> HealthStatus {
    let is_same = before.status == health.status.as_str();
    let since = before.last_transition_time.clone().filter(|_| is_same).unwrap_or(Time(now));
    HealthStatus { status: health.status.to_string(), message: health.message.clone(), last_transition_time: Some(since) }
}

fn resource_status(resource: &crate::Resource) -> ResourceStatus {
    let health = resource.health.as_ref().map(|health| HealthStatus {
        status: health.status.to_string(),
        message: health.message.clone(),
        last_transition_time: None,
    });
    ResourceStatus {
        group: resource.key.group.clone(),
        version: resource.version.clone(),
        kind: resource.key.kind.clone(),
        namespace: resource.key.namespace.clone(),
        name: resource.key.name.clone(),
        status: resource.sync.map(|code| code.to_string()).unwrap_or_default(),
        health,
        hook: resource.is_hook,
        requires_pruning: resource.requires_pruning,
        sync_wave: (resource.wave != 0).then_some(resource.wave),
        requires_deletion_confirmation: resource.requires_confirmation,
    }
}

fn keep_times(mut conditions: Vec<ApplicationCondition>, before: &[ApplicationCondition], now: Timestamp) -> Vec<ApplicationCondition> {
    if conditions.len() > CONDITIONS_MAX {
        let cut = cut("status.conditions", CONDITIONS_MAX - 1, conditions.len());
        conditions.truncate(CONDITIONS_MAX - 1);
        conditions.push(cut);
    }
    for condition in &mut conditions {
        let same = before.iter().find(|c| c.type_ == condition.type_ && c.message == condition.message);
        condition.last_transition_time = same.and_then(|c| c.last_transition_time.clone()).or(Some(Time(now)));
    }
    conditions
}

fn cut(list: &str, kept: usize, count: usize) -> ApplicationCondition {
    let message = format!("{list} holds the first {kept} of {count}; split the Application to see all");
    ApplicationCondition { type_: condition::LIST_CUT.to_owned(), message, last_transition_time: None }
}

/// Adds a finished full sync to the history, once.
fn history(spec: &ApplicationSpec, mut history: Vec<RevisionHistory>, operation: Option<&OperationState>) -> Vec<RevisionHistory> {
    let Some(done) = operation.filter(|o| o.phase == api::argo::operation_phase::SUCCEEDED && !leaves_no_history(o)) else {
        return history;
    };
    let Some(result) = &done.sync_result else { return history };
    history.push(RevisionHistory {
        id: history.last().map_or(0, |h| h.id + 1),
        revision: result.revision.clone(),
        revisions: Vec::new(),
        source: result.source.clone(),
        sources: Vec::new(),
        deployed_at: done.finished_at.clone(),
        deploy_started_at: done.started_at.clone(),
        initiated_by: done.operation.initiated_by.clone(),
    });
    let limit = usize::try_from(spec.revision_history_limit.unwrap_or(HISTORY_DEFAULT)).unwrap_or(0);
    let surplus = history.len().saturating_sub(limit);
    history.split_off(surplus)
}

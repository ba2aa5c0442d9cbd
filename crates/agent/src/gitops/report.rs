//! What is written into an Application, and what the hub is told of it.

use api::argo::{Application, ApplicationStatus, annotation, condition, operation_phase, sync_status};
use api::report;
use gitops::Engine;

use super::since::{SYNC_SINCE, Since};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::application::AnyApplication;

/// `reconciledAt` alone is written no more often: a look that found nothing new is no write.
const RECONCILED_AGE_SECONDS: i64 = 600;
/// Of what one object says of its health.
const RESOURCE_MESSAGE_CHARS_MAX: usize = 200;

/// What to change in an Application.
pub(super) struct Change<'a> {
    pub status: &'a ApplicationStatus,
    /// Whether `operation` was taken up.
    pub takes_operation: bool,
    /// Since when `status.sync.status` is what it is.
    pub sync_since: Option<jiff::Timestamp>,
}

/// Writes an Application if it changed; returns it as it is now. A conflict is an error: somebody else wrote, look again.
pub(super) async fn write(client: &kube::Client, app: &AnyApplication, change: &Change<'_>) -> Result<Option<AnyApplication>, kube::Error> {
    let status = serde_json::to_value(change.status).unwrap_or_default();
    let takes_refresh = app.asks_for_refresh();
    if !takes_refresh && !change.takes_operation && !is_news(app.rest.get("status"), &status) {
        return Ok(None);
    }
    let mut written = app.clone();
    written.rest.insert("status".to_owned(), status);
    if let Some(since) = change.sync_since {
        written.metadata.annotations.get_or_insert_default().insert(SYNC_SINCE.to_owned(), since.to_string());
    }
    if change.takes_operation {
        written.rest.remove("operation");
    }
    if let Some(annotations) = &mut written.metadata.annotations {
        annotations.remove(annotation::REFRESH);
    }
    replace(client, &written).await.map(Some)
}

/// Writes an Application as a whole; the resourceVersion guards against other writers.
pub(super) async fn replace(client: &kube::Client, app: &AnyApplication) -> Result<AnyApplication, kube::Error> {
    let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<AnyApplication> = Api::namespaced(client.clone(), namespace);
    api.replace(app.metadata.name.as_deref().unwrap_or_default(), &PostParams::default(), app).await
}

/// Says in an Application that it is not readable.
pub(super) async fn write_unreadable(client: &kube::Client, app: &AnyApplication, why: &str) -> Result<(), kube::Error> {
    write_condition(client, app, condition::INVALID_SPEC_ERROR, why).await
}

/// Says the one thing that matters of an Application nothing else is done with; its state is unknown.
pub(super) async fn write_condition(client: &kube::Client, app: &AnyApplication, type_: &str, why: &str) -> Result<(), kube::Error> {
    let wanted = json!([{"type": type_, "message": why}]);
    let status = app.rest.get("status").cloned().unwrap_or_else(|| json!({}));
    if status["conditions"] == wanted || !status.is_object() {
        return Ok(());
    }
    let mut written = app.clone();
    let mut status = status;
    status["conditions"] = wanted;
    status["sync"] = json!({"status": sync_status::UNKNOWN});
    written.rest.insert("status".to_owned(), status);
    replace(client, &written).await.map(drop)
}

fn is_news(before: Option<&Value>, after: &Value) -> bool {
    let Some(before) = before else { return true };
    let strip = |status: &Value| {
        let mut status = status.clone();
        if let Some(fields) = status.as_object_mut() {
            fields.remove("reconciledAt");
        }
        status
    };
    let second =
        |status: &Value| status["reconciledAt"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).map_or(0, |at| at.as_second());
    strip(before) != strip(after) || second(after) - second(before) > RECONCILED_AGE_SECONDS
}

/// Returns what the hub is told of an Application.
pub(super) fn summary(app: &Application, engine: Engine, since: Since) -> report::Application {
    let status = app.status.clone().unwrap_or_default();
    let source = app.spec.sources().first().cloned().unwrap_or_default();
    let last = status.history.last();
    let operation = status.operation_state.as_ref();
    let taken = app.metadata.annotations.as_ref().and_then(|annotations| annotations.get(api::work::TAKEN));
    let asks = status.conditions.first();
    let deadline = app.metadata.annotations.as_ref().and_then(|a| a.get(annotation::SYNC_DEADLINE)).map_or("", String::as_str);
    let message = asks.map(|c| c.message.clone()).or_else(|| {
        let troubled = operation.filter(|o| o.phase != operation_phase::SUCCEEDED && !o.message.is_empty());
        troubled.map(|o| o.message.clone())
    });
    let count = |is: &dyn Fn(&api::argo::ResourceStatus) -> bool| {
        u32::try_from(status.resources.iter().filter(|r| is(r)).count()).unwrap_or(u32::MAX)
    };
    report::Application {
        namespace: app.metadata.namespace.clone().unwrap_or_default(),
        name: app.metadata.name.clone().unwrap_or_default(),
        project: app.spec.project.clone(),
        repo: git::without_password(&source.repo_url),
        path: source.path,
        target_revision: source.target_revision,
        is_manual: !app.spec.sync_policy.as_ref().and_then(|p| p.automated.as_ref()).is_some_and(|a| a.is_enabled()),
        sync_deadline: deadline.chars().take(report::SYNC_DEADLINE_CHARS_MAX).collect(),
        revision: status.sync.revision.clone(),
        sync: status.sync.status.clone(),
        health: status.health.status.clone(),
        sync_since: since.sync,
        health_since: since.health,
        engine: engine.to_string(),
        operation: operation.map(|o| o.phase.clone()).unwrap_or_default(),
        // Not before its operation is taken up: what is told of the operation is of the one before until then.
        order: taken.filter(|_| app.operation.is_none()).cloned().unwrap_or_default(),
        synced_revision: last.map(|h| h.revision.clone()).unwrap_or_default(),
        synced_at: last.and_then(|h| h.deployed_at.as_ref()).map(|t| t.0),
        condition: asks.map(|c| c.type_.clone()).filter(|_| engine != Engine::Off).unwrap_or_default(),
        message: message.filter(|_| engine != Engine::Off).map(|m| m.chars().take(1_000).collect()).unwrap_or_default(),
        resources: count(&|_| true),
        resources_out_of_sync: count(&|r| r.status == sync_status::OUT_OF_SYNC),
        resources_degraded: count(&|r| r.health.as_ref().is_some_and(|h| h.status == api::argo::health_status::DEGRADED)),
    }
}

/// Returns the objects of an Application as the hub is told of them.
pub(super) fn resources(app: &Application) -> report::Resources {
    let all = app.status.as_ref().map(|s| s.resources.as_slice()).unwrap_or_default();
    let mut items: Vec<report::Resource> = all.iter().map(resource).collect();
    let is_fine = |r: &report::Resource| r.sync.is_empty() && matches!(r.health.as_str(), "" | "Healthy" | "Suspended");
    items.sort_by_key(&is_fine);
    let cut = items.len().saturating_sub(report::RESOURCES_MAX);
    items.truncate(report::RESOURCES_MAX);
    report::Resources { items, cut: u32::try_from(cut).unwrap_or(u32::MAX) }
}

fn resource(resource: &api::argo::ResourceStatus) -> report::Resource {
    let health = resource.health.clone().unwrap_or_default();
    report::Resource {
        group: resource.group.clone(),
        kind: resource.kind.clone(),
        namespace: resource.namespace.clone(),
        name: resource.name.clone(),
        sync: Some(resource.status.clone()).filter(|s| s != sync_status::SYNCED).unwrap_or_default(),
        health: health.status,
        message: health.message.chars().take(RESOURCE_MESSAGE_CHARS_MAX).collect(),
        wave: resource.sync_wave.unwrap_or(0),
    }
}

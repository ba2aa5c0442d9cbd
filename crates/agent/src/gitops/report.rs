//! What is written into an Application, and what the hub is told of it.

use std::collections::BTreeMap;

use api::argo::{Application, ApplicationSource, ApplicationStatus, annotation, condition, operation_phase, sync_status};
use api::report;
use gitops::{Engine, Key};

use super::since::{SYNC_SINCE, Since};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use kube::core::Request;
use serde::Serialize;
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

/// Writes an Application if it changed, given the status it has; returns it as it is now. A conflict is an error: somebody else
/// wrote, look again.
pub(super) async fn write(
    client: &kube::Client,
    app: &AnyApplication,
    before: Option<&ApplicationStatus>,
    change: &Change<'_>,
) -> Result<Option<AnyApplication>, kube::Error> {
    let takes_refresh = app.asks_for_refresh();
    if !takes_refresh && !change.takes_operation && !before.is_none_or(|before| is_news(before, change.status)) {
        return Ok(None);
    }
    let mut metadata = app.metadata.clone();
    let annotations = metadata.annotations.get_or_insert_default();
    if let Some(since) = change.sync_since {
        annotations.insert(SYNC_SINCE.to_owned(), since.to_string());
    }
    annotations.remove(annotation::REFRESH);
    let is_kept = |field: &str| field != "status" && !(change.takes_operation && field == "operation");
    let written = Written {
        api_version: &app.api_version,
        kind: &app.kind,
        metadata: &metadata,
        status: change.status,
        rest: app.rest.iter().filter(|(field, _)| is_kept(field)).collect(),
    };
    replace_by(client, &app.metadata, &written).await.map(Some)
}

/// An Application with another status.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: &'a ObjectMeta,
    status: &'a ApplicationStatus,
    #[serde(flatten)]
    rest: BTreeMap<&'a String, &'a Value>,
}

/// Writes an Application as a whole; the resourceVersion guards against other writers.
pub(super) async fn replace(client: &kube::Client, app: &AnyApplication) -> Result<AnyApplication, kube::Error> {
    replace_by(client, &app.metadata, app).await
}

async fn replace_by(client: &kube::Client, metadata: &ObjectMeta, object: &impl Serialize) -> Result<AnyApplication, kube::Error> {
    let [namespace, name] = [&metadata.namespace, &metadata.name].map(|field| field.as_deref().unwrap_or_default());
    let api: Api<AnyApplication> = Api::namespaced(client.clone(), namespace);
    let bytes = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let request = Request::new(api.resource_url()).replace(name, &PostParams::default(), bytes).map_err(kube::Error::BuildRequest)?;
    client.request(request).await
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

fn is_news(before: &ApplicationStatus, after: &ApplicationStatus) -> bool {
    let second = |status: &ApplicationStatus| status.reconciled_at.as_ref().map_or(0, |at| at.0.as_second());
    second(after) - second(before) > RECONCILED_AGE_SECONDS || !is_same(before, after)
}

/// Whether two statuses say the same, whenever they were written.
fn is_same(before: &ApplicationStatus, after: &ApplicationStatus) -> bool {
    // Named one by one, so that no field is forgotten: the compiler asks for a new one.
    let ApplicationStatus {
        sync,
        health,
        resources,
        operation_state,
        history,
        conditions,
        summary,
        source_type,
        source_types,
        reconciled_at: _,
        observed_at,
        resource_health_source,
        controller_namespace,
    } = after;
    *sync == before.sync
        && *health == before.health
        && *resources == before.resources
        && *operation_state == before.operation_state
        && *history == before.history
        && *conditions == before.conditions
        && *summary == before.summary
        && *source_type == before.source_type
        && *source_types == before.source_types
        && *observed_at == before.observed_at
        && *resource_health_source == before.resource_health_source
        && *controller_namespace == before.controller_namespace
}

/// Returns what the hub is told of an Application.
pub(super) fn summary(app: &Application, engine: Engine, since: Since) -> report::Application {
    let (no_status, no_source) = (ApplicationStatus::default(), ApplicationSource::default());
    let status = app.status.as_ref().unwrap_or(&no_status);
    let source = app.spec.sources().first().unwrap_or(&no_source);
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
        path: source.path.clone(),
        target_revision: source.target_revision.clone(),
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
pub(super) fn resources(app: &Application, notes: &BTreeMap<Key, String>) -> report::Resources {
    let all = app.status.as_ref().map(|s| s.resources.as_slice()).unwrap_or_default();
    let mut items: Vec<report::Resource> = all.iter().map(|r| resource(r, notes)).collect();
    let is_fine = |r: &report::Resource| r.sync.is_empty() && matches!(r.health.as_str(), "" | "Healthy" | "Suspended");
    items.sort_by_key(&is_fine);
    let cut = items.len().saturating_sub(report::RESOURCES_MAX);
    items.truncate(report::RESOURCES_MAX);
    report::Resources { items, cut: u32::try_from(cut).unwrap_or(u32::MAX) }
}

fn resource(resource: &api::argo::ResourceStatus, notes: &BTreeMap<Key, String>) -> report::Resource {
    let health = resource.health.clone().unwrap_or_default();
    let key = Key::new(&resource.group, &resource.kind, &resource.namespace, &resource.name);
    let words = [Some(&health.message), notes.get(&key)].into_iter().flatten().filter(|words| !words.is_empty());
    let message = words.map(String::as_str).collect::<Vec<_>>().join("; ");
    report::Resource {
        group: resource.group.clone(),
        kind: resource.kind.clone(),
        namespace: resource.namespace.clone(),
        name: resource.name.clone(),
        sync: Some(resource.status.clone()).filter(|s| s != sync_status::SYNCED).unwrap_or_default(),
        health: health.status,
        message: message.chars().take(RESOURCE_MESSAGE_CHARS_MAX).collect(),
        wave: resource.sync_wave.unwrap_or(0),
    }
}

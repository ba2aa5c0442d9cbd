//! Whether facts are true now, and if not, of which cluster.

use std::collections::BTreeSet;

use api::hub::{AppRow, Page, path};
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::Value;

use super::play::Stage;
use super::{Expect, ObjectFact};
use crate::control::is_named;

const CLUSTER: (&str, &str) = ("cluster.open-cluster-management.io/v1", "ManagedCluster");
const PAGE: usize = 500;

/// Commits that an expectation speaks of, as they are when it begins.
pub struct Commits {
    at: Option<String>,
    never: Option<String>,
}

impl Commits {
    pub fn of(stage: &Stage, expect: &Expect) -> Result<Self, String> {
        let repository = expect.repository.as_ref().or(expect.application.as_ref());
        let commit = |revision: &Option<String>| match (repository, revision) {
            (Some(repository), Some(revision)) => stage.commit(repository, revision).map(Some),
            _ => Ok(None),
        };
        Ok(Self { at: commit(&expect.at)?, never: commit(&expect.never)? })
    }
}

/// What is not as expected, in words; none if all is.
pub async fn missing(stage: &Stage, expect: &Expect, commits: &Commits) -> Result<Option<String>, String> {
    let clusters = clusters(stage, &expect.on).await?;
    if clusters.is_empty() || expect.clusters.is_some_and(|count| count != clusters.len()) {
        return Ok(Some(format!("{} clusters are {}", clusters.len(), expect.on)));
    }
    let names: Vec<String> = clusters.iter().filter_map(|c| c["metadata"]["name"].as_str().map(str::to_owned)).collect();
    if let Some(wanted) = &expect.available {
        for cluster in &clusters {
            let all = cluster["status"]["conditions"].as_array().into_iter().flatten();
            let status =
                all.filter(|c| c["type"] == "ManagedClusterConditionAvailable").find_map(|c| c["status"].as_str()).unwrap_or("not known");
            if status != wanted {
                return Ok(Some(format!("{} is available: {status}", cluster["metadata"]["name"])));
            }
        }
    }
    if let Some(problem) = application(stage, expect, commits, &names).await? {
        return Ok(Some(problem));
    }
    match &expect.object {
        Some(fact) => object(stage, fact, &names).await,
        None => Ok(None),
    }
}

/// Returns ManagedClusters by labels, or by name where no label is spoken of.
pub async fn clusters(stage: &Stage, on: &str) -> Result<Vec<Value>, String> {
    let api = api(&stage.hub, CLUSTER.0, CLUSTER.1, None);
    let is_selector = on.contains(['=', '!', ' ']);
    let params = if is_selector { ListParams::default().labels(on) } else { ListParams::default() };
    let mut listed = api.list(&params).boxed().await.map_err(|e| format!("the hub: {e}"))?;
    listed.items.retain(|cluster| is_selector || cluster.metadata.name.as_deref().is_some_and(|name| is_named(on, name)));
    listed.items.into_iter().map(|object| serde_json::to_value(object).map_err(|e| e.to_string())).collect()
}

async fn application(stage: &Stage, expect: &Expect, commits: &Commits, names: &[String]) -> Result<Option<String>, String> {
    let Some(wanted) = &expect.application else { return Ok(None) };
    let rows = rows(&stage.hub).await?;
    for name in names {
        let Some(row) = rows.iter().find(|row| row.cluster == *name && row.name == *wanted) else {
            return Ok(Some(format!("{name} has no Application {wanted}")));
        };
        let facts = [("at", &commits.at, &row.revision), ("sync", &expect.sync, &row.sync), ("health", &expect.health, &row.health)];
        for (what, wanted, seen) in facts {
            if wanted.as_ref().is_some_and(|wanted| wanted != seen) {
                return Ok(Some(format!("{name}: {} is {what} {seen:?}: {}", row.name, row.message)));
            }
        }
        if expect.message.as_ref().is_some_and(|words| !row.message.contains(words.as_str())) {
            return Ok(Some(format!("{name}: {} says {:?}", row.name, row.message)));
        }
        if let Some(commit) = &commits.never {
            let application = get(stage, name, "argoproj.io/v1alpha1", "Application", Some("argocd"), wanted).await?;
            if application["status"]["history"].as_array().into_iter().flatten().any(|h| h["revision"] == **commit) {
                return Ok(Some(format!("{name}: {wanted} was at {commit}")));
            }
        }
    }
    Ok(None)
}

async fn object(stage: &Stage, fact: &ObjectFact, names: &[String]) -> Result<Option<String>, String> {
    let mut digests = BTreeSet::new();
    for name in names {
        let found = get(stage, name, &fact.api_version, &fact.kind, fact.namespace.as_deref(), &fact.name).await?;
        for (pointer, wanted) in &fact.has {
            let seen = found.pointer(pointer).unwrap_or(&Value::Null);
            if seen != wanted {
                return Ok(Some(format!("{name}: {} {}{pointer} is {seen}", fact.kind, fact.name)));
            }
        }
        for (pointer, least) in &fact.at_least {
            let seen = found.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
            if seen < *least {
                return Ok(Some(format!("{name}: {} {}{pointer} is {seen}", fact.kind, fact.name)));
            }
        }
        if fact.digests.is_some() {
            digests.extend(running(stage, name, fact, &found).await?);
        }
    }
    let problem = fact.digests.filter(|wanted| *wanted != digests.len()).map(|_| format!("{} digests run: {digests:?}", digests.len()));
    Ok(problem)
}

/// Returns the digests that the pods of an object with a selector run.
async fn running(stage: &Stage, cluster: &str, fact: &ObjectFact, object: &Value) -> Result<BTreeSet<String>, String> {
    let client = stage.cluster(cluster).await?;
    let labels = object["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
    let selector: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    let pods = api(&client, "v1", "Pod", fact.namespace.as_deref());
    let pods = pods.list(&ListParams::default().labels(&selector.join(","))).boxed().await.map_err(|e| format!("{cluster}: {e}"))?;
    let statuses = pods.items.iter().flat_map(|pod| pod.data["status"]["containerStatuses"].as_array().into_iter().flatten());
    Ok(statuses.filter_map(|status| status["imageID"].as_str()).filter(|id| !id.is_empty()).map(str::to_owned).collect())
}

/// Returns an object of a cluster, or null.
async fn get(stage: &Stage, cluster: &str, api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Result<Value, String> {
    let client = stage.cluster(cluster).await?;
    let found = api(&client, api_version, kind, namespace).get_opt(name).boxed().await.map_err(|e| format!("{cluster}: {e}"))?;
    found.map_or(Ok(Value::Null), |object| serde_json::to_value(object).map_err(|e| e.to_string()))
}

pub fn api(client: &kube::Client, api_version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Returns all Applications as the hub knows them, page by page.
fn rows(hub: &kube::Client) -> BoxFuture<'_, Result<Vec<AppRow>, String>> {
    async move {
        let mut rows = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let after = next.map(|token| format!("&continue={}", percent_encode(&token))).unwrap_or_default();
            let request = http::Request::get(format!("{}?limit={PAGE}{after}", path::APPS)).body(Vec::new()).map_err(|e| e.to_string())?;
            let page: Page<AppRow> = hub.request(request).await.map_err(|e| format!("the hub: {e}"))?;
            rows.extend(page.items);
            next = page.next;
            if next.is_none() {
                return Ok(rows);
            }
        }
    }
    .boxed()
}

fn percent_encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

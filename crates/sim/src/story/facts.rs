//! Whether facts are true now, and if not, of which cluster.

use std::collections::BTreeSet;

use api::hub::{AppRow, Page, Problem, path};
use apimachinery::uri::percent_encode;
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::play::Stage;
use super::{Expect, ObjectFact};
use crate::control::is_named;

const CLUSTER: (&str, &str) = ("cluster.open-cluster-management.io/v1", "ManagedCluster");
const PAGE: usize = 500;
/// Syncs an Application remembers of itself, as Argo CD.
const HISTORY: u64 = 10;

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
    if let Some(problem) = problem(stage, expect, &names).await? {
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
    let rows: Vec<AppRow> = pages(&stage.hub, &format!("{}?name={wanted}", path::APPS)).await?;
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
        let behind = row.behind.as_ref().and_then(|behind| behind.commits);
        if expect.behind.is_some_and(|wanted| Some(wanted) != behind) {
            return Ok(Some(format!("{name}: {} is {behind:?} commits behind", row.name)));
        }
        if let Some(commit) = &commits.never {
            let application = get(stage, name, "argoproj.io/v1alpha1", "Application", Some("argocd"), wanted).await?;
            if let Some(problem) = was_at(&application, commit) {
                return Ok(Some(format!("{name}: {wanted} {problem}")));
            }
        }
    }
    Ok(None)
}

async fn problem(stage: &Stage, expect: &Expect, names: &[String]) -> Result<Option<String>, String> {
    let Some(wanted) = &expect.problem else { return Ok(None) };
    for name in names {
        let all: Vec<Problem> = pages(&stage.hub, &format!("{}?cluster={name}", path::PROBLEMS)).await?;
        let is_meant = |p: &&Problem| p.kind == wanted.kind && (wanted.app.is_empty() || p.app == wanted.app);
        let found = all.iter().find(is_meant);
        let is_as_wanted = |found: &Problem| {
            wanted.severity.as_ref().is_none_or(|severity| severity == found.severity.as_str())
                && wanted.title.as_ref().is_none_or(|words| found.title.contains(words.as_str()))
                && wanted.remedy.as_ref().is_none_or(|words| found.remedy.contains(words.as_str()))
        };
        match found {
            Some(found) if wanted.none || !is_as_wanted(found) => {
                let Problem { severity, kind, title, remedy, .. } = found;
                return Ok(Some(format!("{name} has a problem: {} {kind}: {title}; remedy: {remedy}", severity.as_str())));
            }
            None if !wanted.none => {
                let kinds: Vec<&str> = all.iter().map(|p| p.kind.as_str()).collect();
                return Ok(Some(format!("{name} has no problem {} {}, but {kinds:?}", wanted.kind, wanted.app)));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Says that an Application was at a commit, or that nobody can know: what is not there, or remembers nothing, proves nothing.
fn was_at(application: &Value, commit: &str) -> Option<String> {
    let history = application["status"]["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    if history.is_empty() {
        return Some("is not there, or has no history".to_owned());
    }
    let kept = application["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(HISTORY);
    let synced = application.pointer("/status/operationState/syncResult/revision");
    if history.iter().any(|h| h["revision"] == *commit) || synced.is_some_and(|revision| *revision == *commit) {
        return Some(format!("was at {commit}"));
    }
    (history.len() as u64 >= kept).then(|| format!("keeps {kept} syncs only, earlier ones are forgotten"))
}

async fn object(stage: &Stage, fact: &ObjectFact, names: &[String]) -> Result<Option<String>, String> {
    let mut digests = BTreeSet::new();
    for name in names {
        let found = get(stage, name, &fact.api_version, &fact.kind, fact.namespace.as_deref(), &fact.name).await?;
        if let Some(problem) = unlike(&found, fact) {
            return Ok(Some(format!("{name}: {} {}{problem}", fact.kind, fact.name)));
        }
        if fact.digests.is_some() {
            digests.extend(running(stage, name, fact, &found).await?);
        }
    }
    let problem = fact.digests.filter(|wanted| *wanted != digests.len()).map(|_| format!("{} digests run: {digests:?}", digests.len()));
    Ok(problem)
}

/// Says what of an object is not as it must be; one that is not there is as nothing.
fn unlike(found: &Value, fact: &ObjectFact) -> Option<String> {
    if found.is_null() {
        return Some(" is not there".to_owned());
    }
    for (pointer, wanted) in &fact.has {
        let seen = found.pointer(pointer);
        if seen.unwrap_or(&Value::Null) != wanted {
            return Some(format!("{pointer} is {}", seen.unwrap_or(&Value::Null)));
        }
    }
    for (pointer, least) in &fact.at_least {
        match found.pointer(pointer).and_then(Value::as_i64) {
            Some(seen) if seen >= *least => {}
            Some(seen) => return Some(format!("{pointer} is {seen}")),
            None => return Some(format!("{pointer} is no number")),
        }
    }
    None
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

/// Returns all rows of a list of the hub's, page by page.
fn pages<'a, T: DeserializeOwned + Send + 'a>(hub: &'a kube::Client, at: &'a str) -> BoxFuture<'a, Result<Vec<T>, String>> {
    async move {
        let mut rows = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let after = next.map(|token| format!("&continue={}", percent_encode(&token))).unwrap_or_default();
            let request = http::Request::get(format!("{at}&limit={PAGE}{after}")).body(Vec::new()).map_err(|e| e.to_string())?;
            let page: Page<T> = hub.request(request).await.map_err(|e| format!("the hub: {e}"))?;
            rows.extend(page.items);
            next = page.next;
            if next.is_none() {
                return Ok(rows);
            }
        }
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_there_is_as_nothing() {
        let fact: ObjectFact = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Pod", "name": "p",
            "has": {"/spec/x": null}, "atLeast": {"/status/n": 0}}))
        .expect("a fact");
        assert_eq!(unlike(&Value::Null, &fact).as_deref(), Some(" is not there"));
        assert_eq!(unlike(&json!({"status": {}}), &fact).as_deref(), Some("/status/n is no number"));
        assert_eq!(unlike(&json!({"status": {"n": 0}}), &fact), None);
        assert_eq!(unlike(&json!({"spec": {"x": 1}, "status": {"n": 0}}), &fact).as_deref(), Some("/spec/x is 1"));
    }

    #[test]
    fn never_needs_a_history_that_goes_back_to_the_beginning() {
        let check = |application: Value| was_at(&application, "bad");
        assert!(check(Value::Null).is_some_and(|problem| problem.contains("not there")));
        assert!(check(json!({"status": {"history": []}})).is_some());
        assert_eq!(check(json!({"status": {"history": [{"revision": "good"}]}})), None);
        assert!(check(json!({"status": {"history": [{"revision": "bad"}]}})).is_some_and(|problem| problem == "was at bad"));
        let tried = json!({"status": {"history": [{"revision": "good"}], "operationState": {"syncResult": {"revision": "bad"}}}});
        assert!(check(tried).is_some_and(|problem| problem == "was at bad"));
        let full = json!({"spec": {"revisionHistoryLimit": 1}, "status": {"history": [{"revision": "good"}]}});
        assert!(check(full).is_some_and(|problem| problem.contains("forgotten")));
    }
}

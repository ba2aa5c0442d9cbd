//! Which ManifestWorks bring an Application to which clusters.

use std::collections::BTreeMap;

use api::argo::ApplicationSource;
use apimachinery::uri::percent_encode;
use serde_json::Value;

use super::Found;
use crate::client::query;

/// Works in one answer of the hub.
const WORKS_PAGE: &str = "500";

/// A ManifestWork that brings an Application.
pub struct Work {
    pub cluster: String,
    pub name: String,
    /// The Application in it.
    pub manifest: Value,
    pub status: Value,
}

/// Returns the works that bring an Application; on one cluster or on all.
pub async fn works(found: &Found, cluster: Option<&str>) -> anyhow::Result<Vec<Work>> {
    const WORKS: &str = "/apis/work.open-cluster-management.io/v1";
    let path = match cluster {
        Some(cluster) => format!("{WORKS}/namespaces/{}/manifestworks", percent_encode(cluster)),
        None => format!("{WORKS}/manifestworks"),
    };
    let mut all = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = query(&[("limit", Some(WORKS_PAGE)), ("continue", next.as_deref())]);
        let works = found.hub.get(&format!("{path}?{page}"), "application/json").await?;
        all.extend(works["items"].as_array().into_iter().flatten().filter_map(|work| read(work, &found.namespace, &found.name)));
        next = works["metadata"]["continue"].as_str().filter(|next| !next.is_empty()).map(str::to_owned);
        if next.is_none() {
            return Ok(all);
        }
    }
}

fn read(work: &Value, namespace: &str, name: &str) -> Option<Work> {
    let manifests = work.pointer("/spec/workload/manifests").and_then(Value::as_array)?;
    let manifest = manifests.iter().find(|manifest| {
        let metadata = &manifest["metadata"];
        manifest["kind"] == "Application" && metadata["name"] == name && metadata["namespace"] == namespace
    })?;
    let text = |field: &str| work["metadata"][field].as_str().unwrap_or_default().to_owned();
    Some(Work { cluster: text("namespace"), name: text("name"), manifest: manifest.clone(), status: work["status"].clone() })
}

/// Where an Application comes from on each cluster that the hub delivers it to; or why that is not readable.
pub type Delivered = BTreeMap<String, Result<ApplicationSource, String>>;

/// Returns the sources of an Application by cluster, as the hub delivers them: options of its tool are there alone.
pub async fn delivered(found: &Found, cluster: Option<&str>) -> anyhow::Result<Delivered> {
    Ok(works(found, cluster).await?.into_iter().map(|work| (work.cluster.clone(), source(&work))).collect())
}

fn source(work: &Work) -> Result<ApplicationSource, String> {
    let source = work.manifest.pointer("/spec/source").or_else(|| work.manifest.pointer("/spec/sources/0"));
    match source {
        Some(source) => serde_json::from_value(source.clone())
            .map_err(|error| format!("spec.source in the ManifestWork {} is not readable: {error}", work.name)),
        None => Err(format!("the Application in the ManifestWork {} has no spec.source", work.name)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_source_that_is_not_readable_is_named() {
        let work = |spec: Value| {
            let application = json!({"kind": "Application", "metadata": {"namespace": "n", "name": "a"}, "spec": spec});
            json!({"metadata": {"name": "w", "namespace": "c"}, "spec": {"workload": {"manifests": [application]}}})
        };
        let source = |spec| source(&read(&work(spec), "n", "a").expect("brought"));
        assert_eq!(source(json!({"source": {"repoURL": "r", "path": "p"}})).map(|s| s.path), Ok("p".into()));
        assert_eq!(source(json!({"sources": [{"repoURL": "r", "path": "q"}]})).map(|s| s.path), Ok("q".into()));
        assert!(source(json!({"source": {"repoURL": 5}})).is_err_and(|why| why.contains("ManifestWork w")));
        assert!(source(json!({})).is_err_and(|why| why.contains("no spec.source")));
        assert!(read(&work(Value::Null), "n", "b").is_none());
    }
}

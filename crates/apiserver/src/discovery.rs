//! Which groups, versions and resources are served: legacy and aggregated discovery.
//!
//! As apiserver `endpoints/discovery`: `/api` and `/apis` answer the aggregated form
//! (`g=apidiscovery.k8s.io`) to those who accept it, else the lists of old.

use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::gvk::join_api_version;
use apimachinery::status::Status;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use crate::registry::{Resource, Snapshot};
use crate::{Body, Inner, http as answers};

/// Rows by group, then by version, preferred version first.
type Groups<'a> = BTreeMap<&'a str, Vec<(&'a str, Vec<&'a Arc<Resource>>)>>;

/// Returns the discovery document at a path, if it is one.
pub(crate) fn answer(inner: &Inner, path: &str, accept: Option<&str>) -> Result<Option<Response<Body>>, Status> {
    let snapshot = inner.registry.snapshot();
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let aggregated = accept.is_some_and(|a| a.contains("as=APIGroupDiscoveryList"));
    let groups = groups(&snapshot);
    let document = match parts.as_slice() {
        [] => json!({"paths": paths(&groups)}),
        ["api"] if aggregated => return Ok(Some(aggregated_answer(&groups, true, accept))),
        ["apis"] if aggregated => return Ok(Some(aggregated_answer(&groups, false, accept))),
        ["api"] => {
            json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]})
        }
        ["apis"] => {
            let list: Vec<Value> = groups.iter().filter(|(g, _)| !g.is_empty()).map(|(g, v)| group_document(g, v)).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
        }
        ["apis", group] => match groups.get(group).filter(|_| !group.is_empty()) {
            Some(versions) => {
                let mut document = group_document(group, versions);
                document["kind"] = json!("APIGroup");
                document["apiVersion"] = json!("v1");
                document
            }
            None => return Ok(None),
        },
        ["api", version] => match resource_list(&groups, "", version) {
            Some(list) => list,
            None => return Ok(None),
        },
        ["apis", group, version] => match resource_list(&groups, group, version) {
            Some(list) => list,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(answers::json_value(200, &document)))
}

fn groups(snapshot: &Snapshot) -> Groups<'_> {
    let mut groups: Groups<'_> = BTreeMap::new();
    for resource in snapshot.iter() {
        let versions = groups.entry(&resource.gvr.group).or_default();
        match versions.iter_mut().find(|(v, _)| *v == resource.gvr.version) {
            Some((_, rows)) => rows.push(resource),
            None => versions.push((&resource.gvr.version, vec![resource])),
        }
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(priority(version)));
    }
    groups
}

/// Orders versions as `version.CompareKubeAwareVersionStrings`: v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > others.
fn priority(version: &str) -> (u8, u32, u32, std::cmp::Reverse<String>) {
    let other = || (0, 0, 0, std::cmp::Reverse(version.to_owned()));
    let Some(rest) = version.strip_prefix('v') else { return other() };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let Ok(major) = digits.parse::<u32>() else { return other() };
    let rest = &rest[digits.len()..];
    let stage = |name: &str| rest.strip_prefix(name).and_then(|n| n.parse::<u32>().ok());
    let none = std::cmp::Reverse(String::new());
    match (rest, stage("beta"), stage("alpha")) {
        ("", _, _) => (3, major, 0, none),
        (_, Some(minor), _) => (2, major, minor, none),
        (_, _, Some(minor)) => (1, major, minor, none),
        _ => other(),
    }
}

fn paths(groups: &Groups<'_>) -> Vec<String> {
    let mut paths: Vec<String> =
        ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
            .map(str::to_owned)
            .into();
    for (group, versions) in groups.iter().filter(|(g, _)| !g.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|(v, _)| format!("/apis/{group}/{v}")));
    }
    paths.sort();
    paths
}

fn group_document(group: &str, versions: &[(&str, Vec<&Arc<Resource>>)]) -> Value {
    let list: Vec<Value> = versions.iter().map(|(v, _)| json!({"groupVersion": join_api_version(group, v), "version": v})).collect();
    json!({"name": group, "versions": list, "preferredVersion": list.first()})
}

fn resource_list(groups: &Groups<'_>, group: &str, version: &str) -> Option<Value> {
    let (_, rows) = groups.get(group)?.iter().find(|(v, _)| *v == version)?;
    let mut resources = Vec::new();
    for row in rows {
        let mut entry = json!({
            "name": row.gvr.resource, "singularName": row.singular, "namespaced": row.namespaced, "kind": row.kind, "verbs": row.verbs,
            "storageVersionHash": storage_hash(row),
        });
        if !row.short_names.is_empty() {
            entry["shortNames"] = json!(row.short_names);
        }
        if !row.categories.is_empty() {
            entry["categories"] = json!(row.categories);
        }
        resources.push(entry);
        for sub in subresources(row) {
            resources.push(json!({
                "name": format!("{}/{}", row.gvr.resource, sub.name), "singularName": "", "namespaced": row.namespaced,
                "kind": sub.kind, "group": sub.group, "version": sub.version, "verbs": sub.verbs,
            }));
        }
    }
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": join_api_version(group, version), "resources": resources}))
}

struct Sub {
    name: String,
    group: String,
    version: String,
    kind: String,
    verbs: Vec<&'static str>,
}

fn subresources(row: &Resource) -> Vec<Sub> {
    let mut subs = Vec::new();
    let own = |name: &str| Sub {
        name: name.into(),
        group: row.gvr.group.clone(),
        version: row.gvr.version.clone(),
        kind: row.kind.clone(),
        verbs: vec!["get", "patch", "update"],
    };
    if row.status_subresource {
        subs.push(own("status"));
    }
    if row.scale.is_some() {
        subs.push(Sub {
            name: "scale".into(),
            group: "autoscaling".into(),
            version: "v1".into(),
            kind: "Scale".into(),
            verbs: vec!["get", "patch", "update"],
        });
    }
    for sub in &row.subresources {
        subs.push(Sub {
            name: sub.name.clone(),
            group: sub.body.group.clone(),
            version: sub.body.version.clone(),
            kind: sub.body.kind.clone(),
            verbs: sub.verbs.clone(),
        });
    }
    subs.sort_by(|a, b| a.name.cmp(&b.name));
    subs.dedup_by(|a, b| a.name == b.name);
    subs
}

fn storage_hash(row: &Resource) -> String {
    use base64::Engine;
    use sha2::Digest;
    let digest = sha2::Sha256::digest(format!("{}/{}/{}", row.storage_group, row.storage_version, row.kind));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

/// Answers `APIGroupDiscoveryList` in the version the client accepts (`v2`, else `v2beta1`).
fn aggregated_answer(groups: &Groups<'_>, is_core: bool, accept: Option<&str>) -> Response<Body> {
    let version = if accept.is_some_and(|a| a.split(',').any(|c| c.contains("v=v2;") || c.ends_with("v=v2") || c.contains("v=v2 "))) {
        "v2"
    } else {
        "v2beta1"
    };
    let items: Vec<Value> =
        groups.iter().filter(|(g, _)| g.is_empty() == is_core).map(|(group, versions)| aggregated_group(group, versions)).collect();
    let list =
        json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items});
    let mut response = answers::json_value(200, &list);
    let content_type = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    if let Ok(value) = HeaderValue::from_str(&content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn aggregated_group(group: &str, versions: &[(&str, Vec<&Arc<Resource>>)]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|(version, rows)| {
            let resources: Vec<Value> = rows.iter().map(|row| aggregated_resource(row)).collect();
            json!({"version": version, "freshness": "Current", "resources": resources})
        })
        .collect();
    json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
}

fn aggregated_resource(row: &Resource) -> Value {
    let mut entry = json!({
        "resource": row.gvr.resource, "singularResource": row.singular, "verbs": row.verbs,
        "responseKind": {"group": row.gvr.group, "version": row.gvr.version, "kind": row.kind},
        "scope": if row.namespaced { "Namespaced" } else { "Cluster" },
    });
    if !row.short_names.is_empty() {
        entry["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        entry["categories"] = json!(row.categories);
    }
    let subs: Vec<Value> = subresources(row)
        .into_iter()
        .map(|s| json!({"subresource": s.name, "responseKind": {"group": s.group, "version": s.version, "kind": s.kind}, "verbs": s.verbs}))
        .collect();
    if !subs.is_empty() {
        entry["subresources"] = json!(subs);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn stable_versions_come_before_beta_and_newer_before_older() {
        let mut versions = ["v1alpha1", "foo", "v1", "v1beta2", "v10", "v2", "v1beta1"];
        versions.sort_by_key(|v| std::cmp::Reverse(priority(v)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
    }
}

//! What is asked: the verb and the resource that a method and a path mean.
//!
//! As apiserver `endpoints/request/requestinfo.go`: the same paths give the same verbs.

use std::collections::BTreeMap;

use apimachinery::uri::percent_decode;
use http::Method;

/// A parsed request line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestInfo {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`;
    /// for paths that are no resource the method in lower case.
    pub verb: &'static str,
    pub path: String,
    /// The resource, unless the path is a non-resource URL such as `/version`.
    pub resource: Option<ResourcePath>,
    pub query: Query,
}

/// The resource part of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub resource: String,
    /// Empty for cluster-scoped resources and lists over all namespaces. For `/namespaces/x` itself it is `x`, as upstream.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// Empty, `status`, `scale`, `approval`, ...
    pub subresource: String,
}

/// Query parameters by name; the last value wins, as for every single-valued parameter upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(pub BTreeMap<String, String>);

impl Query {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns whether the parameter is set to something other than `false` or `0`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| !matches!(v, "false" | "0"))
    }

    fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name), percent_decode(value))
        });
        Self(pairs.collect())
    }
}

impl RequestInfo {
    /// Returns what `method` on `path?query` asks for.
    pub fn parse(method: &Method, path: &str, query: &str) -> Self {
        let query = Query::parse(query);
        // `/api/v1/watch/...` is the old form of `?watch=1`.
        let unwatched = without_watch(path);
        let resource = parse_resource(unwatched.as_deref().unwrap_or(path));
        let verb = match &resource {
            Some(_) if unwatched.is_some() && method == Method::GET => "watch",
            Some(r) => resource_verb(method, r, &query),
            None => method_name(method),
        };
        Self { verb, path: path.to_owned(), resource, query }
    }

    pub fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch" | "head" | "options")
    }
}

fn resource_verb(method: &Method, resource: &ResourcePath, query: &Query) -> &'static str {
    match (method.as_str(), resource.name.is_empty()) {
        ("GET" | "HEAD", true) if query.is_true("watch") => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "",
    }
}

/// Returns the path without `watch` where it stands between version and resource.
fn without_watch(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let at = match parts.as_slice() {
        ["api", _, "watch", _, ..] => 2,
        ["apis", _, _, "watch", _, ..] => 3,
        _ => return None,
    };
    Some(format!("{}/{}", parts[..at].join("/"), parts[at + 1..].join("/")))
}

fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "",
    }
}

/// Returns the resource that `/api/v1/...` or `/apis/<group>/<version>/...` names.
fn parse_resource(path: &str) -> Option<ResourcePath> {
    let mut parts = path.split('/').filter(|p| !p.is_empty()).map(percent_decode);
    let (group, version) = match parts.next()?.as_str() {
        "api" => (String::new(), parts.next()?),
        "apis" => (parts.next()?, parts.next()?),
        _ => return None,
    };
    let rest: Vec<String> = parts.collect();
    let mut found = ResourcePath { group, version, ..ResourcePath::default() };
    let rest = match rest.as_slice() {
        [] => return None,
        // `/namespaces/x/status` and `/namespaces/x/finalize` are about the namespace itself.
        [first, namespace, sub] if first == "namespaces" && matches!(sub.as_str(), "status" | "finalize") => {
            found.namespace.clone_from(namespace);
            &rest[..]
        }
        [first, namespace, _, ..] if first == "namespaces" => {
            found.namespace.clone_from(namespace);
            &rest[2..]
        }
        [first, namespace] if first == "namespaces" => {
            found.namespace.clone_from(namespace);
            &rest[..]
        }
        _ => &rest[..],
    };
    found.resource.clone_from(&rest[0]);
    if let Some(name) = rest.get(1) {
        found.name.clone_from(name);
    }
    found.subresource = rest.get(2..).map(|r| r.join("/")).unwrap_or_default();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, target: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let info = RequestInfo::parse(&method.parse().expect("a method"), path, query);
        match info.resource {
            Some(r) => {
                format!("{} {}/{} {} ns={} name={} sub={}", info.verb, r.group, r.version, r.resource, r.namespace, r.name, r.subresource)
            }
            None => format!("{} {}", info.verb, info.path),
        }
    }

    #[test]
    fn a_path_means_a_verb_and_a_resource() {
        assert_eq!(check("GET", "/version"), "get /version");
        assert_eq!(check("GET", "/api/v1"), "get /api/v1");
        assert_eq!(check("GET", "/apis/apps/v1/deployments?watch=1"), "watch apps/v1 deployments ns= name= sub=");
        assert_eq!(check("GET", "/apis/apps/v1/watch/namespaces/a/deployments/b"), "watch apps/v1 deployments ns=a name=b sub=");
        assert_eq!(check("GET", "/api/v1/namespaces"), "list /v1 namespaces ns= name= sub=");
        assert_eq!(check("PUT", "/api/v1/namespaces/a/finalize"), "update /v1 namespaces ns=a name=a sub=finalize");
        assert_eq!(check("DELETE", "/api/v1/namespaces/a/pods"), "deletecollection /v1 pods ns=a name= sub=");
        assert_eq!(check("PATCH", "/apis/apps/v1/namespaces/a/deployments/b/status"), "patch apps/v1 deployments ns=a name=b sub=status");
        assert_eq!(check("GET", "/api/v1/namespaces/a/pods/b%2Fc/log?x=%41+b"), "get /v1 pods ns=a name=b/c sub=log");
    }
}

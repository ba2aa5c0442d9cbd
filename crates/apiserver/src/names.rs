//! What an object of a kind may be called.

use apimachinery::names;
use apimachinery::status::Cause;
use serde_json::json;

use crate::registry::Resource;

/// Returns what is wrong with the name of a new object.
pub fn validate(resource: &Resource, name: &str) -> Vec<Cause> {
    let check: fn(&str) -> Vec<String> = match (resource.gvr.group.as_str(), resource.gvr.resource.as_str()) {
        ("", "namespaces") => names::dns1123_label,
        ("", "services") => names::dns1035_label,
        // Names that are paths or user names: anything that fits a URL segment.
        ("rbac.authorization.k8s.io", _) => names::path_segment,
        _ => names::dns1123_subdomain,
    };
    check(name).into_iter().map(|message| Cause::invalid("metadata.name", &json!(name), &message)).collect()
}

//! The hub's identity, and what its endpoints beside the Kubernetes API say; [`view`] is what people are shown.

mod view;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use view::*;

/// Where the hub keeps what is its own.
pub const NAMESPACE: &str = "muster-system";
/// ConfigMap in [`NAMESPACE`] that holds `uid` and `epoch`.
pub const IDENTITY_CONFIG_MAP: &str = "hub-identity";

pub mod path {
    //! Paths of the endpoints.

    pub const HUB: &str = "/muster/v1/hub";
    pub const CLUSTERS: &str = "/muster/v1/clusters";
    pub const APPS: &str = "/muster/v1/apps";
    pub const APPS_MATRIX: &str = "/muster/v1/apps/matrix";
    pub const FLEET: &str = "/muster/v1/fleet";
    pub const PROBLEMS: &str = "/muster/v1/problems";
    pub const ACTIVITY: &str = "/muster/v1/activity";
    pub const CHANGES: &str = "/muster/v1/changes";
    pub const GIT: &str = "/muster/v1/git";
    pub const GIT_RESOLVE: &str = "/muster/v1/git/resolve";
    pub const GIT_PACKS: &str = "/muster/v1/git/packs";

    /// Returns where a cluster's agent sends its reports.
    pub fn reports(cluster: &str) -> String {
        format!("{CLUSTERS}/{cluster}/reports")
    }

    /// Returns where a cluster's agent listens for notices.
    pub fn notices(cluster: &str) -> String {
        format!("{CLUSTERS}/{cluster}/notices")
    }

    /// Returns where one cluster is told of.
    pub fn cluster(cluster: &str) -> String {
        format!("{CLUSTERS}/{cluster}")
    }

    /// Returns where an Application of a name is told of, on all clusters.
    pub fn app(namespace: &str, name: &str) -> String {
        format!("{APPS}/{namespace}/{name}")
    }

    /// Returns where the resources of an Application on one cluster are told of (`?cluster=`).
    pub fn app_tree(namespace: &str, name: &str) -> String {
        format!("{APPS}/{namespace}/{name}/tree")
    }

    /// Returns the cluster of `/muster/v1/clusters/<cluster>`.
    pub fn parse_one_cluster(path: &str) -> Option<&str> {
        path.strip_prefix(CLUSTERS)?.strip_prefix('/').filter(|name| !name.is_empty() && !name.contains('/'))
    }

    /// Returns cluster and rest of `/muster/v1/clusters/<cluster>/<rest>`.
    pub fn parse_cluster(path: &str) -> Option<(&str, &str)> {
        let (cluster, rest) = path.strip_prefix(CLUSTERS)?.strip_prefix('/')?.split_once('/')?;
        (!cluster.is_empty() && !rest.is_empty()).then_some((cluster, rest))
    }
}

/// Which hub this is. A restore from a backup raises the epoch: revisions seen before it mean nothing after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubInfo {
    pub uid: String,
    pub epoch: u64,
    pub version: String,
}

/// One line of the notice stream. A notice is a hint: it may be lost, and the agent polls as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Notice {
    /// First line of every stream, and a sign of life from then on.
    #[serde(rename_all = "camelCase")]
    Hello { hub: HubInfo, time: Timestamp },
    /// A repository has a new commit.
    #[serde(rename_all = "camelCase")]
    Revision { repo: String, revision: String, commit: String },
    /// A word this version does not know; it is passed over.
    #[serde(other)]
    Unknown,
}

/// Answer of `GET /muster/v1/git/resolve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolveAnswer {
    pub commit: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_of_another_version_is_readable() {
        let notice: Notice = serde_json::from_str(r#"{"type":"party","at":"noon"}"#).expect("readable");
        assert_eq!(notice, Notice::Unknown);
        let revision = Notice::Revision { repo: "r".into(), revision: "main".into(), commit: "c".into() };
        let line = serde_json::to_string(&revision).expect("plain data");
        assert_eq!(line, r#"{"type":"revision","repo":"r","revision":"main","commit":"c"}"#);
    }

    #[test]
    fn a_path_names_its_cluster() {
        assert_eq!(path::parse_cluster("/muster/v1/clusters/a/reports"), Some(("a", "reports")));
        assert_eq!(path::parse_cluster("/muster/v1/clusters"), None);
        assert_eq!(path::parse_cluster("/muster/v1/clusters/a"), None);
    }
}

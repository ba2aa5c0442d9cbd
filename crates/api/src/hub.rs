//! The hub's identity, and what its endpoints beside the Kubernetes API say.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where the hub keeps what is its own.
pub const NAMESPACE: &str = "muster-system";
/// ConfigMap in [`NAMESPACE`] that holds `uid` and `epoch`.
pub const IDENTITY_CONFIG_MAP: &str = "hub-identity";

pub mod path {
    //! Paths of the endpoints.

    pub const HUB: &str = "/muster/v1/hub";
    pub const CLUSTERS: &str = "/muster/v1/clusters";
    pub const APPS: &str = "/muster/v1/apps";
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

/// One page of a read model endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// How many there are in all, on all pages.
    pub total: u64,
    /// Passed as `continue=` for the next page.
    #[serde(default, rename = "continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One Application on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppRow {
    pub cluster: String,
    pub namespace: String,
    pub name: String,
    pub repo: String,
    pub path: String,
    pub target_revision: String,
    /// The commit that is compared against.
    pub revision: String,
    /// `Synced`, `OutOfSync`, `Unknown`.
    pub sync: String,
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing`, `Unknown`.
    pub health: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_since: Option<Timestamp>,
    /// Phase of the last operation: `Running`, `Succeeded`, `Failed`, `Error`, `Terminating`; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operation: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// `native`, `observe` or `off`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub engine: String,
    pub resources_count: u32,
    /// When the spoke saw this, by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// When the hub got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    /// Whether the cluster was Available when this was asked; what an unreachable cluster said last is not current.
    pub is_current: bool,
}

/// One cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRow {
    pub name: String,
    /// The cluster's own UID; empty until it has told.
    pub uid: String,
    pub labels: BTreeMap<String, String>,
    pub is_accepted: bool,
    /// `True`, `False`, `Unknown`; empty until anything is known.
    pub available: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub available_reason: String,
    /// The last sign of life: lease or report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    pub kubernetes_version: String,
    pub agent_version: String,
    pub apps_count: u32,
    pub apps_synced: u32,
    pub apps_healthy: u32,
    /// Reports the agent had to drop while it could not reach the hub.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reports_lost: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
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

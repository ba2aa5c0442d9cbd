//! What people are shown of a fleet: answers of the read model's endpoints.
//!
//! Each row says how old its knowledge is (`lastSeen`, `receivedAt`) and whether it is current: what a cluster said
//! before it went away is shown as old, never as fine. Which decisions lead to these rows is in the crate `overview`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::HubInfo;

/// Clusters that [`Fleet`] shows one by one; of more it shows [`Group`]s.
pub const TILES_MAX: usize = 5_000;
/// Clusters that a [`Problem`] names.
pub const SAMPLE_MAX: usize = 5;

/// One page of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// How many there are in all, on all pages.
    pub total: u64,
    /// Passed as `continue=` for the next page.
    #[serde(default, rename = "continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// By facet and value: how many rows of the whole filtered result have it. A facet that is filtered by is counted
    /// without its own filter, so that its other values stay in sight.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, BTreeMap<String, u64>>,
    /// Clusters that the asker may not see; they are in no other number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hidden: u64,
    /// When this was true, by the hub's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), total: 0, next: None, facets: BTreeMap::new(), hidden: 0, as_of: None }
    }
}

/// How a cluster is, worst last: its link and its Applications in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Reached, and all its Applications are Synced and Healthy.
    Ready,
    /// Reached; something is on its way.
    Progressing,
    /// Accepted, and never heard yet.
    Joining,
    /// Asks to join and is not accepted.
    Pending,
    /// Reached; something is wrong that does not go away by itself.
    Degraded,
    /// Was reached once and is not now.
    Offline,
    /// A word of another version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl State {
    pub const ALL: [Self; 6] = [Self::Ready, Self::Progressing, Self::Joining, Self::Pending, Self::Degraded, Self::Offline];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Joining => "Joining",
            Self::Pending => "Pending",
            Self::Degraded => "Degraded",
            Self::Offline => "Offline",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterRow {
    pub name: String,
    /// The cluster's own UID; empty until it has told.
    pub uid: String,
    pub labels: BTreeMap<String, String>,
    /// The exclusive set it is in, or instead of the default set the first that selects it by its labels; empty for none.
    pub set: String,
    /// From the label `region` or `topology.kubernetes.io/region`, else its claim; empty for none.
    pub region: String,
    pub state: State,
    /// One sentence: what, since when, and what to do about it.
    pub state_reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_since: Option<Timestamp>,
    /// The worst of its Applications, as last told; `Unknown` if it has told of none.
    pub app_state: State,
    pub is_simulated: bool,
    pub is_accepted: bool,
    /// `True`, `False`, `Unknown`; empty until anything is known.
    pub available: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub available_reason: String,
    /// The last sign of life: lease or report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Whether it is Available and was heard since the hub started: what the row says is no memory.
    pub is_current: bool,
    pub kubernetes_version: String,
    pub agent_version: String,
    pub nodes: u32,
    pub nodes_ready: u32,
    pub apps_count: u32,
    pub apps_synced: u32,
    pub apps_healthy: u32,
    /// Of [`Problem`]s, how many it is part of.
    pub problems: u32,
    /// Reports the agent had to drop while it could not reach the hub.
    #[serde(skip_serializing_if = "is_zero")]
    pub reports_lost: u64,
    /// Hub time minus spoke time as last measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
}

/// One cluster with all that is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterDetail {
    pub row: ClusterRow,
    /// All sets it is in, by name.
    pub sets: Vec<String>,
    pub conditions: Vec<ConditionRow>,
    /// Cluster claims by name.
    pub claims: BTreeMap<String, String>,
    /// Quantities by resource: `cpu`, `memory`, `pods`.
    pub capacity: BTreeMap<String, String>,
    pub apps: Vec<AppRow>,
    pub workloads: Vec<WorkloadRow>,
    pub problems: Vec<Problem>,
    /// Newest first.
    pub events: Vec<ActivityRow>,
    /// The status ribbon, newest last.
    pub history: Vec<StateAt>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionRow {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// From when on a cluster was how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateAt {
    pub at: Timestamp,
    pub state: State,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One Application on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppRow {
    pub cluster: String,
    /// The set that its cluster is shown in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub set: String,
    pub namespace: String,
    pub name: String,
    pub repo: String,
    pub path: String,
    pub target_revision: String,
    /// The commit that is compared against.
    pub revision: String,
    /// What people call the version: the tag of its main image, else the short commit.
    pub version: String,
    /// Images of its workloads, with the digests that run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageRow>,
    /// `Synced`, `OutOfSync`, `Unknown`.
    pub sync: String,
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing`, `Unknown`.
    pub health: String,
    /// Why pods of it do not run and will not by themselves, as `ImagePullBackOff`; empty if they do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trouble: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_since: Option<Timestamp>,
    /// Phase of the last operation: `Running`, `Succeeded`, `Failed`, `Error`, `Terminating`; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// ID of the last order that was taken up; see [`crate::work::Order`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub order: String,
    /// Type of the condition that `message` is from, as `ComparisonError`; empty if it is from the operation.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub condition: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The commit of the last sync that succeeded, and when that was by the spoke's clock.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub synced_revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_at: Option<Timestamp>,
    /// `native`, `observe` or `off`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub engine: String,
    /// Whether nobody but a person syncs it.
    #[serde(skip_serializing_if = "is_false")]
    pub is_manual: bool,
    /// How far what runs is behind its branch, of one that is synced by hand; none for one that is not behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
    pub resources_count: u32,
    pub resources_out_of_sync: u32,
    pub resources_degraded: u32,
    /// When the spoke saw this, by its own clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// When the hub got it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    /// Whether the row of its cluster is current.
    pub is_current: bool,
}

/// How far an Application is behind its branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Behind {
    /// Commits of the branch that what runs does not have, merges not counted; none while nobody could count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits: Option<u32>,
    /// Whether there are more, which were not counted.
    #[serde(skip_serializing_if = "is_false")]
    pub is_more: bool,
    /// When the branch took the first of them, by its committer's clock; while that is not known, since when it is out of sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// By when it was to be synced, if its annotation `muster.dev/sync-deadline` says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

/// An image as it is asked for, and what runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageRow {
    pub image: String,
    /// `sha256:…` of what runs; empty while nothing runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

/// One Application on all clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppDetail {
    /// `namespace/name`.
    pub app: String,
    pub rows: Page<AppRow>,
    pub versions: Vec<MatrixVersion>,
    pub sources: Vec<SourceRow>,
    pub problems: Vec<Problem>,
}

/// A place in Git that an Application comes from, and on how many clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceRow {
    pub repo: String,
    pub path: String,
    pub target_revision: String,
    pub clusters: u64,
}

/// One Application: which version runs where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatrixApp {
    /// `namespace/name`.
    pub app: String,
    pub clusters: u64,
    /// Most clusters first.
    pub versions: Vec<MatrixVersion>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatrixVersion {
    /// See [`AppRow::version`].
    pub version: String,
    pub revision: String,
    /// Of the main image, if all clusters of this line run the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    pub clusters: u64,
    /// By cluster set; `""` for clusters in none.
    pub sets: BTreeMap<String, MatrixCell>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatrixCell {
    pub clusters: u64,
    pub synced: u64,
    pub healthy: u64,
    /// Clusters by [`AppRow::health`], as `Degraded` where there is [`AppRow::trouble`]; `Unknown` where nothing was told.
    pub health: BTreeMap<String, u64>,
    /// Clusters whose row is current.
    pub current: u64,
}

/// One object of an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceRow {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub name: String,
    /// `Synced`, `OutOfSync`, `Unknown`; empty for hooks.
    pub sync: String,
    /// Empty for kinds that have no health.
    pub health: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    pub wave: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageRow>,
}

/// The objects of an Application on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppTree {
    pub row: AppRow,
    /// By wave, kind, namespace, name.
    pub resources: Vec<ResourceRow>,
    /// Objects that are not listed: the agent tells of a bounded number.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub resources_cut: u32,
}

/// A workload of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadRow {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub ready: i64,
    pub desired: i64,
    pub health: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    pub images: Vec<ImageRow>,
    /// `namespace/name` of its Application; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub application: String,
    /// Why pods of it do not run, as `ImagePullBackOff`; empty if they do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod_reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod_message: String,
}

/// The whole fleet in one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fleet {
    pub clusters: u64,
    /// By [`State`].
    pub counts: BTreeMap<String, u64>,
    /// Clusters whose Applications are all Synced, by current rows.
    pub on_target: u64,
    /// Clusters whose row is current.
    pub current: u64,
    pub problems: u64,
    /// One per cluster by name, up to [`TILES_MAX`]; empty above.
    pub tiles: Vec<Tile>,
    /// Above [`TILES_MAX`] clusters: by set and region.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    #[serde(skip_serializing_if = "is_zero")]
    pub hidden: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubSeen>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
}

/// A cluster in six words: `[name, set, region, state, lastSeen (seconds since 1970, 0 for never), appState]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tile(pub String, pub String, pub String, pub State, pub i64, pub State);

/// Clusters of one set and region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Group {
    pub set: String,
    pub region: String,
    pub clusters: u64,
    pub counts: BTreeMap<String, u64>,
    /// The oldest of their last signs of life, in seconds since 1970; 0 if one was never heard.
    pub oldest_seen: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubSeen {
    #[serde(flatten)]
    pub info: HubInfo,
    pub started_at: Timestamp,
}

/// Failures with one cause, on however many clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Problem {
    /// Stays the same as long as the cause does.
    pub id: String,
    /// `ImagePullBackOff`, `CrashLoop`, `NotReady`, `OutOfSync`, `SyncFailed`, `RenderFailed`, `Offline`, `Pending`,
    /// `IdentityConflict`, `ClockSkew`, `ReportsLost`.
    pub kind: String,
    pub title: String,
    /// What one of the clusters said, as a sample.
    pub reason: String,
    /// `namespace/name` of the Application; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Where in Git it comes from: `repository/path`, or the repository alone where clusters follow different paths.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The commit it is seen with, if all clusters have the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    pub clusters: u64,
    /// The first names, at most [`SAMPLE_MAX`].
    pub sample: Vec<String>,
    /// Query of `clusters` that lists them all: `problem=<id>`.
    pub filter: String,
    /// Whether the version before still serves; `None` where that is no question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still_serving: Option<Serving>,
    pub severity: Severity,
    /// A command to type.
    pub remedy: String,
}

/// On how many of how many clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    pub yes: u64,
    pub of: u64,
}

/// How bad a [`Problem`] is, worst first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Something that should serve does not.
    Critical,
    /// Something failed, and what ran before still does.
    #[default]
    Warning,
    /// Worth knowing.
    #[serde(other)]
    Info,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "Critical",
            Self::Warning => "Warning",
            Self::Info => "Info",
        }
    }
}

/// Something that happened, newest first in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityRow {
    /// When it happened: by the spoke's clock for what a spoke saw.
    pub at: Timestamp,
    /// When the hub knew.
    pub received_at: Timestamp,
    pub cluster: String,
    /// Of the object: `ManagedCluster`, `Application`, `Deployment`.
    pub kind: String,
    /// One word: `Offline`, `Synced`, `Degraded`, `SyncFailed`.
    pub reason: String,
    /// `namespace/name`, or the cluster's name.
    pub object: String,
    pub message: String,
}

/// Data of `event: fleet` of the stream of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FleetCounters {
    pub clusters: u64,
    pub counts: BTreeMap<String, u64>,
    pub on_target: u64,
    pub current: u64,
    pub problems: u64,
    /// Grows with each change; for the log, not for comparing between hubs.
    pub version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
}

/// Data of `event: rows`: what changed since the event before; the first one holds all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RowsChanged {
    /// Whether this is all there is: what is not named here is not (or not any more) in sight.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_whole: bool,
    /// With `names=`: whole rows of those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<ClusterRow>,
    /// Without `names=`: tiles of all clusters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiles: Vec<Tile>,
    /// Names of clusters that left, or that the question no longer means.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

/// Data of `event: seen`, each 15 seconds: `[name, lastSeen]` of those heard since the event before, in seconds since 1970.
pub type Seen = Vec<(String, i64)>;

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_arrays_and_states_are_words() {
        let tile = Tile("store-1".into(), "east".into(), "us-east".into(), State::Ready, 5, State::Degraded);
        assert_eq!(serde_json::to_string(&tile).expect("plain data"), r#"["store-1","east","us-east","Ready",5,"Degraded"]"#);
        let row: ClusterRow = serde_json::from_str(r#"{"name":"a","state":"Sleeping","later":1}"#).expect("readable");
        assert_eq!((row.name.as_str(), row.state), ("a", State::Unknown));
        assert!(State::Ready < State::Progressing && State::Progressing < State::Degraded && State::Degraded < State::Offline);
    }
}

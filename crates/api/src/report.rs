//! Frames of the report stream: what an agent tells its hub, and what the hub answers.
//!
//! `POST /muster/v1/clusters/{name}/reports`: newline-delimited JSON both ways on one request, each
//! line an object with one member, the frame's type (`{"ack":{"sequence":7}}`). The agent writes [`Up`] frames for as long as the stream lives, the hub writes [`Down`] frames.
//! [`encode`] and [`decode`] are the only way to a line and back, so that the two sides cannot differ.
//!
//! The protocol, by its invariants:
//!
//! 1. **Identity.** A report is known by (cluster UID, incarnation, sequence). An agent draws a new
//!    incarnation when its spool is new; within one, sequences start at 1 and never repeat. The same
//!    triple always carries the same report: a hub that has it ignores it, so sending twice is safe.
//! 2. **Opening.** The agent sends [`Hello`] first and nothing else until [`Welcome`] came. `Welcome`
//!    names the highest sequence that the hub holds durably for this cluster and incarnation
//!    (`acknowledged`, 0 for none); the agent goes on with the next one. [`Refused`] ends the stream.
//! 3. **Order.** Sequences rise along the stream. A sequence that is skipped was declared in a [`Gap`]
//!    before; a hub that sees an undeclared hole answers `Refused` with [`RefusedReason::Protocol`].
//! 4. **Acknowledgement means durable.** `Ack { sequence }` says that everything up to `sequence`
//!    survives a kill -9 of the hub (gaps included). Only then may the agent forget it. The hub may
//!    acknowledge many at once and must do so within seconds.
//! 5. **A gap is visible.** The spool is bounded. When it overflows, the oldest report whose key has a
//!    later one goes first, then the oldest of all; either way a `Gap` takes its place in the stream.
//! 6. **State and completeness.** A report holds the whole current value of its (kind, key); the hub
//!    keeps the one with the highest sequence. `value: null` says that the key is gone. After
//!    [`Complete`] for a kind, what the hub still holds of that kind from before `since`, or from
//!    another incarnation, is gone too. An agent sends all its state and `Complete` when its
//!    incarnation is new, after a gap that hides a current value, and when the hub's identity changed
//!    (UID or epoch: the hub was replaced or restored and may have forgotten acknowledged reports).
//!    [`Kind::Event`] is not state: each one counts, none supersedes another.
//! 7. **Time.** `observed_at` is the spoke's clock. `Hello::sent_at` and `Welcome::hub_time` let either
//!    side measure the skew; the hub stores its own time beside every report.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// No line is longer; a longer one ends the stream.
pub const LINE_BYTES_MAX: usize = 256 * 1024;
/// A value may take this much of a line, so that its frame always fits.
pub const VALUE_BYTES_MAX: usize = LINE_BYTES_MAX - 4096;
/// The media type of both directions.
pub const CONTENT_TYPE: &str = "application/x-ndjson";

/// What the agent writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Up {
    Hello(Hello),
    Report(Report),
    Gap(Gap),
    Complete(Complete),
}

/// What the hub writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Down {
    Welcome(Welcome),
    Ack(Ack),
    Refused(Refused),
}

/// The first frame of a stream: who speaks, and from where it can go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The ManagedCluster's name.
    pub cluster: String,
    /// The UID of the spoke's namespace kube-system.
    pub cluster_uid: String,
    pub incarnation: String,
    pub agent_version: String,
    /// What the agent can do beyond the base protocol; an unknown one is ignored.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The lowest sequence that the spool can still send (a gap counts as sendable).
    pub first_retained_sequence: u64,
    pub sent_at: Timestamp,
}

/// The whole current value of one key, or its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub sequence: u64,
    pub observed_at: Timestamp,
    pub kind: Kind,
    /// Unique within the kind; see [`Kind`].
    pub key: String,
    /// `None` when the key is gone; otherwise opaque here.
    #[serde(default)]
    pub value: Option<Box<RawValue>>,
}

/// Sequences that will never come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The first and the last sequence that are lost.
    pub from: u64,
    pub to: u64,
    pub reason: GapReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GapReason {
    /// The spool was full; every lost report is superseded by a later one of the same key.
    Superseded,
    /// The spool was full, or a part of it unreadable: information is lost.
    Lost,
}

/// All current keys of a kind have been reported at or after `since`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Complete {
    /// Its own place in the stream.
    pub sequence: u64,
    pub kind: Kind,
    pub since: u64,
}

/// What a report is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Kind {
    /// The cluster itself: key `cluster`, value [`ClusterInfo`].
    ClusterInfo,
    /// A workload: key `<Kind>/<namespace>/<name>`, value [`Workload`].
    Workload,
    /// An Argo CD Application: key `<namespace>/<name>`, value [`Application`].
    Application,
    /// The objects of an Application: key as for the Application, value [`Resources`].
    Resources,
    /// Something that happened: key unique per event.
    Event,
    /// From a newer agent: kept by the hub, not understood.
    Other(String),
}

/// The hub accepts the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    pub hub_uid: String,
    pub epoch: u64,
    /// The highest sequence held durably for this cluster UID and incarnation; 0 for none.
    pub acknowledged: u64,
    pub hub_time: Timestamp,
}

/// Everything up to `sequence` is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    pub sequence: u64,
}

/// The hub does not accept the stream, or no longer; it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    pub reason: RefusedReason,
    /// For people: what is wrong, and the remedy.
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RefusedReason {
    /// The ManagedCluster has another cluster UID: the name is reused, or a disk was cloned.
    ClusterUidDiffers,
    /// Another live stream holds this (cluster UID, incarnation): two processes share one identity.
    DuplicateIncarnation,
    /// A frame broke the protocol.
    Protocol,
    /// The hub cannot store reports at the moment; come back.
    Unavailable,
    Other(String),
}

/// The value of [`Kind::ClusterInfo`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    pub cluster_uid: String,
    pub agent_version: String,
    pub kubernetes_version: String,
    /// As `status.nodeInfo` of the first node: `linux/arm64`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
    pub nodes: u32,
    pub nodes_ready: u32,
    pub pods: u32,
    /// Hub time minus spoke time as last measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Where the GitOps engine stands: `native`, `observe` or `off`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gitops: String,
}

/// The value of [`Kind::Workload`]: a Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob or Pod
/// that nothing else controls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Workload {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    /// Of all containers, in order, without repetition.
    pub images: Vec<String>,
    pub desired: i64,
    pub ready: i64,
    /// One of Argo CD's words: Healthy, Progressing, Degraded, Suspended, Missing, Unknown.
    pub health: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When `health` became what it is, by the spoke's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// `namespace/name` of the Application that tracks it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The ManifestWork that holds it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_work: Option<String>,
    /// What runs: by image as a pod asks for it, the digest that its node pulled (`sha256:…`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
    /// What keeps pods of it from running, if anything does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<PodTrouble>,
}

/// Why a pod does not run, as its container's state or the scheduler says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTrouble {
    /// `ImagePullBackOff`, `CrashLoopBackOff`, `Unschedulable`, …
    pub reason: String,
    pub message: String,
    /// The image of the container; empty if it is not about one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// How many pods have it.
    pub pods: u32,
}

/// The value of [`Kind::Resources`]: what an Application consists of. Told apart from the Application, which people
/// look at far more often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// At most [`RESOURCES_MAX`]; those out of sync or not healthy first.
    pub items: Vec<Resource>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub cut: u32,
}

/// One object of an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub name: String,
    /// Empty for `Synced`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sync: String,
    /// Empty for a kind without health.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub health: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "is_zero_wave")]
    pub wave: i64,
}

/// More objects of one Application are counted, not told.
pub const RESOURCES_MAX: usize = 500;

/// Of an annotation that should hold a duration.
pub const SYNC_DEADLINE_CHARS_MAX: usize = 64;

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_zero_wave(wave: &i64) -> bool {
    *wave == 0
}

/// The value of [`Kind::Application`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Application {
    pub namespace: String,
    pub name: String,
    pub project: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repo: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target_revision: String,
    /// Whether nobody but a person syncs it: `spec.syncPolicy.automated` is missing or off.
    #[serde(skip_serializing_if = "is_false")]
    pub is_manual: bool,
    /// As its annotation `muster.dev/sync-deadline` has it, cut after [`SYNC_DEADLINE_CHARS_MAX`]; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sync_deadline: String,
    /// The commit that `sync` was compared with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// Synced, OutOfSync or Unknown.
    pub sync: String,
    pub health: String,
    /// When `sync` and `health` became what they are, by the spoke's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_since: Option<Timestamp>,
    /// Who syncs it: `native`, `observe` or `off`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub engine: String,
    /// Of the last operation: Running, Succeeded, Failed, Error, Terminating; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// ID of the last order that was taken up; see [`crate::work::Order`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub order: String,
    /// The commit of the last operation that succeeded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub synced_revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_at: Option<Timestamp>,
    /// Type of the condition that `message` is from; empty if it is from the operation.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// The first condition or operation message that asks for attention.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Of `status.resources`: all, and those out of sync or not healthy.
    pub resources: u32,
    pub resources_out_of_sync: u32,
    pub resources_degraded: u32,
}

/// The key of the one [`Kind::ClusterInfo`] report.
pub const CLUSTER_INFO_KEY: &str = "cluster";

/// Returns the key of a [`Kind::Workload`] report.
pub fn workload_key(kind: &str, namespace: &str, name: &str) -> String {
    format!("{kind}/{namespace}/{name}")
}

/// Returns the key of a [`Kind::Application`] report.
pub fn application_key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

impl Up {
    /// The last sequence that this frame accounts for; none for `Hello`.
    pub fn last_sequence(&self) -> Option<u64> {
        match self {
            Up::Hello(_) => None,
            Up::Report(report) => Some(report.sequence),
            Up::Gap(gap) => Some(gap.to),
            Up::Complete(complete) => Some(complete.sequence),
        }
    }

    /// The first sequence that this frame accounts for; none for `Hello`.
    pub fn first_sequence(&self) -> Option<u64> {
        match self {
            Up::Gap(gap) => Some(gap.from),
            Up::Hello(_) | Up::Report(_) | Up::Complete(_) => self.last_sequence(),
        }
    }
}

impl Kind {
    pub fn as_str(&self) -> &str {
        match self {
            Kind::ClusterInfo => "cluster-info",
            Kind::Workload => "workload",
            Kind::Application => "application",
            Kind::Resources => "application-resources",
            Kind::Event => "event",
            Kind::Other(other) => other,
        }
    }

    /// Whether a later report of a key replaces an earlier one.
    pub fn is_state(&self) -> bool {
        match self {
            Kind::ClusterInfo | Kind::Workload | Kind::Application | Kind::Resources | Kind::Other(_) => true,
            Kind::Event => false,
        }
    }
}

impl From<String> for Kind {
    fn from(text: String) -> Self {
        match text.as_str() {
            "cluster-info" => Kind::ClusterInfo,
            "workload" => Kind::Workload,
            "application" => Kind::Application,
            "application-resources" => Kind::Resources,
            "event" => Kind::Event,
            _ => Kind::Other(text),
        }
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<String> for RefusedReason {
    fn from(text: String) -> Self {
        match text.as_str() {
            "ClusterUidDiffers" => RefusedReason::ClusterUidDiffers,
            "DuplicateIncarnation" => RefusedReason::DuplicateIncarnation,
            "Protocol" => RefusedReason::Protocol,
            "Unavailable" => RefusedReason::Unavailable,
            _ => RefusedReason::Other(text),
        }
    }
}

impl From<RefusedReason> for String {
    fn from(reason: RefusedReason) -> Self {
        match reason {
            RefusedReason::ClusterUidDiffers => "ClusterUidDiffers".into(),
            RefusedReason::DuplicateIncarnation => "DuplicateIncarnation".into(),
            RefusedReason::Protocol => "Protocol".into(),
            RefusedReason::Unavailable => "Unavailable".into(),
            RefusedReason::Other(other) => other,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a line of the report stream is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("a line of the report stream is not a known frame")]
    Malformed(#[source] serde_json::Error),
}

/// Writes a frame as a line, newline included.
pub fn encode<F: Serialize>(frame: &F) -> Result<Vec<u8>, FrameError> {
    let mut line = serde_json::to_vec(frame).map_err(FrameError::Malformed)?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX { Err(FrameError::TooLong) } else { Ok(line) }
}

/// Reads a frame from a line, with or without its newline.
pub fn decode<F: DeserializeOwned>(line: &[u8]) -> Result<F, FrameError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(FrameError::TooLong);
    }
    serde_json::from_slice(line).map_err(FrameError::Malformed)
}

/// Cuts a stream of chunks into lines; bounded by [`LINE_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
    /// Up to where `pending` was searched for a newline.
    searched: usize,
}

impl Lines {
    pub fn push(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
    }

    /// Returns the next whole line without its newline, if there is one; blank lines are skipped.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        loop {
            let Some(at) = self.pending[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.pending.len();
                return if self.pending.len() > LINE_BYTES_MAX { Err(FrameError::TooLong) } else { Ok(None) };
            };
            let end = self.searched + at;
            let mut line: Vec<u8> = self.pending.drain(..=end).collect();
            self.searched = 0;
            line.pop();
            if line.len() > LINE_BYTES_MAX {
                return Err(FrameError::TooLong);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(line: &str) {
        let frame: Up = decode(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(encode(&frame).unwrap()).unwrap().trim_end(), line);
    }

    #[test]
    fn frames_are_stable_on_the_wire() {
        round_trip(
            r#"{"hello":{"cluster":"store-1","clusterUid":"u","incarnation":"i","agentVersion":"0.1.0","capabilities":["work"],"firstRetainedSequence":1,"sentAt":"2026-01-02T03:04:05Z"}}"#,
        );
        round_trip(
            r#"{"report":{"sequence":7,"observedAt":"2026-01-02T03:04:05Z","kind":"application","key":"argocd/shop","value":{"sync":"Synced"}}}"#,
        );
        round_trip(r#"{"report":{"sequence":8,"observedAt":"2026-01-02T03:04:05Z","kind":"from-the-future","key":"k","value":null}}"#);
        round_trip(r#"{"gap":{"from":3,"to":5,"reason":"Superseded"}}"#);
        round_trip(r#"{"complete":{"sequence":9,"kind":"workload","since":2}}"#);
        let down: Down = decode(br#"{"ack":{"sequence":9}}"#).unwrap();
        assert!(matches!(down, Down::Ack(Ack { sequence: 9 })));
    }

    #[test]
    fn a_stream_is_cut_into_lines_wherever_the_chunks_end() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for chunk in ["{\"a\"", ":1}\n\n{}", "\r\n", "rest"] {
            lines.push(chunk.as_bytes());
            while let Some(line) = lines.next_line().unwrap() {
                seen.push(String::from_utf8(line).unwrap());
            }
        }
        assert_eq!(seen, ["{\"a\":1}", "{}\r"]);
        lines.push(&vec![b'x'; LINE_BYTES_MAX]);
        assert!(matches!(lines.next_line(), Err(FrameError::TooLong)));
    }
}

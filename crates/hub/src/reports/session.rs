//! One report stream, from its hello to its end.

use std::sync::Arc;
use std::time::Duration;

use api::cluster::{ManagedCluster, annotation, condition, reason};
use api::conditions::{self, FALSE, Said};
use api::report::{self, Ack, Down, Hello, Lines, Refused, RefusedReason, Up, Welcome};
use apiserver::Body;
use bytes::Bytes;
use controller::Key;
use futures::FutureExt;
use http_body_util::BodyExt;
use records::{Frame, Intake};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::facets;
use crate::approval::recorded_uid;
use crate::endpoints::Shared;
use crate::events::{self, Told};
use crate::readmodel::HUB_KINDS;
use crate::write;

const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames written in one go; what has arrived by then is acknowledged together.
const BATCH_MAX: usize = 500;

pub struct Session {
    shared: Arc<Shared>,
    cluster: String,
    body: Body,
    lines: Lines,
    answers: mpsc::Sender<Bytes>,
}

/// Why a stream ends.
enum End {
    /// The agent ended it, or the link broke.
    Closed,
    Refused(RefusedReason, String),
}

impl From<report::FrameError> for End {
    fn from(error: report::FrameError) -> Self {
        Self::Refused(RefusedReason::Protocol, error.to_string())
    }
}

impl Session {
    pub fn new(shared: Arc<Shared>, cluster: String, body: Body, answers: mpsc::Sender<Bytes>) -> Self {
        Self { shared, cluster, body, lines: Lines::default(), answers }
    }

    pub async fn run(mut self) {
        match self.talk().await {
            End::Closed => tracing::debug!(cluster = %self.cluster, "report stream closed"),
            End::Refused(reason, message) => {
                tracing::warn!(cluster = %self.cluster, ?reason, message, "report stream refused");
                let _ = self.send(&Down::Refused(Refused { reason, message })).await;
            }
        }
    }

    async fn talk(&mut self) -> End {
        let hello = match tokio::time::timeout(HELLO_TIMEOUT, self.hello()).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(end)) => return end,
            Err(_) => return End::Refused(RefusedReason::Protocol, "no hello came within 10 seconds".into()),
        };
        if let Err(end) = self.check_identity(&hello).await {
            return end;
        }
        let key = (hello.cluster_uid.clone(), hello.incarnation.clone());
        let replaced = CancellationToken::new();
        let number = self.shared.streams.enter(&key, replaced.clone());
        let streams = self.shared.streams.clone();
        let end = tokio::select! {
            end = self.take_all(&hello) => end,
            () = replaced.cancelled() => {
                let text = "another stream of the same incarnation was opened: the agent reconnected, or two processes share its state";
                End::Refused(RefusedReason::DuplicateIncarnation, text.into())
            }
        };
        streams.leave(&key, number);
        end
    }

    async fn hello(&mut self) -> Result<Hello, End> {
        match self.next().await? {
            Up::Hello(hello) if hello.cluster == self.cluster => Ok(hello),
            Up::Hello(hello) => Err(End::Refused(
                RefusedReason::Protocol,
                format!("the hello is of cluster {:?}, the path is of {:?}", hello.cluster, self.cluster),
            )),
            Up::Report(_) | Up::Gap(_) | Up::Complete(_) => {
                Err(End::Refused(RefusedReason::Protocol, "the first frame must be a hello".into()))
            }
        }
    }

    /// Compares who speaks with who is known under this name; the first to speak is recorded.
    async fn check_identity(&mut self, hello: &Hello) -> Result<(), End> {
        let ctx = self.shared.ctx.clone();
        let unknown = || End::Refused(RefusedReason::Unavailable, format!("there is no ManagedCluster {}", self.cluster));
        let cluster = ctx.caches.clusters.get(&Key::cluster_scoped(&self.cluster)).ok_or_else(unknown)?;
        // The records know clusters by UID, and the hub writes under its own: nobody speaks under another's.
        if let Some(owner) = self.owner_of(&hello.cluster_uid, &cluster) {
            let text = format!(
                "cluster {} reports as {}, but that UID is {owner}'s: a cloned disk, or a cluster that changed its name; \
                 give it an identity of its own, or delete the other ManagedCluster first",
                hello.cluster_uid, self.cluster
            );
            return Err(End::Refused(RefusedReason::ClusterUidDiffers, text));
        }
        match recorded_uid(&cluster) {
            Some(recorded) if recorded == hello.cluster_uid => Ok(()),
            Some(recorded) => {
                let text = format!(
                    "cluster {} reports as {}, which is cluster {recorded}: a reused name or a cloned disk; \
                     join it under another name, or delete this ManagedCluster first",
                    hello.cluster_uid, self.cluster
                );
                self.show_second_claimant(&cluster, &text).await;
                Err(End::Refused(RefusedReason::ClusterUidDiffers, text))
            }
            None => {
                let patch = json!({"metadata": {"annotations": {annotation::CLUSTER_UID: hello.cluster_uid}}});
                let recorded = write::merge::<ManagedCluster>(&ctx.all(), &cluster, patch).await;
                recorded.map(|_| ()).map_err(|error| End::Refused(RefusedReason::Unavailable, error.full()))
            }
        }
    }

    /// Returns who has a UID already: the hub, or another cluster that had it first.
    fn owner_of(&self, uid: &str, asking: &ManagedCluster) -> Option<String> {
        if uid == self.shared.hub.uid {
            return Some("the hub".to_owned());
        }
        let age = |cluster: &ManagedCluster| (cluster.metadata.creation_timestamp.as_ref().map(|t| t.0), cluster.metadata.name.clone());
        let is_recorded_here = recorded_uid(asking) == Some(uid);
        let is_owner = |other: &ManagedCluster| {
            recorded_uid(other) == Some(uid)
                && other.metadata.name != asking.metadata.name
                && other.metadata.deletion_timestamp.is_none()
                && !(is_recorded_here && age(asking) < age(other))
        };
        let owner = self.shared.ctx.caches.clusters.list().into_iter().find(|other| is_owner(other))?;
        Some(format!("cluster {}", owner.metadata.name.as_deref().unwrap_or_default()))
    }

    async fn show_second_claimant(&mut self, cluster: &ManagedCluster, text: &str) {
        let ctx = &self.shared.ctx;
        let mut all = cluster.conditions().to_vec();
        let said = Said::new(condition::IDENTITY_UNIQUE, FALSE, reason::SECOND_CLAIMANT, text);
        if !conditions::set(&mut all, &said, ctx.now()) {
            return;
        }
        if let Err(error) = write::merge_status::<ManagedCluster>(&ctx.all(), cluster, json!({"conditions": all})).await {
            tracing::warn!(cluster = %self.cluster, error = %error.full(), "second claimant could not be shown");
        }
        let told = Told { type_: events::WARNING, reason: reason::SECOND_CLAIMANT, action: "RefuseReports", note: text.to_owned() };
        events::tell(ctx, cluster, told).await;
    }

    /// Takes note that the cluster is heard; a stream that outlives its ManagedCluster speaks for nobody.
    fn note_heard(&self, hello: &Hello) {
        let ctx = &self.shared.ctx;
        let Some(cluster) = ctx.caches.clusters.get(&Key::cluster_scoped(&self.cluster)) else { return };
        if recorded_uid(&cluster).is_none_or(|recorded| recorded == hello.cluster_uid) {
            ctx.sightings.reported(&self.cluster, ctx.now());
        }
    }

    async fn take_all(&mut self, hello: &Hello) -> End {
        let unavailable = |error: records::Error| End::Refused(RefusedReason::Unavailable, error.to_string());
        let now = self.shared.ctx.now();
        let skew_ms = i64::try_from(now.duration_since(hello.sent_at).as_millis()).ok();
        let acknowledged = match self.shared.records.acknowledged(&hello.cluster_uid, &hello.incarnation).await {
            Ok(acknowledged) => acknowledged,
            Err(error) => return unavailable(error),
        };
        self.note_heard(hello);
        let hub = &self.shared.hub;
        let welcome = Welcome { hub_uid: hub.uid.clone(), epoch: hub.epoch, acknowledged, hub_time: now };
        if self.send(&Down::Welcome(welcome)).await.is_err() {
            return End::Closed;
        }
        tracing::debug!(cluster = %self.cluster, acknowledged, agent = %hello.agent_version, "report stream opened");
        loop {
            let frames = match self.batch().await {
                Ok(frames) => frames,
                Err(end) => return end,
            };
            self.note_heard(hello);
            let intake = Intake {
                cluster: self.cluster.clone(),
                cluster_uid: hello.cluster_uid.clone(),
                incarnation: hello.incarnation.clone(),
                received_at: self.shared.ctx.now(),
                skew_ms,
                frames,
            };
            let appended = match self.shared.records.append(intake).await {
                Ok(appended) => appended,
                Err(error @ records::Error::Invalid(_)) => return End::Refused(RefusedReason::Protocol, error.to_string()),
                Err(error) => return unavailable(error),
            };
            if self.send(&Down::Ack(Ack { sequence: appended.acknowledged })).await.is_err() {
                return End::Closed;
            }
            if let Some((from, to)) = appended.hole {
                return End::Refused(RefusedReason::Protocol, format!("sequences {from} to {to} are missing and were not declared a gap"));
            }
        }
    }

    /// Waits for a frame and takes what else has arrived by then.
    async fn batch(&mut self) -> Result<Vec<Frame>, End> {
        let mut frames = vec![to_frame(self.next().await?)?];
        while frames.len() < BATCH_MAX {
            match self.next().now_or_never() {
                Some(Ok(up)) => frames.push(to_frame(up)?),
                // What came whole is kept; the next wait finds the end again.
                Some(Err(End::Closed)) | None => break,
                Some(Err(refused)) => return Err(refused),
            }
        }
        Ok(frames)
    }

    /// Reads the next frame; may be dropped while it waits without losing anything.
    async fn next(&mut self) -> Result<Up, End> {
        loop {
            if let Some(line) = self.lines.next_line()? {
                return Ok(report::decode(&line)?);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.lines.push(&data);
                    }
                }
                Some(Err(_)) | None => return Err(End::Closed),
            }
        }
    }

    async fn send(&mut self, frame: &Down) -> Result<(), ()> {
        let line = report::encode(frame).map_err(|_| ())?;
        self.answers.send(Bytes::from(line)).await.map_err(|_| ())
    }
}

fn to_frame(up: Up) -> Result<Frame, End> {
    Ok(match up {
        Up::Hello(_) => return Err(End::Refused(RefusedReason::Protocol, "a second hello".into())),
        Up::Report(r) if r.kind.as_str().starts_with(HUB_KINDS) => {
            return Err(End::Refused(RefusedReason::Protocol, format!("kind {:?} is the hub's own: no spoke reports it", r.kind.as_str())));
        }
        Up::Report(r) => Frame::Report(records::Report {
            sequence: r.sequence,
            is_state: r.kind.is_state(),
            facets: facets::of(&r.kind, r.value.as_deref()),
            kind: r.kind.as_str().to_owned(),
            key: r.key,
            observed_at: r.observed_at,
            value: r.value,
        }),
        Up::Gap(gap) => Frame::Gap { from: gap.from, to: gap.to, reason: format!("{:?}", gap.reason) },
        Up::Complete(c) => Frame::Complete { sequence: c.sequence, kind: c.kind.as_str().to_owned(), since: c.since },
    })
}

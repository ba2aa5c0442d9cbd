//! Sending reports: one request for as long as the connection holds, resumed where the hub stands.

use std::time::Duration;

use api::report::{Ack, CONTENT_TYPE, Down, Gap, GapReason, Hello, Lines, Refused, RefusedReason, Up, Welcome, decode, encode};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tunnel::body;

use super::Reporter;
use crate::{Context, backoff::BackOff};

/// The hub welcomes a stream within this time, or it is not well.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// Read from the spool at a time; what is on the wire beyond that waits in the spool.
const BATCH_BYTES: usize = 64 * 1024;
/// What comes so soon after something was sent goes together: to sync, to send and to acknowledge one report costs as much as
/// ten. What comes after a pause is sent at once.
const SEND_EVERY: Duration = Duration::from_millis(100);
/// Chunks between us and the connection.
const CHUNKS_MAX: usize = 4;
/// A hub that refuses us is asked again this often.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("failed to open the report stream: {0}")]
    Open(tunnel::BoxError),
    #[error("the hub answered the report stream with {0}")]
    Status(http::StatusCode),
    #[error("the hub did not welcome the report stream within {} s", WELCOME_TIMEOUT.as_secs())]
    NoWelcome,
    #[error("the report stream was cut: {0}")]
    Cut(String),
    #[error("the hub refused the report stream ({}): {message}", String::from(reason.clone()))]
    Refused { reason: RefusedReason, message: String },
    #[error("the hub's answer broke the protocol")]
    Frame(#[from] api::report::FrameError),
}

/// Sends reports for as long as the runtime lives.
pub async fn run(context: Context) {
    let mut back_off = BackOff::new(Duration::from_millis(200), Duration::from_secs(15));
    loop {
        let began = tokio::time::Instant::now();
        let Err(error) = stream(&context).await;
        let delay = match &error {
            // Only people can end these; a hub of another product has no reports.
            StreamError::Refused { reason: RefusedReason::ClusterUidDiffers | RefusedReason::DuplicateIncarnation, .. }
            | StreamError::Status(http::StatusCode::NOT_FOUND) => {
                tracing::warn!(%error, "reports wait");
                REFUSED_AGAIN
            }
            StreamError::Open(_) if !context.hub.is_joined() => Duration::from_millis(200),
            _ => {
                tracing::info!(%error, "report stream ended, will open another");
                if began.elapsed() > Duration::from_secs(30) {
                    back_off.reset();
                }
                back_off.next_delay()
            }
        };
        tokio::time::sleep(delay).await;
    }
}

/// Opens one stream and serves it until it ends.
async fn stream(context: &Context) -> Result<std::convert::Infallible, StreamError> {
    let reporter = &context.reporter;
    let (sender, upload) = body::channel(CHUNKS_MAX);
    let request = http::Request::post(api::hub::path::reports(&context.cluster_name))
        .header(http::header::CONTENT_TYPE, CONTENT_TYPE)
        .body(upload)
        .map_err(|e| StreamError::Open(e.into()))?;
    send(&sender, encode(&Up::Hello(hello(context)))?.into()).await?;
    let response = tunnel::send(&context.hub.http, request).await.map_err(StreamError::Open)?;
    if !response.status().is_success() {
        return Err(StreamError::Status(response.status()));
    }
    let mut answers = Answers { body: response.into_body(), lines: Lines::default() };
    let welcome = tokio::time::timeout(WELCOME_TIMEOUT, answers.next()).await.map_err(|_| StreamError::NoWelcome)??;
    let Down::Welcome(welcome) = welcome else {
        return Err(refusal(welcome));
    };
    let sent = meet(context, &welcome, &sender).await?;
    tracing::info!(acknowledged = welcome.acknowledged, epoch = welcome.epoch, "report stream open");
    context.welcomes.send_modify(|count| *count += 1);
    tokio::select! {
        error = upload_from(reporter, sender, sent) => error,
        error = acknowledgements(reporter, &mut answers) => error,
    }
}

fn hello(context: &Context) -> Hello {
    let state = context.reporter.0.state.lock();
    Hello {
        cluster: context.cluster_name.clone(),
        cluster_uid: context.cluster_uid.clone(),
        incarnation: state.spool.incarnation().to_owned(),
        agent_version: crate::VERSION.to_owned(),
        capabilities: crate::CAPABILITIES.iter().map(|c| (*c).to_owned()).collect(),
        first_retained_sequence: state.spool.first_retained(),
        sent_at: context.runtime.clock.now(),
    }
}

/// Compares what the hub holds with what the spool does; returns the sequence to go on after.
async fn meet(context: &Context, welcome: &Welcome, sender: &mpsc::Sender<Bytes>) -> Result<u64, StreamError> {
    let reporter = &context.reporter;
    let now = context.runtime.clock.now();
    context.clock_skew.note(now, welcome.hub_time);
    let (forgotten, is_other_hub) = {
        let mut state = reporter.0.state.lock();
        // The hub knows more of this incarnation than we do: our disk was rolled back, or copied.
        if welcome.acknowledged >= state.spool.next_sequence() {
            tracing::warn!(acknowledged = welcome.acknowledged, "the hub holds reports that this agent has not sent: new incarnation");
            state.spool.begin_anew(now);
            drop(state);
            reporter.tell_all_again();
            return Err(StreamError::Cut("the agent draws a new incarnation".into()));
        }
        let is_other_hub = state.spool.meet_hub(&welcome.hub_uid, welcome.epoch);
        let first_retained = state.spool.first_retained();
        // Acknowledged once, and forgotten since: the hub was restored from a backup, or let this cluster go.
        let forgotten = (welcome.acknowledged + 1 < first_retained).then_some((welcome.acknowledged + 1, first_retained - 1));
        (forgotten, is_other_hub)
    };
    if is_other_hub || forgotten.is_some() {
        reporter.tell_all_again();
    }
    if let Some((from, to)) = forgotten {
        // The same hub that knows nothing of this stream let it go on purpose; all that is still true is told again.
        let is_let_go = welcome.acknowledged == 0 && !is_other_hub;
        let reason = if is_let_go { GapReason::Superseded } else { GapReason::Lost };
        send(sender, encode(&Up::Gap(Gap { from, to, reason }))?.into()).await?;
        return Ok(to);
    }
    acknowledge(reporter, welcome.acknowledged);
    Ok(welcome.acknowledged)
}

/// Sends what the spool has after `sent`, and what comes.
async fn upload_from(reporter: &Reporter, sender: mpsc::Sender<Bytes>, mut sent: u64) -> Result<std::convert::Infallible, StreamError> {
    let mut sent_at = None;
    loop {
        let changed = reporter.0.changed.notified();
        let (lines, to_sync) = {
            let mut state = reporter.0.state.lock();
            (state.spool.after(sent, BATCH_BYTES), state.spool.sync())
        };
        // What is sent must survive a power loss here, or its sequences would be used again.
        if let Some(file) = to_sync
            && let Ok(Err(error)) = tokio::task::spawn_blocking(move || file.sync_data()).await
        {
            tracing::error!(%error, "the report spool could not be synced");
        }
        if lines.is_empty() {
            changed.await;
            if let Some(at) = sent_at {
                tokio::time::sleep_until(at + SEND_EVERY).await;
            }
            continue;
        }
        sent_at = Some(tokio::time::Instant::now());
        let mut chunk = Vec::with_capacity(lines.iter().map(|(_, line)| line.len()).sum());
        for (last, line) in &lines {
            sent = *last;
            chunk.extend_from_slice(line);
        }
        send(&sender, chunk.into()).await?;
    }
}

async fn acknowledgements(reporter: &Reporter, answers: &mut Answers) -> Result<std::convert::Infallible, StreamError> {
    loop {
        match answers.next().await? {
            Down::Ack(Ack { sequence }) => acknowledge(reporter, sequence),
            other => return Err(refusal(other)),
        }
    }
}

fn acknowledge(reporter: &Reporter, sequence: u64) {
    let is_time_to_tell_again = reporter.0.state.lock().spool.acknowledge(sequence);
    if is_time_to_tell_again {
        reporter.tell_all_again();
    }
}

fn refusal(answer: Down) -> StreamError {
    match answer {
        Down::Refused(Refused { reason, message }) => StreamError::Refused { reason, message },
        Down::Welcome(_) | Down::Ack(_) => StreamError::Cut("the hub answered out of turn".into()),
    }
}

async fn send(sender: &mpsc::Sender<Bytes>, chunk: Bytes) -> Result<(), StreamError> {
    sender.send(chunk).await.map_err(|_| StreamError::Cut("the connection was lost".into()))
}

struct Answers {
    body: tunnel::Body,
    lines: Lines,
}

impl Answers {
    async fn next(&mut self) -> Result<Down, StreamError> {
        loop {
            if let Some(line) = self.lines.next_line()? {
                return Ok(decode(&line)?);
            }
            match self.body.frame().await {
                None => return Err(StreamError::Cut("the hub ended it".into())),
                Some(Err(error)) => return Err(StreamError::Cut(error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.lines.push(data);
                    }
                }
            }
        }
    }
}

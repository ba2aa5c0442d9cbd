//! Reports of agents: read frames, keep them, acknowledge what is durable.
//!
//! The protocol and its invariants are in [`api::report`]. A stream is read in batches: what has arrived is written in
//! one go and acknowledged at once, so a slow disk slows the agent and nothing piles up here. The newest stream of an
//! (cluster UID, incarnation) wins: a link that broke half-way must not lock its agent out.

mod facets;
mod session;

use std::collections::HashMap;
use std::sync::Arc;

use apimachinery::status::Status;
use apiserver::Body;
use bytes::Bytes;
use http::Response;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::endpoints::{self, Shared};

/// Answers waiting for a slow agent; then its stream waits.
const ANSWERS_MAX: usize = 16;

/// The open streams; cheap to clone.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<Open>>);

/// By cluster UID and incarnation: which stream it is, and what ends it.
type Open = HashMap<(String, String), (u64, CancellationToken)>;

impl Streams {
    /// Enters a stream and ends the one before it.
    fn enter(&self, key: &(String, String), token: CancellationToken) -> u64 {
        let mut open = self.0.lock();
        let number = open.get(key).map_or(0, |(number, _)| number + 1);
        if let Some((_, before)) = open.insert(key.clone(), (number, token)) {
            before.cancel();
        }
        number
    }

    fn leave(&self, key: &(String, String), number: u64) {
        let mut open = self.0.lock();
        if open.get(key).is_some_and(|(current, _)| *current == number) {
            open.remove(key);
        }
    }
}

/// Opens a stream: the body is read by a task of its own, its answers are the response.
pub async fn open(shared: &Arc<Shared>, cluster: &str, body: Body) -> Result<Response<Body>, Status> {
    let (answers, replies) = mpsc::channel::<Bytes>(ANSWERS_MAX);
    let session = session::Session::new(shared.clone(), cluster.to_owned(), body, answers);
    shared.ctx.runtime.spawn("reports", session.run());
    let replies = futures::stream::unfold(replies, |mut replies| async move { replies.recv().await.map(|line| (line, replies)) });
    Ok(endpoints::lines(replies))
}

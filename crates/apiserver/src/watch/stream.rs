//! A subscription as the body of a watch response.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::status::Status;
use bytes::{Bytes, BytesMut};
use futures::Stream;
use store::Revision;
use tokio::time::Instant;

use super::Watches;
use super::event::line;
use super::topic::{Delivery, Subscription};
use crate::apart;

/// How often a watcher that asked for bookmarks gets one, as kube-apiserver's bookmarkFrequency.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How much is put into one chunk when many events wait.
const CHUNK_BYTES: usize = 64 * 1024;

/// Turns an object's bytes into another form or version for one watcher.
pub type Convert = Arc<dyn Fn(&[u8]) -> Bytes + Send + Sync>;

/// How a watch runs.
pub struct StreamOptions {
    /// Sent as ADDED before anything else.
    pub initial: Vec<Bytes>,
    /// Ends the initial events with a bookmark annotated `k8s.io/initial-events-end`.
    pub marks_initial_end: bool,
    /// Revision that the initial events show.
    pub initial_revision: Revision,
    pub bookmarks: bool,
    pub timeout: Duration,
    pub api_version: String,
    pub kind: String,
    pub form: Form,
}

/// What a watcher is sent of an object.
pub enum Form {
    /// All, as it is stored.
    Stored,
    /// Its metadata, as they are stored.
    Metadata,
    Converted(Convert),
}

impl Form {
    /// Returns what is sent of an object that was there before the watch.
    fn of(&self, object: &Bytes) -> Bytes {
        match self {
            Self::Stored => object.clone(),
            Self::Metadata => apart::partial(object),
            Self::Converted(convert) => convert(object),
        }
    }
}

struct State {
    subscription: Subscription,
    watches: Arc<Watches>,
    options: StreamOptions,
    pending: VecDeque<Bytes>,
    next_bookmark: Instant,
    ends_at: Instant,
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
}

/// Returns the chunks of a watch response.
pub fn stream(
    mut subscription: Subscription,
    watches: Arc<Watches>,
    mut options: StreamOptions,
    stopping: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = Bytes> + Send {
    let mut pending = VecDeque::new();
    let initial = std::mem::take(&mut options.initial);
    for object in &initial {
        pending.push_back(line("ADDED", &options.form.of(object)));
    }
    if options.marks_initial_end {
        pending.push_back(bookmark(&options, options.initial_revision, true));
    }
    let history = std::mem::take(&mut subscription.history);
    pending.extend(history.iter().map(|delivery| encode(&options, delivery)));
    let now = Instant::now();
    let state = State {
        subscription,
        watches,
        next_bookmark: now + BOOKMARK_EVERY,
        ends_at: now + options.timeout,
        options,
        pending,
        stopping: Box::pin(stopping),
        is_over: false,
    };
    futures::stream::unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        Some((chunk, state))
    })
}

impl State {
    /// Waits for the next chunk; `None` ends the response.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.take_pending() {
                return Some(chunk);
            }
            if self.is_over {
                return None;
            }
            let bookmark_at = if self.options.bookmarks { self.next_bookmark } else { self.ends_at };
            tokio::select! {
                biased;
                delivery = self.subscription.receiver.recv() => match delivery {
                    Some(delivery) => self.accept(delivery),
                    None => self.cut_off(),
                },
                () = tokio::time::sleep_until(bookmark_at.min(self.ends_at)) => self.on_timer(),
                () = &mut self.stopping => self.is_over = true,
            }
        }
    }

    fn accept(&mut self, first: Delivery) {
        self.pending.push_back(encode(&self.options, &first));
        let mut size = 0;
        while size < CHUNK_BYTES
            && let Ok(delivery) = self.subscription.receiver.try_recv()
        {
            let line = encode(&self.options, &delivery);
            size += line.len();
            self.pending.push_back(line);
        }
    }

    /// The queue was closed: everything in it was sent, what came after it is lost.
    fn cut_off(&mut self) {
        let gone = Status::gone("too old resource version: the watch fell too far behind; list again");
        self.pending.push_back(line("ERROR", gone.to_value().to_string().as_bytes()));
        self.is_over = true;
    }

    fn on_timer(&mut self) {
        let now = Instant::now();
        if self.options.bookmarks && now >= self.next_bookmark {
            self.next_bookmark = now + BOOKMARK_EVERY;
            // Everything up to here is queued already, so it goes out before the bookmark.
            let revision = self.watches.published().max(self.subscription.caught_up_to);
            while let Ok(delivery) = self.subscription.receiver.try_recv() {
                self.pending.push_back(encode(&self.options, &delivery));
            }
            // One cut off meanwhile does not have all that.
            if !self.subscription.is_cut_off() {
                self.pending.push_back(bookmark(&self.options, revision, false));
            }
        }
        if now >= self.ends_at {
            self.is_over = true;
        }
    }

    /// Joins waiting lines into one chunk.
    fn take_pending(&mut self) -> Option<Bytes> {
        let first = self.pending.pop_front()?;
        if self.pending.is_empty() {
            return Some(first);
        }
        let mut chunk = BytesMut::from(first);
        while chunk.len() < CHUNK_BYTES
            && let Some(next) = self.pending.pop_front()
        {
            chunk.extend_from_slice(&next);
        }
        Some(chunk.freeze())
    }
}

fn encode(options: &StreamOptions, (told, event): &Delivery) -> Bytes {
    match &options.form {
        Form::Stored => event.line(*told),
        Form::Metadata => event.metadata_line(*told),
        Form::Converted(convert) => line(told.as_str(), &convert(&event.object(*told))),
    }
}

fn bookmark(options: &StreamOptions, revision: Revision, ends_initial: bool) -> Bytes {
    let mut metadata = serde_json::json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
    if ends_initial {
        metadata["annotations"] = serde_json::json!({"k8s.io/initial-events-end": "true"});
    }
    let object = serde_json::json!({"kind": options.kind, "apiVersion": options.api_version, "metadata": metadata});
    line("BOOKMARK", object.to_string().as_bytes())
}

//! `GET /muster/v1/changes`: what changes, as server-sent events.
//!
//! The first `rows` holds everything asked for; later ones what changed since, at most one each 250 ms. `seen` tells
//! each 15 seconds who was heard, so that people see how old their knowledge is; it is the sign of life of the stream, too.
//! A browser that is slow gets fewer, larger events: each is made when there is room for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::hub::{RowsChanged, Seen, TILES_MAX};
use apimachinery::status::Status;
use apiserver::Body;
use apiserver::user::UserInfo;
use bytes::Bytes;
use http::Response;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::index::Entry;
use super::params::Params;
use super::viewer::Viewer;
use super::{Question, filter, fleet};
use crate::endpoints::{self, Shared};

const THROTTLE: Duration = Duration::from_millis(250);
const SEEN_EVERY: Duration = Duration::from_secs(15);
/// Streams at once, of all people: each walks the fleet up to four times a second.
pub const STREAMS_MAX: usize = 500;
/// Rights are looked at anew.
const RIGHTS_EVERY: Duration = Duration::from_secs(15);

struct Stream {
    shared: Arc<Shared>,
    user: UserInfo,
    viewer: Viewer,
    query: String,
    changes: watch::Receiver<u64>,
    /// What was sent, as of this version; none before the first.
    sent: Option<u64>,
    sent_at: Instant,
    /// The clusters that were sent and are in sight.
    shown: BTreeSet<String>,
    /// When each cluster was heard, as last told.
    heard: BTreeMap<String, i64>,
    heard_at: Instant,
    viewer_at: Instant,
    _permit: OwnedSemaphorePermit,
}

const KNOWN: [&str; 1] = ["names"];

fn parse(query: &str) -> Result<Params, Status> {
    let known: Vec<&str> = filter::KNOWN.into_iter().chain(KNOWN).collect();
    Params::parse(query, &known)
}

pub async fn open(asked: &Question<'_>) -> Result<Response<Body>, Status> {
    filter::Filter::new(&parse(asked.query)?)?;
    let permit = asked.shared.changes.clone().try_acquire_owned().map_err(|_| {
        let mut busy = Status::new(429, "TooManyRequests", format!("{STREAMS_MAX} streams of changes are open: close some, or ask again"));
        busy.retry_after_seconds = Some(10);
        busy
    })?;
    let now = Instant::now();
    let stream = Stream {
        shared: asked.shared.clone(),
        user: asked.user.clone(),
        viewer: asked.viewer.clone(),
        query: asked.query.to_owned(),
        changes: asked.shared.index.changes(),
        sent: None,
        sent_at: now,
        shown: BTreeSet::new(),
        heard: BTreeMap::new(),
        heard_at: now,
        viewer_at: now,
        _permit: permit,
    };
    let chunks = futures::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((chunk, stream))
    });
    Ok(endpoints::events(chunks))
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        let runtime = self.shared.ctx.runtime.clone();
        loop {
            if self.sent.is_none() {
                return self.changed().await;
            }
            let due = self.heard_at + SEEN_EVERY;
            tokio::select! {
                () = runtime.stopping() => return None,
                changed = self.changes.changed() => {
                    changed.ok()?;
                    tokio::time::sleep_until(self.sent_at + THROTTLE).await;
                    match self.changed().await? {
                        nothing if nothing.is_empty() => {}
                        chunk => return Some(chunk),
                    }
                }
                () = tokio::time::sleep_until(due) => {
                    self.heard_at = Instant::now();
                    return self.seen().await;
                }
            }
        }
    }

    /// Ends the stream of who may no longer see anything.
    async fn renew_rights(&mut self) -> Option<()> {
        if self.viewer_at.elapsed() >= RIGHTS_EVERY {
            let viewer = self.shared.viewers.of(&self.shared, &self.user).await.ok()?;
            if viewer != self.viewer {
                // What is to be seen is another fleet: begin anew.
                (self.viewer, self.sent) = (viewer, None);
            }
            self.viewer_at = Instant::now();
        }
        Some(())
    }

    async fn changed(&mut self) -> Option<Bytes> {
        self.renew_rights().await?;
        self.changes.borrow_and_update();
        let params = parse(&self.query).ok()?;
        let wanted = filter::Filter::new(&params).ok()?;
        let shared = self.shared.clone();
        let asked = Question { shared: &shared, user: &self.user, viewer: self.viewer.clone(), query: &self.query };
        let now = asked.now();
        let sightings = &shared.ctx.sightings;
        let names = params.all("names");
        let sent = self.sent;
        let shown_before = &self.shown;
        let (counters, rows, shown) = asked
            .read(|inner| {
                let found = wanted.find(&asked, inner);
                let is_named = |name: &str| names.is_none_or(|names| names.iter().any(|wanted| wanted == name));
                let in_sight: Vec<_> = found.clusters.iter().filter(|(name, _)| is_named(name)).collect();
                // One that came into sight need not have changed itself.
                let is_due = |name: &str, entry: &Entry| sent.is_none_or(|sent| entry.version > sent) || !shown_before.contains(name);
                let changed = || in_sight.iter().filter(|(name, entry)| is_due(name, entry));
                let mut rows = RowsChanged { is_whole: sent.is_none(), ..RowsChanged::default() };
                let mut shown = BTreeSet::new();
                // A fleet that is too large for tiles is told in counters.
                if names.is_some() || in_sight.len() <= TILES_MAX {
                    shown.extend(in_sight.iter().map(|(name, _)| (*name).to_owned()));
                    if names.is_some() {
                        rows.rows = changed().map(|(_, entry)| filter::row(entry, sightings, now)).collect();
                    } else {
                        rows.tiles = changed().map(|(_, entry)| fleet::tile(entry, sightings)).collect();
                    }
                }
                if sent.is_some() {
                    rows.gone = shown_before.difference(&shown).cloned().collect();
                }
                (fleet::counters(&found.clusters, &asked, inner, now), rows, shown)
            })
            .await;
        self.shown = shown;
        let is_first = self.sent.replace(counters.version).is_none();
        self.sent_at = Instant::now();
        let mut out = Vec::new();
        event(&mut out, "fleet", &counters);
        if is_first || rows != RowsChanged::default() {
            event(&mut out, "rows", &rows);
        }
        Some(out.into())
    }

    async fn seen(&mut self) -> Option<Bytes> {
        self.renew_rights().await?;
        if self.sent.is_none() {
            return self.changed().await;
        }
        let sightings = self.shared.ctx.sightings.clone();
        let all: BTreeMap<String, i64> = self.shown.iter().map(|name| (name.clone(), fleet::seconds(sightings.last(name)))).collect();
        let news: Seen = all.iter().filter(|(name, at)| self.heard.get(*name) != Some(*at)).map(|(n, at)| (n.clone(), *at)).collect();
        self.heard = all;
        // Some of what is counted passes with time alone.
        let params = parse(&self.query).ok()?;
        let wanted = filter::Filter::new(&params).ok()?;
        let shared = self.shared.clone();
        let asked = Question { shared: &shared, user: &self.user, viewer: self.viewer.clone(), query: &self.query };
        let counters = shared.index.peek(|inner| fleet::counters(&wanted.find(&asked, inner).clusters, &asked, inner, asked.now()));
        let mut out = Vec::new();
        event(&mut out, "seen", &news);
        event(&mut out, "fleet", &counters);
        Some(out.into())
    }
}

fn event(out: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    out.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
    // JSON has no line breaks of its own.
    if serde_json::to_writer(&mut *out, data).is_err() {
        out.extend_from_slice(b"null");
    }
    out.extend_from_slice(b"\n\n");
}

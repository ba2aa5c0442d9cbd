//! `GET /muster/v1/changes`: what changes, as server-sent events.
//!
//! The first `rows` holds everything asked for; later ones what changed since, at most one each 250 ms. `seen` tells
//! each 15 seconds who was heard, so that people see how old their knowledge is; it is the sign of life of the stream, too.
//! A browser that is slow gets fewer, larger events: each is made when there is room for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::hub::{RowsChanged, Seen, TILES_MAX};
use apimachinery::status::Status;
use apiserver::Body;
use apiserver::user::UserInfo;
use bytes::Bytes;
use http::Response;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::params::Params;
use super::viewer::Viewer;
use super::{Question, filter, fleet};
use crate::endpoints::{self, Shared};

const THROTTLE: Duration = Duration::from_millis(250);
const SEEN_EVERY: Duration = Duration::from_secs(15);
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
    /// When each cluster was heard, as last told.
    heard: BTreeMap<String, i64>,
    heard_at: Instant,
    viewer_at: Instant,
}

const KNOWN: [&str; 1] = ["names"];

fn parse(query: &str) -> Result<Params, Status> {
    let known: Vec<&str> = filter::KNOWN.into_iter().chain(KNOWN).collect();
    Params::parse(query, &known)
}

pub async fn open(asked: &Question<'_>) -> Result<Response<Body>, Status> {
    filter::Filter::new(&parse(asked.query)?)?;
    let now = Instant::now();
    let stream = Stream {
        shared: asked.shared.clone(),
        user: asked.user.clone(),
        viewer: asked.viewer.clone(),
        query: asked.query.to_owned(),
        changes: asked.shared.index.changes(),
        sent: None,
        sent_at: now,
        heard: BTreeMap::new(),
        heard_at: now,
        viewer_at: now,
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
        let (counters, rows) = asked
            .read(|inner| {
                let found = wanted.find(&asked, inner);
                let gone = self.sent.map_or(Some(Vec::new()), |sent| inner.gone_after(sent));
                // Further behind than is remembered: all of it again.
                let after = gone.is_some().then_some(self.sent).flatten();
                let changed = || found.clusters.iter().filter(|(_, entry)| after.is_none_or(|after| entry.version > after));
                let mut rows = RowsChanged { gone: gone.unwrap_or_default(), ..RowsChanged::default() };
                rows.gone.retain(|name| self.viewer.sees(name) || self.heard.contains_key(name));
                match names {
                    Some(names) => {
                        let named = changed().filter(|(name, _)| names.iter().any(|wanted| wanted == name));
                        rows.rows = named.map(|(_, entry)| filter::row(entry, sightings)).collect();
                        rows.gone.retain(|name| names.contains(name));
                    }
                    None if found.clusters.len() <= TILES_MAX => {
                        rows.tiles = changed().map(|(_, entry)| fleet::tile(entry, sightings)).collect()
                    }
                    None => {}
                }
                (fleet::counters(&found.clusters, &asked, inner, now), rows)
            })
            .await;
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
        let params = parse(&self.query).ok()?;
        let sightings = self.shared.ctx.sightings.clone();
        let (viewer, shared) = (self.viewer.clone(), self.shared.clone());
        let names = params.all("names");
        let is_wanted = |name: &str| viewer.sees(name) && names.is_none_or(|names| names.iter().any(|wanted| wanted == name));
        let all: Vec<(String, i64)> = shared.index.peek(|inner| {
            let clusters = inner.clusters().filter(|(name, _)| is_wanted(name));
            clusters.map(|(name, _)| (name.to_owned(), fleet::seconds(sightings.last(name)))).collect()
        });
        let news: Seen = all.iter().filter(|(name, at)| self.heard.get(name) != Some(at)).cloned().collect();
        self.heard = all.into_iter().collect();
        let mut out = Vec::new();
        event(&mut out, "seen", &news);
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

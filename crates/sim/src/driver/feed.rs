//! All watched kinds as one stream: list, then watch, then again when a watch breaks.
//!
//! Leaner than one cache a kind: a resting watch holds no buffer, and there is no task but its reader's.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use http_body_util::BodyExt;
use kube::Client;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::faults;
use crate::kind::Kind;

/// The kinds that decisions read.
pub const WATCHED: [Kind; 14] = [
    Kind::Node,
    Kind::ConfigMap,
    Kind::PersistentVolumeClaim,
    Kind::Service,
    Kind::ControllerRevision,
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::HorizontalPodAutoscaler,
    Kind::Ingress,
    Kind::CronJob,
    Kind::Job,
    Kind::Pod,
];

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(15);
/// Longest event line; an object cannot be larger than the server's limit of 3 MiB.
const LINE_MOST: usize = 8 << 20;

/// What a watch says; objects as JSON.
pub enum News {
    /// All objects of the kind.
    Listed(Kind, Vec<Box<RawValue>>),
    /// With its revision.
    Changed(Kind, String, Box<RawValue>),
    Deleted(Kind, Box<RawValue>),
}

pub struct Feed(SelectAll<BoxStream<'static, News>>);

impl Feed {
    pub fn start(client: &Client) -> Self {
        Self(WATCHED.iter().map(|kind| follow(client.clone(), *kind).boxed()).collect())
    }

    pub async fn next(&mut self) -> Option<News> {
        self.0.next().await
    }
}

/// Follows one kind for ever.
fn follow(client: Client, kind: Kind) -> impl Stream<Item = News> {
    futures::stream::unfold(Watch { client, kind, state: State::Unlisted, retry: RETRY_FIRST }, |mut watch| async move {
        let news = watch.next().await;
        Some((news, watch))
    })
}

type Chunks = BoxStream<'static, Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

enum State {
    Unlisted,
    /// To be watched from a revision.
    Listed(String),
    Watching {
        revision: String,
        chunks: Chunks,
        rest: Vec<u8>,
    },
}

struct Watch {
    client: Client,
    kind: Kind,
    state: State,
    retry: Duration,
}

#[derive(Deserialize)]
struct List {
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Revised {
    metadata: ListMeta,
}

impl Watch {
    async fn next(&mut self) -> News {
        loop {
            match std::mem::replace(&mut self.state, State::Unlisted) {
                State::Unlisted => match self.list().await {
                    Ok(list) => {
                        self.state = State::Listed(list.metadata.resource_version);
                        return News::Listed(self.kind, list.items);
                    }
                    Err(error) => self.back_off(&error).await,
                },
                State::Listed(revision) => match self.open(&revision).await {
                    Ok(chunks) => self.state = State::Watching { revision, chunks, rest: Vec::new() },
                    Err(error) => {
                        self.back_off(&error).await;
                        // 410 means that the revision is gone: list anew. Everything else is tried again.
                        let is_gone = matches!(&error, kube::Error::Api(status) if status.code == 410);
                        self.state = if is_gone { State::Unlisted } else { State::Listed(revision) };
                    }
                },
                State::Watching { revision, chunks, rest } => {
                    if let Some(news) = self.read(revision, chunks, rest).await {
                        return news;
                    }
                }
            }
        }
    }

    fn uri(&self, query: &str) -> String {
        // The one ConfigMap that is of interest is asked for by name.
        match self.kind {
            Kind::ConfigMap => {
                let path = self.kind.path(faults::CONFIG_MAP_NAMESPACE);
                format!("{path}?fieldSelector=metadata.name%3D{}{query}", faults::CONFIG_MAP)
            }
            kind => format!("{}?{}", kind.path(""), query.trim_start_matches('&')),
        }
    }

    async fn list(&mut self) -> Result<List, kube::Error> {
        let request = get(self.uri(""));
        let list = self.client.request(request).await?;
        self.retry = RETRY_FIRST;
        Ok(list)
    }

    async fn open(&mut self, revision: &str) -> Result<Chunks, kube::Error> {
        let request = get(self.uri(&format!("&watch=1&allowWatchBookmarks=true&resourceVersion={revision}")));
        let response = self.client.send(request.map(kube::client::Body::from)).await?;
        if response.status().is_success() {
            return Ok(response.into_body().into_data_stream().map(|chunk| chunk.map_err(Into::into)).boxed());
        }
        let code = response.status().as_u16();
        let text = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let status = kube::core::Status::failure(&String::from_utf8_lossy(&text), "WatchRefused").with_code(code);
        Err(kube::Error::Api(status.boxed()))
    }

    /// Reads the next event; none if the state changed instead.
    async fn read(&mut self, mut revision: String, mut chunks: Chunks, mut rest: Vec<u8>) -> Option<News> {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if rest.is_empty() {
                    // A resting watch holds no buffer.
                    rest = Vec::new();
                }
                match parse(self.kind, &line, &mut revision) {
                    Parsed::News(news) => {
                        self.state = State::Watching { revision, chunks, rest };
                        return Some(news);
                    }
                    Parsed::Nothing => continue,
                    Parsed::Expired => return None,
                }
            }
            match chunks.next().await {
                Some(Ok(chunk)) if rest.len() + chunk.len() <= LINE_MOST => rest.extend_from_slice(&chunk),
                Some(Ok(_)) => {
                    tracing::warn!(kind = %self.kind, "an event is longer than any object may be, listing anew");
                    return None;
                }
                ended => {
                    if let Some(Err(error)) = ended {
                        tracing::debug!(kind = %self.kind, %error, "watch interrupted");
                    }
                    self.state = State::Listed(revision);
                    return None;
                }
            }
        }
    }

    async fn back_off(&mut self, error: &kube::Error) {
        tracing::debug!(kind = %self.kind, %error, "list or watch failed, will retry");
        tokio::time::sleep(self.retry).await;
        self.retry = (self.retry * 2).min(RETRY_MOST);
    }
}

enum Parsed {
    News(News),
    Nothing,
    Expired,
}

fn parse(kind: Kind, line: &[u8], revision: &mut String) -> Parsed {
    let Ok(line) = serde_json::from_slice::<Line>(line) else { return Parsed::Nothing };
    if line.kind == "ERROR" {
        return Parsed::Expired;
    }
    if let Ok(revised) = serde_json::from_str::<Revised>(line.object.get()) {
        *revision = revised.metadata.resource_version;
    }
    match line.kind {
        "ADDED" | "MODIFIED" => Parsed::News(News::Changed(kind, revision.clone(), line.object.to_owned())),
        "DELETED" => Parsed::News(News::Deleted(kind, line.object.to_owned())),
        _ => Parsed::Nothing,
    }
}

fn get(uri: String) -> http::Request<Vec<u8>> {
    http::Request::get(uri).body(Vec::new()).expect("a path and a query of plain characters make a URI")
}

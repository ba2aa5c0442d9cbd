//! All objects of a kind and what becomes of them: list, then watch, then again when a watch breaks.
//!
//! What kube's watcher does, leaner: an object is read once, straight into what its reader wants of it; a resting watch holds
//! no buffer. Lists come in pages, so that a long one is never in memory as a whole. A watch that ends is resumed where it
//! was; one whose revision is gone (410) begins with a new list. A malformed object is passed over, and does not stop the
//! others.

use std::time::Duration;

use apimachinery::uri::percent_encode;
use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::BodyExt;
use kube::core::ApiResource;
use kube::{Api, Client};
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::backoff::BackOff;

/// A watch is ended by its server after this, and opened again: what only looks alive is found so.
const WATCH_TIMEOUT: Duration = Duration::from_secs(290);
/// Of a server that does not keep to it.
const SILENCE_MARGIN: Duration = Duration::from_secs(30);
/// A page of a list, or the beginning of a watch.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(30);
/// A watch that lasted so long was no failure.
const STEADY_AFTER: Duration = Duration::from_secs(1);
/// Longest event: no server takes objects near as large.
const LINE_BYTES_MAX: usize = 16 << 20;
const LIST_BYTES_MAX: usize = 256 << 20;
/// Of an answer that says why not.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// What a reader wants of an object.
pub trait Wanted: DeserializeOwned + Send + 'static {
    /// Returns the `metadata.resourceVersion`; empty where there is none.
    fn revision(&self) -> &str;
}

/// What is told of a kind.
#[derive(Debug)]
pub enum Event<T> {
    /// A list begins; what it does not name is gone.
    Init,
    InitApply(T),
    InitDone,
    Apply(T),
    Delete(T),
    /// The watch broke: nothing is told until it is resumed, or a new list begins.
    Interrupted,
    Resumed,
}

/// A kind to be followed.
pub struct Feed {
    client: Client,
    resource: ApiResource,
    page: u32,
    is_metadata_only: bool,
}

impl Feed {
    /// Follows all objects of a kind, in all namespaces.
    pub fn of(client: &Client, resource: &ApiResource) -> Self {
        Self { client: client.clone(), resource: resource.clone(), page: 100, is_metadata_only: false }
    }

    /// Lists so many objects at a time.
    pub fn pages(self, page: u32) -> Self {
        Self { page, ..self }
    }

    /// Asks for the metadata of the objects only.
    pub fn metadata_only(self) -> Self {
        Self { is_metadata_only: true, ..self }
    }

    /// Begins to follow; the stream does not end.
    pub fn start<T: Wanted>(self) -> BoxStream<'static, Event<T>> {
        let path = Api::<kube::api::DynamicObject>::all_with(self.client.clone(), &self.resource).resource_url().to_owned();
        let state = State::Unlisted;
        let following =
            Following { feed: self, path, state, listed: Vec::new().into_iter(), back_off: BackOff::new(RETRY_FIRST, RETRY_MOST) };
        futures::stream::unfold(following, |mut following| async move {
            let event = following.next().await;
            Some((event, following))
        })
        .boxed()
    }

    async fn list(&self, path: &str, next: Option<&str>) -> Result<List, kube::Error> {
        let next = next.map(|token| format!("&continue={}", percent_encode(token))).unwrap_or_default();
        let request = self.request(format!("{path}?limit={}{next}", self.page), "PartialObjectMetadataList")?;
        let response = self.client.send(request).await?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let bytes = whole(response, LIST_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(kube::Error::SerdeError)
    }

    async fn open(&self, path: &str, revision: &str) -> Result<Chunks, kube::Error> {
        let timeout = WATCH_TIMEOUT.as_secs();
        let query = format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={timeout}&resourceVersion={}", percent_encode(revision));
        let request = self.request(format!("{path}?{query}"), "PartialObjectMetadata")?;
        let response = self.client.send(request).await?;
        if response.status().is_success() {
            return Ok(response.into_body().into_data_stream().map(|chunk| chunk.map_err(Into::into)).boxed());
        }
        Err(refused(response).await)
    }

    fn request(&self, uri: String, partial: &str) -> Result<http::Request<kube::client::Body>, kube::Error> {
        let mut request = http::Request::get(uri);
        if self.is_metadata_only {
            request = request.header(http::header::ACCEPT, format!("application/json;as={partial};g=meta.k8s.io;v=v1"));
        }
        request.body(kube::client::Body::empty()).map_err(kube::Error::HttpError)
    }
}

type Chunks = BoxStream<'static, Result<Bytes, tunnel::BoxError>>;

enum State {
    Unlisted,
    /// In the middle of a list.
    Listing {
        next: Option<String>,
    },
    /// To be watched from a revision.
    Listed {
        revision: String,
        is_told: bool,
        after: Duration,
    },
    Watching(Watch),
}

struct Watch {
    revision: String,
    since: Instant,
    chunks: Chunks,
    rest: BytesMut,
}

impl State {
    fn listed(revision: String, after: Duration) -> Self {
        Self::Listed { revision, is_told: true, after }
    }
}

struct Following {
    feed: Feed,
    path: String,
    state: State,
    /// What of a page is still to be told.
    listed: std::vec::IntoIter<Box<RawValue>>,
    back_off: BackOff,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default = "Vec::new", deserialize_with = "null_is_empty")]
    items: Vec<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    more: Option<String>,
}

/// The line of a change, read at once into what is wanted of the object.
#[derive(Deserialize)]
struct Told<T> {
    #[serde(rename = "type")]
    what: What,
    object: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum What {
    Added,
    Modified,
    Deleted,
}

/// Any line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Revised {
    metadata: ListMeta,
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<RawValue>>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Following {
    async fn next<T: Wanted>(&mut self) -> Event<T> {
        loop {
            if let Some(object) = self.listed.next() {
                match self.read(&object) {
                    Some(object) => return Event::InitApply(object),
                    None => continue,
                }
            }
            match std::mem::replace(&mut self.state, State::Unlisted) {
                State::Unlisted => {
                    self.state = State::Listing { next: None };
                    return Event::Init;
                }
                State::Listing { next } => match in_time(self.feed.list(&self.path, next.as_deref())).await {
                    Ok(List { metadata, items }) => {
                        self.listed = items.into_iter();
                        match metadata.more.filter(|more| !more.is_empty()) {
                            Some(more) => self.state = State::Listing { next: Some(more) },
                            None => {
                                self.state = State::Listed { revision: metadata.resource_version, is_told: false, after: Duration::ZERO }
                            }
                        }
                    }
                    // 410: the list was taken back in the middle. Either way it begins anew.
                    Err(error) => self.pause(&error).await,
                },
                State::Listed { revision, is_told: false, after } => {
                    self.state = State::Listed { revision, is_told: true, after };
                    return Event::InitDone;
                }
                State::Listed { revision, is_told: true, after } => {
                    tokio::time::sleep(after).await;
                    match in_time(self.feed.open(&self.path, &revision)).await {
                        Ok(chunks) => {
                            self.state = State::Watching(Watch { revision, since: Instant::now(), chunks, rest: BytesMut::new() });
                            return Event::Resumed;
                        }
                        Err(error) => {
                            if !is_gone(&error) {
                                self.state = State::listed(revision, Duration::ZERO);
                            }
                            self.pause(&error).await;
                        }
                    }
                }
                State::Watching(watch) => {
                    if let Some(event) = self.watch(watch).await {
                        return event;
                    }
                }
            }
        }
    }

    /// Returns the next event; [`Event::Interrupted`] if the watch ended.
    async fn watch<T: Wanted>(&mut self, mut watch: Watch) -> Option<Event<T>> {
        loop {
            if let Some(end) = watch.rest.iter().position(|byte| *byte == b'\n') {
                let line = watch.rest.split_to(end);
                watch.rest.advance(1);
                if watch.rest.is_empty() {
                    // A resting watch holds no buffer.
                    watch.rest = BytesMut::new();
                }
                match self.event(&line, &mut watch.revision) {
                    Said::Event(event) => {
                        self.state = State::Watching(watch);
                        return Some(event);
                    }
                    Said::Nothing => continue,
                    Said::Gone => return Some(Event::Interrupted),
                    Said::Failed(error) => {
                        tracing::debug!(kind = self.feed.resource.kind, %error, "watch failed, will retry");
                        self.state = State::listed(watch.revision, self.back_off.next_delay());
                        return Some(Event::Interrupted);
                    }
                }
            }
            match tokio::time::timeout(WATCH_TIMEOUT + SILENCE_MARGIN, watch.chunks.next()).await {
                Ok(Some(Ok(chunk))) if watch.rest.len() + chunk.len() <= LINE_BYTES_MAX => watch.rest.extend_from_slice(&chunk),
                Ok(Some(Ok(_))) => {
                    tracing::warn!(kind = self.feed.resource.kind, "an event is longer than any object may be, listing anew");
                    return Some(Event::Interrupted);
                }
                ended => {
                    if let Ok(Some(Err(error))) = ended {
                        tracing::debug!(kind = self.feed.resource.kind, %error, "watch interrupted");
                    }
                    // A server that ends watches at once is not asked without pause.
                    let after = if watch.since.elapsed() < STEADY_AFTER {
                        self.back_off.next_delay()
                    } else {
                        self.back_off.reset();
                        Duration::ZERO
                    };
                    self.state = State::listed(watch.revision, after);
                    return Some(Event::Interrupted);
                }
            }
        }
    }

    fn event<T: Wanted>(&self, line: &[u8], revision: &mut String) -> Said<T> {
        let Ok(Told { what, object }) = serde_json::from_slice::<Told<T>>(line) else { return self.no_change(line, revision) };
        object.revision().clone_into(revision);
        Said::Event(match what {
            What::Added | What::Modified => Event::Apply(object),
            What::Deleted => Event::Delete(object),
        })
    }

    /// Reads what is no change: a bookmark, an error, or an object that is not readable.
    fn no_change<T: Wanted>(&self, line: &[u8], revision: &mut String) -> Said<T> {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { return Said::Nothing };
        if line.kind == "ERROR" {
            let status: kube::core::Status = serde_json::from_str(line.object.get()).unwrap_or_default();
            let error = kube::Error::Api(status.boxed());
            return if is_gone(&error) { Said::Gone } else { Said::Failed(error) };
        }
        if let Ok(revised) = serde_json::from_str::<Revised>(line.object.get()) {
            *revision = revised.metadata.resource_version;
        }
        if line.kind != "BOOKMARK" {
            let _: Option<T> = self.read(line.object);
        }
        Said::Nothing
    }

    fn read<T: DeserializeOwned>(&self, object: &RawValue) -> Option<T> {
        let read = serde_json::from_str(object.get());
        read.inspect_err(|error| tracing::warn!(kind = self.feed.resource.kind, %error, "an object is not readable and passed over")).ok()
    }

    async fn pause(&mut self, error: &kube::Error) {
        tracing::debug!(kind = self.feed.resource.kind, %error, "list or watch failed, will retry");
        tokio::time::sleep(self.back_off.next_delay()).await;
    }
}

enum Said<T> {
    Event(Event<T>),
    Nothing,
    /// The revision is gone.
    Gone,
    Failed(kube::Error),
}

async fn in_time<T>(answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let late = |_| kube::Error::Service(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()).into());
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(late)?
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

async fn whole(response: http::Response<kube::client::Body>, bytes_max: usize) -> Result<Bytes, kube::Error> {
    let body = http_body_util::Limited::new(response.into_body(), bytes_max);
    Ok(body.collect().await.map_err(kube::Error::Service)?.to_bytes())
}

async fn refused(response: http::Response<kube::client::Body>) -> kube::Error {
    let status = response.status();
    let body = whole(response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let said = serde_json::from_slice::<kube::core::Status>(&body).ok().filter(|said| said.code != 0);
    let text = || kube::core::Status::failure(&String::from_utf8_lossy(&body), "Refused").with_code(status.as_u16());
    kube::Error::Api(said.unwrap_or_else(text).boxed())
}

/// An object without `metadata.managedFields`, which are often the larger half of it and concern nobody here.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Lean(pub Value);

impl Wanted for Lean {
    fn revision(&self) -> &str {
        self.0["metadata"]["resourceVersion"].as_str().unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Lean {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields { is_metadata: false }).map(|fields| Self(fields.into()))
    }
}

struct Fields {
    is_metadata: bool,
}

impl<'de> Visitor<'de> for Fields {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "managedFields" if self.is_metadata => drop(map.next_value::<IgnoredAny>()?),
                "metadata" if !self.is_metadata => drop(fields.insert(field, map.next_value::<Metadata>()?.0.into())),
                _ => drop(fields.insert(field, map.next_value()?)),
            }
        }
        Ok(fields)
    }
}

struct Metadata(Map<String, Value>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields { is_metadata: true }).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use kube::core::GroupVersionKind;
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;

    /// Answers in order, and what was asked.
    type Script = Arc<Mutex<(VecDeque<(u16, String)>, Vec<String>)>>;

    fn scripted(answers: &[(u16, Value)]) -> (Script, BoxStream<'static, Event<Lean>>) {
        let answers = answers.iter().map(|(code, body)| match body {
            Value::Array(lines) => (*code, lines.iter().map(|line| format!("{line}\n")).collect()),
            other => (*code, other.to_string()),
        });
        let script: Script = Arc::new(Mutex::new((answers.collect(), Vec::new())));
        let server = script.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let mut script = server.lock();
            script.1.push(request.uri().query().unwrap_or_default().to_owned());
            let answer = script.0.pop_front();
            async move {
                let Some((code, body)) = answer else { return std::future::pending().await };
                let body = kube::client::Body::from(body.into_bytes());
                Ok::<_, std::io::Error>(http::Response::builder().status(code).body(body).expect("a response"))
            }
        });
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
        (script, Feed::of(&Client::new(service, "default"), &resource).pages(2).start())
    }

    fn object(name: &str, version: &str) -> Value {
        json!({"kind": "ConfigMap", "metadata": {"name": name, "resourceVersion": version, "managedFields": [{"manager": "x"}]}})
    }

    fn list(names: &[&str], version: &str, more: &str) -> Value {
        let items: Vec<Value> = names.iter().map(|name| object(name, "1")).collect();
        json!({"metadata": {"resourceVersion": version, "continue": more}, "items": items})
    }

    async fn told(events: &mut BoxStream<'static, Event<Lean>>, count: usize) -> Vec<String> {
        let name = |object: Lean| object.0["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut told = Vec::new();
        while told.len() < count {
            told.push(match events.next().await.expect("it does not end") {
                Event::InitApply(object) => format!("listed {}", name(object)),
                Event::Apply(object) => format!("set {}", name(object)),
                Event::Delete(object) => format!("gone {}", name(object)),
                Event::Init => "init".into(),
                Event::InitDone => "done".into(),
                Event::Interrupted => "interrupted".into(),
                Event::Resumed => "resumed".into(),
            });
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_list_comes_in_pages_and_a_watch_that_ends_goes_on_where_it_was() {
        let event = |kind: &str, object: Value| json!({"type": kind, "object": object});
        let bookmark = event("BOOKMARK", json!({"kind": "ConfigMap", "metadata": {"resourceVersion": "9"}}));
        let (script, mut events) = scripted(&[
            (200, list(&["a", "b"], "5", "more/of it")),
            (200, list(&["c"], "5", "")),
            (200, json!([event("ADDED", object("d", "6")), event("DELETED", object("a", "7")), bookmark])),
            (200, json!([event("MODIFIED", object("d", "10"))])),
        ]);
        let expect = "init, listed a, listed b, listed c, done, resumed, set d, gone a, interrupted, resumed, set d, interrupted";
        assert_eq!(told(&mut events, 12).await.join(", "), expect);
        let watch = "watch=1&allowWatchBookmarks=true&timeoutSeconds=290&resourceVersion=";
        let asked = script.lock().1.clone();
        assert_eq!(asked, ["limit=2", "limit=2&continue=more%2Fof%20it", &format!("{watch}5"), &format!("{watch}9")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_that_is_gone_means_a_new_list_and_another_failure_only_a_pause() {
        let gone = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
        let busy = json!({"kind": "Status", "status": "Failure", "code": 500, "reason": "InternalError", "message": "busy"});
        let (script, mut events) = scripted(&[
            (500, busy.clone()),
            (200, list(&["a"], "5", "")),
            (429, busy.clone()),
            (200, json!([{"type": "ERROR", "object": busy}])),
            (200, json!([{"type": "ERROR", "object": gone.clone()}])),
            (200, list(&[], "8", "")),
            (410, gone.clone()),
            (200, list(&["b"], "9", "over")),
            (410, gone),
            (200, list(&["c"], "10", "")),
        ]);
        let expect = "init, init, listed a, done, resumed, interrupted, resumed, interrupted, \
                      init, done, init, listed b, init, listed c, done";
        assert_eq!(told(&mut events, 15).await.join(", "), expect);
        assert_eq!(script.lock().1.iter().filter(|query| query.contains("resourceVersion=5")).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_malformed_object_does_not_stop_the_others_and_managed_fields_are_left_out() {
        let mut first = list(&["a"], "5", "");
        first["items"].as_array_mut().expect("a list").insert(0, json!("no object"));
        let malformed = json!({"type": "MODIFIED", "object": "no object"});
        let well = json!({"type": "ADDED", "object": object("b", "6")});
        let (_, mut events) = scripted(&[(200, first), (200, json!([malformed, "no event", well]))]);
        assert_eq!(told(&mut events, 1).await, ["init"]);
        let Some(Event::InitApply(Lean(object))) = events.next().await else { panic!("it is listed") };
        assert_eq!(object, json!({"kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "1"}}));
        assert_eq!(told(&mut events, 4).await, ["done", "resumed", "set b", "interrupted"]);
    }
}

//! The hub's endpoints beside the Kubernetes API, below `/muster/v1`.
//!
//! The server has authenticated and authorised the caller (`nonResourceURLs`) before anything here runs; for the paths
//! of a cluster the caller's certificate is compared with the path once more. Endpoints exist before the hub's client
//! does, so they answer 503 until [`Endpoints::open`].

use std::sync::Arc;

use api::cluster::identity;
use api::hub::{HubInfo, path};
use apimachinery::status::Status;
use apiserver::user::UserInfo;
use apiserver::{Body, BoxError, Route};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use parking_lot::RwLock;
use records::Records;
use serde::Serialize;

use crate::notices::{self, Board};
use crate::reports::Streams;
use crate::{Context, readmodel, reports};

/// What endpoints work with.
pub struct Shared {
    pub ctx: Arc<Context>,
    pub hub: HubInfo,
    pub records: Arc<dyn Records>,
    pub notices: Board,
    pub streams: Streams,
    pub index: readmodel::Index,
    pub viewers: readmodel::Viewers,
    /// Streams of changes that may still be opened.
    pub changes: Arc<tokio::sync::Semaphore>,
}

/// All endpoints, as one route.
#[derive(Clone, Default)]
pub struct Endpoints(Arc<RwLock<Option<Arc<Shared>>>>);

impl Endpoints {
    /// Starts to answer.
    pub fn open(&self, shared: Arc<Shared>) {
        *self.0.write() = Some(shared);
    }

    /// Stops to answer, and lets go of the hub: its server and its endpoints would keep each other alive.
    pub fn close(&self) {
        *self.0.write() = None;
    }

    /// Returns the path prefixes to register it under.
    pub fn prefixes() -> [&'static str; 7] {
        [path::HUB, path::CLUSTERS, path::APPS, path::FLEET, path::PROBLEMS, path::ACTIVITY, path::CHANGES]
    }
}

#[async_trait]
impl Route for Endpoints {
    async fn handle(&self, request: Request<Body>, user: &UserInfo) -> Response<Body> {
        let shared = self.0.read().clone();
        let Some(shared) = shared else {
            let mut starting = Status::new(503, "ServiceUnavailable", "the hub is starting or stopping");
            starting.retry_after_seconds = Some(1);
            return refuse(&starting);
        };
        answer(&shared, request, user).await.unwrap_or_else(|status| refuse(&status))
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Body>, user: &UserInfo) -> Result<Response<Body>, Status> {
    let target = request.uri().path().trim_end_matches('/').to_owned();
    let is_get = request.method() == Method::GET;
    if is_get && let Some(answer) = readmodel::answer(shared, user, &target, request.uri().query().unwrap_or_default()).await {
        return answer;
    }
    match target.as_str() {
        path::HUB if is_get => Ok(json(&shared.hub)),
        path::HUB | path::APPS | path::CLUSTERS | path::FLEET | path::PROBLEMS | path::ACTIVITY | path::CHANGES => {
            Err(not_allowed(request.method()))
        }
        _ => {
            let (cluster, rest) = path::parse_cluster(&target).ok_or_else(Status::no_such_path)?;
            let is_known = matches!(rest, "reports" | "notices");
            if !is_known {
                return Err(Status::no_such_path());
            }
            check_agent(user, cluster)?;
            match rest {
                "reports" if request.method() == Method::POST => reports::open(shared, cluster, request.into_body()).await,
                "notices" if is_get => Ok(notices::open(shared, cluster)),
                _ => Err(not_allowed(request.method())),
            }
        }
    }
}

/// RBAC has let the caller through; a role that grants too much must still not let one cluster speak for another.
fn check_agent(user: &UserInfo, cluster: &str) -> Result<(), Status> {
    let is_agent = user.is_in(&identity::cluster_group(cluster))
        && identity::parse_agent_user(&user.username).is_some_and(|(found, _)| found == cluster);
    if is_agent {
        return Ok(());
    }
    let text = format!("user {:?} is not an agent of cluster {cluster}: only its own certificate speaks for a cluster", user.username);
    Err(Status::new(403, "Forbidden", text))
}

fn not_allowed(method: &Method) -> Status {
    Status::new(405, "MethodNotAllowed", format!("{method} is not served on this path"))
}

pub fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => respond(200, "application/json", full(bytes)),
        Err(error) => refuse(&Status::internal(error)),
    }
}

pub fn refuse(status: &Status) -> Response<Body> {
    let mut response = respond(status.code, "application/json", full(status.to_value().to_string()));
    if let Some(seconds) = status.retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Returns a stream of lines.
pub fn lines(chunks: impl futures::Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    use futures::StreamExt;
    let frames = chunks.map(|chunk| Ok::<_, BoxError>(http_body::Frame::data(chunk)));
    respond(200, api::report::CONTENT_TYPE, http_body_util::StreamBody::new(frames).boxed_unsync())
}

/// Returns a stream of server-sent events.
pub fn events(chunks: impl futures::Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    use futures::StreamExt;
    let frames = chunks.map(|chunk| Ok::<_, BoxError>(http_body::Frame::data(chunk)));
    respond(200, "text/event-stream", http_body_util::StreamBody::new(frames).boxed_unsync())
}

/// Returns a file to keep.
pub fn csv(text: String, name: &str) -> Response<Body> {
    let mut response = respond(200, "text/csv; charset=utf-8", full(text));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn respond(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

//! Which requests go to the hub, and as what.
//!
//! The read model is read only; the Kubernetes API takes changes as well. Paths that could mean something else to the
//! hub than to us are refused. Nothing of the browser's identity goes along: the hub sees ours.

use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tunnel::{Body, HttpService, body};

/// Longer than any list takes; streams only have to begin within it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
pub(crate) const REQUEST_BYTES_MAX: usize = 3 << 20;

const READ_MODEL: &str = "/api/muster/v1/";
const KUBERNETES: &str = "/api/k8s/";

/// Where a request of the browser goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To this path of the hub.
    Hub(String),
    ReadOnly,
    Nowhere,
}

pub(crate) fn way(method: &Method, path: &str) -> Way {
    let is_strange = path.contains("//") || path.split('/').any(|part| matches!(part, "." | "..")) || has_hidden_dots(path);
    if is_strange {
        return Way::Nowhere;
    }
    if let Some(rest) = path.strip_prefix(READ_MODEL) {
        return match *method {
            Method::GET | Method::HEAD => Way::Hub(format!("/muster/v1/{rest}")),
            _ => Way::ReadOnly,
        };
    }
    match path.strip_prefix(KUBERNETES) {
        Some(rest) if rest == "version" || rest.starts_with("api/") || rest.starts_with("apis/") => Way::Hub(format!("/{rest}")),
        _ => Way::Nowhere,
    }
}

fn has_hidden_dots(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    ["%2e", "%2f", "%5c"].iter().any(|hidden| lower.contains(hidden))
}

/// Sends a request to the hub; its answer streams.
pub(crate) async fn forward(hub: &HttpService, request: Request<Bytes>, target: String) -> Response<Body> {
    let target = match request.uri().query() {
        Some(query) => format!("{target}?{query}"),
        None => target,
    };
    let mut asked = Request::builder().method(request.method().clone()).uri(&target);
    for name in [ACCEPT, CONTENT_TYPE] {
        if let Some(value) = request.headers().get(&name) {
            asked = asked.header(name, value.clone());
        }
    }
    let Ok(asked) = asked.body(body::full(request.into_body())) else {
        return refusal(StatusCode::BAD_REQUEST, "the path cannot be asked of a hub");
    };
    let answer = match tokio::time::timeout(ANSWER_TIMEOUT, tunnel::send(hub, asked)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            let message = format!("the hub cannot be reached: {error}; see whether it runs with `muster status`");
            return refusal(StatusCode::BAD_GATEWAY, &message);
        }
        Err(_) => {
            let message = format!("the hub did not answer within {} s; try again", ANSWER_TIMEOUT.as_secs());
            return refusal(StatusCode::GATEWAY_TIMEOUT, &message);
        }
    };
    let (parts, answer) = answer.into_parts();
    let mut response = Response::new(answer);
    // A hub that does not know *us* is no reason for the browser to sign in again.
    *response.status_mut() = if parts.status == StatusCode::UNAUTHORIZED { StatusCode::BAD_GATEWAY } else { parts.status };
    for name in [CONTENT_TYPE, CONTENT_DISPOSITION, ETAG, RETRY_AFTER] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// Returns a body that ends early when its session goes, or has lived long enough.
pub(crate) fn until(body: Body, gone: CancellationToken, life: Duration) -> Body {
    let over = Box::pin(async move {
        tokio::select! {
            () = gone.cancelled() => {}
            () = tokio::time::sleep(life) => {}
        }
    });
    Until { body: Some(body), over }.boxed_unsync()
}

struct Until {
    body: Option<Body>,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = tunnel::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tunnel::BoxError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if this.over.as_mut().poll(context).is_ready() {
            // The hub is told at once that nobody listens.
            this.body = None;
            return Poll::Ready(None);
        }
        Pin::new(body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// Returns a refusal as the Kubernetes API words them, so that the browser reads one form.
pub(crate) fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let document = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": status.canonical_reason().unwrap_or_default().replace(' ', ""), "code": status.as_u16(),
    });
    json(status, &document)
}

pub(crate) fn json(status: StatusCode, document: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(body::full(document.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_where_they_may() {
        let hub = |path: &str| Way::Hub(path.into());
        let check = |method: Method, path: &str, expect: Way| assert_eq!(way(&method, path), expect, "{method} {path}");
        check(Method::GET, "/api/muster/v1/clusters", hub("/muster/v1/clusters"));
        check(Method::GET, "/api/muster/v1/clusters/store-0001", hub("/muster/v1/clusters/store-0001"));
        check(Method::POST, "/api/muster/v1/git/refresh", Way::ReadOnly);
        check(Method::PATCH, "/api/k8s/apis/a/v1/b", hub("/apis/a/v1/b"));
        check(Method::GET, "/api/k8s/version", hub("/version"));
        check(Method::GET, "/api/k8s/metrics", Way::Nowhere);
        check(Method::GET, "/api/k8s/muster/v1/hub", Way::Nowhere);
        check(Method::GET, "/api/muster/v1/../../metrics", Way::Nowhere);
        check(Method::GET, "/api/muster/v1/%2e%2E/metrics", Way::Nowhere);
        check(Method::GET, "/api/k8s/api//v1", Way::Nowhere);
        check(Method::GET, "/api/elsewhere", Way::Nowhere);
    }
}

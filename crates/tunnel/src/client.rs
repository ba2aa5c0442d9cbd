//! A Kubernetes client over the wire.

use std::time::Duration;

use futures::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::config::Kubeconfig;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

use crate::endpoint::{self, Endpoint};
use crate::wire::Wire;
use crate::{BoxError, Connection, Connector, Error, HttpService, ResponseBody};

/// A server that sheds load names a delay; no more than this is slept inside a request.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(30);
const RETRIES_MAX: u32 = 5;

/// Connects over TLS (or plain TCP for `http://`): HTTP/2, one connection per [`Connection`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsConnector;

impl Connector for TlsConnector {
    fn connect(&self, kubeconfig: &Kubeconfig) -> Result<Connection, Error> {
        let wire = Wire::new(Endpoint::new(kubeconfig)?);
        let default_namespace = wire.default_namespace().to_owned();
        let http = BoxCloneSyncService::new(service_fn(move |request| wire.clone().send(request)));
        Ok(Connection { client: kube_client(http.clone(), default_namespace), http })
    }
}

/// Opens a way to any HTTP server, such as `https://git.example:8443`, without an identity. It keeps a connection, and
/// follows no redirect.
pub fn to_server(server: &str) -> Result<HttpService, Error> {
    Ok(TlsConnector.connect(&endpoint::anonymous(server))?.http)
}

/// Puts a Kubernetes client on any HTTP service; it waits and tries again where the server asks to (429, or 503
/// with `Retry-After`: the server did nothing).
pub fn kube_client(http: HttpService, default_namespace: impl Into<String>) -> kube::Client {
    let service = service_fn(move |request: Request<kube::client::Body>| send_patiently(http.clone(), request).boxed());
    kube::Client::new(service, default_namespace)
}

async fn send_patiently(http: HttpService, request: Request<kube::client::Body>) -> Result<Response<ResponseBody>, BoxError> {
    let (parts, body) = request.into_parts();
    let mut again = body.try_clone();
    let mut body = body;
    for retry in 1.. {
        let request = Request::from_parts(parts.clone(), body.map_err(BoxError::from).boxed_unsync());
        let response = crate::send(&http, request).await?;
        match (again.take(), asked_to_wait(&response)) {
            (Some(copy), Some(delay)) if retry <= RETRIES_MAX => {
                tokio::time::sleep(delay).await;
                again = copy.try_clone();
                body = copy;
            }
            _ => return Ok(response),
        }
    }
    unreachable!("the loop returns after RETRIES_MAX")
}

/// Returns how long the server wants us to wait before sending the same again.
fn asked_to_wait<B>(response: &Response<B>) -> Option<Duration> {
    let retry_after = response.headers().get(http::header::RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let seconds = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => retry_after.unwrap_or(1),
        StatusCode::SERVICE_UNAVAILABLE => retry_after?,
        _ => return None,
    };
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MOST))
}

//! How agents reach their hub: one HTTP/2 connection over TLS that carries everything.
//!
//! A [`Connector`] turns a kubeconfig into a [`Connection`]: a Kubernetes client and, over the same
//! wire, plain HTTP for what is not an API object (report stream, packs, notices). Over TLS it is
//! [`TlsConnector`]; in a simulation it is the hub's own in-memory one, so that an agent cannot tell.
//!
//! [`endpoint`] reads the kubeconfig, [`wire`] holds the connection, [`client`] puts kube on top.

pub mod body;
mod client;
mod endpoint;
mod proxy;
mod tls;
mod wire;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::config::Kubeconfig;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

pub use body::Body;
pub use client::{TlsConnector, kube_client, to_server};
pub use endpoint::{current as current_context, in_cluster};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub type ResponseBody = Body;
/// Any HTTP request to the hub, with a streaming body both ways; paths are absolute (`/muster/v1/hub`).
pub type HttpService = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;

/// Sends one request. Boxed here, where all types are named: the compiler cannot prove a whole future that
/// holds an [`HttpService`] call `Send`.
pub fn send(http: &HttpService, request: http::Request<Body>) -> BoxFuture<'static, Result<http::Response<Body>, BoxError>> {
    http.clone().oneshot(request).boxed()
}

/// An open way to a hub or cluster; cheap to clone.
#[derive(Clone)]
pub struct Connection {
    pub client: kube::Client,
    pub http: HttpService,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the kubeconfig is not usable: {0}")]
    Kubeconfig(String),
}

/// Opens connections. Opening does not dial: the first request does, and redials as needed.
pub trait Connector: Send + Sync {
    fn connect(&self, kubeconfig: &Kubeconfig) -> Result<Connection, Error>;
}

//! The embedded Kubernetes API server.
//!
//! One handler path driven by a table of resources ([`registry`]) over a [`store`]. It serves TLS
//! ([`ApiServer::serve`]) and in-process callers ([`ApiServer::client`]) through the same authentication,
//! authorization and admission. It knows no muster kind by name: what a body adds comes in through
//! [`Options`]: CRDs, admission, routes.

pub mod admission;
pub mod auth;
pub mod registry;
pub mod request;
pub mod user;

use std::sync::Arc;

use apimachinery::status::Status;
use async_trait::async_trait;
use bytes::Bytes;
use controller::{Clock, Runtime};
use http_body_util::combinators::UnsyncBoxBody;

use crate::user::UserInfo;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Bodies both ways; requests and responses may stream.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// An HTTP endpoint beside the Kubernetes API, behind the same authentication and RBAC (`nonResourceURLs`).
#[async_trait]
pub trait Route: Send + Sync {
    async fn handle(&self, request: http::Request<Body>, user: &UserInfo) -> http::Response<Body>;
}

/// What a server is made of.
pub struct Options {
    pub store: Arc<dyn store::Store>,
    pub runtime: Runtime,
    /// Signs client and serving certificates; client certificates it signed are trusted.
    pub ca: Arc<pki::Authority>,
    pub admission: Vec<Arc<dyn admission::Admission>>,
    /// Path prefix and endpoint; the longest prefix wins.
    pub routes: Vec<(String, Arc<dyn Route>)>,
    /// What `/version` says, as `v1.33.1`.
    pub kubernetes_version: String,
    /// `resource.group` of resources whose writes may be acknowledged before they are on disk
    /// (leases), by name: `("leases.coordination.k8s.io", "managed-cluster-lease")`.
    pub lazy: Vec<(String, String)>,
}

/// A Kubernetes API server; cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
}

impl ApiServer {
    /// Returns a server that has loaded its CRDs and serves at once.
    pub async fn new(options: Options) -> Result<Self, Status> {
        Ok(Self { inner: Arc::new(Inner { options }) })
    }

    pub fn clock(&self) -> &Clock {
        &self.inner.options.runtime.clock
    }
}

//! The embedded Kubernetes API server.
//!
//! One handler path driven by a table of resources ([`registry`]) over a [`store`]. It serves TLS
//! ([`ApiServer::serve`]) and in-process callers ([`ApiServer::client`]) through the same authentication,
//! authorization and admission. It knows no muster kind by name: what a body adds comes in through
//! [`Options`]: admission, routes, subresources; CRDs are created like any object.
//!
//! A request goes `server` (who, may they) -> `handlers` (one a verb) -> `store`, and from there through
//! `watch` to every watcher. Invariant: what is answered was committed, what is committed reaches
//! every watcher in revision order or the watcher is cut off with 410.

pub mod admission;
mod apart;
pub mod auth;
mod client;
mod codec;
mod convert;
mod crd;
mod discovery;
pub mod entropy;
pub mod handlers;
mod http;
mod keys;
mod meta;
mod metrics;
mod names;
mod negotiate;
mod openapi;
pub mod registry;
pub mod request;
mod reviews;
mod serve;
mod server;
mod strategy;
pub mod system;
mod table;
pub mod user;
mod view;
pub mod watch;

use std::collections::HashMap;
use std::sync::Arc;

use ::http as web;
use apimachinery::status::Status;
use async_trait::async_trait;
use bytes::Bytes;
use controller::Runtime;
use http_body_util::combinators::UnsyncBoxBody;
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::auth::{Authenticator, Rbac};
pub use crate::client::Writer;
pub use crate::entropy::Entropy;
pub use crate::handlers::Call;
use crate::metrics::Metrics;
use crate::registry::Registry;
pub use crate::server::Caller;
use crate::user::UserInfo;
use crate::view::View;
use crate::watch::Watches;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Bodies both ways; requests and responses may stream.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Requests in flight at once, each until its answer begins; beyond that 429. Open watches are bounded by connections and streams.
const IN_FLIGHT_MAX: usize = 40_000;

/// An HTTP endpoint beside the Kubernetes API, behind the same authentication and RBAC (`nonResourceURLs`).
#[async_trait]
pub trait Route: Send + Sync {
    async fn handle(&self, request: web::Request<Body>, user: &UserInfo) -> web::Response<Body>;
}

/// A subresource that a body serves (`pods/log` of a simulated cluster).
#[async_trait]
pub trait Connect: Send + Sync {
    /// Answers for an object that exists; `call.info.query` has the parameters.
    async fn connect(&self, call: &Call, object: serde_json::Value) -> Result<web::Response<Body>, Status>;
}

/// Group, resource and subresource.
pub type ConnectPoint = (String, String, String);

/// What a server is made of.
pub struct Options {
    pub store: Arc<dyn store::Store>,
    pub runtime: Runtime,
    /// Signs client and serving certificates; client certificates it signed are trusted.
    pub ca: Arc<pki::Authority>,
    /// Signs and verifies service-account tokens.
    pub tokens: Arc<pki::token::Signer>,
    /// Bearer tokens given at start, with whom they stand for.
    pub static_tokens: Vec<(String, UserInfo)>,
    pub admission: Vec<Arc<dyn admission::Admission>>,
    /// Path prefix and endpoint; the longest prefix wins.
    pub routes: Vec<(String, Arc<dyn Route>)>,
    /// Group, resource, subresource and endpoint.
    pub connects: Vec<(ConnectPoint, Arc<dyn Connect>)>,
    /// What `/version` says, as `v1.33.1`.
    pub kubernetes_version: String,
    /// `resource.group` and name of objects whose writes may be acknowledged before they are on disk:
    /// `("leases.coordination.k8s.io", "managed-cluster-lease")`.
    pub lazy: Vec<(String, String)>,
    pub entropy: Entropy,
    /// Where clients outside reach this server, for `kube-public/cluster-info`.
    pub url: String,
}

impl Options {
    /// A server that keeps nothing: its objects are in memory, its CA and keys its own and good for a year, its names the same at
    /// every start. Nobody may come over the network until it is given tokens.
    pub fn ephemeral(runtime: Runtime) -> Result<Self, pki::Error> {
        let year = jiff::SignedDuration::from_hours(24 * 365);
        Ok(Self {
            store: Arc::new(store::MemoryStore::new(store::Retention::small())),
            ca: Arc::new(pki::Authority::create("ephemeral", runtime.clock.now(), year)?),
            tokens: Arc::new(pki::token::Signer::new("https://kubernetes.default.svc", &pki::Key::generate()?)?),
            runtime,
            static_tokens: Vec::new(),
            admission: Vec::new(),
            routes: Vec::new(),
            connects: Vec::new(),
            kubernetes_version: "v1.33.1".into(),
            lazy: Vec::new(),
            entropy: Entropy::seeded(1),
            url: "https://localhost:6443".into(),
        })
    }
}

/// A Kubernetes API server; cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    options: Options,
    registry: Registry,
    watches: Arc<Watches>,
    view: Arc<View>,
    rbac: Arc<Rbac>,
    authenticator: Authenticator,
    connects: HashMap<ConnectPoint, Arc<dyn Connect>>,
    in_flight: Semaphore,
    metrics: Metrics,
    openapi: openapi::Cache,
}

impl ApiServer {
    /// Returns a server that has loaded its CRDs and serves at once.
    pub async fn new(mut options: Options) -> Result<Self, Status> {
        let view = Arc::new(View::new(options.store.clone()));
        let watches = Arc::new(Watches::default());
        watches.begin_at(options.store.revision());
        let rbac = Arc::new(Rbac::load(&*view));
        let authenticator = Authenticator::new(auth::authn::Config {
            objects: view.clone(),
            ca: options.ca.clone(),
            tokens: options.tokens.clone(),
            static_tokens: std::mem::take(&mut options.static_tokens),
        });
        let objects: Arc<dyn auth::Objects> = view.clone();
        let mut plugins = admission::generic(&objects, &rbac);
        plugins.push(Arc::new(crd::CheckDefinition));
        plugins.append(&mut options.admission);
        options.admission = plugins;
        authenticator.register(&mut options.runtime.metrics.lock());
        let connects = std::mem::take(&mut options.connects).into_iter().collect();
        let inner = Arc::new(Inner {
            metrics: Metrics::register(&options.runtime),
            registry: Registry::new(registry::builtins()),
            watches,
            view,
            rbac,
            authenticator,
            connects,
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            openapi: openapi::Cache::default(),
            options,
        });
        inner.follow_store();
        inner.load_crds();
        let server = Self { inner };
        crd::start(&server);
        system::start(&server).await?;
        Ok(server)
    }

    pub fn runtime(&self) -> &Runtime {
        &self.inner.options.runtime
    }

    pub fn ca(&self) -> &pki::Authority {
        &self.inner.options.ca
    }

    /// Returns the number of open watches.
    pub fn watch_count(&self) -> usize {
        self.inner.watches.count()
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Timestamp {
        self.options.runtime.clock.now()
    }

    /// Hands every commit to those who follow: authorization first, so that what a watcher sees
    /// is already in force.
    fn follow_store(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        self.options.store.subscribe(Box::new(move |events| {
            let Some(inner) = weak.upgrade() else { return };
            for event in events {
                inner.view.changed(event, &inner.rbac, &inner.authenticator);
            }
            inner.watches.publish(events);
        }));
    }
}

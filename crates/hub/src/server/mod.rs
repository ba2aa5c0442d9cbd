//! A whole hub in one process: store, certificate authority, API server, reconcilers, endpoints.
//!
//! [`start`] assembles it from a directory, where everything that must survive is kept, or in memory. Starting on a
//! directory that was used before is the same hub: same UID, same authority, same revision.

mod access;
mod files;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use api::hub::HubInfo;
use apimachinery::status::Status;
use apiserver::user::UserInfo;
use apiserver::{ApiServer, Entropy, Route};
use controller::Runtime;
use jiff::SignedDuration;
use tokio::net::TcpListener;

pub use access::{bootstrap_token, kubeconfig};

use crate::admission;
use crate::endpoints::{Endpoints, Shared};
use crate::gitserver::{self, GitServer};
use crate::{Context, Options, identity};

/// A serving certificate is made at every start; a hub that runs longer than this must be restarted.
const SERVING_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 825);
const KUBERNETES_VERSION: &str = "v1.33.1";

/// What a hub is made of.
pub struct HubOptions {
    pub runtime: Runtime,
    /// Where store, records and keys live; none keeps everything in memory.
    pub dir: Option<PathBuf>,
    /// Where to serve TLS; none serves in memory only.
    pub listen: Option<SocketAddr>,
    /// Names and addresses the serving certificate is for, besides `localhost` and `127.0.0.1`.
    pub hosts: Vec<String>,
    pub entropy: Entropy,
    pub reconcilers: Options,
    /// More endpoints, by path prefix.
    pub routes: Vec<(String, Arc<dyn Route>)>,
    /// Mirrors repositories for agents; none leaves them to read Git themselves.
    pub git: Option<gitserver::Options>,
}

impl HubOptions {
    /// Returns options for a hub in memory that accepts who joins with a bootstrap token.
    pub fn new(runtime: Runtime) -> Self {
        let reconcilers = Options { auto_accept: crate::AutoAccept::bootstrappers() };
        Self { runtime, dir: None, listen: None, hosts: Vec::new(), entropy: Entropy::system(), reconcilers, routes: Vec::new(), git: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("failed to open the store")]
    Store(#[source] store::Error),
    #[error("failed to open the records")]
    Records(#[source] records::Error),
    #[error("failed to prepare keys and certificates")]
    Keys(#[source] pki::Error),
    #[error("failed to use {path}")]
    Directory {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to start the API server: {0}")]
    Server(Status),
    #[error("failed to prepare the hub's API: {0}")]
    Prepare(String),
}

/// A running hub; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    pub api: ApiServer,
    pub info: HubInfo,
    pub context: Arc<Context>,
    /// Acts as the administrator.
    pub client: kube::Client,
    /// Where TLS is served.
    pub address: Option<SocketAddr>,
    pub url: String,
    pub ca_pem: String,
    pub git: Option<GitServer>,
    /// Bearer token of the administrator.
    pub admin_token: String,
    pub records: Arc<dyn records::Records>,
    runtime: Runtime,
    end: Arc<End>,
}

/// What stopping needs beyond ending the tasks.
struct End {
    endpoints: Endpoints,
    clusters: Arc<admission::Clusters>,
    close: Box<dyn Fn() + Send + Sync>,
    _scratch: Option<files::Scratch>,
}

/// Starts a hub; it runs until [`Hub::stop`] or until the runtime stops.
pub async fn start(options: HubOptions) -> Result<Hub, StartError> {
    pki::tls::install_provider();
    let runtime = options.runtime.child();
    let kept = files::open(options.dir.as_deref(), runtime.clock.now()).await?;
    let listener = match options.listen {
        Some(address) => Some(TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?),
        None => None,
    };
    let address = listener.as_ref().and_then(|l| l.local_addr().ok());
    let url = url(options.hosts.first().map(String::as_str), address);
    let admin = UserInfo::admin("admin");
    let endpoints = Endpoints::default();
    let mut routes = options.routes;
    routes.extend(Endpoints::prefixes().map(|prefix| (prefix.to_owned(), Arc::new(endpoints.clone()) as Arc<dyn Route>)));
    let git = options.git.as_ref().map(GitServer::new);
    routes.extend(git.iter().map(|git| (api::hub::path::GIT.to_owned(), Arc::new(git.clone()) as Arc<dyn Route>)));
    let clusters = Arc::new(admission::Clusters::new(runtime.clock.clone()));
    let api = ApiServer::new(apiserver::Options {
        store: kept.store,
        runtime: runtime.clone(),
        ca: kept.ca.clone(),
        tokens: kept.tokens,
        static_tokens: vec![(kept.admin_token.clone(), admin.clone())],
        admission: admission::plugins(clusters.clone()),
        routes,
        connects: Vec::new(),
        kubernetes_version: KUBERNETES_VERSION.to_owned(),
        lazy: vec![("leases.coordination.k8s.io".to_owned(), api::cluster::LEASE_NAME.to_owned())],
        entropy: options.entropy,
        url: url.clone(),
    })
    .await
    .map_err(StartError::Server)?;
    let client = api.client(admin);
    clusters.use_client(Some(client.clone()));
    let context =
        crate::run(client.clone(), runtime.clone(), options.reconcilers).await.map_err(|error| StartError::Prepare(error.full()))?;
    let info = identity::ensure(&client).await.map_err(|error| StartError::Prepare(error.full()))?;
    if let Some(git) = &git {
        git.start(&context, kept.records.clone());
    }
    let index = crate::readmodel::Index::new(context.caches.clusters.clone(), context.caches.sets.clone(), kept.records.clone());
    index.start(&context, &info.uid);
    context.runtime.spawn("departed", crate::departed::run(context.clone(), kept.records.clone(), info.uid.clone()));
    if let Some(git) = &git {
        context.runtime.spawn("lagging", crate::lagging::run(index.clone(), git.clone()));
    }
    let shared = Shared {
        ctx: context.clone(),
        hub: info.clone(),
        records: kept.records.clone(),
        notices: git.as_ref().map(GitServer::board).unwrap_or_default(),
        streams: Default::default(),
        index,
        viewers: Default::default(),
        changes: Arc::new(tokio::sync::Semaphore::new(crate::readmodel::STREAMS_MAX)),
    };
    endpoints.open(Arc::new(shared));
    if let Some(listener) = listener {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), "kubernetes.default.svc".to_owned()];
        names.extend(options.hosts);
        names.extend(address.map(|a| a.ip().to_string()));
        names.sort();
        names.dedup();
        let issued = kept.ca.sign_server(&names, runtime.clock.now(), SERVING_VALIDITY).map_err(StartError::Keys)?;
        let tls = pki::tls::server_config(&issued, &kept.ca).map_err(StartError::Keys)?;
        let of = |source| StartError::Listen { address: address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))), source };
        api.serve(listener, tls).map_err(of)?;
    }
    tracing::info!(uid = %info.uid, epoch = info.epoch, url = %url, "hub started");
    Ok(Hub {
        api,
        info,
        context,
        client,
        address,
        url,
        ca_pem: kept.ca.certificate_pem(),
        git,
        admin_token: kept.admin_token,
        records: kept.records,
        runtime,
        end: Arc::new(End { endpoints, clusters, close: kept.close, _scratch: kept.scratch }),
    })
}

impl Hub {
    /// Ends all tasks, waits for them, and gives the directory free.
    pub async fn stop(&self) {
        self.runtime.stop().await;
        self.end.endpoints.close();
        self.end.clusters.use_client(None);
        let end = self.end.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || (end.close)()).await {
            tracing::error!(%error, "closing the store failed");
        }
    }

    /// Returns the administrator's kubeconfig.
    pub fn admin_kubeconfig(&self) -> kube::config::Kubeconfig {
        kubeconfig(&self.url, &self.ca_pem, "admin", &self.admin_token)
    }

    /// Makes a bootstrap token and returns a kubeconfig that joins clusters with it.
    pub async fn bootstrap_kubeconfig(&self, valid_for: SignedDuration) -> Result<kube::config::Kubeconfig, crate::Error> {
        let token = bootstrap_token(&self.client, self.runtime.clock.now(), valid_for).await?;
        Ok(kubeconfig(&self.url, &self.ca_pem, "bootstrap", &token))
    }
}

/// Returns the URL clients use: the first host named, else the loopback address.
fn url(host: Option<&str>, address: Option<SocketAddr>) -> String {
    let Some(address) = address else { return "https://hub.invalid".to_owned() };
    let host = host.map(str::to_owned).unwrap_or_else(|| {
        let ip = address.ip();
        match ip {
            ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            std::net::IpAddr::V4(ip) => ip.to_string(),
        }
    });
    format!("https://{host}:{}", address.port())
}

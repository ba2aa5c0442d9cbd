//! A hub in memory: the whole of it, with Git, and a token to join with.

use apiserver::{ApiServer, Entropy};
use controller::Runtime;
use hub::HubOptions;
use hub::gitserver;
use jiff::SignedDuration;
use sim::HubAccess;
use tempfile::TempDir;

const TOKEN_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 365);

/// A running hub.
pub struct Hub {
    inner: hub::Hub,
    access: HubAccess,
    _mirrors: TempDir,
}

impl Hub {
    /// Starts a hub that accepts whoever has its token.
    pub async fn start(runtime: &Runtime) -> Self {
        let runtime = runtime.child();
        let mirrors = tempfile::tempdir().expect("a directory");
        let mut options = HubOptions::new(runtime.clone());
        options.entropy = Entropy::seeded(1);
        options.git = Some(gitserver::Options { is_file_allowed: true, ..gitserver::Options::new(mirrors.path()) });
        let inner = hub::start(options).await.expect("the hub starts");
        let bootstrap = inner.bootstrap_kubeconfig(TOKEN_VALIDITY).await.expect("a token");
        let access = HubAccess { connector: inner.api.connector(), bootstrap };
        Self { inner, access, _mirrors: mirrors }
    }

    /// Returns a client of the hub's administrator.
    pub fn client(&self) -> kube::Client {
        self.inner.client.clone()
    }

    pub fn server(&self) -> &ApiServer {
        &self.inner.api
    }

    /// Returns what an agent needs to join.
    pub fn access(&self) -> HubAccess {
        self.access.clone()
    }

    pub async fn stop(&self) {
        self.inner.stop().await;
    }
}

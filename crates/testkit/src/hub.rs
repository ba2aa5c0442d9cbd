//! A hub in memory: the whole of it, with Git, and a token to join with.

use std::sync::Arc;

use apiserver::{ApiServer, Entropy};
use controller::Runtime;
use hub::HubOptions;
use hub::gitserver::{self, GitServer};
use hub::notices::Board;
use jiff::SignedDuration;
use sim::HubAccess;
use tempfile::TempDir;
use tokio::sync::broadcast::{self, error::RecvError};

const TOKEN_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 365);
const NOTICES_MAX: usize = 256;

/// A running hub.
pub struct Hub {
    inner: hub::Hub,
    access: HubAccess,
    pub git: GitServer,
    _mirrors: TempDir,
}

impl Hub {
    /// Starts a hub that accepts whoever has its token.
    pub async fn start(runtime: &Runtime) -> Self {
        let runtime = runtime.child();
        let mirrors = tempfile::tempdir().expect("a directory");
        let git = GitServer::new(&gitserver::Options { is_file_allowed: true, ..gitserver::Options::new(mirrors.path()) });
        let tips = git.clone();
        let board = Board::new(broadcast::Sender::new(NOTICES_MAX), Arc::new(move || tips.tips()));
        pass_on(&runtime, &git, board.clone());
        let mut options = HubOptions::new(runtime.clone());
        options.entropy = Entropy::seeded(1);
        options.notices = board;
        options.routes = vec![(api::hub::path::GIT.to_owned(), Arc::new(git.clone()))];
        let inner = hub::start(options).await.expect("the hub starts");
        git.start(&inner.client, &runtime);
        let bootstrap = inner.bootstrap_kubeconfig(TOKEN_VALIDITY).await.expect("a token");
        let access = HubAccess { connector: inner.api.connector(), bootstrap };
        Self { inner, access, git, _mirrors: mirrors }
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

/// Puts up what the Git service tells.
fn pass_on(runtime: &Runtime, git: &GitServer, board: Board) {
    let mut heard = git.notices();
    runtime.spawn("git notices", async move {
        loop {
            match heard.recv().await {
                Ok(notice) => board.tell(notice),
                // What was missed is in the tips, and agents look by themselves.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
}

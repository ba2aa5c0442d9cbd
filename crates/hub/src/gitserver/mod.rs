//! Git for agents: the hub reads each repository once and hands commits on.
//!
//! [`GitServer`] holds the mirrors. As a [`Route`](apiserver::Route) below [`api::hub::path::GIT`] it resolves revisions
//! and serves packs; its publisher asks every wanted repository for news and tells what moved as
//! [`Notice::Revision`], which the notices endpoint passes on. Logins come from Secrets, as Argo CD keeps them ([`logins`]).
//!
//! Invariants: one conversation with a Git server answers all askers; a notice is a hint, never the only way to learn.

mod logins;
mod publisher;
mod route;

use std::sync::Arc;
use std::time::Duration;

use api::hub::Notice;
use controller::Runtime;
use git::{Limits, Mirrors};
use tokio::sync::broadcast;

/// Notices kept for a slow listener; one that falls behind looks at everything.
const NOTICES_MAX: usize = 1024;

/// What the hub's Git service is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Mirrors and packs; all of it can be made again.
    pub dir: std::path::PathBuf,
    /// How often a wanted repository is asked for news.
    pub poll: Duration,
    /// Whether `file://` repositories may be read.
    pub is_file_allowed: bool,
    pub limits: Limits,
}

impl Options {
    pub fn new(dir: impl Into<std::path::PathBuf>) -> Self {
        Self { dir: dir.into(), poll: Duration::from_secs(1), is_file_allowed: false, limits: Limits::default() }
    }
}

/// The hub's Git service; cheap to clone.
#[derive(Clone)]
pub struct GitServer {
    mirrors: Mirrors,
    notices: broadcast::Sender<Notice>,
    poll: Duration,
    logins: logins::Logins,
}

impl GitServer {
    /// Returns the service; nothing runs until [`GitServer::start`].
    pub fn new(options: &Options) -> Self {
        let logins = logins::Logins::default();
        let mut of_mirrors = git::Options::new(&options.dir);
        of_mirrors.is_file_allowed = options.is_file_allowed;
        of_mirrors.limits = options.limits.clone();
        let known = logins.clone();
        of_mirrors.logins = Arc::new(move |url| known.find(url));
        Self { mirrors: Mirrors::new(of_mirrors), notices: broadcast::Sender::new(NOTICES_MAX), poll: options.poll, logins }
    }

    /// Starts to follow repository Secrets and to ask repositories for news.
    pub fn start(&self, client: &kube::Client, runtime: &Runtime) {
        self.logins.follow(client, runtime);
        let server = self.clone();
        runtime.spawn("git publisher", async move { publisher::run(server).await });
    }

    /// Listens to what moves from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Returns the board that the notices endpoint reads from.
    pub fn board(&self) -> crate::notices::Board {
        let server = self.clone();
        crate::notices::Board::new(self.notices.clone(), Arc::new(move || server.tips()))
    }

    /// Returns where the wanted revisions of all repositories are: what a new listener may have missed.
    pub fn tips(&self) -> Vec<Notice> {
        let of_mirror = |mirror: git::Mirror| {
            let repo = mirror.url().to_owned();
            mirror.tips().into_iter().map(move |(revision, commit)| Notice::Revision {
                repo: repo.clone(),
                revision,
                commit: commit.to_string(),
            })
        };
        self.mirrors.list().into_iter().flat_map(of_mirror).collect()
    }

    /// Asks a repository for news now, and tells what moved.
    pub async fn refresh(&self, repo: &str) -> Result<(), git::Error> {
        let mirror = self.mirrors.get(repo)?;
        for (revision, commit) in mirror.refresh().await? {
            tracing::info!(repo = mirror.url(), %revision, %commit, "revision moved");
            // Nobody listens: nobody needs it.
            let _ = self.notices.send(Notice::Revision { repo: mirror.url().to_owned(), revision, commit: commit.to_string() });
        }
        Ok(())
    }
}

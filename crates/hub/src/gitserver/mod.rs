//! Git for agents: the hub reads each repository once and hands commits on.
//!
//! [`GitServer`] holds the mirrors. As a [`Route`](apiserver::Route) below [`api::hub::path::GIT`] it resolves revisions
//! and serves packs; its publisher asks every wanted repository for news and tells what moved as
//! [`Notice::Revision`], which the notices endpoint passes on. Logins come from Secrets, as Argo CD keeps them ([`logins`]).
//! What an agent may read of them is decided in one place ([`access`]).
//!
//! Invariants: one conversation with a Git server answers all askers; a notice is a hint, never the only way to learn.

mod access;
mod logins;
mod publisher;
mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::hub::Notice;
use git::{Limits, Mirrors};
use parking_lot::Mutex;
use records::Records;
use tokio::sync::broadcast;

use crate::Context;

/// Notices kept for a slow listener; one that falls behind looks at everything.
const NOTICES_MAX: usize = 1024;
/// Repositories remembered as told; beyond that all is told once more.
const ANNOUNCED_MAX: usize = 1024;

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
    access: access::Access,
    announced: Arc<Mutex<Announced>>,
}

/// By repository: where each revision was when it was last told.
type Announced = BTreeMap<String, BTreeMap<String, git::CommitId>>;

impl GitServer {
    /// Returns the service; nothing runs until [`GitServer::start`].
    pub fn new(options: &Options) -> Self {
        let logins = logins::Logins::default();
        let mut of_mirrors = git::Options::new(&options.dir);
        of_mirrors.is_file_allowed = options.is_file_allowed;
        of_mirrors.limits = options.limits.clone();
        // A kustomization's bases lie beside it.
        of_mirrors.references = Arc::new(|repo, path, content| render::wanted(repo, path, content));
        let known = logins.clone();
        of_mirrors.logins = Arc::new(move |url| known.find(url));
        let access = access::Access::new(logins.clone());
        Self {
            mirrors: Mirrors::new(of_mirrors),
            notices: broadcast::Sender::new(NOTICES_MAX),
            poll: options.poll,
            logins,
            access,
            announced: Arc::default(),
        }
    }

    /// Starts to follow repository Secrets and what is delivered to whom, and to ask repositories for news.
    pub fn start(&self, ctx: &Context, records: Arc<dyn Records>) {
        self.logins.follow(&ctx.client, &ctx.runtime);
        self.access.follow(&ctx.caches.works, records);
        let server = self.clone();
        ctx.runtime.spawn("git publisher", async move { publisher::run(server).await });
    }

    /// Listens to what moves from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Returns the board that the notices endpoint reads from.
    pub fn board(&self) -> crate::notices::Board {
        let (server, access) = (self.clone(), self.access.clone());
        let may_hear = Arc::new(move |cluster: &str, notice: &Notice| access.may_hear(cluster, notice));
        crate::notices::Board::new(self.notices.clone(), Arc::new(move || server.tips()), may_hear)
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

    /// Returns what the commit `to` has and `from` has not, in a repository that the hub reads for one of these clusters;
    /// or why not.
    pub async fn distance(&self, repo: &str, from: &str, to: &str, clusters: &BTreeSet<String>) -> Result<git::Distance, String> {
        if !clusters.iter().any(|cluster| self.access.is_for(cluster, repo)) {
            return Err("the hub does not read it for these clusters".to_owned());
        }
        let (from, to) = (from.parse()?, to.parse()?);
        let mirror = self.mirrors.get(repo).map_err(|error| error.to_string())?;
        mirror.distance(&from, &to).await.map_err(|error| error.to_string())
    }

    /// Asks a repository for news now, and tells what moved.
    pub async fn refresh(&self, repo: &str) -> Result<(), git::Error> {
        let mirror = self.mirrors.get(repo)?;
        mirror.refresh().await?;
        self.announce(&mirror);
        Ok(())
    }

    /// Tells what moved since it was last told, whoever found it: what one agent's question brings to light, all hear.
    fn announce(&self, mirror: &git::Mirror) {
        let (repo, tips) = (mirror.url().to_owned(), mirror.tips());
        let before = {
            let mut announced = self.announced.lock();
            if announced.len() >= ANNOUNCED_MAX {
                announced.clear();
            }
            announced.insert(repo.clone(), tips.clone()).unwrap_or_default()
        };
        for (revision, commit) in tips.into_iter().filter(|(revision, commit)| before.get(revision) != Some(commit)) {
            tracing::info!(repo, %revision, %commit, "revision moved");
            // Nobody listens: nobody needs it.
            let _ = self.notices.send(Notice::Revision { repo: repo.clone(), revision, commit: commit.to_string() });
        }
    }
}

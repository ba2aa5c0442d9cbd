//! One repository, mirrored on disk.
//!
//! Askers share work: a conversation with the server that begins after somebody asked answers them, so a thousand
//! stores asking at once cost two. Between two conversations answers come from memory, if the asker accepts their age.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tunnel::HttpService;

use crate::history::{self, Walk};
use crate::http::{Link, server_of};
use crate::remote::{self, Remote};
use crate::tree::{self, Place};
use crate::{CommitId, Distance, Error, Limits, Logins, Options, Pack, PackCache, References};

/// Longest wait for the server in one conversation.
const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(330);
/// Revisions one repository may be asked for; the ones not asked for longest are forgotten.
const REVISIONS_MAX: usize = 256;
/// A revision nobody asked for this long is not polled any more.
const WANTED_FOR: Duration = Duration::from_secs(15 * 60);
/// Each fetch leaves a pack file; a mirror with more is made anew, which is cheap since it is shallow.
const PACK_FILES_MAX: usize = 200;

/// A repository's mirror; cheap to clone.
#[derive(Clone)]
pub struct Mirror(Arc<Inner>);

struct Inner {
    url: String,
    dir: PathBuf,
    logins: Logins,
    limits: Limits,
    references: References,
    cache: PackCache,
    /// Bounds blocking work over all mirrors.
    permits: Arc<Semaphore>,
    /// Held through a conversation with the server.
    conversing: tokio::sync::Mutex<()>,
    /// The way to the server, once it was needed; `None` in it for a repository on disk.
    http: OnceLock<Option<HttpService>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Revisions somebody wants, by when they were last asked for.
    wanted: BTreeMap<String, Instant>,
    known: BTreeMap<String, Known>,
}

#[derive(Clone)]
struct Known {
    /// When the conversation began that found it.
    at: Instant,
    found: Result<Option<CommitId>, Error>,
}

impl Mirror {
    pub(crate) fn new(url: String, dir: PathBuf, options: &Options, cache: PackCache, permits: Arc<Semaphore>) -> Self {
        let Options { logins, limits, references, .. } = options.clone();
        Self(Arc::new(Inner {
            url,
            dir,
            logins,
            limits,
            references,
            cache,
            permits,
            conversing: Default::default(),
            http: OnceLock::new(),
            state: Default::default(),
        }))
    }

    /// Returns the repository's URL as it was first asked for.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Returns the commit that a branch, tag, commit id, `HEAD` or nothing (which is `HEAD`) stands for,
    /// as the server said no longer than `age_max` ago.
    pub async fn resolve(&self, revision: &str, age_max: Duration) -> Result<CommitId, Error> {
        let revision = if revision.is_empty() { "HEAD" } else { revision };
        if let Ok(commit) = revision.parse::<CommitId>() {
            self.ensure(&commit).await?;
            return Ok(commit);
        }
        if let Some(why) = remote::refuse_revision(revision) {
            return Err(self.no_such_revision(revision, format!(": {why}")));
        }
        let asked_at = Instant::now();
        self.want(revision, asked_at);
        let oldest = asked_at.checked_sub(age_max).unwrap_or(asked_at);
        let found = self.known_since(revision, oldest, asked_at).await?;
        found.ok_or_else(|| self.no_such_revision(revision, hint(revision)))
    }

    /// Asks the server where all wanted revisions are, and returns those that moved.
    pub async fn refresh(&self) -> Result<Vec<(String, CommitId)>, Error> {
        let before = self.tips();
        if self.wanted().is_empty() {
            return Ok(Vec::new());
        }
        let _conversing = self.0.conversing.lock().await;
        self.converse().await?;
        let moved = self.tips().into_iter().filter(|(revision, commit)| before.get(revision) != Some(commit));
        Ok(moved.collect())
    }

    /// Returns where the wanted revisions are, as far as known.
    pub fn tips(&self) -> BTreeMap<String, CommitId> {
        let state = self.0.state.lock();
        let found = state.known.iter().filter_map(|(revision, known)| Some((revision.clone(), known.found.clone().ok()??)));
        found.collect()
    }

    /// Returns whether anybody still wants something of it.
    pub fn is_wanted(&self) -> bool {
        !self.wanted().is_empty()
    }

    /// Returns the pack of the files below `path` at `commit`, and of those they refer to: from the cache, the mirror, or the server.
    pub async fn pack(&self, commit: &CommitId, path: &str) -> Result<Bytes, Error> {
        let path = tree::normal_path(&Place { url: &self.0.url, commit, path })?;
        let (this, cached, wanted_path) = (self.clone(), commit.clone(), path.clone());
        if let Some(bytes) = self.blocking(move || Ok(this.0.cache.get(&this.0.url, &cached, &wanted_path))).await? {
            return Ok(bytes);
        }
        self.ensure(commit).await?;
        let (this, commit) = (self.clone(), commit.clone());
        self.blocking(move || {
            let Inner { url, dir, limits, references, cache, .. } = &*this.0;
            let repository = remote::open(url, dir)?;
            let entries = tree::files(&repository, &Place { url, commit: &commit, path: &path }, limits, references)?;
            let bytes = Pack { repo: url.clone(), commit: commit.clone(), path: path.clone(), entries }.write();
            if let Err(error) = cache.put(url, &commit, &path, &bytes) {
                tracing::warn!(repo = %url, %commit, %error, "pack not kept on disk, it will be made again");
            }
            Ok(bytes)
        })
        .await
    }

    /// Returns what `to` has and `from` has not; fetches the history that it needs.
    pub async fn distance(&self, from: &CommitId, to: &CommitId) -> Result<Distance, Error> {
        self.ensure(from).await?;
        self.ensure(to).await?;
        let mut asked: BTreeSet<CommitId> = BTreeSet::new();
        loop {
            let (this, from, to, ends) = (self.clone(), from.clone(), to.clone(), asked.clone());
            let walked = self.blocking(move || {
                let repository = remote::open(&this.0.url, &this.0.dir)?;
                let is_full = ends.len() >= history::PIECES_MAX;
                Ok(history::between(&repository, &from, &to, &|commit| is_full || ends.contains(commit)))
            });
            let lacked = match walked.await? {
                Walk::Done(distance) => return Ok(distance),
                Walk::Lacks(commit) => commit,
            };
            let _conversing = self.0.conversing.lock().await;
            let commit = lacked.clone();
            match self.remotely(move |remote| remote.fetch_history(&commit, history::DEPTH)).await {
                // The server has it no more: a history that is cut off there as well.
                Ok(()) | Err(Error::Commit { .. }) => asked.insert(lacked),
                Err(error) => return Err(error),
            };
        }
    }

    /// Makes sure the mirror has a commit.
    async fn ensure(&self, commit: &CommitId) -> Result<(), Error> {
        let has = |commit: CommitId| {
            let this = self.clone();
            self.blocking(move || Ok(remote::has_commit(&remote::open(&this.0.url, &this.0.dir)?, &commit)))
        };
        if has(commit.clone()).await? {
            return Ok(());
        }
        let _conversing = self.0.conversing.lock().await;
        if has(commit.clone()).await? {
            return Ok(());
        }
        let commit = commit.clone();
        self.remotely(move |remote| remote.fetch_commit(&commit)).await
    }

    /// Returns what a conversation found that began at `oldest` or later, holding one if there was none.
    async fn known_since(&self, revision: &str, oldest: Instant, asked_at: Instant) -> Result<Option<CommitId>, Error> {
        let fresh = |since: Instant| self.0.state.lock().known.get(revision).filter(|k| k.at >= since).map(|k| k.found.clone());
        if let Some(found) = fresh(oldest) {
            return found;
        }
        let _conversing = self.0.conversing.lock().await;
        // Whoever held the lock may have begun after we asked.
        if let Some(found) = fresh(oldest.min(asked_at)) {
            return found;
        }
        self.converse().await?;
        fresh(oldest).unwrap_or(Ok(None))
    }

    /// Asks the server about all wanted revisions and keeps the answer; the caller holds `conversing`.
    async fn converse(&self) -> Result<(), Error> {
        let begun_at = Instant::now();
        let revisions = self.wanted();
        let asked = revisions.clone();
        let answer = self.remotely(move |remote| remote.update(&asked)).await;
        let mut state = self.0.state.lock();
        for revision in revisions {
            let found = answer.clone().map(|tips| tips.get(&revision).cloned().flatten());
            state.known.insert(revision, Known { at: begun_at, found });
        }
        answer.map(drop)
    }

    fn want(&self, revision: &str, now: Instant) {
        let mut state = self.0.state.lock();
        state.wanted.insert(revision.to_owned(), now);
        if state.wanted.len() > REVISIONS_MAX
            && let Some(oldest) = state.wanted.iter().min_by_key(|(_, asked)| **asked).map(|(revision, _)| revision.clone())
        {
            state.wanted.remove(&oldest);
            state.known.remove(&oldest);
        }
    }

    fn wanted(&self) -> BTreeSet<String> {
        let mut state = self.0.state.lock();
        state.wanted.retain(|_, asked| asked.elapsed() < WANTED_FOR);
        let State { wanted, known } = &mut *state;
        known.retain(|revision, _| wanted.contains_key(revision));
        wanted.keys().cloned().collect()
    }

    fn no_such_revision(&self, revision: &str, hint: String) -> Error {
        Error::Revision { repo: self.0.url.clone(), revision: revision.to_owned(), hint }
    }

    /// Runs a conversation on a blocking thread, with a limit on its time.
    async fn remotely<T: Send + 'static>(&self, work: impl FnOnce(&Remote<'_>) -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
        let interrupt = Arc::new(AtomicBool::new(false));
        let until = Instant::now() + CONVERSATION_TIMEOUT;
        let link = self.http()?.map(|http| Link {
            http,
            runtime: Handle::current(),
            until,
            interrupt: interrupt.clone(),
            received: Arc::default(),
        });
        let (this, interrupted) = (self.clone(), interrupt.clone());
        let conversation = self.blocking(move || {
            let Inner { url, dir, logins, .. } = &*this.0;
            shrink(url, dir)?;
            work(&Remote { url, login: logins(url), dir, link, interrupt: interrupted })
        });
        match tokio::time::timeout_at(until, conversation).await {
            Ok(outcome) => outcome,
            Err(_) => {
                interrupt.store(true, Ordering::Relaxed);
                Err(Error::TimedOut { repo: self.0.url.clone(), seconds: CONVERSATION_TIMEOUT.as_secs() })
            }
        }
    }

    fn http(&self) -> Result<Option<HttpService>, Error> {
        let Inner { url, http, .. } = &*self.0;
        if let Some(http) = http.get() {
            return Ok(http.clone());
        }
        let opened = server_of(url).map_err(|error| Error::Unreachable { repo: url.clone(), cause: error.to_string() })?;
        Ok(http.get_or_init(|| opened).clone())
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
        let permit = self.0.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let outcome = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        outcome.await.unwrap_or_else(|error| {
            let cause = format!("the work on it ended early ({error}), a defect");
            Err(Error::Disk { repo: self.0.url.clone(), cause })
        })
    }
}

/// Removes a mirror that has gathered too many pack files; the next fetch makes it anew.
fn shrink(url: &str, dir: &std::path::Path) -> Result<(), Error> {
    let Ok(files) = std::fs::read_dir(dir.join("objects/pack")) else { return Ok(()) };
    let packs = files.flatten().filter(|file| file.path().extension().is_some_and(|e| e == "pack")).count();
    if packs <= PACK_FILES_MAX {
        return Ok(());
    }
    std::fs::remove_dir_all(dir).map_err(|error| Error::Disk { repo: url.to_owned(), cause: error.to_string() })
}

fn hint(revision: &str) -> String {
    let is_short_id = (4..40).contains(&revision.len()) && revision.bytes().all(|b| b.is_ascii_hexdigit());
    if is_short_id { ", or write the commit's id in full: short ids are not resolved".to_owned() } else { String::new() }
}

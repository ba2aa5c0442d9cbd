//! One conversation with a Git server: which commits the wanted revisions are at, and a fetch of those we lack.
//!
//! Blocking, as gix is. Only the wanted branches and tags are fetched, one commit deep: a plain clone of all
//! branches costs ten times as much. History is fetched where it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gix::bstr::{BString, ByteSlice};
use gix::credentials::helper::Action;
use gix::credentials::protocol::Outcome;
use gix::protocol::handshake::Ref;
use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::http::Transport;
use gix::remote::{Direction, fetch};

use crate::error::root_cause;
use crate::http::{Client, Link};
use crate::{CommitId, Error, Login};

/// The repository a conversation is about.
pub(crate) struct Remote<'a> {
    pub url: &'a str,
    pub login: Option<Login>,
    /// Where the mirror is kept.
    pub dir: &'a Path,
    /// The way to its server; `None` for a repository on disk.
    pub link: Option<Link>,
    pub interrupt: Arc<AtomicBool>,
}

/// Opens the mirror on disk, or makes an empty one.
pub(crate) fn open(url: &str, dir: &Path) -> Result<gix::Repository, Error> {
    let failed = |error: gix::Error| Error::Disk { repo: url.to_owned(), cause: root_cause(&error) };
    if let Ok(repository) = gix::open_opts(dir, options()) {
        return Ok(repository);
    }
    // What is there is no repository: an interrupted creation, or damage. Git has the truth.
    if dir.exists() {
        std::fs::remove_dir_all(dir).map_err(|error| Error::Disk { repo: url.to_owned(), cause: error.to_string() })?;
    }
    std::fs::create_dir_all(dir).map_err(|error| Error::Disk { repo: url.to_owned(), cause: error.to_string() })?;
    let kind = gix::create::Kind::Bare;
    gix::ThreadSafeRepository::init_opts(dir, kind, gix::create::Options::default(), options())
        .map(|repository| repository.to_thread_local())
        .map_err(failed)
}

/// Nothing of the user's or the system's Git configuration applies to a mirror.
fn options() -> gix::open::Options {
    gix::open::Options::isolated().config_overrides(["gc.auto=0", "core.fsync=none", "user.name=muster", "user.email=muster@localhost"])
}

/// Returns whether the mirror has a commit.
pub(crate) fn has_commit(repository: &gix::Repository, commit: &CommitId) -> bool {
    gix::ObjectId::from_hex(commit.as_str().as_bytes()).is_ok_and(|id| repository.find_commit(id).is_ok())
}

impl Remote<'_> {
    /// Asks where `revisions` are and fetches what is new; a revision the server does not know is `None`.
    pub fn update(&self, revisions: &BTreeSet<String>) -> Result<BTreeMap<String, Option<CommitId>>, Error> {
        let specs: Vec<String> = revisions.iter().flat_map(|revision| refspecs(revision)).collect();
        let repository = open(self.url, self.dir)?;
        let tips =
            self.fetch(&repository, &specs, 1, |refs| revisions.iter().map(|revision| (revision.clone(), tip(refs, revision))).collect())?;
        if tips.values().all(Option::is_none) && self.is_empty(&repository)? {
            return Err(Error::Empty { repo: self.url.to_owned() });
        }
        Ok(tips)
    }

    /// Returns whether the repository has no commit: nothing is where HEAD points. The server lists only what is asked for.
    fn is_empty(&self, repository: &gix::Repository) -> Result<bool, Error> {
        let mut is_empty = false;
        self.fetch(repository, &refspecs("HEAD"), 1, |refs| {
            is_empty = tip(refs, "HEAD").is_none();
            BTreeMap::new()
        })?;
        Ok(is_empty)
    }

    /// Fetches one commit by its id.
    pub fn fetch_commit(&self, commit: &CommitId) -> Result<(), Error> {
        self.fetch_history(commit, 1)
    }

    /// Fetches one commit by its id, and those before it, so many in a row.
    pub fn fetch_history(&self, commit: &CommitId, depth: u32) -> Result<(), Error> {
        let repository = open(self.url, self.dir)?;
        let spec = format!("+{commit}:refs/muster/commits/{commit}");
        let wanted = |_: &[Ref]| BTreeMap::from([(commit.to_string(), Some(commit.clone()))]);
        match self.fetch(&repository, &[spec], depth, wanted) {
            Ok(_) => Ok(()),
            Err(Error::Unreachable { repo, cause }) if cause.contains("not our ref") || cause.contains("advertised") => {
                Err(Error::Commit { repo, commit: commit.clone(), cause })
            }
            Err(error) => Err(error),
        }
    }

    /// Lists refs, lets `wanted` pick commits, and receives those the mirror lacks.
    fn fetch<F>(
        &self,
        repository: &gix::Repository,
        specs: &[String],
        depth: u32,
        wanted: F,
    ) -> Result<BTreeMap<String, Option<CommitId>>, Error>
    where
        F: FnOnce(&[Ref]) -> BTreeMap<String, Option<CommitId>>,
    {
        let login = self.login.clone();
        let failed = |error: gix::Error| self.explain(&error);
        let url = gix::url::parse(self.url).map_err(|_| Error::Scheme { repo: self.url.to_owned() })?;
        let transport = self.link.clone().map(|link| Transport::new_http(Client::new(link), url.clone(), Protocol::V2, false));
        let remote = repository.remote_at(url).map_err(failed)?;
        let remote =
            remote.with_fetch_tags(fetch::Tags::None).with_refspecs(specs.iter().map(|s| BString::from(s.as_str())), Direction::Fetch);
        let remote = remote.map_err(failed)?;
        let connection = match transport {
            Some(transport) => remote.to_connection_with_transport(
                Box::new(transport) as Box<dyn gix::protocol::transport::client::blocking_io::Transport + Send>
            ),
            None => remote.connect(Direction::Fetch).map_err(failed)?,
        };
        let connection = connection.with_credentials(move |action| answer(action, login.as_ref()));
        let prepared = connection.prepare_fetch(gix::progress::Discard, Default::default()).map_err(failed)?;
        let tips = wanted(&prepared.ref_map().remote_refs);
        let lacking = tips.values().flatten().any(|commit| !has_commit(repository, commit));
        if lacking {
            let depth = fetch::Shallow::DepthAtRemote(NonZeroU32::new(depth).unwrap_or(NonZeroU32::MIN));
            prepared.with_shallow(depth).receive(gix::progress::Discard, &self.interrupt).map_err(failed)?;
            let fresh = open(self.url, self.dir)?;
            if let Some(missing) = tips.values().flatten().find(|commit| !has_commit(&fresh, commit)) {
                let cause = "the server sent a pack without it".to_owned();
                return Err(Error::Commit { repo: self.url.to_owned(), commit: missing.clone(), cause });
            }
        }
        Ok(tips)
    }

    fn explain(&self, error: &gix::Error) -> Error {
        let repo = self.url.to_owned();
        let cause = root_cause(error);
        let everything: Vec<String> = error.iter_errors().map(|e| e.to_string()).collect();
        let says = |text: &str| everything.iter().any(|e| e.contains(text));
        if error.is_unauthenticated() || says("Credentials") || says("HTTP status 401") || says("HTTP status 403") {
            return match &self.login {
                Some(login) => Error::LoginRefused { repo, username: login.username.clone() },
                None => Error::LoginMissing { repo },
            };
        }
        if says("HTTP status 404") || says("HTTP status 410") || (self.url.starts_with("file:") && says("Could not verify that")) {
            return Error::NotFound { repo };
        }
        if everything.iter().any(|e| e.contains("No space left")) {
            return Error::Disk { repo, cause };
        }
        Error::Unreachable { repo, cause }
    }
}

/// Gives the server our login; never asks a helper or a person.
fn answer(action: Action, login: Option<&Login>) -> gix::Result<Option<Outcome>> {
    let (Action::Get(context), Some(login)) = (action, login) else { return Ok(None) };
    let identity =
        gix::sec::identity::Account { username: login.username.clone(), password: login.password.clone(), oauth_refresh_token: None };
    Ok(Some(Outcome { identity, next: context.into() }))
}

/// What to ask the server for: a name may be a branch or a tag.
fn refspecs(revision: &str) -> Vec<String> {
    if revision == "HEAD" {
        vec!["+HEAD:refs/muster/HEAD".to_owned()]
    } else if revision.starts_with("refs/") {
        vec![format!("+{revision}:{revision}")]
    } else {
        ["heads", "tags"].map(|kind| format!("+refs/{kind}/{revision}:refs/{kind}/{revision}")).to_vec()
    }
}

/// The commit a revision is at; a branch before a tag of the same name.
fn tip(refs: &[Ref], revision: &str) -> Option<CommitId> {
    let names = if revision == "HEAD" || revision.starts_with("refs/") {
        vec![revision.to_owned()]
    } else {
        vec![format!("refs/heads/{revision}"), format!("refs/tags/{revision}")]
    };
    names.iter().find_map(|name| {
        let (_, target, peeled) = refs.iter().map(Ref::unpack).find(|(full_name, ..)| full_name.as_bytes() == name.as_bytes())?;
        peeled.or(target)?.to_string().parse().ok()
    })
}

/// Returns why a revision cannot be asked for, if so: what is no ref name must not reach a refspec.
pub(crate) fn refuse_revision(revision: &str) -> Option<&'static str> {
    if revision.len() > 255 {
        return Some("it is longer than 255 characters");
    }
    let full = if revision.starts_with("refs/") { revision.to_owned() } else { format!("refs/heads/{revision}") };
    let is_valid = revision == "HEAD" || gix::refs::FullName::try_from(full.as_str()).is_ok();
    (!is_valid || revision.contains('*')).then_some("it is not a valid name of a branch or tag")
}

//! Mirrors of Git repositories, packs of their commits, and a server for repositories on disk.
//!
//! [`Mirrors`] holds one [`Mirror`] per repository: a shallow bare clone with only the branches and tags
//! somebody asked for. A mirror resolves a revision to a [`CommitId`] and turns the files below a path at
//! a commit into a [`Pack`]: immutable bytes, the same wherever they are made. Many askers cost one fetch.
//! How far one commit is behind another ([`Distance`]) needs history, which is fetched when somebody asks.
//!
//! It reads objects straight from the database (no work tree), never runs hooks, filters or credential helpers,
//! and does not interpret files. Writing to repositories is left to `git` itself ([`serve`]).

mod cache;
mod error;
mod history;
mod http;
mod mirror;
mod mirrors;
mod pack;
mod remote;
pub mod serve;
mod tree;

pub use cache::PackCache;
pub use error::Error;
pub use history::Distance;
pub use mirror::Mirror;
pub use mirrors::{Mirrors, Options};
pub use pack::{Entry, Limits, Pack};

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The full hexadecimal id of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

impl CommitId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CommitId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is not a commit id: expected 40 lower-case hexadecimal digits"))
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

/// User name and password (or token) for a repository.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}, ...)", self.username)
    }
}

/// Finds the login for a repository URL; asked anew at each connection, so that a changed secret counts at once.
pub type Logins = Arc<dyn Fn(&str) -> Option<Login> + Send + Sync>;

/// Names files that others refer to and that a pack lacks, so that a pack for a directory holds what it needs from elsewhere.
/// Takes the repository, the directory, and what returns the content of a file the pack has; is asked again with what it
/// named until it names nothing new. The same files must give the same names: packs are the same wherever they are made.
pub type References = Arc<dyn for<'a> Fn(&str, &str, &dyn Fn(&str) -> Option<&'a [u8]>) -> BTreeSet<String> + Send + Sync>;

/// Returns the form under which a repository's spellings are one: no trailing `/` or `.git`, host in lower case.
pub fn normal_url(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{}://{}{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase())
        }
        None => url.to_owned(),
    }
}

/// Returns whether a URL carries a password.
pub fn has_password(url: &str) -> bool {
    login_in(url).is_some_and(|login| login.contains(':'))
}

/// Returns a URL without the login it carries: what is shown must not repeat a password.
pub fn without_password(url: &str) -> String {
    match (url.split_once("://"), login_in(url)) {
        (Some((scheme, rest)), Some(login)) => format!("{scheme}://...{}", &rest[login.len()..]),
        _ => url.to_owned(),
    }
}

/// What stands before the `@` of a URL's host.
fn login_in(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(login, _)| login)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_repository_are_one() {
        assert_eq!(normal_url("HTTPS://Git.Example.com/Team/App.git/"), "https://git.example.com/Team/App");
        assert_eq!(normal_url("https://git.example.com/Team/App"), "https://git.example.com/Team/App");
    }

    #[test]
    fn a_password_in_a_url_is_found_and_not_shown() {
        assert!(has_password("https://me:hunter2@git.example/app") && !has_password("https://me@git.example/app"));
        assert!(!has_password("https://git.example/app@v1:2"));
        assert_eq!(without_password("https://me:hunter2@git.example/app"), "https://...@git.example/app");
        assert_eq!(without_password("https://git.example/a@b"), "https://git.example/a@b");
    }

    #[test]
    fn a_commit_id_is_forty_hexadecimal_digits() {
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<CommitId>().is_ok());
        assert!("0123456".parse::<CommitId>().is_err());
        assert!("0123456789ABCDEF0123456789abcdef01234567".parse::<CommitId>().is_err());
    }
}

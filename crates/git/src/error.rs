//! What can go wrong with a repository, in an operator's words: which repository, what, and what to do.

use crate::CommitId;

/// A failure that names the repository and the remedy. Cheap to clone, since one fetch answers many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("repository {repo:?} has no scheme muster can read: use https://, http:// or file://")]
    Scheme { repo: String },
    #[error(
        "repository {repo} has a password in its URL, where everybody reads it; leave it out, and add a Secret with label argocd.argoproj.io/secret-type=repository, url, username and password"
    )]
    PasswordInUrl { repo: String },
    #[error("repository {repo} cannot be reached: {cause}; check repoURL, the network and that the Git server is up")]
    Unreachable { repo: String, cause: String },
    #[error(
        "repository {repo} refuses access without a login; add a Secret with label argocd.argoproj.io/secret-type=repository, url, username and password"
    )]
    LoginMissing { repo: String },
    #[error("repository {repo} refuses the login of user {username:?}; correct username and password in its repository Secret")]
    LoginRefused { repo: String, username: String },
    #[error("repository {repo} is not found by the server, or hidden from this login; check repoURL")]
    NotFound { repo: String },
    #[error("repository {repo} is empty: it has no commit yet; push one")]
    Empty { repo: String },
    #[error("revision {revision:?} is not a branch, tag or commit of repository {repo}; check targetRevision{hint}")]
    Revision { repo: String, revision: String, hint: String },
    #[error("commit {commit} is not in the mirror of repository {repo} and the server does not give it out: {cause}")]
    Commit { repo: String, commit: CommitId, cause: String },
    #[error("path {path:?} does not exist in repository {repo} at commit {commit}; check source.path")]
    Path { repo: String, commit: CommitId, path: String },
    #[error("{path:?} in repository {repo} at commit {commit} is refused: {why}")]
    Refused { repo: String, commit: CommitId, path: String, why: String },
    #[error("the files below {path:?} in repository {repo} at commit {commit} exceed {limit}; point source.path at a smaller directory")]
    TooLarge { repo: String, commit: CommitId, path: String, limit: String },
    #[error("the mirror of repository {repo} on disk failed: {cause}; free disk space or delete the mirror directory, it is made anew")]
    Disk { repo: String, cause: String },
    #[error("repository {repo} did not answer within {seconds} s")]
    TimedOut { repo: String, seconds: u64 },
    #[error("too many repositories: at most {limit} are mirrored at once")]
    TooMany { limit: usize },
    #[error("the pack is damaged: {0}")]
    Pack(String),
}

impl Error {
    /// Returns the HTTP status that says the same.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Scheme { .. } | Self::PasswordInUrl { .. } => 400,
            Self::NotFound { .. } | Self::Empty { .. } | Self::Revision { .. } | Self::Commit { .. } | Self::Path { .. } => 404,
            Self::Refused { .. } | Self::TooLarge { .. } => 422,
            Self::Unreachable { .. } | Self::LoginMissing { .. } | Self::LoginRefused { .. } => 502,
            Self::TimedOut { .. } => 504,
            Self::TooMany { .. } => 429,
            Self::Disk { .. } | Self::Pack(_) => 500,
        }
    }

    /// Returns whether it is the world's failure, which may pass, and not something wrong in Git or the Application.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Disk { .. } | Self::TimedOut { .. } | Self::TooMany { .. } | Self::Pack(_))
    }
}

/// The deepest cause of an error, on one line: what gix wraps around it says little to an operator.
pub(crate) fn root_cause(error: &gix::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.iter_errors() {
        let text = cause.to_string().replace('\n', " ");
        if !text.is_empty() && !causes.contains(&text) {
            causes.push(text);
        }
    }
    let last = causes.pop().unwrap_or_default();
    match causes.pop() {
        Some(before) if !last.contains(&before) => format!("{before}: {last}"),
        _ => last,
    }
}

//! What a developer does in a clone: commit, merge, revert, push.

use std::path::{Path, PathBuf};

use super::{Commit, Merge, Revert};
use crate::example::history::git;

pub struct WorkTree(PathBuf);

impl WorkTree {
    /// Returns an up-to-date clone below a directory.
    pub fn of(scratch: &Path, url: &str, repository: &str) -> Result<Self, String> {
        let tree = scratch.join(repository);
        if tree.join(".git").exists() {
            git(&tree, &["fetch", "-q", "origin"], "")?;
        } else {
            std::fs::create_dir_all(scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
            git(scratch, &["clone", "-q", &format!("{url}/{repository}.git"), repository], "")?;
        }
        Ok(Self(tree))
    }

    /// Returns the commit of a revision such as `prod^1`.
    pub fn resolve(&self, revision: &str) -> Result<String, String> {
        Ok(git(&self.0, &["rev-parse", "--verify", "--quiet", &format!("origin/{revision}")], "")
            .map_err(|_| format!("there is no revision {revision}"))?
            .trim()
            .to_owned())
    }

    pub fn commit(&self, commit: &Commit) -> Result<(), String> {
        self.begin(&commit.branch)?;
        for (path, words) in &commit.replace {
            let file = self.0.join(path);
            let mut text = std::fs::read_to_string(&file).map_err(|e| format!("replace: {path}: {e}"))?;
            for (from, to) in words {
                if !text.contains(from.as_str()) {
                    return Err(format!("replace: {path} has no {from:?}"));
                }
                text = text.replace(from.as_str(), to);
            }
            std::fs::write(&file, text).map_err(|e| format!("replace: {path}: {e}"))?;
        }
        for (path, text) in &commit.write {
            let file = self.0.join(path);
            let written = std::fs::create_dir_all(file.parent().unwrap_or(&self.0)).and_then(|()| std::fs::write(&file, text));
            written.map_err(|e| format!("write: {path}: {e}"))?;
        }
        git(&self.0, &["add", "-A"], "")?;
        self.run_as(&commit.author, &["commit", "-q", "-m", &commit.message])?;
        let pushed = self.push(&commit.branch);
        match (&commit.refused, pushed) {
            (None, pushed) => pushed,
            (Some(words), Err(refusal)) if refusal.contains(words.as_str()) => Ok(()),
            (Some(words), Err(refusal)) => Err(format!("refused in other words than {words:?}: {refusal}")),
            (Some(_), Ok(())) => Err("the push was taken, and must not be".into()),
        }
    }

    pub fn merge(&self, merge: &Merge) -> Result<(), String> {
        self.begin(&merge.into)?;
        self.run_as(&merge.author, &["merge", "-q", "--no-ff", "-m", &merge.message, &format!("origin/{}", merge.from)])?;
        self.push(&merge.into)
    }

    pub fn revert(&self, revert: &Revert) -> Result<(), String> {
        self.begin(&revert.branch)?;
        self.run_as(&revert.author, &["revert", "--no-edit", "HEAD"])?;
        self.push(&revert.branch)
    }

    fn begin(&self, branch: &str) -> Result<(), String> {
        git(&self.0, &["checkout", "-q", "-B", branch, &format!("origin/{branch}")], "").map(drop)
    }

    fn push(&self, branch: &str) -> Result<(), String> {
        git(&self.0, &["push", "-q", "origin", branch], "").map(drop)
    }

    fn run_as(&self, author: &str, arguments: &[&str]) -> Result<(), String> {
        let (name, email) =
            author.trim_end_matches('>').split_once(" <").ok_or_else(|| format!("author: {author:?} is not as Ann <ann@example.com>"))?;
        let (name, email) = (format!("user.name={name}"), format!("user.email={email}"));
        git(&self.0, &[&["-c", &name, "-c", &email], arguments].concat(), "").map(drop)
    }
}

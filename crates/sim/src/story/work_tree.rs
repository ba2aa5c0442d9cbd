//! What a developer does in a clone: commit, merge, revert, push.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Commit, Merge, Revert};
use crate::example::history::{git, git_with};
use crate::faults;

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

    pub fn commit(&self, commit: &Commit, now: Timestamp) -> Result<(), String> {
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
        for (path, tags) in &commit.tags {
            let file = self.0.join(path);
            let mut text = std::fs::read_to_string(&file).map_err(|e| format!("tags: {path}: {e}"))?;
            for (image, tag) in tags {
                text = with_tag(&text, image, tag).ok_or_else(|| format!("tags: {path} has no image {image} with a newTag"))?;
            }
            std::fs::write(&file, text).map_err(|e| format!("tags: {path}: {e}"))?;
        }
        for (path, text) in &commit.write {
            let file = self.0.join(path);
            let written = std::fs::create_dir_all(file.parent().unwrap_or(&self.0)).and_then(|()| std::fs::write(&file, text));
            written.map_err(|e| format!("write: {path}: {e}"))?;
        }
        git(&self.0, &["add", "-A"], "")?;
        // A story that is told once more may find all as it wants it; its commit is one all the same.
        self.run_as(&commit.author, made_at(now, &commit.ago), &["commit", "-q", "--allow-empty", "-m", &commit.message])?;
        let pushed = self.push(&commit.branch);
        match (&commit.refused, pushed) {
            (None, pushed) => pushed,
            (Some(words), Err(refusal)) if refusal.contains(words.as_str()) => Ok(()),
            (Some(words), Err(refusal)) => Err(format!("refused in other words than {words:?}: {refusal}")),
            (Some(_), Ok(())) => Err("the push was taken, and must not be".into()),
        }
    }

    pub fn merge(&self, merge: &Merge, now: Timestamp) -> Result<(), String> {
        self.begin(&merge.into)?;
        let date = made_at(now, &merge.ago);
        self.run_as(&merge.author, date, &["merge", "-q", "--no-ff", "-m", &merge.message, &format!("origin/{}", merge.from)])?;
        self.push(&merge.into)
    }

    pub fn revert(&self, revert: &Revert) -> Result<(), String> {
        self.begin(&revert.branch)?;
        self.run_as(&revert.author, None, &["revert", "--no-edit", "HEAD"])?;
        self.push(&revert.branch)
    }

    fn begin(&self, branch: &str) -> Result<(), String> {
        git(&self.0, &["checkout", "-q", "-B", branch, &format!("origin/{branch}")], "").map(drop)
    }

    fn push(&self, branch: &str) -> Result<(), String> {
        git(&self.0, &["push", "-q", "origin", branch], "").map(drop)
    }

    /// Runs git as somebody, and at another time than now.
    fn run_as(&self, author: &str, at: Option<Timestamp>, arguments: &[&str]) -> Result<(), String> {
        let (name, email) =
            author.trim_end_matches('>').split_once(" <").ok_or_else(|| format!("author: {author:?} is not as Ann <ann@example.com>"))?;
        let (name, email) = (format!("user.name={name}"), format!("user.email={email}"));
        let date = at.map(|at| format!("@{} +0000", at.as_second()));
        let dates: Vec<(&str, &str)> =
            date.iter().flat_map(|date| ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"].map(|name| (name, date.as_str()))).collect();
        git_with(&self.0, &[&["-c", &name, "-c", &email], arguments].concat(), "", &dates).map(drop)
    }
}

fn made_at(now: Timestamp, ago: &Option<String>) -> Option<Timestamp> {
    now.checked_sub(ago.as_deref().and_then(faults::duration)?).ok()
}

/// Gives an image of a kustomization another tag.
fn with_tag(text: &str, image: &str, tag: &str) -> Option<String> {
    let is_named = |name: &str| name == image || name.strip_suffix(image).is_some_and(|rest| rest.ends_with('/'));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = lines.iter().position(|line| line.trim_start().strip_prefix("- name: ").is_some_and(|name| is_named(name.trim())))?;
    let of_it = lines[at + 1..].iter_mut().take_while(|line| !line.trim_start().starts_with("- "));
    let line = of_it.into_iter().find(|line| line.trim_start().starts_with("newTag:"))?;
    let indent = line.len() - line.trim_start().len();
    *line = format!("{}newTag: {tag}", " ".repeat(indent));
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_one_image_is_changed_whatever_it_was() {
        let text = "images:\n  - name: r.example/edge/offers\n    newTag: 1.0\n  - name: r.example/edge/offers-api\n    newTag: 2.0\n";
        let check = |image: &str, expect: Option<&str>| assert_eq!(with_tag(text, image, "9").as_deref(), expect, "{image}");
        check("offers-api", Some(text.replace("2.0", "9").as_str()));
        check("r.example/edge/offers", Some(text.replace("1.0", "9").as_str()));
        check("api", None);
        assert_eq!(with_tag("images:\n  - name: a\n  - name: b\n    newTag: 1\n", "a", "9"), None);
    }
}

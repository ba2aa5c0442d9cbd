//! How a repository came to be: its commits as a list beside the tree they lead to.
//!
//! `tree/` holds the files as the first branch has them today. A commit names files (a path ending in `/` is all below it)
//! and takes them as they are in `tree/`, but for the words that `before` says they had then. A merge brings all of one
//! branch into another. The same list makes the same commits, ids included, on every machine.
//!
//! A protected branch takes nothing but merges of another; a hook in the bare repository sees to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use serde::Deserialize;

type Tree = BTreeMap<String, String>;

const HOOK: &str = include_str!("pre-receive.sh");

/// A repository's commits, from the first.
#[derive(Clone, Debug)]
pub struct History {
    list: List,
    tree: Tree,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct List {
    /// The first is the default, and the one that `tree/` shows.
    branches: Vec<String>,
    /// Which branch takes merges of which other only.
    #[serde(default)]
    protected: BTreeMap<String, String>,
    commits: Vec<Commit>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Commit {
    author: String,
    date: Timestamp,
    message: String,
    #[serde(default)]
    files: Vec<String>,
    /// Per file, words of today and what stood there then.
    #[serde(default)]
    before: BTreeMap<String, BTreeMap<String, String>>,
    merge: Option<String>,
    into: Option<String>,
}

/// A commit with the whole tree it leads to.
#[derive(Clone, Debug)]
struct Step {
    branch: String,
    merged: Option<String>,
    tree: Tree,
}

impl History {
    pub fn parse(yaml: &str, tree: Tree) -> Result<Self, String> {
        let list: List = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        let first = list.branches.first().ok_or("branches: there must be one")?.clone();
        let mut branches: BTreeMap<String, Tree> = BTreeMap::new();
        let mut steps = Vec::new();
        for (index, commit) in list.commits.iter().enumerate() {
            let invalid = |field: &str, problem: String| format!("commits[{index}].{field}: {problem}");
            let branch = commit.into.clone().unwrap_or_else(|| first.clone());
            if !list.branches.contains(&branch) {
                return Err(invalid("into", format!("{branch:?} is none of the branches")));
            }
            if !commit.author.ends_with('>') || !commit.author.contains(" <") {
                return Err(invalid("author", format!("{:?} is not as Ann Example <ann@example.com>", commit.author)));
            }
            let mut now = branches.get(&branch).cloned().unwrap_or_default();
            match &commit.merge {
                Some(from) => now = branches.get(from).ok_or_else(|| invalid("merge", format!("{from:?} has no commit yet")))?.clone(),
                None => now.extend(commit.changes(&tree).map_err(|problem| invalid("files", problem))?),
            }
            if branches.get(&branch) == Some(&now) {
                return Err(invalid("files", "the commit changes nothing".into()));
            }
            branches.insert(branch.clone(), now.clone());
            steps.push(Step { branch, merged: commit.merge.clone(), tree: now });
        }
        Ok(Self { list, tree, steps })
    }

    pub fn commits(&self) -> usize {
        self.steps.len()
    }

    pub fn authors(&self) -> BTreeSet<&str> {
        self.list.commits.iter().map(|commit| commit.author.as_str()).collect()
    }

    /// Returns the files of a branch as they are in the end.
    pub fn branch(&self, name: &str) -> Tree {
        self.steps.iter().rfind(|step| step.branch == name).map(|step| step.tree.clone()).unwrap_or_default()
    }

    /// Returns files of `tree/` that the first branch does not have in the end, or not as they are.
    pub fn left_out(&self) -> Vec<String> {
        let end = self.branch(&self.list.branches[0]);
        self.tree.iter().filter(|(path, text)| end.get(*path) != Some(text)).map(|(path, _)| path.clone()).collect()
    }

    /// Makes the bare repository with all commits, unless it is there.
    pub fn make(&self, bare: &Path) -> Result<(), String> {
        if bare.join("HEAD").exists() {
            return Ok(());
        }
        // Named last, so that a repository that is there is whole.
        let next = bare.with_extension("new");
        let _ = std::fs::remove_dir_all(&next);
        std::fs::create_dir_all(&next).map_err(|e| e.to_string())?;
        git(&next, &["init", "--quiet", "--bare", &format!("--initial-branch={}", self.list.branches[0])], "")?;
        git(&next, &["config", "http.receivepack", "true"], "")?;
        git(&next, &["fast-import", "--quiet"], &self.stream())?;
        if !self.list.protected.is_empty() {
            let protected: String = self.list.protected.iter().map(|(branch, from)| format!("{branch} {from}\n")).collect();
            std::fs::write(next.join("protected"), protected).map_err(|e| e.to_string())?;
            write_program(&next.join("hooks/pre-receive"), HOOK).map_err(|e| e.to_string())?;
        }
        std::fs::rename(&next, bare).map_err(|e| e.to_string())
    }

    /// Returns the commits as `git fast-import` reads them.
    fn stream(&self) -> String {
        let mut out = String::new();
        let mut tips: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, (step, commit)) in self.steps.iter().zip(&self.list.commits).enumerate() {
            let mark = index + 1;
            let message = format!("{}\n", commit.message.trim_end());
            let (author, seconds) = (&commit.author, commit.date.as_second());
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "commit refs/heads/{}\nmark :{mark}\nauthor {author} {seconds} +0000\ncommitter {author} {seconds} +0000\ndata {}\n{message}",
                step.branch,
                message.len()
            );
            let merged = step.merged.as_deref().and_then(|branch| tips.get(branch));
            // A branch without a past begins with what it is a merge of.
            match (tips.get(step.branch.as_str()), merged) {
                (Some(tip), Some(merged)) => {
                    let _ = write!(out, "from :{tip}\nmerge :{merged}\n");
                }
                (Some(tip), None) | (None, Some(tip)) => {
                    let _ = writeln!(out, "from :{tip}");
                }
                (None, None) => {}
            }
            out.push_str("deleteall\n");
            for (path, text) in &step.tree {
                let _ = writeln!(out, "M 100644 inline {path}\ndata {}\n{text}", text.len());
            }
            out.push('\n');
            tips.insert(&step.branch, mark);
        }
        out
    }
}

impl Commit {
    /// Returns the files that the commit writes.
    fn changes(&self, tree: &Tree) -> Result<Tree, String> {
        let mut changes = Tree::new();
        for named in &self.files {
            let is_named = |path: &str| if named.ends_with('/') { path.starts_with(named.as_str()) } else { path == named };
            let files: Vec<_> = tree.iter().filter(|(path, _)| is_named(path)).collect();
            if files.is_empty() {
                return Err(format!("tree/ has no {named}"));
            }
            for (path, text) in files {
                let mut text = text.clone();
                for (today, then) in self.before.get(path).into_iter().flatten() {
                    if !text.contains(today.as_str()) {
                        return Err(format!("before: {path} has no {today:?}"));
                    }
                    text = text.replace(today.as_str(), then);
                }
                changes.insert(path.clone(), text);
            }
        }
        match self.before.keys().find(|path| !changes.contains_key(*path)) {
            Some(path) => Err(format!("before: {path} is not among the commit's files")),
            None => Ok(changes),
        }
    }
}

fn write_program(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(path)?;
    file.write_all(text.as_bytes())
}

/// Runs git in a directory with an input; its own settings only.
pub(crate) fn git(dir: &Path, arguments: &[&str], input: &str) -> Result<String, String> {
    git_with(dir, arguments, input, &[])
}

/// As [`git()`], with variables of its environment.
pub(crate) fn git_with(dir: &Path, arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Result<String, String> {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("failed to run git: is it installed? {error}"))?;
    let mut stdin = child.stdin.take().ok_or("git has no input")?;
    let input = input.to_owned();
    // Beside reading, so that neither waits for the other.
    let feeding = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    // It may end without having read all.
    let _ = feeding.join();
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("git {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::Example;

    const LIST: &str = "
branches: [dev, prod]
protected: {prod: dev}
commits:
- {author: Ann <ann@example.com>, date: 2026-01-01T00:00:00Z, message: one, files: [a/, b], before: {b: {two: one}}}
- {author: Ann <ann@example.com>, date: 2026-01-02T00:00:00Z, message: released, merge: dev, into: prod}
- {author: Bob <bob@example.com>, date: 2026-01-03T00:00:00Z, message: two, files: [b]}
";

    fn tree() -> Tree {
        [("a/x", "x\n"), ("b", "two\n")].map(|(path, text)| (path.to_owned(), text.to_owned())).into()
    }

    #[test]
    fn a_list_becomes_branches_that_differ() {
        let history = History::parse(LIST, tree()).expect("a history");
        assert_eq!((history.branch("dev")["b"].as_str(), history.branch("prod")["b"].as_str()), ("two\n", "one\n"));
        assert_eq!(history.left_out(), Vec::<String>::new());
        let dir = tempfile::tempdir().expect("a directory");
        let bare = dir.path().join("r.git");
        history.make(&bare).expect("made");
        let log = git(&bare, &["log", "--format=%an %s", "dev"], "").expect("a log");
        assert_eq!(log, "Bob two\nAnn one\n");
        assert_eq!(git(&bare, &["show", "prod:b"], "").expect("a file"), "one\n");
        let again = dir.path().join("again.git");
        history.make(&again).expect("made");
        let id = |bare: &Path| git(bare, &["rev-parse", "dev", "prod"], "").expect("ids");
        assert_eq!(id(&bare), id(&again));
    }

    #[test]
    fn a_list_that_is_wrong_is_told_where() {
        let check = |from: &str, to: &str| History::parse(&LIST.replace(from, to), tree()).expect_err("refused");
        assert_eq!(check("files: [b]", "files: [c/]"), "commits[2].files: tree/ has no c/");
        assert_eq!(check("{two: one}", "{three: one}"), "commits[0].files: before: b has no \"three\"");
        assert_eq!(check("into: prod", "into: production"), "commits[1].into: \"production\" is none of the branches");
        assert!(check("Bob <bob@example.com>", "Bob").starts_with("commits[2].author"));
    }

    #[test]
    fn a_protected_branch_takes_merges_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        Example::named("retail").expect("there").make_repositories(dir.path()).expect("made");
        let run = |arguments: &[&str]| {
            let who = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
            git(&dir.path().join("w"), &[&who, arguments].concat(), "")
        };
        git(dir.path(), &["clone", "-q", "edge.git", "w"], "").expect("cloned");
        run(&["checkout", "-q", "prod"]).expect("checked out");
        std::fs::write(dir.path().join("w/README.md"), "hot\n").expect("written");
        run(&["commit", "-qam", "hot fix"]).expect("committed");
        let refused = run(&["push", "-q", "origin", "prod"]).expect_err("refused");
        assert!(refused.contains("prod takes merges of dev only"), "{refused}");
        let refused = run(&["push", "-q", "origin", ":prod"]).expect_err("refused");
        assert!(refused.contains("prod cannot be deleted"), "{refused}");
        let refused = run(&["push", "-qf", "origin", "prod~2:prod"]).expect_err("refused");
        assert!(refused.contains("prod only goes forward"), "{refused}");
        run(&["reset", "-q", "--hard", "origin/prod"]).expect("reset");
        run(&["merge", "-q", "--no-ff", "-m", "Merge dev", "origin/dev"]).expect("merged");
        run(&["push", "-q", "origin", "prod"]).expect("a merge is taken");
        // Both at once, as `git push origin dev prod` does; and a fast-forward.
        run(&["checkout", "-q", "dev"]).expect("checked out");
        run(&["merge", "-q", "--ff-only", "prod"]).expect("forwarded");
        run(&["commit", "-q", "--allow-empty", "-m", "next"]).expect("committed");
        run(&["push", "-q", "origin", "dev", "dev:prod"]).expect("a fast-forward is taken");
    }
}

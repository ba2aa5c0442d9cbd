//! Paths inside the repository, and URLs that lead back into it.

/// Returns `path` as seen from the directory `from`, or why it leads nowhere.
pub(crate) fn join(from: &str, path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    if path.starts_with('/') {
        return Err(format!("{path:?} is absolute; write it relative to the kustomization's directory"));
    }
    if path.contains(['\0', '\\']) {
        return Err(format!("{path:?} has a character no path has"));
    }
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(format!("{path:?} leads out of the repository"));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Returns whether `path` is `dir` or below it.
pub(crate) fn is_within(dir: &str, path: &str) -> bool {
    dir.is_empty() || path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns the path of `name` in `dir`.
pub(crate) fn child(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// What a URL in `resources` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Host and path of the repository, as [`normal`] has it.
    pub repository: String,
    /// Directory in the repository.
    pub path: String,
    /// Empty for its default branch.
    pub revision: String,
}

/// Reads a URL of a directory in a repository, as Kustomize's `git/repospec.go`: the repository ends at `_git/<name>`,
/// `//`, `.git` or after two segments. Returns nothing for what is a plain path.
pub(crate) fn remote(text: &str) -> Option<Remote> {
    let (location, query) = text.split_once('?').unwrap_or((text, ""));
    let location = location.strip_prefix("git::").unwrap_or(location);
    let scheme = ["ssh://", "https://", "http://", "file://"].into_iter().find(|s| starts_with_ignoring_case(location, s));
    let rest = scheme.map_or(location, |s| &location[s.len()..]);
    let has_user = rest.split_once('@').is_some_and(|(user, _)| {
        user.starts_with(|c: char| c.is_ascii_alphabetic()) && user.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    });
    let is_github = ["github.com/", "github.com:"].iter().any(|host| starts_with_ignoring_case(rest, host));
    if scheme.is_none() && !has_user && !is_github {
        return None;
    }
    let segments_max = if scheme == Some("file://") { usize::MAX } else { 2 };
    let (host, full) = split_host(rest);
    let (repository, path) = split_repository(full, segments_max)?;
    let revision = ["ref", "version"]
        .iter()
        .find_map(|name| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, value)| key == name && !value.is_empty()));
    Some(Remote {
        repository: normal(&format!("{host}/{repository}")),
        path: path.trim_matches('/').to_owned(),
        revision: revision.map(|(_, value)| value.to_owned()).unwrap_or_default(),
    })
}

/// Returns a repository's host and path without scheme, user, `.git` and trailing slash: one spelling for all its URLs.
pub(crate) fn normal(url: &str) -> String {
    let rest = url.trim().split_once("://").map_or(url.trim(), |(_, rest)| rest);
    let (host, path) = split_host(rest);
    let path = path.trim_matches('/');
    format!("{}/{}", host.to_ascii_lowercase(), path.strip_suffix(".git").unwrap_or(path))
}

/// Splits `user@host/path` or `user@host:path`, without the user.
fn split_host(rest: &str) -> (&str, &str) {
    let first = rest.split('/').next().unwrap_or(rest);
    let rest = if first.contains('@') { rest.split_once('@').map_or(rest, |(_, rest)| rest) } else { rest };
    match rest.find(['/', ':']) {
        // A port belongs to the host.
        Some(at) if rest[at..].starts_with(':') && rest[at + 1..].starts_with(|c: char| c.is_ascii_digit()) => {
            rest[at..].find('/').map_or((rest, ""), |slash| (&rest[..at + slash], &rest[at + slash + 1..]))
        }
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, ""),
    }
}

fn split_repository(full: &str, segments_max: usize) -> Option<(String, String)> {
    if let Some(at) = full.find("_git/") {
        let (name, path) = full[at + 5..].split_once('/').unwrap_or((&full[at + 5..], ""));
        return Some((format!("{}{name}", &full[..at + 5]), path.to_owned()));
    }
    if let Some((repository, path)) = full.split_once("//") {
        return Some((repository.to_owned(), path.to_owned()));
    }
    if let Some(at) = full.find(".git") {
        return Some((full[..at + 4].to_owned(), full[at + 4..].to_owned()));
    }
    let segments: Vec<&str> = full.split('/').collect();
    if segments_max == usize::MAX {
        return Some((full.to_owned(), String::new()));
    }
    (segments.len() >= segments_max).then(|| (segments[..segments_max].join("/"), segments[segments_max..].join("/")))
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_repository() {
        assert_eq!(join("a/b", "../../c/./d/"), Ok("c/d".into()));
        assert_eq!(join("", "x"), Ok("x".into()));
        assert_eq!(join("a", ".."), Ok(String::new()));
        for path in ["../..", "/etc/passwd", "", "a\\b"] {
            assert!(join("a", path).is_err(), "{path}");
        }
        assert!(is_within("a", "a/b") && is_within("", "x") && !is_within("a", "ab"));
    }

    #[test]
    fn urls_name_a_repository_a_path_and_a_revision() {
        let check = |url: &str, repository: &str, path: &str, revision: &str| {
            let expected = Remote { repository: repository.into(), path: path.into(), revision: revision.into() };
            assert_eq!(remote(url), Some(expected), "{url}");
        };
        check("https://github.com/Org/Repo//deploy/base?ref=v1", "github.com/Org/Repo", "deploy/base", "v1");
        check("github.com/org/repo/deploy?ref=main&timeout=5", "github.com/org/repo", "deploy", "main");
        check("git@GitHub.com:org/repo.git", "github.com/org/repo", "", "");
        check("ssh://git@git.example.com:2222/team/sub/app.git/base", "git.example.com:2222/team/sub/app", "base", "");
        check("https://dev.azure.com/o/p/_git/r/base?version=x", "dev.azure.com/o/p/_git/r", "base", "x");
        check("https://git.example.com/a/b/c/d", "git.example.com/a/b", "c/d", "");
        assert_eq!(normal("https://Git.Example.com/Team/App.git/"), "git.example.com/Team/App");
        assert_eq!(normal("git@git.example.com:Team/App"), "git.example.com/Team/App");
        for path in ["../base", "base", "a/b.yaml", "github.company/x"] {
            assert_eq!(remote(path), None, "{path}");
        }
    }
}

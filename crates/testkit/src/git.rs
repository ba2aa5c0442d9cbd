//! Git repositories for tests: made in a directory, served over HTTP on this machine, changed by commits.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use git::serve::{GitHttp, Options};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Serves bare repositories below a directory; ends when dropped.
pub struct GitServer {
    directory: TempDir,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl GitServer {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let bare = directory.path().join("served");
        std::fs::create_dir_all(&bare).expect("a directory");
        let service = GitHttp::new(Options { root: bare, is_push_allowed: true, login: None, on_push: None });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let handler = service_fn(move |request| {
                        let service = service.clone();
                        async move { Ok::<_, std::convert::Infallible>(service.handle(request).await) }
                    });
                    // A client that hangs up is no failure of the test.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), handler).await;
                });
            }
        });
        Self { directory, address, task }
    }

    /// Makes a repository with one branch and these files.
    pub fn repository(&self, name: &str, branch: &str, files: &[(&str, &str)]) -> Repository {
        let bare = self.directory.path().join("served").join(format!("{name}.git"));
        let work = self.directory.path().join("work").join(name);
        std::fs::create_dir_all(&work).expect("a directory");
        run(&work, &["init", "-q", "-b", branch, "."]);
        let repository = Repository {
            url: format!("http://{}/{name}.git", self.address),
            file_url: format!("file://{}", bare.display()),
            branch: branch.to_owned(),
            bare: bare.clone(),
            work,
        };
        repository.write(files);
        run(&repository.work, &["clone", "-q", "--bare", ".", &bare.display().to_string()]);
        run(&repository.work, &["remote", "add", "origin", &bare.display().to_string()]);
        repository
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A repository and a work tree of it.
pub struct Repository {
    pub url: String,
    /// The same without a server between: for virtual time, which does not wait for sockets.
    pub file_url: String,
    branch: String,
    bare: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// Commits files to the branch and pushes; an empty text removes a file. Returns the commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        self.write(files);
        run(&self.work, &["push", "-q", "origin", &self.branch]);
        self.head()
    }

    /// Takes the repository away from all who read it, or gives it back; commits wait meanwhile.
    pub fn set_away(&self, is_away: bool) {
        let elsewhere = self.bare.with_extension("away");
        let (from, to) = if is_away { (&self.bare, &elsewhere) } else { (&elsewhere, &self.bare) };
        std::fs::rename(from, to).expect("renamed");
    }

    pub fn head(&self) -> String {
        run(&self.work, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.work.join(path);
            if text.is_empty() {
                std::fs::remove_file(&path).expect("removed");
                continue;
            }
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(&path, text).expect("written");
        }
        run(&self.work, &["add", "-A"]);
        run(&self.work, &["commit", "-q", "--allow-empty", "-m", "change"]);
    }
}

fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(directory)
        // Not the machine's settings, and the same commit ids each time.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([("GIT_AUTHOR_NAME", "test"), ("GIT_AUTHOR_EMAIL", "test@example.com"), ("GIT_AUTHOR_DATE", "2026-11-23T07:00:00Z")])
        .envs([("GIT_COMMITTER_NAME", "test"), ("GIT_COMMITTER_EMAIL", "test@example.com"), ("GIT_COMMITTER_DATE", "2026-11-23T07:00:00Z")])
        .args(arguments)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

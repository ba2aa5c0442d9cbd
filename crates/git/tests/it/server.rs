//! A Git server on a free port, and a working copy that pushes to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use git::serve::{GitHttp, Options};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tempfile::TempDir;

pub struct Server {
    pub dir: TempDir,
    pub address: std::net::SocketAddr,
    /// Requests answered so far.
    pub requests: Arc<AtomicUsize>,
    /// Repositories pushed to, as the server tells.
    pub pushes: tokio::sync::mpsc::UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start(login: Option<git::Login>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("served");
        std::fs::create_dir(&root).expect("a directory");
        let (told, pushes) = tokio::sync::mpsc::unbounded_channel();
        let on_push: git::serve::OnPush = Arc::new(move |repository| drop(told.send(repository.to_owned())));
        let bridge = GitHttp::new(Options { root, is_push_allowed: true, login, on_push: Some(on_push) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let task = tokio::spawn(async move {
            // Connections end with the server.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.expect("a connection");
                let (bridge, counted) = (bridge.clone(), counted.clone());
                let service = hyper::service::service_fn(move |request| {
                    let (bridge, counted) = (bridge.clone(), counted.clone());
                    async move {
                        counted.fetch_add(1, Ordering::Relaxed);
                        let response = match moved(&request) {
                            Some(response) => response,
                            None => bridge.handle(request).await,
                        };
                        Ok::<_, std::convert::Infallible>(response)
                    }
                });
                connections.spawn(async move {
                    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { dir, address, requests, pushes, task }
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.address)
    }

    /// Makes an empty bare repository.
    pub fn create(&self, name: &str) -> PathBuf {
        let bare = self.dir.path().join("served").join(format!("{name}.git"));
        run(self.dir.path(), &["init", "-q", "--bare", "-b", "main", bare.to_str().expect("UTF-8")]);
        bare
    }

    /// Makes a repository with one commit on `main` and returns its working copy.
    pub fn create_with(&self, name: &str, files: &[(&str, &str)]) -> Work {
        let bare = self.create(name);
        let dir = self.dir.path().join(format!("{name}-work"));
        run(self.dir.path(), &["clone", "-q", bare.to_str().expect("UTF-8"), dir.to_str().expect("UTF-8")]);
        let work = Work { dir };
        work.commit(files);
        work
    }

    pub fn stop(&self) {
        self.task.abort();
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Repositories below `/old/` have moved one up, as a forge would say.
fn moved<B>(request: &http::Request<B>) -> Option<http::Response<git::serve::Body>> {
    let path = request.uri().path_and_query()?.as_str().strip_prefix("/old")?;
    let response = http::Response::builder().status(http::StatusCode::MOVED_PERMANENTLY).header(http::header::LOCATION, path);
    response.body(git::serve::Body::default()).ok()
}

pub struct Work {
    pub dir: PathBuf,
}

impl Work {
    /// Writes files, commits and pushes the current branch; returns the commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let file = self.dir.join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            std::fs::write(file, content).expect("written");
        }
        run(&self.dir, &["add", "-A"]);
        run(&self.dir, &["commit", "-q", "--allow-empty", "-m", "change"]);
        run(&self.dir, &["push", "-q", "origin", "HEAD"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        run(&self.dir, arguments)
    }
}

pub fn run(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"])
        .args(arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    let output = command.output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

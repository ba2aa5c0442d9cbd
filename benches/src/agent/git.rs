//! A small Git repository, served over HTTP on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use controller::Runtime;
use git::serve::{GitHttp, Options};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const BRANCH: &str = "main";

/// A repository and a work tree of it.
pub struct Repository {
    pub url: String,
    work: PathBuf,
}

impl Repository {
    /// Makes a repository of these files and serves it until the runtime stops.
    pub async fn serve(runtime: &Runtime, directory: &Path, files: &[(String, String)]) -> anyhow::Result<Self> {
        let (served, work) = (directory.join("served"), directory.join("work"));
        std::fs::create_dir_all(&served)?;
        std::fs::create_dir_all(&work)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let repository = Self { url: format!("http://{}/shop.git", listener.local_addr()?), work };
        repository.git(&["init", "-q", "-b", BRANCH, "."])?;
        repository.write(files)?;
        let bare = served.join("shop.git").display().to_string();
        repository.git(&["clone", "-q", "--bare", ".", &bare])?;
        repository.git(&["remote", "add", "origin", &bare])?;
        let service = GitHttp::new(Options { root: served, is_push_allowed: false, login: None, on_push: None });
        runtime.spawn("git", answer(listener, service));
        Ok(repository)
    }

    /// Commits files and pushes; returns the commit.
    pub fn commit(&self, files: &[(String, String)]) -> anyhow::Result<String> {
        self.write(files)?;
        self.git(&["push", "-q", "origin", BRANCH])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    fn write(&self, files: &[(String, String)]) -> anyhow::Result<()> {
        for (name, text) in files {
            std::fs::write(self.work.join(name), text)?;
        }
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "-m", "change"])?;
        Ok(())
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("git")
            .current_dir(&self.work)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"])
            .args(arguments)
            .output()
            .context("git is needed")?;
        ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

async fn answer(listener: TcpListener, service: GitHttp) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        tokio::spawn(async move {
            let handler = service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, std::convert::Infallible>(service.handle(request).await) }
            });
            // A client that hangs up is its own affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), handler).await;
        });
    }
}

//! One process of a fleet, in the foreground: what `muster up` starts three of.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use controller::{Clock, Runtime};
use git::serve::{GitHttp, OnPush, Options as ServeOptions};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::SignedDuration;
use kube::config::Kubeconfig;
use tokio::net::TcpListener;
use tower::ServiceExt;
use tunnel::{Connector, TlsConnector};

use crate::layout::{Fleet, Layout, write_whole};

/// How long a bootstrap kubeconfig lets clusters join; every start makes a new one.
const BOOTSTRAP_HOURS: i64 = 24 * 7;
/// Pushes the hub is still to be told of.
const PUSHES_MAX: usize = 64;
const TELL_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct Run {
    #[command(subcommand)]
    part: PartCommand,
}

#[derive(Subcommand)]
enum PartCommand {
    Git(Dir),
    Hub(Dir),
    Sim(Dir),
    Console(Dir),
}

#[derive(Args)]
struct Dir {
    #[arg(long)]
    dir: PathBuf,
}

impl Run {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = Runtime::new(Clock::wall());
        match self.part {
            PartCommand::Git(at) => serve_git(&runtime, &Layout::new(&at.dir)).await?,
            PartCommand::Hub(at) => serve_hub(&runtime, &Layout::new(&at.dir)).await?,
            PartCommand::Sim(at) => serve_stores(&runtime, &Layout::new(&at.dir)).await?,
            PartCommand::Console(at) => super::console::serve_part(&runtime, &Layout::new(&at.dir)).await?,
        }
        runtime.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits until somebody asks this process to end.
pub(super) async fn asked_to_stop() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

async fn serve_git(runtime: &Runtime, layout: &Layout) -> anyhow::Result<()> {
    let fleet = layout.existing()?;
    let on_push = Some(tell_hub(runtime, layout, &fleet));
    let git = GitHttp::new(ServeOptions { root: layout.repos(), is_push_allowed: true, login: None, on_push });
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fleet.git_port()));
    let listener = TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))?;
    runtime.spawn("git", async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let git = git.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let git = git.clone();
                    async move { Ok::<_, std::convert::Infallible>(git.handle(request).await) }
                });
                let served = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
    });
    asked_to_stop().await
}

/// Returns what tells the hub of pushes at once. It is a hint: what the hub is not told of, it finds by itself.
fn tell_hub(runtime: &Runtime, layout: &Layout, fleet: &Fleet) -> OnPush {
    let (pushes, mut told) = tokio::sync::mpsc::channel::<String>(PUSHES_MAX);
    let (kubeconfig, base) = (layout.kubeconfig(), format!("http://127.0.0.1:{}", fleet.git_port()));
    runtime.spawn("pushes", async move {
        while let Some(repository) = told.recv().await {
            match tokio::time::timeout(TELL_TIMEOUT, refresh(&kubeconfig, &format!("{base}/{repository}"))).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(repository, %error, "the hub was not told of a push"),
                Err(_) => tracing::debug!(repository, "the hub does not answer"),
            }
        }
    });
    Arc::new(move |repository: &str| {
        // Full only while the hub is away, and then it looks by itself.
        let _ = pushes.try_send(repository.to_owned());
    })
}

/// Asks the hub, as its administrator, to look at a repository now.
async fn refresh(kubeconfig: &Path, repo: &str) -> anyhow::Result<()> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let connection = TlsConnector.connect(&kubeconfig)?;
    let repo = crate::client::query(&[("repo", Some(repo))]);
    let request = http::Request::post(format!("{}/refresh?{repo}", api::hub::path::GIT)).body(tunnel::body::empty())?;
    let response = send(connection.http.clone(), request).await.map_err(|error| anyhow!("{error}"))?;
    anyhow::ensure!(response.status().is_success(), "the hub answered {}", response.status());
    Ok(())
}

type Answer = Result<http::Response<tunnel::ResponseBody>, tunnel::BoxError>;

/// Boxed, since the service's own future is not nameable across tasks.
fn send(service: tunnel::HttpService, request: http::Request<tunnel::Body>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
    Box::pin(service.oneshot(request))
}

async fn serve_hub(runtime: &Runtime, layout: &Layout) -> anyhow::Result<()> {
    let fleet = layout.existing()?;
    let mut options = hub::HubOptions::new(runtime.clone());
    options.dir = Some(layout.hub());
    options.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, fleet.port)));
    options.git = Some(hub::gitserver::Options::new(layout.mirrors()));
    let hub = hub::start(options).await?;
    write_kubeconfig(layout.kubeconfig(), &hub.admin_kubeconfig())?;
    let bootstrap = hub.bootstrap_kubeconfig(SignedDuration::from_hours(BOOTSTRAP_HOURS)).await?;
    write_kubeconfig(layout.bootstrap(), &bootstrap)?;
    asked_to_stop().await?;
    hub.stop().await;
    Ok(())
}

fn write_kubeconfig(path: PathBuf, kubeconfig: &Kubeconfig) -> anyhow::Result<()> {
    // A kubeconfig is a credential: only its owner reads it.
    write_whole(&path, &serde_json::to_vec_pretty(kubeconfig)?, 0o600)
}

async fn serve_stores(runtime: &Runtime, layout: &Layout) -> anyhow::Result<()> {
    let fleet = layout.existing()?;
    let bootstrap = Kubeconfig::read_from(layout.bootstrap()).context("failed to read the bootstrap kubeconfig: is the hub up?")?;
    let access = sim::HubAccess { connector: Arc::new(TlsConnector), bootstrap };
    let options = sim::FleetOptions { dir: Some(layout.stores()), hub: Some(access), first_port: Some(fleet.first_store_port()) };
    let spec = sim::Example::named(&fleet.example)?.fleet(fleet.stores)?;
    let stores = Arc::new(sim::Fleet::start(runtime, spec, options).await?);
    let orders = layout.orders();
    sim::control::listen(runtime, stores.clone(), &orders).with_context(|| format!("failed to listen on {}", orders.display()))?;
    asked_to_stop().await?;
    stores.stop().await.map_err(|error| anyhow!(error))
}

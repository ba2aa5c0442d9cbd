//! The process that a store runs: arguments, logging, signals; the rest is [`agent`].

use std::path::PathBuf;
use std::sync::Arc;

use agent::{AgentOptions, StateDir};
use anyhow::Context;
use clap::Parser;
use controller::{Clock, Runtime};
use kube::config::Kubeconfig;
use tunnel::{Connector, TlsConnector};

/// Keeps this cluster as its hub and Git want it, and tells the hub how it is.
#[derive(Parser)]
#[command(name = "muster-agent", version)]
struct Arguments {
    /// Name of this cluster on the hub (its ManagedCluster).
    #[arg(long, env = "MUSTER_CLUSTER_NAME")]
    cluster_name: String,
    /// Label of the ManagedCluster, as region=us-east, when this agent creates it; from then on labels are the hub's.
    #[arg(long = "label", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Kubeconfig that lets a new cluster ask the hub to join.
    #[arg(long, env = "MUSTER_BOOTSTRAP_KUBECONFIG")]
    bootstrap_kubeconfig: PathBuf,
    /// Kubeconfig of this cluster; without it the agent takes the cluster that it runs in as a Pod.
    #[arg(long, env = "MUSTER_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Directory of the agent's own for what must survive a restart; without it unsent reports do not.
    #[arg(long, env = "MUSTER_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// What to log, as `info` or `agent=debug,warn`.
    #[arg(long, env = "MUSTER_LOG", default_value = "info")]
    log: String,
}

// One thread: the agent waits nearly all of its time, and each thread more has its own allocator arena.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_env_filter(arguments.log.as_str()).with_writer(std::io::stderr).init();
    let runtime = Runtime::new(Clock::wall());
    controller::memory::give_back(&runtime);
    let stopping = runtime.clone();
    let (mut terminate, mut interrupt) =
        (signal(tokio::signal::unix::SignalKind::terminate())?, signal(tokio::signal::unix::SignalKind::interrupt())?);
    let agent = agent::run(options(&arguments, runtime.clone())?);
    tokio::select! {
        () = agent => {}
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    stopping.stop().await;
    Ok(())
}

fn signal(kind: tokio::signal::unix::SignalKind) -> anyhow::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(kind).context("failed to listen for signals")
}

fn options(arguments: &Arguments, runtime: Runtime) -> anyhow::Result<AgentOptions> {
    let bootstrap = read(&arguments.bootstrap_kubeconfig)?;
    let local = match &arguments.kubeconfig {
        Some(path) => read(path)?,
        None => tunnel::in_cluster().context("no --kubeconfig was given, and this is no Pod")?,
    };
    let local = TlsConnector.connect(&local).context("the kubeconfig of this cluster")?.client;
    let state_dir = match &arguments.state_dir {
        Some(path) => StateDir::open(path).with_context(|| format!("the state directory {} is not usable", path.display()))?,
        None => StateDir::memory(),
    };
    Ok(AgentOptions {
        cluster_name: arguments.cluster_name.clone(),
        labels: arguments.labels.iter().cloned().collect(),
        bootstrap,
        local,
        connector: Arc::new(TlsConnector),
        git_link: None,
        state_dir,
        drawings: agent::gitops::Drawings::default(),
        runtime,
    })
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no label such as region=us-east"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads a kubeconfig; relative paths in it are relative to the file.
fn read(path: &std::path::Path) -> anyhow::Result<Kubeconfig> {
    Kubeconfig::read_from(path).with_context(|| format!("the kubeconfig {} is not usable", path.display()))
}

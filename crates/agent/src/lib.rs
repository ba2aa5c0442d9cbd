//! The agent: what runs on a cluster, and keeps it as its hub and Git want it.
//!
//! One small process: [`registration`] joins the hub and stays joined, [`work`] applies ManifestWorks,
//! [`inventory`] looks at the workloads, [`report`] tells the hub what changed, [`notices`] listens for hints.
//! It is a plain client of two Kubernetes API servers, and cannot tell whether they are real, embedded or
//! simulated. Without the hub it goes on with what it knows: nothing is removed because the hub is away.
//!
//! Start reading at [`run`].

mod backoff;
mod context;
mod crds;
mod feed;
pub mod gitops;
mod hub;
pub mod inventory;
pub mod notices;
mod refusal;
pub mod registration;
pub mod report;
mod served;
mod session;
mod skew;
mod state;
pub mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use controller::Runtime;
use kube::Client;
use kube::config::Kubeconfig;
use tunnel::Connector;

pub use context::Context;
pub use hub::{Hub, HubIdentity, NoHub};
pub use skew::ClockSkew;
pub use state::StateDir;

/// What this agent is.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What it can do beyond the base protocol.
pub const CAPABILITIES: &[&str] = &["work", "reports", "notices", "gitops"];

/// Puts something between the agent and Git.
pub type GitLink = Arc<dyn Fn(Arc<dyn gitops::sources::Source>) -> Arc<dyn gitops::sources::Source> + Send + Sync>;

/// What an agent is started with.
pub struct AgentOptions {
    pub cluster_name: String,
    /// What a new ManagedCluster is labelled with; from then on its labels are the hub's.
    pub labels: BTreeMap<String, String>,
    /// The way to the hub for a cluster that has not joined.
    pub bootstrap: Kubeconfig,
    /// The cluster that the agent serves.
    pub local: Client,
    pub connector: Arc<dyn Connector>,
    /// The way to Git itself, where it is not the machine's own network.
    pub git_link: Option<GitLink>,
    pub state_dir: StateDir,
    /// What other agents of this process render too.
    pub drawings: gitops::Drawings,
    /// All tasks live in it; stopping it stops the agent.
    pub runtime: Runtime,
}

/// Starts the agent and returns when its runtime stops.
pub async fn run(options: AgentOptions) {
    let runtime = options.runtime.clone();
    let context = tokio::select! {
        context = begin(&options) => context,
        () = runtime.stopping() => return,
    };
    start(&context, options);
    runtime.stopping().await;
}

/// Learns who we are; waits for the local cluster if need be.
async fn begin(options: &AgentOptions) -> Context {
    let mut back_off = backoff::BackOff::new(Duration::from_millis(200), Duration::from_secs(15));
    let cluster_uid = loop {
        let known = match crds::install(&options.local).await {
            Ok(()) => registration::cluster_uid(&options.local).await,
            Err(error) => Err(error),
        };
        match known {
            Ok(uid) => break uid,
            Err(error) => tracing::warn!(error = error.chain(), "the local cluster is not ready, will retry"),
        }
        tokio::time::sleep(back_off.next_delay()).await;
    };
    Context {
        cluster_name: options.cluster_name.clone(),
        cluster_uid,
        local: options.local.clone(),
        hub: Hub::new(&options.cluster_name),
        reporter: report::Reporter::open(&options.state_dir, options.runtime.clock.clone()),
        notices: notices::Notices::default(),
        clock_skew: ClockSkew::default(),
        state_dir: options.state_dir.clone(),
        runtime: options.runtime.clone(),
        rotation: Arc::new(tokio::sync::watch::Sender::new(None)),
        welcomes: Arc::new(tokio::sync::watch::Sender::new(0)),
    }
}

/// Starts all parts.
fn start(context: &Context, options: AgentOptions) {
    let runtime = &context.runtime;
    runtime.spawn("registration", registration::run(context.clone(), options.bootstrap, options.labels, options.connector));
    runtime.spawn("session", session::run(context.clone()));
    inventory::start(context);
    start_gitops(context, options.git_link, options.drawings);
}

/// Starts the GitOps engine: commits come from the hub, from Git itself where the hub is away, and from the packs
/// kept here where both are.
fn start_gitops(context: &Context, git_link: Option<GitLink>, drawings: gitops::Drawings) {
    let mirrors =
        context.state_dir.file("git").unwrap_or_else(|| std::env::temp_dir().join(format!("muster-agent-{}", context.cluster_uid)));
    let mut options = git::Options::new(mirrors);
    options.is_file_allowed = false;
    options.references = Arc::new(|repo, path, content| render::wanted(repo, path, content));
    let git: Arc<dyn gitops::sources::Source> = Arc::new(gitops::sources::GitSource(git::Mirrors::new(options)));
    let git = git_link.map_or(git.clone(), |over| over(git));
    let sources: Vec<Arc<dyn gitops::sources::Source>> = vec![Arc::new(gitops::sources::HubSource(context.hub.http.clone())), git];
    let source = Arc::new(gitops::sources::Sources(sources));
    let mut options = gitops::Options::new(context.local.clone(), context.runtime.clone(), source);
    options.notices = Some(context.notices.subscribe());
    options.dir = context.state_dir.file("packs");
    options.drawings = drawings;
    let reporter = context.reporter.clone();
    options.reports = Arc::new(move |key, application| match application {
        Some(application) => reporter.report(api::report::Kind::Application, key, application),
        None => {
            reporter.gone(api::report::Kind::Application, key);
            reporter.gone(api::report::Kind::Resources, key);
        }
    });
    let reporter = context.reporter.clone();
    options.resources = Arc::new(move |key, resources| reporter.report(api::report::Kind::Resources, key, resources));
    let reporter = context.reporter.clone();
    options.complete = Arc::new(move || {
        reporter.complete(api::report::Kind::Application);
        reporter.complete(api::report::Kind::Resources);
    });
    gitops::start(options);
}

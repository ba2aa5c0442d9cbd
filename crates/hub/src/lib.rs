//! The hub: reconcilers and endpoints.
//!
//! [`run`] starts the reconcilers of every domain on any Kubernetes API: they are plain clients and never ask
//! whether the server is ours. [`start`] assembles a whole hub on the embedded server. Each domain observes, decides, acts, reports; see `registration` for the shape.

pub mod admission;
mod approval;
mod availability;
mod cleanup;
mod clustersets;
mod context;
mod departed;
mod endpoints;
mod error;
mod events;
mod gather;
pub mod gitserver;
pub mod identity;
mod lagging;
mod notices;
mod placement;
mod readmodel;
mod registration;
mod replicaset;
mod reports;
mod server;
mod unacted;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use controller::Runtime;
use kube::Client;

pub use approval::{claimed_uid, refuse_request};
pub use context::Context;
pub use error::Error;
pub use server::{Hub, HubOptions, StartError, bootstrap_token, kubeconfig, start};

/// What may differ between hubs.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub auto_accept: AutoAccept,
}

/// Who may bring clusters in without an administrator accepting each.
#[derive(Clone, Debug, Default)]
pub struct AutoAccept {
    /// User names, such as `system:serviceaccount:open-cluster-management:agent-registration-bootstrap`.
    pub users: BTreeSet<String>,
    /// Groups, such as `system:bootstrappers:managedcluster`.
    pub groups: BTreeSet<String>,
}

impl AutoAccept {
    /// Accepts whoever joins with a bootstrap token or the bootstrap service account.
    pub fn bootstrappers() -> Self {
        Self {
            users: BTreeSet::from([registration::bootstrap::service_account_user()]),
            groups: BTreeSet::from([api::cluster::identity::BOOTSTRAP_GROUP.to_owned()]),
        }
    }

    pub fn includes(&self, user: &str, groups: &[String]) -> bool {
        self.users.contains(user) || groups.iter().any(|g| self.groups.contains(g))
    }
}

/// Installs what the hub needs on its API (definitions, bootstrap rights, identity) and starts all reconcilers.
/// They run until the runtime stops.
pub async fn run(client: Client, runtime: Runtime, options: Options) -> Result<Arc<Context>, Error> {
    registration::bootstrap::install_crds(&client, &runtime).await?;
    registration::bootstrap::ensure(&client).await?;
    identity::ensure(&client).await?;
    clustersets::ensure_defaults(&client).await?;
    let ctx = Context::start(client, runtime, options).await;
    registration::start(&ctx);
    approval::start(&ctx);
    availability::start(&ctx);
    clustersets::start(&ctx);
    placement::start(&ctx);
    replicaset::start(&ctx);
    cleanup::start(&ctx);
    unacted::start(&ctx);
    tracing::info!("hub reconcilers started");
    Ok(ctx)
}

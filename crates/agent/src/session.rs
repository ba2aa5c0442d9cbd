//! What the agent does for the hub that it knows: from acceptance on, until the hub is another one.
//!
//! A session is a runtime of its own: caches of hub objects, streams and everything fed by them. When the hub's epoch
//! changes (a restore from a backup), resource versions seen before mean nothing; the session ends and the
//! next one lists everything anew. While the hub is only away, the session lives on. Before the first session, and
//! between two, works are held as they were kept on disk.

use std::time::Duration;

use api::cluster::{ManagedCluster, condition};
use api::conditions;
use kube::Api;

use crate::backoff::BackOff;
use crate::{Context, HubIdentity, notices, registration, report, work};

/// Runs one session after another.
pub(crate) async fn run(context: Context) {
    let mut identities = context.hub.identity();
    loop {
        let held = work::hold(&context);
        let identity = match identities.wait_for(|identity| *identity != HubIdentity::Unknown).await {
            Ok(identity) => identity.clone(),
            Err(_) => return,
        };
        accepted(&context).await;
        tracing::info!(cluster = %context.cluster_name, ?identity, "session begins");
        let session = Context { runtime: context.runtime.child(), ..context.clone() };
        registration::start_told(&session);
        work::start(&session, &identity, held.clone());
        session.runtime.spawn("reports", report::run(session.clone()));
        session.runtime.spawn("notices", notices::run(session.clone()));
        let is_other = |now: &HubIdentity| key(now) != key(&identity);
        if identities.wait_for(is_other).await.is_err() {
            return;
        }
        tracing::warn!("the hub is another one or was restored: everything is listed anew");
        session.runtime.stop().await;
        held.stop().await;
    }
}

/// What makes two hubs the same to a session.
fn key(identity: &HubIdentity) -> (String, u64) {
    match identity {
        HubIdentity::Unknown => (String::new(), 0),
        HubIdentity::Plain { server } => (server.clone(), 0),
        HubIdentity::Known(info) => (info.uid.clone(), info.epoch),
    }
}

/// Waits until the hub has accepted this cluster and made its namespace and roles.
async fn accepted(context: &Context) {
    let clusters: Api<ManagedCluster> = Api::all(context.hub.client.clone());
    let mut back_off = BackOff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut said = false;
    loop {
        match clusters.get(&context.cluster_name).await {
            Ok(cluster) if conditions::is_true(cluster.conditions(), condition::HUB_ACCEPTED) => return,
            Ok(_) if !said => {
                said = true;
                tracing::info!(cluster = %context.cluster_name, "waiting for the hub to accept this cluster");
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "our ManagedCluster is not readable yet"),
        }
        tokio::time::sleep(back_off.next_delay()).await;
    }
}

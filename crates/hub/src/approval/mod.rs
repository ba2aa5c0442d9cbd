//! Approves the certificate requests of agents: renewals, and first requests of those who may bring a cluster in.
//!
//! A request is looked at strictly first: one cluster, one agent, a client certificate and nothing else. A renewal
//! comes from the identity it is for, which must hold the right `renew` on `managedclusters/clientcertificates`.
//! A first request is approved for users of the allow-list ([`crate::AutoAccept`]); it also accepts the cluster, once
//! (annotation `automatically-accepted-on`). Everything else waits for an administrator. Invariant: a name belongs to
//! the cluster whose UID was recorded under it; another claimant is never approved, and shown on the ManagedCluster.
//!
//! Watched: CertificateSigningRequests labelled with a cluster's name, and ManagedClusters (their requests again).

mod act;
mod decide;
mod observe;
mod report;

pub use decide::{claimed_uid, recorded_uid, refuse_request};

use std::sync::Arc;

use controller::{Controller, Key, Next};

use crate::Context;
use crate::error::{Error, settle};

const WORKERS: usize = 4;

pub fn start(ctx: &Arc<Context>) {
    let requests = ctx.caches.requests.clone();
    let controller = Controller::<Key>::new("approval", &ctx.runtime)
        .watches(&ctx.caches.requests, |change| vec![change.key.clone()])
        .watches(&ctx.caches.clusters, move |change| {
            let is_news = match (&change.old, &change.new) {
                (Some(old), Some(new)) => {
                    old.spec.hub_accepts_client != new.spec.hub_accepts_client || old.metadata.annotations != new.metadata.annotations
                }
                (None, _) => true,
                (Some(_), None) => false,
            };
            if is_news { observe::open_requests(&requests, &change.key.name) } else { Vec::new() }
        });
    let ctx = ctx.clone();
    controller.run(WORKERS, move |key| {
        let ctx = ctx.clone();
        async move { settle(reconcile(&ctx, &key).await) }
    });
}

async fn reconcile(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let Some(seen) = observe::observe(ctx, key).await? else { return Ok(Next::OnChange) };
    let plan = decide::decide(&seen, ctx.now());
    act::act(ctx, &seen, &plan).await?;
    report::report(ctx, &seen, &plan).await?;
    Ok(Next::OnChange)
}

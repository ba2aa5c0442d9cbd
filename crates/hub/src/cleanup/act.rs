//! Deletes what is next, and at the end the rights, the lease and the finalizers.

use api::addon::ManagedClusterAddOn;
use api::cluster::{LEASE_NAME, ManagedCluster, finalizer};
use api::conditions::{self, Said};
use api::work::ManifestWork;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;

use super::decide::Plan;
use super::observe::Observed;
use crate::Context;
use crate::error::{Error, gone_is_fine};
use crate::registration;
use crate::write;

pub async fn act(ctx: &Context, seen: &Observed, plan: &Plan) -> Result<(), Error> {
    let cluster = &*seen.cluster;
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    match plan {
        Plan::Nothing => Ok(()),
        Plan::AddFinalizer => {
            let Some(finalizers) = write::with_finalizer(cluster, finalizer::RESOURCE_CLEANUP) else { return Ok(()) };
            write::merge::<ManagedCluster>(&ctx.all(), cluster, json!({"metadata": {"finalizers": finalizers}})).await.map(|_| ())
        }
        Plan::Delete { addons, works, said } => {
            for addon in addons {
                write::delete(&ctx.namespaced::<ManagedClusterAddOn>(name), addon).await?;
            }
            for work in works {
                write::delete(&ctx.namespaced::<ManifestWork>(name), work).await?;
            }
            say(ctx, cluster, said).await.map(|_| ())
        }
        Plan::Finish { said } => {
            let cluster = say(ctx, cluster, said).await?;
            registration::remove_rights(ctx, name).await?;
            write::delete(&ctx.namespaced::<Lease>(name), LEASE_NAME).await?;
            let ours = [finalizer::RESOURCE_CLEANUP, finalizer::API_RESOURCE_CLEANUP];
            let kept: Vec<&String> = cluster.metadata.finalizers.iter().flatten().filter(|f| !ours.contains(&f.as_str())).collect();
            tracing::info!(cluster = name, "cluster is gone: nothing of it is left but its namespace");
            gone_is_fine(write::merge::<ManagedCluster>(&ctx.all(), &cluster, json!({"metadata": {"finalizers": kept}})).await)
        }
    }
}

async fn say(ctx: &Context, cluster: &ManagedCluster, said: &Said) -> Result<ManagedCluster, Error> {
    let mut all = cluster.conditions().to_vec();
    if conditions::set(&mut all, said, ctx.now()) {
        return write::merge_status(&ctx.all(), cluster, json!({"conditions": all})).await;
    }
    Ok(cluster.clone())
}

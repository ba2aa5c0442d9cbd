//! Shows a second claimant on the ManagedCluster, and logs what was decided.

use api::cluster::ManagedCluster;
use api::conditions;
use serde_json::json;

use super::decide::{Plan, Verdict};
use super::observe::Observed;
use crate::Context;
use crate::error::Error;
use crate::events::{self, Told};
use crate::write;

pub async fn report(ctx: &Context, seen: &Observed, plan: &Plan) -> Result<(), Error> {
    let request = seen.request.metadata.name.as_deref().unwrap_or_default();
    match &plan.verdict {
        Verdict::Approve { why } => tracing::info!(request, cluster = %seen.cluster_name, why, "certificate request approved"),
        Verdict::Leave { why } => {
            tracing::info!(request, cluster = %seen.cluster_name, why, "certificate request left to an administrator")
        }
    }
    // What act may have changed is read again: a condition on top of old facts would be refused.
    let Some(said) = &plan.identity else { return Ok(()) };
    let clusters = ctx.all::<ManagedCluster>();
    let Ok(Some(cluster)) = clusters.get_opt(&seen.cluster_name).await else { return Ok(()) };
    let mut all = cluster.conditions().to_vec();
    if !conditions::set(&mut all, said, ctx.now()) {
        return Ok(());
    }
    write::merge_status(&clusters, &cluster, json!({"conditions": all})).await?;
    if said.status == conditions::FALSE {
        let told = Told { type_: events::WARNING, reason: said.reason, action: "LeaveRequest", note: said.message.clone() };
        events::tell(ctx, &cluster, told).await;
    }
    Ok(())
}

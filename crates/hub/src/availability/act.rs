//! Writes conditions to the status and taints to the spec; two writes, each on the version the last one left.

use api::cluster::ManagedCluster;
use api::conditions;
use jiff::Timestamp;
use serde_json::json;

use super::decide::Plan;
use super::observe::Observed;
use crate::Context;
use crate::error::Error;
use crate::write;

pub async fn act(ctx: &Context, seen: &Observed, plan: &Plan, now: Timestamp) -> Result<(), Error> {
    let clusters = ctx.all::<ManagedCluster>();
    let mut cluster = (*seen.cluster).clone();
    let mut all = cluster.conditions().to_vec();
    let mut is_changed = false;
    for said in &plan.conditions {
        is_changed |= conditions::set(&mut all, said, now);
    }
    let name = cluster.metadata.name.clone().unwrap_or_default();
    if is_changed {
        cluster = write::merge_status(&clusters, &cluster, json!({"conditions": all})).await?;
        for said in &plan.conditions {
            tracing::info!(cluster = %name, condition = said.type_, status = said.status, "availability decided");
        }
    }
    if let Some(taints) = &plan.taints {
        write::merge(&clusters, &cluster, json!({"spec": {"taints": taints}})).await?;
        let keys: Vec<&str> = taints.iter().map(|t| t.key.as_str()).collect();
        tracing::info!(cluster = %name, ?keys, "taints set");
    }
    Ok(())
}

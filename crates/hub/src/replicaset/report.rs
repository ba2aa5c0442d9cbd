//! Tells the set how its works are.

use api::conditions;
use api::work::ManifestWorkReplicaSet;
use serde_json::json;

use super::decide::Plan;
use super::observe::Observed;
use crate::Context;
use crate::error::{Error, gone_is_fine};
use crate::write;

pub async fn report(ctx: &Context, seen: &Observed, plan: &Plan) -> Result<(), Error> {
    // The write of a finalizer made what was seen old; the next reconcile reports.
    if plan.add_finalizer || plan.remove_finalizer {
        return Ok(());
    }
    let set = &*seen.set;
    let before = set.status.clone().unwrap_or_default();
    let mut all = before.conditions.clone();
    let mut is_news = before.summary != plan.summary || before.placement_summary != plan.placement_summary;
    for said in &plan.conditions {
        is_news |= conditions::set(&mut all, said, ctx.now());
    }
    if !is_news {
        return Ok(());
    }
    let (name, namespace) = (set.metadata.name.as_deref().unwrap_or_default(), set.metadata.namespace.as_deref().unwrap_or_default());
    let summary = whole(&plan.summary);
    let parts: Vec<_> = plan
        .placement_summary
        .iter()
        .map(|p| json!({"name": p.name, "availableDecisionGroups": p.available_decision_groups, "summary": whole(&p.summary)}))
        .collect();
    let status = json!({"conditions": all, "summary": summary, "placementSummary": parts});
    let sets = ctx.namespaced::<ManifestWorkReplicaSet>(namespace);
    gone_is_fine(write::merge_status(&sets, set, status).await)?;
    if !(plan.create.is_empty() && plan.update.is_empty() && plan.delete.is_empty()) {
        let (created, updated, deleted) = (plan.create.len(), plan.update.len(), plan.delete.len());
        tracing::info!(set = name, namespace, created, updated, deleted, "works written");
    }
    Ok(())
}

/// Says zeros too: a merge patch would leave old numbers standing.
fn whole(s: &api::work::ManifestWorkReplicaSetSummary) -> serde_json::Value {
    json!({
        "desiredTotal": s.desired_total, "total": s.total, "available": s.available, "progressing": s.progressing,
        "degraded": s.degraded, "applied": s.applied, "updated": s.updated,
    })
}

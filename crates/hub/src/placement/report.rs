//! Tells the outcome on the Placement.

use api::cluster::{DecisionGroupStatus, Placement, PlacementStatus};
use api::conditions;
use placement::{Decisions, Group, Placed};
use serde_json::{Map, json};

use super::observe::Observed;
use crate::Context;
use crate::error::Error;
use crate::events::{self, Told};
use crate::write;

pub async fn report(ctx: &Context, seen: &Observed, decided: &Decisions) -> Result<(), Error> {
    let placement: &Placement = &seen.snapshot.placement;
    let before: PlacementStatus = placement.status.clone().unwrap_or_default();
    let mut status = Map::new();
    let mut all = before.conditions.clone();
    let mut is_news = false;
    for said in &decided.conditions {
        is_news |= conditions::set(&mut all, said, ctx.now());
    }
    if is_news {
        status.insert("conditions".into(), json!(all));
    }
    if let (Placed::Anew(groups), Some(count)) = (&decided.placed, decided.selected_count()) {
        let told: Vec<DecisionGroupStatus> = groups.iter().map(group_status).collect();
        if before.decision_groups != told || before.number_of_selected_clusters != to_i32(count) {
            status.insert("decisionGroups".into(), json!(told));
            status.insert("numberOfSelectedClusters".into(), json!(to_i32(count)));
        }
    }
    if status.is_empty() {
        return Ok(());
    }
    let namespace = placement.metadata.namespace.as_deref().unwrap_or_default();
    write::merge_status(&ctx.namespaced(namespace), placement, status.into()).await?;
    let name = placement.metadata.name.as_deref().unwrap_or_default();
    let reason = decided.conditions.iter().find(|c| c.type_ == api::cluster::placement_condition::SATISFIED).map(|c| c.reason);
    tracing::info!(
        placement = name,
        namespace,
        selected = decided.selected_count(),
        reason,
        left_out = decided.left_out.len(),
        "placement decided"
    );
    for warning in &decided.warnings {
        let told = Told { type_: events::WARNING, reason: "AddOnPlacementScoreExpired", action: "Schedule", note: warning.clone() };
        events::tell(ctx, placement, told).await;
    }
    Ok(())
}

fn group_status(group: &Group) -> DecisionGroupStatus {
    DecisionGroupStatus {
        decision_group_index: to_i32(group.index),
        decision_group_name: group.name.clone(),
        decisions: group.objects.iter().map(|o| o.name.clone()).collect(),
        clusters_count: to_i32(group.clusters_count()),
    }
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

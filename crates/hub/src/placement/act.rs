//! Makes the decision objects what the plan says: objects that are wrong are written, surplus ones deleted.

use std::sync::Arc;

use api::cluster::{ClusterDecision, Placement, PlacementDecision, PlacementDecisionFields};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use placement::{DecisionObject, Decisions, Placed};
use serde_json::json;

use super::observe::Observed;
use crate::Context;
use crate::context::MANAGER;
use crate::error::{Doing, Error};
use crate::write;

pub async fn act(ctx: &Context, seen: &Observed, decided: &Decisions) -> Result<(), Error> {
    let Placed::Anew(groups) = &decided.placed else { return Ok(()) };
    let placement = &*seen.snapshot.placement;
    let objects = ctx.namespaced::<PlacementDecision>(&placement.namespace().unwrap_or_default());
    let wanted: Vec<&DecisionObject> = groups.iter().flat_map(|g| &g.objects).collect();
    for object in &wanted {
        let found = seen.decisions.iter().find(|d| d.metadata.name.as_ref() == Some(&object.name));
        make(&objects, placement, object, found).await?;
    }
    for surplus in seen.decisions.iter().filter(|d| wanted.iter().all(|w| d.metadata.name.as_ref() != Some(&w.name))) {
        write::delete(&objects, &surplus.name_any()).await?;
    }
    Ok(())
}

async fn make(
    objects: &Api<PlacementDecision>,
    placement: &Placement,
    object: &DecisionObject,
    found: Option<&Arc<PlacementDecision>>,
) -> Result<(), Error> {
    let name = &object.name;
    let current = match found {
        None => {
            let mut new = PlacementDecision::new(name, PlacementDecisionFields {});
            new.metadata.labels = Some(object.labels.clone());
            new.metadata.owner_references = placement.controller_owner_ref(&()).map(|owner| vec![owner]);
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            objects.create(&params, &new).await.doing(|| format!("create PlacementDecision {name}"))?
        }
        Some(found) if !has_labels(found, object) => {
            write::merge(objects, &**found, json!({"metadata": {"labels": object.labels}})).await?
        }
        Some(found) => (**found).clone(),
    };
    let told: Option<&[ClusterDecision]> = current.status.as_ref().map(|s| s.decisions.as_slice());
    if told == Some(&object.decisions) {
        return Ok(());
    }
    // The whole list is the plan's, so it need not be made on top of the version seen.
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"status": {"decisions": object.decisions}}));
    objects.patch_status(name, &params, &patch).await.doing(|| format!("patch the status of PlacementDecision {name}"))?;
    Ok(())
}

fn has_labels(found: &PlacementDecision, object: &DecisionObject) -> bool {
    object.labels.iter().all(|(key, value)| found.labels().get(key) == Some(value))
}

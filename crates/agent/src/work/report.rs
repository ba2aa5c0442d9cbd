//! What the hub and the AppliedManifestWork are told; nothing is written that says the same.

use ::work::{Apply, ReleasePlan};
use api::conditions::{self, Said, TRUE};
use api::work::{AppliedManifestWorkStatus, ManifestWork, ManifestWorkStatus, condition, reason};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::act::{self, Done};
use super::observe::Seen;
use super::{Error, Works};

pub async fn report(
    works: &Works,
    work: &ManifestWork,
    seen: &Seen,
    applies: &[Apply],
    prune: &ReleasePlan,
    done: &Done,
    orders: Option<Said>,
) -> Result<(), Error> {
    let observed = seen.observed(works, work);
    // First here: what is on the cluster must be known here even if the hub is gone.
    if let Some(applied) = &seen.applied {
        let resources = ::work::applied_resources(&observed, applies, &done.outcomes, prune);
        let before = applied.status.clone().unwrap_or_default();
        if before.applied_resources != resources {
            let status = AppliedManifestWorkStatus { applied_resources: resources, ..before };
            act::set_applied_status(works, applied, json!({"appliedResources": status.applied_resources})).await?;
        }
    }
    if !works.source.is_hub() {
        return Ok(());
    }
    let mut status = ::work::status(&observed, applies, &done.outcomes);
    match orders {
        Some(said) => drop(conditions::set(&mut status.conditions, &said.at_generation(work.metadata.generation), works.clock.now())),
        None => drop(conditions::remove(&mut status.conditions, condition::ORDERS_TAKEN)),
    }
    set_status(works, work, &status).await
}

/// Says that the work is being deleted, and what is left.
pub async fn deleting(works: &Works, work: &ManifestWork, release: &ReleasePlan) -> Result<(), Error> {
    let mut status = work.status.clone().unwrap_or_default();
    let message = format!("{} resources remain", release.remaining.len());
    let said = Said::new(condition::DELETING, TRUE, reason::WORK_DELETING, message).at_generation(work.metadata.generation);
    conditions::set(&mut status.conditions, &said, works.clock.now());
    set_status(works, work, &status).await
}

async fn set_status(works: &Works, work: &ManifestWork, status: &ManifestWorkStatus) -> Result<(), Error> {
    if work.status.as_ref() == Some(status) {
        return Ok(());
    }
    let api: Api<ManifestWork> = Api::namespaced(works.hub.clone(), &works.cluster_name);
    let patch = json!({"metadata": {"uid": work.uid()}, "status": status});
    match api.patch_status(&work.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Error::Hub { doing: "write the status", work: work.name_any(), source }),
    }
}

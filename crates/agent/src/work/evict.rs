//! AppliedManifestWorks whose work the hub no longer has. Until the hub's works are known, none is missing.

use std::collections::BTreeSet;

use ::work::{Eviction, Live, ObjectId};
use api::work::{AppliedManifestWork, ManifestWork};
use controller::{Cache, Controller, Key, Next, Runtime};
use kube::ResourceExt;
use serde_json::json;

use super::{Error, Works, act, observe};

/// Starts looking for them; `known` are all works that the hub has.
pub(super) fn start(runtime: &Runtime, works: &Works, known: &Cache<ManifestWork>) {
    let hub_hash = works.settings.hub_hash.clone();
    let controller = Controller::<String>::new("applied-work", runtime)
        .watches(&works.applied, |change| vec![change.key.name.clone()])
        .watches(known, move |change| vec![::work::applied_name(&hub_hash, &change.key.name)]);
    let works = works.clone();
    controller.run(1, move |name| {
        let works = works.clone();
        async move { reconcile(&works, &name).await }
    });
}

async fn reconcile(works: &Works, name: &str) -> Result<Next, Error> {
    let Some(applied) = works.applied.get(&Key::cluster_scoped(name)) else { return Ok(Next::OnChange) };
    let is_ours = applied.spec.agent_id == works.settings.agent_id;
    let is_this_hubs = applied.spec.hub_hash == works.settings.hub_hash;
    if !is_ours && !is_this_hubs {
        return Ok(Next::OnChange);
    }
    // A work of another hub that we had is missing too: that hub is not coming back to us.
    let exists = is_this_hubs && works.source.get(&works.cluster_name, &applied.spec.manifest_work_name).is_some();
    match ::work::evict(&applied, Some(exists), works.clock.now()) {
        Eviction::Leave => Ok(Next::OnChange),
        Eviction::Begin => {
            tracing::warn!(work = %applied.spec.manifest_work_name, "the hub no longer has this work: what it applied goes in an hour");
            let now = works.clock.now();
            act::set_applied_status(works, &applied, json!({"evictionStartTime": api::Time(now)})).await?;
            Ok(Next::OnChange)
        }
        Eviction::Wait(delay) => Ok(Next::After(delay)),
        Eviction::Release => release(works, &applied).await,
    }
}

async fn release(works: &Works, applied: &AppliedManifestWork) -> Result<Next, Error> {
    let ids: BTreeSet<ObjectId> =
        applied.status.iter().flat_map(|s| &s.applied_resources).map(ObjectId::of_meta).filter(|id| !id.resource.is_empty()).collect();
    let live = observe::read(works, ids).await;
    let work = works.source.get(&works.cluster_name, &applied.spec.manifest_work_name);
    let spec = work.as_ref().map(|work| &work.spec);
    let plan = ::work::release(applied, spec, &[], &|id| live.get(id).cloned().unwrap_or(Live::Missing));
    act::release(works, &plan).await?;
    if plan.is_done() {
        tracing::info!(applied = %applied.name_any(), "everything released");
        act::drop_applied(works, applied).await?;
        return Ok(Next::OnChange);
    }
    Ok(Next::After(std::time::Duration::from_secs(5)))
}

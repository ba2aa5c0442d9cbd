//! What a new fleet has to run: its example's repositories, and the objects that bring them to every cluster that joins.

use anyhow::Context;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use sim::Example;

use crate::layout::{Fleet, Layout};

/// Makes the bare repositories with their commits, unless they are there.
pub fn make_repositories(layout: &Layout, fleet: &Fleet) -> anyhow::Result<()> {
    Ok(Example::named(&fleet.example)?.make_repositories(&layout.repos())?)
}

/// Applies the objects that bring the repositories to every cluster.
pub async fn apply(client: &kube::Client, fleet: &Fleet) -> anyhow::Result<()> {
    for object in Example::named(&fleet.example)?.hub_objects(&fleet.git_url())? {
        let object: DynamicObject = serde_json::from_value(object)?;
        let types = object.types.clone().context("an object without apiVersion and kind")?;
        let (group, version) = apimachinery::gvk::split_api_version(&types.api_version);
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let name = object.metadata.name.clone().unwrap_or_default();
        api.patch(&name, &PatchParams::apply("muster").force(), &Patch::Apply(&object))
            .await
            .with_context(|| format!("failed to apply {} {name}", types.kind))?;
    }
    Ok(())
}

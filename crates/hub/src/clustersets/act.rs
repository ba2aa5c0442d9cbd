//! Restores built-in sets and writes conditions.

use api::cluster::{DEFAULT_SET, GLOBAL_SET, ManagedClusterSet, ManagedClusterSetBinding, ManagedClusterSetSpec};
use api::conditions::{self, Said};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use super::decide::{SetPlan, builtin_selector};
use super::observe::Observed;
use crate::Context;
use crate::error::{Doing, Error};
use crate::write;

/// Creates the built-in sets that are not there.
pub async fn ensure_defaults(client: &Client) -> Result<(), Error> {
    let sets: Api<ManagedClusterSet> = Api::all(client.clone());
    for name in [DEFAULT_SET, GLOBAL_SET] {
        create(&sets, name).await?;
    }
    Ok(())
}

async fn create(sets: &Api<ManagedClusterSet>, name: &str) -> Result<(), Error> {
    let spec = ManagedClusterSetSpec { cluster_selector: builtin_selector(name), ..Default::default() };
    let set = ManagedClusterSet::new(name, spec);
    match sets.create(&PostParams::default(), &set).await.doing(|| format!("create ManagedClusterSet {name}")) {
        Err(error) if error.is_conflict() => Ok(()),
        other => other.map(|_| ()),
    }
}

pub async fn act_set(ctx: &Context, name: &str, seen: &Observed, plan: SetPlan) -> Result<(), Error> {
    let sets = ctx.all::<ManagedClusterSet>();
    match (plan, seen.set.as_deref()) {
        (SetPlan::Nothing, _) | (SetPlan::Say(_), None) => Ok(()),
        (SetPlan::Restore(_), None) => create(&sets, name).await,
        (SetPlan::Restore(selector), Some(set)) => {
            tracing::info!(set = name, "built-in set restored");
            write::merge(&sets, set, json!({"spec": {"clusterSelector": restoring(&selector)?}})).await.map(|_| ())
        }
        (SetPlan::Say(said), Some(set)) => {
            let mut all = set.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
            if conditions::set(&mut all, &said, ctx.now()) {
                write::merge_status(&sets, set, json!({"conditions": all})).await?;
            }
            Ok(())
        }
    }
}

/// Returns the selector as a merge patch that also takes away what it does not have.
fn restoring(selector: &api::cluster::ManagedClusterSelector) -> Result<serde_json::Value, Error> {
    let mut patch = serde_json::to_value(selector).map_err(|e| Error::Several(format!("a selector is not serializable: {e}")))?;
    patch["labelSelector"] = match &selector.label_selector {
        Some(_) => json!({"matchLabels": null, "matchExpressions": null}),
        None => json!(null),
    };
    Ok(patch)
}

pub async fn say_bound(ctx: &Context, binding: &ManagedClusterSetBinding, said: &Said) -> Result<(), Error> {
    let mut all = binding.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
    if conditions::set(&mut all, said, ctx.now()) {
        let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
        write::merge_status(&ctx.namespaced(namespace), binding, json!({"conditions": all})).await?;
    }
    Ok(())
}

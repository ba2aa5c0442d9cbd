//! Writes what the plan says: first what rights need, then the rights, last the condition that says so.

use api::cluster::{LEASE_NAME, ManagedCluster, finalizer};
use api::conditions;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use serde_json::json;

use super::decide::Plan;
use super::observe::Observed;
use super::rights;
use crate::Context;
use crate::error::{Doing, Error};
use crate::write;

pub async fn act(ctx: &Context, seen: &Observed, plan: &Plan) -> Result<(), Error> {
    let name = seen.cluster.metadata.name.as_deref().unwrap_or_default();
    let mut cluster = (*seen.cluster).clone();
    if plan.add_finalizer
        && let Some(finalizers) = write::with_finalizer(&cluster, finalizer::API_RESOURCE_CLEANUP)
    {
        cluster = write::merge(&ctx.all(), &cluster, json!({"metadata": {"finalizers": finalizers}})).await?;
    }
    if plan.apply_namespace {
        write::apply(&ctx.all(), &rights::namespace(name)).await?;
    }
    if let Some(is_accepted) = plan.apply_cluster_role {
        write::apply(&ctx.all(), &rights::cluster_role(name, is_accepted)).await?;
    }
    if plan.apply_cluster_role_binding {
        write::apply(&ctx.all(), &rights::cluster_role_binding(name)).await?;
    }
    if plan.apply_registration_binding {
        write::apply(&ctx.namespaced(name), &rights::registration_binding(name)).await?;
    }
    if plan.apply_work_binding {
        write::apply(&ctx.namespaced(name), &rights::work_binding(name)).await?;
    }
    if plan.remove_bindings {
        remove_bindings(ctx, name).await?;
    }
    if plan.create_lease {
        create_lease(ctx, name, &cluster).await?;
    }
    if let Some(said) = &plan.condition {
        let mut all = cluster.conditions().to_vec();
        if conditions::set(&mut all, said, ctx.now()) {
            write::merge_status::<ManagedCluster>(&ctx.all(), &cluster, json!({"conditions": all})).await?;
            tracing::info!(cluster = name, status = said.status, reason = said.reason, "acceptance decided");
        }
    }
    Ok(())
}

/// Takes a cluster's rights in its namespace away; the one to works also loses what holds it.
pub async fn remove_bindings(ctx: &Context, cluster: &str) -> Result<(), Error> {
    use k8s_openapi::api::rbac::v1::RoleBinding;
    let bindings = ctx.namespaced::<RoleBinding>(cluster);
    write::delete(&bindings, &rights::registration_binding_name(cluster)).await?;
    let work = rights::work_binding_name(cluster);
    if let Some(binding) = ctx.caches.role_bindings.get(&controller::Key::new(cluster, &work))
        && let Some(finalizers) = write::without_finalizer(&*binding, api::work::finalizer::MANIFEST_WORK)
    {
        crate::error::gone_is_fine(write::merge(&bindings, &*binding, json!({"metadata": {"finalizers": finalizers}})).await)?;
    }
    write::delete(&bindings, &work).await
}

async fn create_lease(ctx: &Context, name: &str, cluster: &ManagedCluster) -> Result<(), Error> {
    let labels = [(api::CLUSTER_NAME_LABEL.to_owned(), name.to_owned())].into();
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(LEASE_NAME.to_owned()),
            namespace: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(LEASE_NAME.to_owned()),
            lease_duration_seconds: Some(cluster.spec.lease_duration_seconds()),
            renew_time: Some(MicroTime(ctx.now())),
            ..LeaseSpec::default()
        }),
    };
    match ctx.namespaced::<Lease>(name).create(&PostParams::default(), &lease).await.doing(|| format!("create Lease {name}/{LEASE_NAME}")) {
        // The cache has yet to see it.
        Err(error) if error.is_conflict() => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Takes all rights of a cluster away.
pub async fn remove_rights(ctx: &Context, cluster: &str) -> Result<(), Error> {
    use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
    remove_bindings(ctx, cluster).await?;
    let name = rights::cluster_role_name(cluster);
    write::delete(&ctx.all::<ClusterRoleBinding>(), &name).await?;
    write::delete(&ctx.all::<ClusterRole>(), &name).await
}

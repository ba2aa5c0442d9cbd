//! What there is of a cluster and its rights.

use std::sync::Arc;

use api::cluster::{LEASE_NAME, ManagedCluster};
use controller::Key;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};

use super::rights;
use crate::Context;

#[derive(Default)]
pub struct Observed {
    pub cluster: Arc<ManagedCluster>,
    pub namespace: Option<Arc<Namespace>>,
    pub cluster_role: Option<Arc<ClusterRole>>,
    pub cluster_role_binding: Option<Arc<ClusterRoleBinding>>,
    pub registration_binding: Option<Arc<RoleBinding>>,
    pub work_binding: Option<Arc<RoleBinding>>,
    pub has_lease: bool,
}

pub fn observe(ctx: &Context, key: &Key) -> Option<Observed> {
    let caches = &ctx.caches;
    let cluster = caches.clusters.get(key)?;
    let name = &key.name;
    let of_cluster = Key::cluster_scoped(rights::cluster_role_name(name));
    Some(Observed {
        namespace: caches.namespaces.get(key),
        cluster_role: caches.cluster_roles.get(&of_cluster),
        cluster_role_binding: caches.cluster_role_bindings.get(&of_cluster),
        registration_binding: caches.role_bindings.get(&Key::new(name, rights::registration_binding_name(name))),
        work_binding: caches.role_bindings.get(&Key::new(name, rights::work_binding_name(name))),
        has_lease: caches.leases.get(&Key::new(name, LEASE_NAME)).is_some(),
        cluster,
    })
}

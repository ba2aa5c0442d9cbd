//! What to do about a cluster that is, is not, or is no longer accepted.

use api::cluster::{ManagedCluster, condition, finalizer, reason};
use api::conditions::{FALSE, Said, TRUE, is_true};

use super::observe::Observed;
use super::rights;

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub add_finalizer: bool,
    pub apply_namespace: bool,
    /// With the rights of an accepted cluster, or of one that is not.
    pub apply_cluster_role: Option<bool>,
    pub apply_cluster_role_binding: bool,
    pub apply_registration_binding: bool,
    pub apply_work_binding: bool,
    pub remove_bindings: bool,
    pub create_lease: bool,
    pub condition: Option<Said>,
}

pub fn decide(seen: &Observed) -> Plan {
    let cluster = &*seen.cluster;
    // 1. A cluster that is being deleted is cleanup's.
    if cluster.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let was_accepted = is_true(cluster.conditions(), condition::HUB_ACCEPTED);
    match (cluster.spec.hub_accepts_client, was_accepted) {
        // 2. Nothing is made for a cluster nobody accepted yet.
        (false, false) if seen.cluster_role.is_none() => Plan::default(),
        // 3. No longer accepted: it may see that and nothing else.
        (false, _) => denied(seen, cluster),
        // 4. Accepted: everything that is missing or not as it should be.
        (true, _) => accepted(seen, cluster),
    }
}

fn accepted(seen: &Observed, cluster: &ManagedCluster) -> Plan {
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let role = rights::cluster_role(name, true);
    let is_bound = |found: Option<&k8s_openapi::api::rbac::v1::RoleBinding>, wanted: &k8s_openapi::api::rbac::v1::RoleBinding| {
        found.is_some_and(|f| f.role_ref == wanted.role_ref && f.subjects == wanted.subjects)
    };
    let has_namespace = seen.namespace.is_some();
    Plan {
        add_finalizer: !has_finalizer(cluster),
        apply_namespace: !has_namespace,
        apply_cluster_role: seen.cluster_role.as_ref().is_none_or(|r| r.rules != role.rules).then_some(true),
        apply_cluster_role_binding: seen
            .cluster_role_binding
            .as_ref()
            .is_none_or(|b| b.subjects != rights::cluster_role_binding(name).subjects),
        apply_registration_binding: !is_bound(seen.registration_binding.as_deref(), &rights::registration_binding(name)),
        apply_work_binding: !is_bound(seen.work_binding.as_deref(), &rights::work_binding(name)),
        remove_bindings: false,
        create_lease: !seen.has_lease,
        condition: Some(Said::new(
            condition::HUB_ACCEPTED,
            TRUE,
            reason::HUB_CLUSTER_ADMIN_ACCEPTED,
            "the hub accepts this cluster (spec.hubAcceptsClient)",
        )),
    }
}

fn denied(seen: &Observed, cluster: &ManagedCluster) -> Plan {
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let role = rights::cluster_role(name, false);
    Plan {
        apply_cluster_role: seen.cluster_role.as_ref().is_none_or(|r| r.rules != role.rules).then_some(false),
        remove_bindings: seen.registration_binding.is_some() || seen.work_binding.is_some(),
        condition: Some(Said::new(
            condition::HUB_ACCEPTED,
            FALSE,
            reason::HUB_CLUSTER_ADMIN_DENIED,
            "the hub no longer accepts this cluster (spec.hubAcceptsClient)",
        )),
        ..Plan::default()
    }
}

fn has_finalizer(cluster: &ManagedCluster) -> bool {
    cluster.metadata.finalizers.iter().flatten().any(|f| f == finalizer::API_RESOURCE_CLEANUP)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn cluster(accepts: bool, accepted_condition: Option<&str>) -> Arc<ManagedCluster> {
        let mut cluster = ManagedCluster::new("a", api::cluster::ManagedClusterSpec { hub_accepts_client: accepts, ..Default::default() });
        if let Some(status) = accepted_condition {
            let said = Said::new(condition::HUB_ACCEPTED, if status == "True" { TRUE } else { FALSE }, "r", "");
            api::conditions::set(&mut cluster.status.get_or_insert_default().conditions, &said, jiff::Timestamp::UNIX_EPOCH);
        }
        Arc::new(cluster)
    }

    #[test]
    fn nothing_is_made_before_acceptance() {
        assert_eq!(decide(&Observed { cluster: cluster(false, None), ..Observed::default() }), Plan::default());
    }

    #[test]
    fn an_accepted_cluster_gets_everything_once() {
        let mut seen = Observed { cluster: cluster(true, None), ..Observed::default() };
        let plan = decide(&seen);
        assert!(
            plan.apply_namespace && plan.apply_registration_binding && plan.apply_work_binding && plan.create_lease && plan.add_finalizer
        );
        assert_eq!(plan.apply_cluster_role, Some(true));
        seen.namespace = Some(Arc::new(rights::namespace("a")));
        seen.cluster_role = Some(Arc::new(rights::cluster_role("a", true)));
        seen.cluster_role_binding = Some(Arc::new(rights::cluster_role_binding("a")));
        seen.registration_binding = Some(Arc::new(rights::registration_binding("a")));
        seen.work_binding = Some(Arc::new(rights::work_binding("a")));
        seen.has_lease = true;
        Arc::make_mut(&mut seen.cluster).metadata.finalizers = Some(vec![finalizer::API_RESOURCE_CLEANUP.into()]);
        let plan = decide(&seen);
        assert_eq!(Plan { condition: None, ..plan }, Plan::default());
    }

    #[test]
    fn a_cluster_that_is_denied_keeps_the_right_to_see_that() {
        let seen = Observed {
            cluster: cluster(false, Some("True")),
            cluster_role: Some(Arc::new(rights::cluster_role("a", true))),
            work_binding: Some(Arc::new(rights::work_binding("a"))),
            ..Observed::default()
        };
        let plan = decide(&seen);
        assert!(plan.remove_bindings && !plan.apply_namespace);
        assert_eq!(plan.apply_cluster_role, Some(false));
        assert_eq!(plan.condition.map(|c| c.reason), Some(reason::HUB_CLUSTER_ADMIN_DENIED));
    }
}

//! The RBAC objects of one cluster, named and filled as in Open Cluster Management
//! (`pkg/registration/hub/manifests`), plus the paths of the hub's own endpoints.

use std::collections::BTreeMap;

use api::cluster::{GROUP, REGISTER_GROUP, identity};
use api::hub::path;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

const RBAC: &str = "rbac.authorization.k8s.io";

/// Roles that every cluster's RoleBindings refer to.
pub const REGISTRATION_ROLE: &str = "open-cluster-management:managedcluster:registration";
pub const WORK_ROLE: &str = "open-cluster-management:managedcluster:work";

pub fn cluster_role_name(cluster: &str) -> String {
    format!("open-cluster-management:managedcluster:{cluster}")
}

pub fn registration_binding_name(cluster: &str) -> String {
    format!("open-cluster-management:managedcluster:{cluster}:registration")
}

pub fn work_binding_name(cluster: &str) -> String {
    format!("open-cluster-management:managedcluster:{cluster}:work")
}

fn meta(namespace: Option<&str>, name: String, cluster: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: namespace.map(str::to_owned),
        labels: Some(BTreeMap::from([(api::CLUSTER_NAME_LABEL.to_owned(), cluster.to_owned())])),
        ..ObjectMeta::default()
    }
}

pub fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<String>>();
    PolicyRule { api_groups: Some(owned(groups)), resources: Some(owned(resources)), verbs: owned(verbs), ..PolicyRule::default() }
}

pub fn paths(paths: &[String], verbs: &[&str]) -> PolicyRule {
    PolicyRule { non_resource_urls: Some(paths.to_vec()), verbs: verbs.iter().map(|v| (*v).to_owned()).collect(), ..PolicyRule::default() }
}

fn named(mut rule: PolicyRule, name: &str) -> PolicyRule {
    rule.resource_names = Some(vec![name.to_owned()]);
    rule
}

pub fn namespace(cluster: &str) -> Namespace {
    Namespace { metadata: meta(None, cluster.to_owned(), cluster), ..Namespace::default() }
}

/// Returns what a cluster's agents may do at large; one that is not accepted may see that, and no more.
pub fn cluster_role(cluster: &str, is_accepted: bool) -> ClusterRole {
    let rules = if is_accepted {
        vec![
            rule(&["certificates.k8s.io"], &["certificatesigningrequests"], &["create", "get", "list", "watch"]),
            named(rule(&[REGISTER_GROUP], &["managedclusters/clientcertificates"], &["renew"]), cluster),
            named(rule(&[GROUP], &["managedclusters"], &["get", "list", "update", "watch"]), cluster),
            named(rule(&[GROUP], &["managedclusters/status"], &["patch", "update"]), cluster),
            paths(&[path::HUB.to_owned(), path::GIT_RESOLVE.to_owned(), format!("{}/*", path::GIT_PACKS)], &["get"]),
            paths(&[format!("{}/{cluster}/*", path::CLUSTERS)], &["get", "post"]),
        ]
    } else {
        vec![named(rule(&[GROUP], &["managedclusters"], &["get", "list", "watch"]), cluster)]
    };
    ClusterRole { metadata: meta(None, cluster_role_name(cluster), cluster), rules: Some(rules), ..ClusterRole::default() }
}

pub fn group_subject(group: String) -> Subject {
    Subject { kind: "Group".to_owned(), api_group: Some(RBAC.to_owned()), name: group, namespace: None }
}

fn subjects(cluster: &str) -> Vec<Subject> {
    // The second is what agents of hubs before OCM's rename were signed for.
    vec![group_subject(identity::cluster_group(cluster)), group_subject(format!("open-cluster-management:{cluster}"))]
}

pub fn role_ref(name: &str) -> RoleRef {
    RoleRef { api_group: Some(RBAC.to_owned()), kind: "ClusterRole".to_owned(), name: name.to_owned() }
}

pub fn cluster_role_binding(cluster: &str) -> ClusterRoleBinding {
    let name = cluster_role_name(cluster);
    ClusterRoleBinding { role_ref: role_ref(&name), metadata: meta(None, name, cluster), subjects: Some(subjects(cluster)) }
}

pub fn registration_binding(cluster: &str) -> RoleBinding {
    binding(cluster, registration_binding_name(cluster), REGISTRATION_ROLE)
}

/// The finalizer keeps the agent's right to its works until they are gone.
pub fn work_binding(cluster: &str) -> RoleBinding {
    let mut binding = binding(cluster, work_binding_name(cluster), WORK_ROLE);
    binding.metadata.finalizers = Some(vec![api::work::finalizer::MANIFEST_WORK.to_owned()]);
    binding
}

fn binding(cluster: &str, name: String, role: &str) -> RoleBinding {
    RoleBinding { metadata: meta(Some(cluster), name, cluster), role_ref: role_ref(role), subjects: Some(subjects(cluster)) }
}

/// Returns the two roles shared by all clusters.
pub fn shared_roles() -> [ClusterRole; 2] {
    let role = |name: &str, rules: Vec<PolicyRule>| ClusterRole {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        rules: Some(rules),
        ..ClusterRole::default()
    };
    let registration = vec![
        rule(&["coordination.k8s.io"], &["leases"], &["get", "list", "watch", "update"]),
        rule(&[api::addon::GROUP], &["managedclusteraddons"], &["get", "list", "watch"]),
        rule(&[api::addon::GROUP], &["managedclusteraddons/status"], &["patch", "update"]),
        // Stock agents ask whether they may patch and update as well (`pkg/common/helpers/ssar.go`).
        rule(&["events.k8s.io"], &["events"], &["create", "patch", "update"]),
    ];
    let work = vec![
        rule(&["", "events.k8s.io"], &["events"], &["create", "patch", "update"]),
        rule(&[api::work::GROUP], &["manifestworks"], &["get", "list", "watch", "update", "patch"]),
        rule(&[api::work::GROUP], &["manifestworks/status"], &["patch", "update"]),
    ];
    [role(REGISTRATION_ROLE, registration), role(WORK_ROLE, work)]
}

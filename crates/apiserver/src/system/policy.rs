//! The roles that every cluster has, as tables.
//!
//! As kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy, without the roles of components we do not run.
//! `admin`, `edit` and `view` are aggregated, so that an operator's CRDs can join them by label.

use serde_json::{Value, json};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];

/// Group, resources.
type Grants = &'static [(&'static str, &'static [&'static str])];

const VIEWED: Grants = &[
    (
        "",
        &[
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "serviceaccounts",
            "services",
            "services/status",
            "bindings",
            "events",
            "limitranges",
            "namespaces/status",
            "pods/log",
            "pods/status",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
            "namespaces",
        ],
    ),
    ("discovery.k8s.io", &["endpointslices"]),
    ("coordination.k8s.io", &["leases"]),
    (
        "apps",
        &[
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
    ("batch", &["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    ("policy", &["poddisruptionbudgets", "poddisruptionbudgets/status"]),
    ("networking.k8s.io", &["ingresses", "ingresses/status", "networkpolicies"]),
];

/// Read by editors only, since they let their reader act as somebody else or look inside pods.
const READ_BY_EDITORS: Grants = &[("", &["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"])];

const EDITED: Grants = &[
    ("", &["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"]),
    (
        "",
        &[
            "configmaps",
            "endpoints",
            "events",
            "persistentvolumeclaims",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
        ],
    ),
    ("discovery.k8s.io", &["endpointslices"]),
    ("coordination.k8s.io", &["leases"]),
    (
        "apps",
        &[
            "daemonsets",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("policy", &["poddisruptionbudgets"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
];

/// A ClusterRole, and who has it everywhere: kind (`Group`, `User`) and name.
pub struct Role {
    pub name: &'static str,
    pub rules: Vec<Value>,
    pub subjects: &'static [&'static str],
    /// The aggregated role it is a part of.
    pub part_of: Option<&'static str>,
    /// Whether it is the sum of the roles labelled for it.
    pub is_aggregated: bool,
}

const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Returns the default ClusterRoles with their bindings.
pub fn cluster_roles() -> Vec<Role> {
    let plain = |name, rules, subjects| Role { name, rules, subjects, part_of: None, is_aggregated: false };
    let part = |name, rules, of| Role { name, rules, subjects: &[], part_of: Some(of), is_aggregated: false };
    let aggregated = |name, part_of| Role { name, rules: Vec::new(), subjects: &[], part_of, is_aggregated: true };
    vec![
        plain("cluster-admin", vec![rule(&["*"], &["*"], &["*"]), paths(&["*"], &["*"])], &["system:masters"]),
        plain(
            "system:discovery",
            vec![paths(
                &["get"],
                &["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"],
            )],
            &[AUTHENTICATED],
        ),
        plain(
            "system:public-info-viewer",
            vec![paths(&["get"], &["/healthz", "/livez", "/readyz", "/version", "/version/"])],
            &[AUTHENTICATED, UNAUTHENTICATED],
        ),
        plain(
            "system:basic-user",
            vec![
                rule(&["create"], &["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
                rule(&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]),
            ],
            &[AUTHENTICATED],
        ),
        plain(
            "system:monitoring",
            vec![paths(&["get"], &["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"])],
            &["system:monitoring"],
        ),
        plain(
            "system:service-account-issuer-discovery",
            vec![paths(&["get"], &["/.well-known/openid-configuration", "/openid/v1/jwks"])],
            &["system:serviceaccounts"],
        ),
        plain(
            "system:auth-delegator",
            vec![
                rule(&["create"], &["authentication.k8s.io"], &["tokenreviews"]),
                rule(&["create"], &["authorization.k8s.io"], &["subjectaccessreviews"]),
            ],
            &[],
        ),
        plain(
            "system:certificates.k8s.io:kube-apiserver-client-approver",
            vec![json!({
                "apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
                "resourceNames": ["kubernetes.io/kube-apiserver-client"], "verbs": ["approve"],
            })],
            &[],
        ),
        aggregated("admin", None),
        aggregated("edit", Some("admin")),
        aggregated("view", Some("edit")),
        part("system:aggregate-to-admin", administered(), "admin"),
        part("system:aggregate-to-edit", edited(), "edit"),
        part("system:aggregate-to-view", granted(VIEWED, READ), "view"),
    ]
}

fn administered() -> Vec<Value> {
    let all = [WRITE, READ].concat();
    vec![
        rule(&["create"], &["authorization.k8s.io"], &["localsubjectaccessreviews"]),
        rule(&all, &["rbac.authorization.k8s.io"], &["rolebindings", "roles"]),
    ]
}

fn edited() -> Vec<Value> {
    let mut rules = granted(READ_BY_EDITORS, READ);
    rules.push(rule(&["impersonate"], &[""], &["serviceaccounts"]));
    rules.push(rule(&["create"], &[""], &["pods/eviction", "serviceaccounts/token"]));
    rules.extend(granted(EDITED, WRITE));
    rules
}

fn granted(grants: Grants, verbs: &[&str]) -> Vec<Value> {
    grants.iter().map(|(group, resources)| rule(verbs, &[group], resources)).collect()
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn paths(verbs: &[&str], urls: &[&str]) -> Value {
    json!({"nonResourceURLs": urls, "verbs": verbs})
}

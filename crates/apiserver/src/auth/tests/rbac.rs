use serde_json::json;

use super::{rbac, user, yaml};
use crate::admission::{Ask, Attributes, Operation};
use crate::auth::rbac::{Rbac, Rule, forbidden, uncovered};
use crate::registry::{Origin, Resource};
use crate::request::RequestInfo;

const POLICY: &str = "
kind: ClusterRole
metadata: {name: reader}
rules:
- {apiGroups: [''], resources: [pods, pods/log, '*/scale'], verbs: [get, list]}
- {apiGroups: [apps], resources: ['*'], verbs: ['*']}
---
kind: ClusterRole
metadata: {name: agent}
rules:
- {apiGroups: [cluster.open-cluster-management.io], resources: [managedclusters], resourceNames: [c1], verbs: [get, list, update, watch]}
- {apiGroups: [register.open-cluster-management.io], resources: [managedclusters/clientcertificates], verbs: [renew]}
- {apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [kubernetes.io/kube-apiserver-client], verbs: [approve]}
---
kind: ClusterRole
metadata: {name: paths}
rules:
- {nonResourceURLs: [/healthz, /api/*], verbs: [get]}
---
kind: ClusterRole
metadata: {name: broken}
rules: {oops: 1}
---
kind: Role
metadata: {name: writer, namespace: dev}
rules:
- {apiGroups: [''], resources: [configmaps], verbs: [create, update]}
---
kind: ClusterRoleBinding
metadata: {name: readers}
roleRef: {kind: ClusterRole, name: reader}
subjects: [{kind: Group, name: readers}]
---
kind: ClusterRoleBinding
metadata: {name: agents}
roleRef: {kind: ClusterRole, name: agent}
subjects: [{kind: Group, name: 'ocm:c1'}, {kind: User, name: direct}]
---
kind: ClusterRoleBinding
metadata: {name: everyone}
roleRef: {kind: ClusterRole, name: paths}
subjects: [{kind: Group, name: 'system:authenticated'}]
---
kind: ClusterRoleBinding
metadata: {name: broken}
roleRef: {kind: ClusterRole, name: broken}
subjects: [{kind: Group, name: readers}]
---
kind: RoleBinding
metadata: {name: writers, namespace: dev}
roleRef: {kind: Role, name: writer}
subjects: [{kind: ServiceAccount, name: bot, namespace: ci}, {kind: ServiceAccount, name: local}]
---
kind: RoleBinding
metadata: {name: readers, namespace: dev}
roleRef: {kind: ClusterRole, name: reader}
subjects: [{kind: User, name: jane}]";

/// Reads `verb resource.group/sub namespace/name` or `verb /path`; `-` is empty.
fn ask(text: &str) -> Ask {
    let parts: Vec<&str> = text.split(' ').collect();
    if parts[1].starts_with('/') {
        return Ask { verb: parts[0].into(), path: parts[1].into(), ..Ask::default() };
    }
    let (resource, subresource) = parts[1].split_once('/').unwrap_or((parts[1], ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let (namespace, name) = parts.get(2).map_or(("", ""), |p| p.split_once('/').unwrap());
    Ask {
        verb: parts[0].into(),
        group: group.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        path: String::new(),
    }
}

#[test]
fn rules_allow_what_they_say_and_nothing_else() {
    let rbac = rbac(POLICY);
    let table = "
jane readers | get pods dev/x                 | yes
jane readers | get pods                       | yes
jane readers | watch pods                     | no
jane readers | get pods/log dev/x             | yes
jane readers | get pods/exec dev/x            | no
jane readers | get deployments.extensions/scale dev/x | no
jane readers | get replicationcontrollers/scale dev/x | yes
jane readers | delete deployments.apps dev/x  | yes
jane readers | delete deployments.apps/status dev/x | yes
jane         | get pods dev/x                 | yes
jane         | get pods prod/x                | no
jane         | list pods                      | no
root system:masters | anything at.all ns/x    | yes
root system:masters | get /metrics            | yes
a ocm:c1     | list managedclusters.cluster.open-cluster-management.io /c1 | yes
a ocm:c1     | list managedclusters.cluster.open-cluster-management.io     | no
a ocm:c1     | get managedclusters.cluster.open-cluster-management.io /c2  | no
a ocm:c1     | renew managedclusters.register.open-cluster-management.io/clientcertificates | yes
a ocm:c1     | renew managedclusters.register.open-cluster-management.io | no
direct       | approve signers.certificates.k8s.io /kubernetes.io/kube-apiserver-client | yes
direct       | approve signers.certificates.k8s.io /kubernetes.io/kubelet-serving | no
jane         | get /healthz                   | yes
jane         | get /healthz/x                 | no
jane         | get /api/v1                    | yes
jane         | post /api/v1                   | no
system:serviceaccount:ci:bot    | create configmaps dev/x | yes
system:serviceaccount:dev:local | create configmaps dev/x | yes
system:serviceaccount:dev:bot   | create configmaps dev/x | no
system:serviceaccount:ci:bot    | create configmaps ci/x  | no";
    for row in table.lines().filter(|l| !l.is_empty()) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let decision = rbac.decide(&user(cells[0]), &ask(cells[1]));
        assert_eq!(decision.is_allowed(), cells[2] == "yes", "{row}");
    }
}

#[test]
fn the_reason_names_binding_role_and_subject() {
    let rbac = rbac(POLICY);
    let reason = |who: &str, what: &str| rbac.decide(&user(who), &ask(what)).reason();
    assert_eq!(
        reason("x readers", "get pods"),
        r#"RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "readers""#
    );
    assert_eq!(
        reason("system:serviceaccount:ci:bot", "create configmaps dev/x"),
        r#"RBAC: allowed by RoleBinding "writers/dev" of Role "writer" to ServiceAccount "bot/ci""#
    );
    assert_eq!(reason("nobody", "get pods"), "");
}

#[test]
fn a_refusal_says_who_what_and_where() {
    let text = |what: &str| forbidden(&user("jane"), &ask(what)).message;
    assert_eq!(
        text("get deployments.apps/scale dev/web"),
        r#"deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" in the namespace "dev""#
    );
    assert_eq!(text("list nodes"), r#"nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope"#);
    assert_eq!(text("get /metrics"), r#"forbidden: User "jane" cannot get path "/metrics""#);
}

#[test]
fn changes_take_effect_one_by_one() {
    let rbac = rbac(POLICY);
    let may = |rbac: &Rbac, who: &str, what: &str| rbac.decide(&user(who), &ask(what)).is_allowed();
    let before = rbac.snapshot();
    // A binding moves from one subject to another.
    let binding = yaml("{roleRef: {kind: ClusterRole, name: reader}, subjects: [{kind: User, name: tom}]}");
    rbac.changed("rolebindings", "dev", "readers", Some(&binding));
    assert!(!may(&rbac, "jane", "get pods dev/x"));
    assert!(may(&rbac, "tom", "get pods dev/x"));
    // A role that is gone grants nothing; one that comes back does.
    rbac.changed("clusterroles", "", "reader", None);
    assert!(!may(&rbac, "tom", "get pods dev/x"));
    rbac.changed("clusterroles", "", "reader", Some(&yaml("{rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}")));
    assert!(may(&rbac, "tom", "get pods dev/x"));
    // A binding that is gone.
    rbac.changed("rolebindings", "dev", "readers", None);
    assert!(!may(&rbac, "tom", "get pods dev/x"));
    // The old snapshot is as it was.
    assert!(before.decide(&user("jane"), &ask("get pods dev/x")).is_allowed());
}

#[test]
fn what_is_held_covers_what_is_granted() {
    let rules = |text: &str| -> Vec<Rule> { serde_json::from_value(yaml(text)).unwrap() };
    let missing = |held: &str, wanted: &str| -> Vec<String> {
        let (held, wanted) = (rules(held), rules(wanted));
        uncovered(&held.iter().collect::<Vec<_>>(), &wanted).iter().map(Rule::to_string).collect()
    };
    let all = "[{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]";
    let pods = "[{apiGroups: [''], resources: [pods, pods/log], verbs: [get, list]}]";
    assert!(missing(all, pods).is_empty());
    assert_eq!(missing(pods, all), [r#"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#]);
    assert_eq!(missing("[{apiGroups: [''], resources: [pods], verbs: ['*']}]", pods).len(), 2);
    let named = "[{apiGroups: [''], resources: [pods], resourceNames: [a], verbs: [get]}]";
    assert!(missing(pods, named).is_empty());
    assert_eq!(missing(named, pods).len(), 4);
    // Held in two rules, granted in one.
    let split = "[{apiGroups: [''], resources: ['*/log'], verbs: [get, list]}, {apiGroups: [''], resources: [pods], verbs: ['*']}]";
    assert!(missing(split, pods).is_empty());
    assert!(missing("[{nonResourceURLs: ['/api/*'], verbs: [get]}]", "[{nonResourceURLs: [/api/v1], verbs: [get]}]").is_empty());
}

fn resource(name: &str, kind: &str) -> Resource {
    Resource {
        gvr: apimachinery::gvk::GroupVersionResource {
            group: "rbac.authorization.k8s.io".into(),
            version: "v1".into(),
            resource: name.into(),
        },
        kind: kind.into(),
        singular: kind.to_lowercase(),
        short_names: vec![],
        categories: vec![],
        namespaced: !name.starts_with("cluster"),
        verbs: vec![],
        schema: Default::default(),
        status_subresource: false,
        scale: None,
        subresources: vec![],
        columns: vec![],
        storage_version: "v1".into(),
        storage_group: String::new(),
        origin: Origin::Builtin,
        selectable_fields: vec![],
        deprecation: None,
    }
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    use crate::admission::Admission;
    let policy = format!(
        "{POLICY}
---
kind: ClusterRole
metadata: {{name: granter}}
rules:
- {{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], resourceNames: [agent], verbs: [bind]}}
- {{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [escalate]}}
---
kind: ClusterRoleBinding
metadata: {{name: granters}}
roleRef: {{kind: ClusterRole, name: granter}}
subjects: [{{kind: User, name: granter}}]"
    );
    let rbac = rbac(&policy);
    let plugin = crate::auth::escalation::Escalation { rbac: rbac.clone() };
    let request = RequestInfo::default();
    let check = async |who: &str, resource_name: &str, kind: &str, old: Option<&str>, new: &str| {
        let (resource, user) = (resource(resource_name, kind), user(who));
        let old = old.map(yaml);
        let attributes = Attributes {
            request: &request,
            resource: &resource,
            user: &user,
            operation: if old.is_some() { Operation::Update } else { Operation::Create },
            name: "new",
            namespace: if resource.namespaced { "dev" } else { "" },
            subresource: "",
            old: old.as_ref(),
            dry_run: false,
            warnings: &parking_lot::Mutex::default(),
        };
        plugin.validate(&attributes, Some(&yaml(new)), &*rbac).await.map_err(|s| s.message)
    };
    let pods = "{rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}";
    check("x readers", "clusterroles", "ClusterRole", None, pods).await.unwrap();
    check("jane", "roles", "Role", None, pods).await.unwrap();
    check("granter", "roles", "Role", None, pods).await.unwrap();
    check("root system:masters", "clusterroles", "ClusterRole", None, pods).await.unwrap();
    let refusal = check("jane", "clusterroles", "ClusterRole", None, pods).await.unwrap_err();
    assert!(refusal.contains(r#"attempting to grant RBAC permissions not currently held:"#), "{refusal}");
    assert!(refusal.ends_with(r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#), "{refusal}");
    // Labels of a role one could not have written may change.
    check("jane", "clusterroles", "ClusterRole", Some(pods), pods).await.unwrap();
    let aggregated = "{aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}}";
    check("x readers", "clusterroles", "ClusterRole", None, aggregated).await.unwrap_err();
    let binding = |role: &str| format!("{{roleRef: {{kind: ClusterRole, name: {role}}}, subjects: [{{kind: User, name: x}}]}}");
    check("x readers", "clusterrolebindings", "ClusterRoleBinding", None, &binding("reader")).await.unwrap();
    check("jane", "rolebindings", "RoleBinding", None, &binding("reader")).await.unwrap();
    check("jane", "clusterrolebindings", "ClusterRoleBinding", None, &binding("reader")).await.unwrap_err();
    check("granter", "clusterrolebindings", "ClusterRoleBinding", None, &binding("agent")).await.unwrap();
    check("granter", "clusterrolebindings", "ClusterRoleBinding", None, &binding("reader")).await.unwrap_err();
    let refusal = check("x readers", "rolebindings", "RoleBinding", Some(&binding("agent")), &binding("reader")).await.unwrap_err();
    assert!(refusal.contains("cannot change roleRef"), "{refusal}");
    let missing = check("x readers", "rolebindings", "RoleBinding", None, &binding("nothing")).await.unwrap_err();
    assert!(missing.contains("not found"), "{missing}");
}

/// Prints what a decision costs with the roles of 5,000 clusters; the bound is loose, since tests are not optimised.
#[test]
fn a_decision_does_not_grow_with_the_fleet() {
    let rbac = Rbac::default();
    for i in 0..5000 {
        let name = format!("open-cluster-management:managedcluster:c{i}");
        let group = format!("system:open-cluster-management:c{i}");
        let rules = json!({"rules": [
            {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create", "get", "list", "watch"]},
            {"apiGroups": ["cluster.open-cluster-management.io"], "resources": ["managedclusters"], "resourceNames": [format!("c{i}")], "verbs": ["get", "list", "update", "watch"]},
        ]});
        rbac.changed("clusterroles", "", &name, Some(&rules));
        let binding = json!({"roleRef": {"kind": "ClusterRole", "name": name}, "subjects": [{"kind": "Group", "name": group}]});
        rbac.changed("clusterrolebindings", "", &name, Some(&binding));
        let work = json!({"rules": [{"apiGroups": ["work.open-cluster-management.io"], "resources": ["manifestworks"], "verbs": ["get", "list", "watch", "update"]}]});
        rbac.changed("roles", &format!("c{i}"), "work", Some(&work));
        let binding = json!({"roleRef": {"kind": "Role", "name": "work"}, "subjects": [{"kind": "Group", "name": group}, {"kind": "Group", "name": "all"}]});
        rbac.changed("rolebindings", &format!("c{i}"), "work", Some(&binding));
    }
    let agent = user("system:open-cluster-management:c77:a system:open-cluster-management:c77,all");
    let yes = ask("watch manifestworks.work.open-cluster-management.io c77/x");
    let no = ask("watch secrets c77/x");
    let begun = std::time::Instant::now();
    for _ in 0..10_000 {
        assert!(rbac.decide(&agent, &yes).is_allowed());
        assert!(!rbac.decide(&agent, &no).is_allowed());
    }
    let each = begun.elapsed() / 20_000;
    println!("one decision: {each:?}");
    let begun = std::time::Instant::now();
    for i in 0..1000 {
        rbac.changed("roles", &format!("c{i}"), "work", Some(&json!({"rules": []})));
    }
    println!("one change: {:?}", begun.elapsed() / 1000);
    assert!(each < std::time::Duration::from_micros(200), "{each:?}");
}

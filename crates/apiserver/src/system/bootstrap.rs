//! The objects without which clients do not get far: namespaces, default roles, `kube-public/cluster-info`.
//!
//! They are ensured at every start. As upstream, rules and subjects that an operator added stay, those that are
//! missing come back, unless the object is annotated `rbac.authorization.kubernetes.io/autoupdate: "false"`.

use apimachinery::status::Status;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::{Value, json};

use super::policy::{self, Role};
use super::role_aggregation::aggregate;

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Returns all bootstrap objects in the order in which they can be created.
pub fn objects(ca_pem: &str, url: &str) -> Vec<Value> {
    let mut objects: Vec<Value> = ["default", "kube-system", "kube-public", "kube-node-lease"].map(namespace).into();
    let roles = policy::cluster_roles();
    objects.extend(cluster_roles(&roles));
    objects.extend(roles.iter().filter(|r| !r.subjects.is_empty()).map(cluster_role_binding));
    objects.extend(cluster_info(ca_pem, url));
    objects
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}})
}

fn cluster_roles(roles: &[Role]) -> Vec<Value> {
    let mut objects: Vec<Value> = roles
        .iter()
        .map(|role| {
            let mut object = json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": metadata(role.name)});
            if let Some(whole) = role.part_of {
                object["metadata"]["labels"][aggregation_label(whole)] = json!("true");
            }
            if role.is_aggregated {
                let label = aggregation_label(role.name);
                object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
            } else {
                object["rules"] = json!(role.rules);
            }
            object
        })
        .collect();
    // What the controller would come to, so that the roles are good from the first request on.
    // A whole can be a part of another: as many rounds as there are levels.
    for _ in 0..roles.iter().filter(|r| r.is_aggregated).count() {
        let before = objects.clone();
        for object in objects.iter_mut().filter(|o| o["aggregationRule"].is_object()) {
            object["rules"] = json!(aggregate(object, &before));
        }
    }
    objects
}

fn cluster_role_binding(role: &Role) -> Value {
    let subjects: Vec<Value> =
        role.subjects.iter().map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name})).collect();
    json!({
        "apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": metadata(role.name), "subjects": subjects,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role.name},
    })
}

/// What a joining cluster reads before it has credentials: where the hub is and whom to trust.
fn cluster_info(ca_pem: &str, url: &str) -> [Value; 3] {
    const NAME: &str = "cluster-info";
    const READER: &str = "system:cluster-info-reader";
    let kubeconfig = format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: {url}\n  name: \"\"\ncontexts: null\n\
         current-context: \"\"\nkind: Config\npreferences: {{}}\nusers: null\n",
        STANDARD.encode(ca_pem)
    );
    let mut role_metadata = metadata(READER);
    role_metadata["namespace"] = json!("kube-public");
    let subjects = ["system:authenticated", "system:unauthenticated"]
        .map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}));
    [
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": "kube-public"},
            "data": {"kubeconfig": kubeconfig},
        }),
        json!({
            "apiVersion": RBAC, "kind": "Role", "metadata": role_metadata,
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [NAME], "verbs": ["get"]}],
        }),
        json!({
            "apiVersion": RBAC, "kind": "RoleBinding", "metadata": role_metadata, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": READER},
        }),
    ]
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}, "annotations": {AUTOUPDATE: "true"}})
}

fn aggregation_label(role: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{role}")
}

/// Returns the stored object with what is missing added; `None` if nothing is.
pub fn merged(stored: &Value, wanted: &Value) -> Option<Value> {
    let mut next = stored.clone();
    match wanted["kind"].as_str()? {
        "Namespace" => {}
        "ConfigMap" => next["data"] = wanted["data"].clone(),
        _ if stored["metadata"]["annotations"][AUTOUPDATE] == "false" => {}
        // The controller owns the rules of an aggregated role.
        _ if wanted["aggregationRule"].is_object() => next["aggregationRule"] = wanted["aggregationRule"].clone(),
        _ => {
            for list in ["rules", "subjects"] {
                add_missing(&mut next, wanted, list);
            }
            for (label, value) in wanted["metadata"]["labels"].as_object().into_iter().flatten() {
                next["metadata"]["labels"][label] = value.clone();
            }
        }
    }
    (next != *stored).then_some(next)
}

fn add_missing(next: &mut Value, wanted: &Value, list: &str) {
    let mut items = next[list].as_array().cloned().unwrap_or_default();
    let missing: Vec<Value> = wanted[list].as_array().into_iter().flatten().filter(|item| !items.contains(item)).cloned().collect();
    if !missing.is_empty() {
        items.extend(missing);
        next[list] = json!(items);
    }
}

/// Creates the objects that are missing and completes those that are not complete.
pub async fn ensure(client: &Client, objects: &[Value]) -> Result<(), Status> {
    for wanted in objects {
        ensure_one(client, wanted).await.map_err(|error| {
            let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
            Status::internal(format!("failed to ensure {} {name:?}: {error}", wanted["kind"].as_str().unwrap_or_default()))
        })?;
    }
    Ok(())
}

async fn ensure_one(client: &Client, wanted: &Value) -> Result<(), kube::Error> {
    let collection = collection(wanted);
    let path = format!("{collection}/{}", wanted["metadata"]["name"].as_str().unwrap_or_default());
    let request = |method: &str, path: &str, body: Option<&Value>| {
        let builder = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        builder.body(body.map(|b| b.to_string().into_bytes()).unwrap_or_default()).map_err(kube::Error::HttpError)
    };
    // A new cluster has none of them: creating first saves a look at each.
    match client.request::<Value>(request("POST", &collection, Some(wanted))?).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        other => return other.map(|_| ()),
    }
    let stored = client.request::<Value>(request("GET", &path, None)?).await?;
    let Some(next) = merged(&stored, wanted) else { return Ok(()) };
    match client.request::<Value>(request("PUT", &path, Some(&next))?).await {
        // Somebody else wrote it meanwhile: it is theirs until the next start.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Returns the path of the collection a bootstrap object belongs to.
fn collection(object: &Value) -> String {
    let namespace = object["metadata"]["namespace"].as_str();
    let base = if object["apiVersion"] == "v1" { "/api/v1".to_owned() } else { format!("/apis/{RBAC}") };
    let plural = format!("{}s", object["kind"].as_str().unwrap_or_default().to_lowercase());
    match namespace {
        Some(namespace) => format!("{base}/namespaces/{namespace}/{plural}"),
        None => format!("{base}/{plural}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Ask;
    use crate::auth::rbac::Rbac;
    use crate::user::UserInfo;

    fn rbac() -> Rbac {
        let rbac = Rbac::default();
        for object in objects("PEM", "https://hub:6443") {
            let kind = format!("{}s", object["kind"].as_str().unwrap_or_default().to_lowercase());
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            if object["apiVersion"] == RBAC {
                rbac.changed(&kind, &text("namespace"), &text("name"), Some(&object));
            }
        }
        let binding = json!({"roleRef": {"kind": "ClusterRole", "name": "edit"}, "subjects": [{"kind": "User", "name": "editor"}]});
        rbac.changed("rolebindings", "dev", "editors", Some(&binding));
        rbac
    }

    #[test]
    fn default_roles_let_everyone_do_the_little_that_clients_rely_on() {
        let rbac = rbac();
        let path =
            |user: &UserInfo, path: &str| rbac.decide(user, &Ask { verb: "get".into(), path: path.into(), ..Ask::default() }).is_allowed();
        let resource = |user: &UserInfo, verb: &str, group: &str, resource: &str, namespace: &str, name: &str| {
            let ask = Ask {
                verb: verb.into(),
                group: group.into(),
                resource: resource.into(),
                namespace: namespace.into(),
                name: name.into(),
                ..Ask::default()
            };
            rbac.decide(user, &ask).is_allowed()
        };
        let (anonymous, jane, editor) = (UserInfo::anonymous(), UserInfo::new("jane", &[]), UserInfo::new("editor", &[]));
        assert!(path(&anonymous, "/version") && path(&anonymous, "/readyz") && !path(&anonymous, "/api"));
        assert!(path(&jane, "/apis/apps/v1") && path(&jane, "/openapi/v3") && !path(&jane, "/metrics"));
        assert!(resource(&anonymous, "get", "", "configmaps", "kube-public", "cluster-info"));
        assert!(!resource(&anonymous, "get", "", "configmaps", "kube-public", "other"));
        assert!(resource(&jane, "create", "authorization.k8s.io", "selfsubjectaccessreviews", "", ""));
        assert!(!resource(&jane, "get", "", "pods", "dev", "x"));
        // Through two levels of aggregation.
        assert!(resource(&editor, "list", "apps", "deployments", "dev", "") && resource(&editor, "create", "", "secrets", "dev", ""));
        assert!(!resource(&editor, "create", "rbac.authorization.k8s.io", "roles", "dev", ""));
        assert!(!resource(&editor, "list", "", "nodes", "dev", ""));
    }

    #[test]
    fn what_operators_added_stays_and_what_is_missing_comes_back() {
        let wanted = json!({"kind": "ClusterRole", "metadata": {"labels": {"a": "b"}}, "rules": [1, 2]});
        assert_eq!(merged(&wanted, &wanted), None);
        let stored = json!({"kind": "ClusterRole", "metadata": {"labels": {"a": "b"}, "resourceVersion": "5"}, "rules": [2, 3]});
        assert_eq!(merged(&stored, &wanted).expect("a change")["rules"], json!([2, 3, 1]));
        let frozen = json!({"kind": "ClusterRole", "metadata": {"annotations": {AUTOUPDATE: "false"}}, "rules": []});
        assert_eq!(merged(&frozen, &wanted), None);
        assert_eq!(merged(&json!({"kind": "Namespace", "x": 1}), &json!({"kind": "Namespace"})), None);
    }

    #[test]
    fn cluster_info_is_a_kubeconfig_without_credentials() {
        let objects = objects("PEM", "https://hub:6443");
        let info = objects.iter().find(|o| o["metadata"]["name"] == "cluster-info").expect("cluster-info");
        let kubeconfig: Value = serde_saphyr::from_str(info["data"]["kubeconfig"].as_str().expect("text")).expect("YAML");
        assert_eq!(kubeconfig["clusters"][0]["cluster"]["server"], "https://hub:6443");
        assert_eq!(kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"], STANDARD.encode("PEM"));
    }
}

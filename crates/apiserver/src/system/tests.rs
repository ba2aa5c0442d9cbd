//! The controllers against a whole server in memory; time is tokio's, paused.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use controller::{Clock, Runtime};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::user::UserInfo;
use crate::{ApiServer, Entropy, Options};

struct Cluster {
    server: ApiServer,
    client: kube::Client,
}

const BEGIN: &str = "2026-03-01T12:00:00Z";

impl Cluster {
    async fn start() -> Self {
        Self::on(Arc::new(store::MemoryStore::default())).await
    }

    async fn on(store: Arc<dyn store::Store>) -> Self {
        let begin: Timestamp = BEGIN.parse().unwrap();
        let options = Options {
            store,
            runtime: Runtime::new(Clock::virtual_from(begin)),
            ca: Arc::new(pki::Authority::create("ca", begin, SignedDuration::from_hours(100_000)).unwrap()),
            tokens: Arc::new(pki::token::Signer::new("https://kubernetes.default.svc", &pki::Key::generate().unwrap()).unwrap()),
            static_tokens: vec![],
            admission: vec![],
            routes: vec![],
            connects: vec![],
            kubernetes_version: "v1.33.1".into(),
            lazy: vec![],
            entropy: Entropy::seeded(1),
            url: "https://hub:6443".into(),
        };
        let server = ApiServer::new(options).await.unwrap();
        let client = server.client(UserInfo::admin("test"));
        Self { server, client }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, u16> {
        let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder().method(method).uri(path).header("content-type", content);
        let request = request.body(body.map(|b| b.to_string().into_bytes()).unwrap_or_default()).unwrap();
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => Err(status.code),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    async fn get(&self, path: &str) -> Option<Value> {
        match self.call("GET", path, None).await {
            Ok(value) => Some(value),
            Err(404) => None,
            Err(code) => panic!("{path}: {code}"),
        }
    }

    async fn create(&self, path: &str, object: Value) -> Value {
        self.call("POST", path, Some(object)).await.unwrap_or_else(|code| panic!("{path}: {code}"))
    }

    /// Waits until an object is as wanted (`Null` if it is not there).
    async fn wait(&self, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..500 {
            last = self.get(path).await.unwrap_or_default();
            if is_so(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} never {what}: {last:#}")
    }

    async fn wait_gone(&self, path: &str) {
        self.wait(path, "gone", Value::is_null).await;
    }

    /// Lets the controllers come to rest.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn configmap(name: &str, owners: &[(&Value, bool)]) -> Value {
    let owners: Vec<Value> = owners
        .iter()
        .map(|(owner, blocks)| {
            json!({
                "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks,
            })
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": owners}})
}

const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";

fn at(name: &str) -> String {
    format!("{CONFIGMAPS}/{name}")
}

#[tokio::test(start_paused = true)]
async fn a_new_cluster_has_what_clients_expect_and_a_second_start_changes_nothing() {
    let store: Arc<dyn store::Store> = Arc::new(store::MemoryStore::default());
    let cluster = Cluster::on(store.clone()).await;
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        cluster.wait(&format!("/api/v1/namespaces/{name}/serviceaccounts/default"), "there", Value::is_object).await;
        cluster.wait(&format!("/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt"), "there", Value::is_object).await;
    }
    let admin = cluster.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/admin").await.unwrap();
    assert!(admin["rules"].as_array().unwrap().len() > 10);
    let anonymous = cluster.server.client(UserInfo::anonymous());
    let request = http::Request::get("/api/v1/namespaces/kube-public/configmaps/cluster-info").body(vec![]).unwrap();
    anonymous.request::<Value>(request).await.unwrap();
    cluster.settle().await;
    cluster.server.runtime().stop().await;
    let before = store.revision();
    let policy = super::bootstrap::objects(&cluster.server.ca().certificate_pem(), "https://hub:6443");
    super::bootstrap::ensure(&cluster.client, &policy).await.unwrap();
    assert_eq!(store.revision(), before);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_is_emptied_and_says_what_holds_it() {
    let cluster = Cluster::start().await;
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "dev"}})).await;
    cluster.wait("/api/v1/namespaces/dev/serviceaccounts/default", "there", Value::is_object).await;
    cluster.create("/api/v1/namespaces/dev/configmaps", json!({"metadata": {"name": "free"}})).await;
    cluster.create("/api/v1/namespaces/dev/configmaps", json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}})).await;
    cluster.call("DELETE", "/api/v1/namespaces/dev", None).await.unwrap();
    cluster.wait_gone("/api/v1/namespaces/dev/configmaps/free").await;
    let held = cluster
        .wait("/api/v1/namespaces/dev", "shows what remains", |ns| {
            ns["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["reason"] == "SomeFinalizersRemain")
        })
        .await;
    assert_eq!(held["status"]["phase"], "Terminating");
    let refused = cluster.call("POST", "/api/v1/namespaces/dev/configmaps", Some(json!({"metadata": {"name": "late"}}))).await;
    assert_eq!(refused, Err(403));
    cluster.call("PATCH", "/api/v1/namespaces/dev/configmaps/held", Some(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    cluster.wait_gone("/api/v1/namespaces/dev").await;
    assert_eq!(cluster.call("POST", "/api/v1/namespaces/dev/configmaps", Some(json!({"metadata": {"name": "late"}}))).await, Err(404));
    assert_eq!(cluster.call("DELETE", "/api/v1/namespaces/kube-system", None).await, Err(403));
}

#[tokio::test(start_paused = true)]
async fn dependents_go_with_their_last_owner() {
    let cluster = Cluster::start().await;
    let a = cluster.create(CONFIGMAPS, configmap("a", &[])).await;
    let b = cluster.create(CONFIGMAPS, configmap("b", &[])).await;
    let child = cluster.create(CONFIGMAPS, configmap("child", &[(&a, false)])).await;
    cluster.create(CONFIGMAPS, configmap("grandchild", &[(&child, false)])).await;
    cluster.create(CONFIGMAPS, configmap("shared", &[(&a, false), (&b, false)])).await;
    cluster.settle().await;
    cluster.call("DELETE", &at("a"), None).await.unwrap();
    cluster.wait_gone(&at("child")).await;
    cluster.wait_gone(&at("grandchild")).await;
    let shared =
        cluster.wait(&at("shared"), "released", |o| o["metadata"]["ownerReferences"].as_array().is_some_and(|r| r.len() == 1)).await;
    assert_eq!(shared["metadata"]["ownerReferences"][0]["name"], "b");
    // An owner that never was, and one in another namespace.
    let mut ghost = a.clone();
    ghost["metadata"]["uid"] = json!("no-such-uid");
    cluster.create(CONFIGMAPS, configmap("stray", &[(&ghost, false)])).await;
    cluster.wait_gone(&at("stray")).await;
    cluster.create("/api/v1/namespaces/kube-public/configmaps", configmap("elsewhere", &[(&b, false)])).await;
    cluster.wait_gone("/api/v1/namespaces/kube-public/configmaps/elsewhere").await;
    // An owner whose kind nobody serves is not known to be gone.
    let unknown = json!({"apiVersion": "example.com/v1", "kind": "Ghost", "metadata": {"name": "g", "uid": "u"}});
    cluster.create(CONFIGMAPS, configmap("patient", &[(&unknown, false)])).await;
    cluster.settle().await;
    assert!(cluster.get(&at("patient")).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn custom_resources_own_as_built_in_ones_do() {
    let cluster = Cluster::start().await;
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "metadata": {"name": "parents.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "parents", "singular": "parent", "kind": "Parent"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const PARENTS: &str = "/apis/example.com/v1/namespaces/default/parents";
    cluster.create(DEFINITIONS, definition).await;
    cluster.settle().await;
    let parent = |name: &str| json!({"apiVersion": "example.com/v1", "kind": "Parent", "metadata": {"name": name}});
    let one = cluster.create(PARENTS, parent("one")).await;
    let two = cluster.create(PARENTS, parent("two")).await;
    cluster.create(CONFIGMAPS, configmap("of-one", &[(&one, false)])).await;
    cluster.create(CONFIGMAPS, configmap("of-two", &[(&two, false)])).await;
    cluster.settle().await;
    cluster.call("DELETE", &format!("{PARENTS}/one"), None).await.unwrap();
    cluster.wait_gone(&at("of-one")).await;
    cluster.settle().await;
    assert!(cluster.get(&at("of-two")).await.is_some());
    // With the definition go its objects, with them what they own.
    cluster.call("DELETE", &format!("{DEFINITIONS}/parents.example.com"), None).await.unwrap();
    cluster.wait_gone(&at("of-two")).await;
}

#[tokio::test(start_paused = true)]
async fn foreground_deletion_waits_for_dependents_that_block() {
    let cluster = Cluster::start().await;
    let owner = cluster.create(CONFIGMAPS, configmap("owner", &[])).await;
    let mut blocking = configmap("blocking", &[(&owner, true)]);
    blocking["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.create(CONFIGMAPS, blocking).await;
    cluster.create(CONFIGMAPS, configmap("other", &[(&owner, false)])).await;
    cluster.call("DELETE", &at("owner"), Some(json!({"propagationPolicy": "Foreground"}))).await.unwrap();
    cluster.wait_gone(&at("other")).await;
    cluster.wait(&at("blocking"), "terminating", |o| o["metadata"]["deletionTimestamp"].is_string()).await;
    cluster.settle().await;
    assert!(cluster.get(&at("owner")).await.is_some());
    cluster.call("PATCH", &at("blocking"), Some(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    cluster.wait_gone(&at("owner")).await;
}

#[tokio::test(start_paused = true)]
async fn orphaned_dependents_stay_without_their_owner() {
    let cluster = Cluster::start().await;
    let owner = cluster.create(CONFIGMAPS, configmap("owner", &[])).await;
    cluster.create(CONFIGMAPS, configmap("child", &[(&owner, true)])).await;
    cluster.call("DELETE", &at("owner"), Some(json!({"propagationPolicy": "Orphan"}))).await.unwrap();
    cluster.wait_gone(&at("owner")).await;
    cluster.settle().await;
    let child = cluster.get(&at("child")).await.unwrap();
    assert!(child["metadata"]["ownerReferences"].is_null(), "{child:#}");
}

#[tokio::test(start_paused = true)]
async fn what_was_left_undone_before_a_restart_is_done_after_it() {
    let store: Arc<dyn store::Store> = Arc::new(store::MemoryStore::default());
    let cluster = Cluster::on(store.clone()).await;
    let owner = cluster.create(CONFIGMAPS, configmap("owner", &[])).await;
    cluster.create(CONFIGMAPS, configmap("child", &[(&owner, false)])).await;
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "dev"}})).await;
    cluster.settle().await;
    cluster.server.runtime().stop().await;
    cluster.call("DELETE", &at("owner"), None).await.unwrap();
    cluster.call("DELETE", "/api/v1/namespaces/dev", None).await.unwrap();
    assert!(cluster.get(&at("child")).await.is_some());
    drop(cluster);
    let again = Cluster::on(store).await;
    again.wait_gone(&at("child")).await;
    again.wait_gone("/api/v1/namespaces/dev").await;
}

#[tokio::test(start_paused = true)]
async fn an_approved_request_becomes_a_certificate_that_authenticates() {
    const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let cluster = Cluster::start().await;
    let request = pki::Key::generate().unwrap().csr("system:ocm:c1:a", &["system:ocm:c1"]).unwrap();
    let spec = json!({
        "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["digital signature", "client auth"],
        "request": STANDARD.encode(request), "expirationSeconds": 3600,
    });
    let mut csr = cluster.create(REQUESTS, json!({"metadata": {"name": "c1"}, "spec": spec})).await;
    assert_eq!(csr["spec"]["username"], "test");
    cluster.settle().await;
    csr["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "Test", "lastUpdateTime": BEGIN}]);
    cluster.call("PUT", &format!("{REQUESTS}/c1/approval"), Some(csr)).await.unwrap();
    let signed = cluster.wait(&format!("{REQUESTS}/c1"), "signed", |o| o["status"]["certificate"].is_string()).await;
    let pem = String::from_utf8(STANDARD.decode(signed["status"]["certificate"].as_str().unwrap()).unwrap()).unwrap();
    let identity = pki::Identity::from_pem(&pem).unwrap();
    assert_eq!(identity.orgs, ["system:ocm:c1"]);
    let body: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    let inner = &cluster.server.inner;
    let user = inner.authenticator.authenticate(&HeaderMap::new(), Some(&STANDARD.decode(body).unwrap()), inner.now()).unwrap();
    assert_eq!(user.username, "system:ocm:c1:a");
    // Answered requests go after an hour.
    tokio::time::sleep(Duration::from_secs(3600 + 600)).await;
    cluster.wait_gone(&format!("{REQUESTS}/c1")).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_outside_the_signers_contract_fails_visibly() {
    const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let cluster = Cluster::start().await;
    let request = pki::Key::generate().unwrap().csr("a", &["b"]).unwrap();
    let spec = json!({
        "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["server auth"], "request": STANDARD.encode(request),
    });
    let mut csr = cluster.create(REQUESTS, json!({"metadata": {"name": "c1"}, "spec": spec})).await;
    csr["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "Test"}]);
    cluster.call("PUT", &format!("{REQUESTS}/c1/approval"), Some(csr)).await.unwrap();
    let failed = cluster
        .wait(&format!("{REQUESTS}/c1"), "failed", |o| {
            o["status"]["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == "Failed"))
        })
        .await;
    assert!(failed["status"]["certificate"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_labelled_role_joins_the_aggregated_ones() {
    const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let cluster = Cluster::start().await;
    let labels = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    let rules = json!([{"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get"]}]);
    cluster.create(ROLES, json!({"metadata": {"name": "argo-view", "labels": labels}, "rules": rules})).await;
    let has = |role: &Value| role["rules"].as_array().is_some_and(|r| r.contains(&rules[0]));
    for role in ["view", "edit", "admin"] {
        cluster.wait(&format!("{ROLES}/{role}"), "extended", has).await;
    }
    cluster.call("DELETE", &format!("{ROLES}/argo-view"), None).await.unwrap();
    for role in ["view", "edit", "admin"] {
        cluster.wait(&format!("{ROLES}/{role}"), "reduced", |r| !has(r)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_secret_is_filled_and_its_token_ends_with_it() {
    const SECRETS: &str = "/api/v1/namespaces/default/secrets";
    let cluster = Cluster::start().await;
    cluster.wait("/api/v1/namespaces/default/serviceaccounts/default", "there", Value::is_object).await;
    let metadata = json!({"name": "t", "annotations": {"kubernetes.io/service-account.name": "default"}});
    cluster.create(SECRETS, json!({"metadata": metadata, "type": "kubernetes.io/service-account-token"})).await;
    let filled = cluster.wait(&format!("{SECRETS}/t"), "filled", |s| s["data"]["token"].is_string()).await;
    let token = String::from_utf8(STANDARD.decode(filled["data"]["token"].as_str().unwrap()).unwrap()).unwrap();
    let authenticate = || {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let inner = &cluster.server.inner;
        inner.authenticator.authenticate(&headers, None, inner.now()).map(|u| u.username)
    };
    assert_eq!(authenticate().unwrap(), "system:serviceaccount:default:default");
    cluster.call("DELETE", &format!("{SECRETS}/t"), None).await.unwrap();
    assert_eq!(authenticate().unwrap_err().code, 401);
}

#[tokio::test(start_paused = true)]
async fn old_events_and_expired_bootstrap_tokens_are_deleted() {
    let cluster = Cluster::start().await;
    let involved = json!({"kind": "Pod", "namespace": "default", "name": "p"});
    let event = json!({"metadata": {"name": "e"}, "involvedObject": involved, "reason": "R", "message": "m", "type": "Normal"});
    cluster.create("/api/v1/namespaces/default/events", event).await;
    let text = |pairs: &[(&str, &str)]| -> Value {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), json!(STANDARD.encode(v)))).collect::<serde_json::Map<_, _>>().into()
    };
    let data = text(&[("token-id", "abcdef"), ("token-secret", "0123456789abcdef"), ("expiration", "2026-03-01T12:30:00Z")]);
    let secret = json!({"metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token", "data": data});
    cluster.create("/api/v1/namespaces/kube-system/secrets", secret).await;
    tokio::time::sleep(Duration::from_secs(20 * 60)).await;
    assert!(cluster.get("/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef").await.is_some());
    tokio::time::sleep(Duration::from_secs(16 * 60)).await;
    cluster.wait_gone("/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef").await;
    assert!(cluster.get("/api/v1/namespaces/default/events/e").await.is_some());
    tokio::time::sleep(Duration::from_secs(30 * 60)).await;
    cluster.wait_gone("/api/v1/namespaces/default/events/e").await;
}

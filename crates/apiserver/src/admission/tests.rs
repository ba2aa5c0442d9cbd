//! The generic plugins, asked as the handlers ask them.

use std::sync::Arc;

use base64::Engine;
use serde_json::{Value, json};

use super::*;
use crate::auth::tests::{Fixture, rbac, user, yaml};
use crate::registry::{Origin, Resource};

fn resource(group: &str, name: &str, kind: &str, namespaced: bool) -> Resource {
    let gvr = apimachinery::gvk::GroupVersionResource { group: group.into(), version: "v1".into(), resource: name.into() };
    Resource {
        gvr,
        kind: kind.into(),
        singular: kind.to_lowercase(),
        short_names: vec![],
        categories: vec![],
        namespaced,
        verbs: vec![],
        schema: Default::default(),
        status_subresource: false,
        scale: None,
        subresources: vec![],
        columns: vec![],
        storage_version: "v1".into(),
        storage_group: group.into(),
        origin: Origin::Builtin,
        selectable_fields: vec![],
        deprecation: None,
    }
}

const POLICY: &str = "
kind: ClusterRole
metadata: {name: approver}
rules:
- {apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [kubernetes.io/kube-apiserver-client], verbs: [approve]}
- {apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [example.com/*], verbs: [approve, sign]}
---
kind: ClusterRoleBinding
metadata: {name: approvers}
roleRef: {kind: ClusterRole, name: approver}
subjects: [{kind: User, name: approver}]";

const OBJECTS: &str = "
kind: Namespace
metadata: {name: live}
---
kind: Namespace
metadata: {name: going, deletionTimestamp: '2026-01-01T00:00:00Z'}
---
kind: ServiceAccount
metadata: {name: bot, namespace: live}";

struct Case<'a> {
    resource: Resource,
    operation: Operation,
    namespace: &'a str,
    name: &'a str,
    subresource: &'a str,
    who: &'a str,
    old: Option<Value>,
}

impl Case<'_> {
    /// Returns the object as admitted, or the refusal.
    async fn ask(&self, mut object: Value) -> Result<Value, Status> {
        let objects: Arc<dyn Objects> = Fixture::of(OBJECTS);
        let rbac = rbac(POLICY);
        let (request, user) = (RequestInfo::default(), user(self.who));
        let attributes = Attributes {
            request: &request,
            resource: &self.resource,
            user: &user,
            operation: self.operation,
            name: self.name,
            namespace: self.namespace,
            subresource: self.subresource,
            old: self.old.as_ref(),
            dry_run: false,
            warnings: &Mutex::default(),
        };
        let plugins = generic(&objects, &rbac);
        let plugins = || plugins.iter().filter(|p| p.handles(&self.resource.gvr.group, &self.resource.gvr.resource));
        for plugin in plugins() {
            plugin.admit(&attributes, &mut object, &*rbac).await?;
        }
        for plugin in plugins() {
            plugin.validate(&attributes, Some(&object), &*rbac).await?;
        }
        Ok(object)
    }
}

fn create(resource: Resource, namespace: &'static str) -> Case<'static> {
    Case { resource, operation: Operation::Create, namespace, name: "x", subresource: "", who: "jane", old: None }
}

#[tokio::test]
async fn content_is_created_only_in_namespaces_that_exist_and_stay() {
    let configmap = || resource("", "configmaps", "ConfigMap", true);
    create(configmap(), "live").ask(json!({})).await.unwrap();
    let missing = create(configmap(), "none").ask(json!({})).await.unwrap_err();
    assert_eq!((missing.code, missing.message.as_str()), (404, r#"namespaces "none" not found"#));
    let going = create(configmap(), "going").ask(json!({})).await.unwrap_err();
    let expected = r#"configmaps "x" is forbidden: unable to create new content in namespace going because it is being terminated"#;
    assert_eq!((going.code, going.message.as_str(), going.causes[0].reason), (403, expected, "NamespaceTerminating"));
    create(resource("authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview", true), "none")
        .ask(json!({}))
        .await
        .unwrap();
    let namespace = || resource("", "namespaces", "Namespace", false);
    let delete = Case { operation: Operation::Delete, name: "kube-system", ..create(namespace(), "") };
    assert!(delete.ask(json!({})).await.unwrap_err().message.contains("this namespace may not be deleted"));
    Case { operation: Operation::Delete, name: "dev", ..create(namespace(), "") }.ask(json!({})).await.unwrap();
}

#[tokio::test]
async fn pods_run_as_a_service_account_that_exists() {
    let pod = || create(resource("", "pods", "Pod", true), "live");
    let admitted = pod().ask(json!({"spec": {}})).await.unwrap();
    assert_eq!(admitted["spec"], json!({"serviceAccountName": "default", "serviceAccount": "default"}));
    let admitted = pod().ask(json!({"spec": {"serviceAccountName": "bot"}})).await.unwrap();
    assert_eq!(admitted["spec"]["serviceAccount"], "bot");
    let refusal = pod().ask(json!({"spec": {"serviceAccountName": "nobody"}})).await.unwrap_err();
    assert!(refusal.message.contains(r#"serviceaccount "nobody" not found"#), "{}", refusal.message);
}

fn csr(signer: &str, org: &str) -> Value {
    let request = pki::Key::generate().unwrap().csr("c", &[org]).unwrap();
    json!({"spec": {"signerName": signer, "usages": ["client auth"], "request": base64::engine::general_purpose::STANDARD.encode(request), "username": "forged", "extra": {"a": ["b"]}}})
}

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

#[tokio::test]
async fn a_certificate_request_says_who_asks_and_never_for_masters() {
    let requests = || create(resource("certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest", false), "");
    let admitted = requests().ask(csr(CLIENT, "devs")).await.unwrap();
    assert_eq!((&admitted["spec"]["username"], &admitted["spec"]["groups"]), (&json!("jane"), &json!(["system:authenticated"])));
    assert!(admitted["spec"]["extra"].is_null());
    let refusal = requests().ask(csr(CLIENT, "system:masters")).await.unwrap_err();
    assert!(refusal.message.contains("with system:masters group is not allowed"), "{}", refusal.message);
    requests().ask(csr("example.com/other", "system:masters")).await.unwrap();
    let garbled = requests().ask(yaml("{spec: {signerName: b, request: aGVsbG8=, expirationSeconds: 60}}")).await.unwrap_err();
    let fields: Vec<&str> = garbled.causes.iter().map(|c| c.field.as_str()).collect();
    assert_eq!((garbled.code, fields), (422, vec!["spec.request", "spec.signerName", "spec.usages", "spec.expirationSeconds"]));
}

#[tokio::test]
async fn approving_and_signing_take_a_permission_for_the_signer() {
    let update = |who: &'static str, subresource: &'static str, signer: &str| Case {
        operation: Operation::Update,
        subresource,
        who,
        old: Some(csr(signer, "a")),
        ..create(resource("certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest", false), "")
    };
    let approve =
        async |who: &'static str, signer: &str| update(who, "approval", signer).ask(csr(signer, "a")).await.map_err(|s| s.message);
    approve("approver", CLIENT).await.unwrap();
    approve("approver", "example.com/any").await.unwrap();
    assert!(
        approve("jane", CLIENT).await.unwrap_err().contains(r#"user not permitted to approve requests with signerName "kubernetes.io"#)
    );
    approve("approver", "kubernetes.io/kubelet-serving").await.unwrap_err();
    let mut signed = csr(CLIENT, "a");
    signed["status"] = json!({"certificate": "eA=="});
    update("approver", "status", CLIENT).ask(signed.clone()).await.unwrap_err();
    update("approver", "status", "example.com/any").ask(signed).await.unwrap();
    // An answer is one of two, and stays.
    let answered = |types: &[&str]| {
        let mut csr = csr(CLIENT, "a");
        csr["status"]["conditions"] = types.iter().map(|ty| json!({"type": ty, "status": "True"})).collect();
        csr
    };
    update("approver", "approval", CLIENT).ask(answered(&["Approved", "Denied"])).await.unwrap_err();
    let denied = Case { old: Some(answered(&["Denied"])), ..update("approver", "approval", CLIENT) };
    assert_eq!(denied.ask(answered(&["Approved"])).await.unwrap_err().causes[0].field, "status.conditions");
    // Conditions alone are no signature.
    update("jane", "status", CLIENT).ask(csr(CLIENT, "a")).await.unwrap();
}

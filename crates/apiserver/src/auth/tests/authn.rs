use std::sync::Arc;

use base64::Engine;
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use pki::token::Signer;
use serde_json::{Value, json};

use super::{Fixture, yaml};
use crate::auth::authn::{Authenticator, Config};
use crate::auth::rbac::Rbac;
use crate::auth::token_request::token_request;
use crate::user::UserInfo;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const OBJECTS: &str = "
kind: ServiceAccount
metadata: {name: argocd, namespace: argocd, uid: sa-1}
---
kind: Pod
metadata: {name: p, namespace: argocd, uid: pod-1}
spec: {serviceAccountName: argocd}
---
kind: ClusterRole
metadata: {name: executor}
rules:
- {apiGroups: [''], resources: [serviceaccounts], resourceNames: [argocd], verbs: [impersonate]}
- {apiGroups: [''], resources: [groups], resourceNames: [devs], verbs: [impersonate]}
- {apiGroups: [authentication.k8s.io], resources: [userextras/scopes], resourceNames: [view], verbs: [impersonate]}
---
kind: ClusterRoleBinding
metadata: {name: executor}
roleRef: {kind: ClusterRole, name: executor}
subjects: [{kind: User, name: executor}]";

pub struct Setup {
    pub objects: Arc<Fixture>,
    pub ca: Arc<pki::Authority>,
    pub authenticator: Authenticator,
    pub rbac: Rbac,
    pub now: Timestamp,
}

pub fn setup() -> Setup {
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let ca = Arc::new(pki::Authority::create("ca", now, 24 * HOUR).unwrap());
    let signer = Arc::new(Signer::new("https://kubernetes.default.svc", &pki::Key::generate().unwrap()).unwrap());
    let objects = Fixture::of(OBJECTS);
    let config = Config {
        objects: objects.clone(),
        ca: ca.clone(),
        tokens: signer,
        static_tokens: vec![("operator-token".into(), UserInfo::admin("admin")), ("executor-token".into(), UserInfo::new("executor", &[]))],
    };
    let rbac = Rbac::load(&*objects);
    Setup { authenticator: Authenticator::new(config), rbac, objects, ca, now }
}

impl Setup {
    /// Returns user and groups, or the refusal.
    fn ask(&self, headers: &[(&str, &str)], peer: Option<&[u8]>, now: Timestamp) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let user = self.authenticator.authenticate(&map, peer, now);
        match user.and_then(|user| self.authenticator.impersonate(&map, user, &self.rbac)) {
            Ok(user) => format!("{} {}", user.username, user.groups.join(",")),
            Err(refusal) => format!("{} {}", refusal.code, refusal.message),
        }
    }

    fn with_token(&self, token: &str, now: Timestamp) -> String {
        self.ask(&[("authorization", &format!("Bearer {token}"))], None, now)
    }

    pub fn token(&self, request: Value) -> String {
        let account = yaml("{metadata: {name: argocd, namespace: argocd, uid: sa-1}}");
        let answer = token_request(self.authenticator.signer(), &*self.objects, &account, request, self.now).unwrap();
        answer["status"]["token"].as_str().unwrap().to_owned()
    }
}

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

#[test]
fn nobody_is_anonymous_and_bad_credentials_are_not_nobody() {
    let s = setup();
    assert_eq!(s.ask(&[], None, s.now), "system:anonymous system:unauthenticated");
    assert_eq!(s.with_token("operator-token", s.now), "admin system:masters,system:authenticated");
    assert!(s.with_token("nonsense", s.now).starts_with("401 Unauthorized"));
    assert!(s.ask(&[("authorization", "Basic abc")], None, s.now).starts_with("401 Unauthorized"));
}

#[test]
fn a_certificate_is_its_common_name_and_organizations() {
    let s = setup();
    let issued = s.ca.sign_client("system:ocm:c1:a", &["system:ocm:c1", "fleet"], s.now, HOUR).unwrap();
    let peer = der(&issued.certificate_pem);
    for _ in 0..2 {
        assert_eq!(s.ask(&[], Some(&peer), s.now), "system:ocm:c1:a system:ocm:c1,fleet,system:authenticated");
    }
    // It was verified and remembered; time is checked all the same.
    let late = s.ask(&[], Some(&peer), s.now + 2 * HOUR);
    assert!(late.starts_with("401 Unauthorized: the certificate expired at 2026-03-01T13:00:00Z"), "{late}");
    let stranger = pki::Authority::create("ca", s.now, HOUR).unwrap().sign_client("admin", &["system:masters"], s.now, HOUR).unwrap();
    assert!(s.ask(&[], Some(&der(&stranger.certificate_pem)), s.now).starts_with("401 Unauthorized: the certificate is not signed by"));
    // A good token helps out.
    assert!(s.ask(&[("authorization", "Bearer operator-token")], Some(&peer), s.now + 2 * HOUR).starts_with("admin"));
}

#[test]
fn a_service_account_token_lives_as_long_as_its_account_and_no_longer_than_it_says() {
    let s = setup();
    let token = s.token(json!({"spec": {"expirationSeconds": 600}}));
    let expected = "system:serviceaccount:argocd:argocd system:serviceaccounts,system:serviceaccounts:argocd,system:authenticated";
    assert_eq!(s.with_token(&token, s.now), expected);
    assert!(s.with_token(&token, s.now + SignedDuration::from_secs(599)).starts_with("system:"));
    let late = s.with_token(&token, s.now + SignedDuration::from_secs(600));
    assert!(late.contains("the token expired at 2026-03-01T12:10:00Z"), "{late}");
    // Deleted and created again under the same name: another account.
    s.objects.put(yaml("{kind: ServiceAccount, metadata: {name: argocd, namespace: argocd, uid: sa-2}}"));
    s.authenticator.changed("", "serviceaccounts", "argocd", "argocd");
    assert!(s.with_token(&token, s.now).contains("no longer exists"));
}

#[test]
fn a_token_for_others_or_bound_to_a_gone_pod_is_refused() {
    let s = setup();
    let foreign = s.token(json!({"spec": {"audiences": ["vault"]}}));
    assert!(s.with_token(&foreign, s.now).contains(r#"for ["vault"]"#));
    let bound = s.token(json!({"spec": {"boundObjectRef": {"kind": "Pod", "name": "p"}}}));
    assert!(s.with_token(&bound, s.now).starts_with("system:serviceaccount"));
    s.objects.remove(&yaml("{kind: Pod, metadata: {name: p, namespace: argocd}}"));
    assert!(s.with_token(&bound, s.now).contains("bound to pods argocd/p, which no longer exists"));
}

fn bootstrap_secret(fields: &[(&str, &str)]) -> Value {
    let mut data = json!({});
    for (key, value) in fields {
        data[*key] = json!(base64::engine::general_purpose::STANDARD.encode(value));
    }
    let metadata = json!({"name": "bootstrap-token-abcdef", "namespace": "kube-system"});
    json!({"kind": "Secret", "metadata": metadata, "type": "bootstrap.kubernetes.io/token", "data": data})
}

#[test]
fn a_bootstrap_token_is_a_secret_in_kube_system() {
    let s = setup();
    let token = "abcdef.0123456789abcdef";
    let good = [
        ("token-id", "abcdef"),
        ("token-secret", "0123456789abcdef"),
        ("usage-bootstrap-authentication", "true"),
        ("expiration", "2026-03-01T13:00:00Z"),
        ("auth-extra-groups", "system:bootstrappers:managedcluster"),
    ];
    let put = |changes: &[(&str, &str)]| {
        let mut fields = good.to_vec();
        fields.retain(|(key, _)| !changes.iter().any(|(changed, _)| changed == key));
        fields.extend(changes);
        s.objects.put(bootstrap_secret(&fields));
        s.authenticator.changed("", "secrets", "kube-system", "bootstrap-token-abcdef");
    };
    assert!(s.with_token(token, s.now).contains("is not known"));
    put(&[]);
    let expected = "system:bootstrap:abcdef system:bootstrappers,system:bootstrappers:managedcluster,system:authenticated";
    assert_eq!(s.with_token(token, s.now), expected);
    assert!(s.with_token("abcdef.0123456789abcdeg", s.now).contains("its secret is wrong"));
    assert!(s.with_token(token, s.now + HOUR).contains("expired at 2026-03-01T13:00:00Z"));
    put(&[("usage-bootstrap-authentication", "false")]);
    assert!(s.with_token(token, s.now).contains("not for authentication"));
    put(&[("auth-extra-groups", "system:masters")]);
    assert!(s.with_token(token, s.now).starts_with("401"));
}

#[test]
fn impersonation_asks_rbac_for_every_part() {
    let s = setup();
    let ask = |headers: &[(&str, &str)]| {
        let mut all = vec![("authorization", "Bearer executor-token")];
        all.extend(headers);
        s.ask(&all, None, s.now)
    };
    let account = ("impersonate-user", "system:serviceaccount:argocd:argocd");
    let implied = "system:serviceaccount:argocd:argocd system:serviceaccounts,system:serviceaccounts:argocd,system:authenticated";
    assert_eq!(ask(&[account]), implied);
    assert_eq!(ask(&[account, ("impersonate-group", "devs")]), "system:serviceaccount:argocd:argocd devs,system:authenticated");
    assert!(ask(&[account, ("impersonate-extra-scopes", "view")]).starts_with("system:serviceaccount"));
    assert!(ask(&[account, ("impersonate-extra-scopes", "admin")]).contains(r#"cannot impersonate resource "userextras/scopes""#));
    assert_eq!(
        ask(&[("impersonate-user", "admin")]),
        r#"403 users "admin" is forbidden: User "executor" cannot impersonate resource "users" in API group "" at the cluster scope"#
    );
    assert!(ask(&[account, ("impersonate-group", "system:masters")]).starts_with("403 groups"));
    assert!(ask(&[("impersonate-group", "devs")]).starts_with("400"));
    let admin = s.ask(&[("authorization", "Bearer operator-token"), ("impersonate-user", "jane")], None, s.now);
    assert_eq!(admin, "jane system:authenticated");
}

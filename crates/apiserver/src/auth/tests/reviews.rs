use serde_json::{Value, json};

use super::authn::setup;
use super::{rbac, user, yaml};
use crate::auth::reviews::*;
use crate::auth::token_request::token_request;

const POLICY: &str = "
kind: ClusterRole
metadata: {name: named}
rules:
- {apiGroups: [''], resources: [configmaps], resourceNames: [a], verbs: [get, list]}
- {nonResourceURLs: [/metrics], verbs: [get]}
---
kind: ClusterRoleBinding
metadata: {name: one}
roleRef: {kind: ClusterRole, name: named}
subjects: [{kind: User, name: jane}]
---
kind: ClusterRoleBinding
metadata: {name: two}
roleRef: {kind: ClusterRole, name: named}
subjects: [{kind: User, name: jane}]";

#[test]
fn access_reviews_answer_as_the_authorizer_does() {
    let rbac = rbac(POLICY).snapshot();
    let allowed = |spec: &str| -> Value {
        self_subject_access_review(&rbac, &user("jane"), json!({"spec": yaml(spec)})).unwrap()["status"]["allowed"].clone()
    };
    assert_eq!(allowed("{resourceAttributes: {verb: get, resource: configmaps, namespace: x, name: a}}"), true);
    assert_eq!(allowed("{resourceAttributes: {verb: list, resource: configmaps, namespace: x}}"), false);
    let selector = "{requirements: [{key: metadata.name, operator: In, values: [a]}]}";
    assert_eq!(allowed(&format!("{{resourceAttributes: {{verb: list, resource: configmaps, fieldSelector: {selector}}}}}")), true);
    assert_eq!(allowed("{nonResourceAttributes: {verb: get, path: /metrics}}"), true);
    let review = json!({"spec": yaml("{user: jane, resourceAttributes: {verb: get, resource: configmaps, name: a}}")});
    let answer = subject_access_review(&rbac, review).unwrap();
    assert!(answer["status"]["reason"].as_str().unwrap().starts_with("RBAC: allowed by ClusterRoleBinding"));
}

#[test]
fn a_review_without_a_question_is_invalid() {
    let rbac = rbac(POLICY).snapshot();
    let refusal = self_subject_access_review(&rbac, &user("jane"), json!({"spec": {}})).unwrap_err();
    assert_eq!(refusal.code, 422);
    assert!(refusal.message.contains("exactly one of nonResourceAttributes or resourceAttributes"), "{}", refusal.message);
    let nobody = json!({"spec": {"resourceAttributes": {"verb": "get"}}});
    assert_eq!(subject_access_review(&rbac, nobody).unwrap_err().code, 422);
    let elsewhere = json!({"spec": {"user": "jane", "resourceAttributes": {"verb": "get", "namespace": "b"}}});
    assert_eq!(local_subject_access_review(&rbac, "a", elsewhere).unwrap_err().code, 422);
}

#[test]
fn a_rules_review_lists_each_rule_once() {
    let rbac = rbac(POLICY).snapshot();
    let ask = |who: &str| self_subject_rules_review(&rbac, &user(who), json!({"spec": {"namespace": "x"}})).unwrap()["status"].clone();
    let jane = ask("jane");
    assert_eq!(
        jane["resourceRules"],
        json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"]}])
    );
    assert_eq!(jane["nonResourceRules"], json!([{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]));
    assert_eq!(ask("root system:masters")["resourceRules"][0]["resources"], json!(["*"]));
}

#[test]
fn a_token_review_says_whose_token_it_is() {
    let s = setup();
    let review = |token: &str, audiences: Value| {
        token_review(&s.authenticator, json!({"spec": {"token": token, "audiences": audiences}}), s.now).unwrap()["status"].clone()
    };
    let token = s.token(json!({"spec": {"audiences": ["vault", "x"]}}));
    let good = review(&token, json!(["vault", "y"]));
    assert_eq!((&good["authenticated"], &good["audiences"]), (&json!(true), &json!(["vault"])));
    assert_eq!(good["user"]["username"], "system:serviceaccount:argocd:argocd");
    assert!(review(&token, json!(null))["error"].as_str().unwrap().contains("not for this server"));
    assert_eq!(review("operator-token", json!(null))["user"]["username"], "admin");
    assert!(review("operator-token", json!(["vault"]))["authenticated"].is_null());
    assert!(review("nonsense", json!(null))["error"].is_string());
    assert!(token_review(&s.authenticator, json!({"spec": {}}), s.now).is_err());
}

#[test]
fn a_token_request_has_limits() {
    let s = setup();
    let account = yaml("{metadata: {name: argocd, namespace: argocd, uid: sa-1}}");
    let ask = |spec: Value| token_request(s.authenticator.signer(), &*s.objects, &account, json!({"spec": spec}), s.now);
    let default = ask(json!({})).unwrap();
    assert_eq!(default["spec"], json!({"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 3600}));
    assert_eq!(default["status"]["expirationTimestamp"], "2026-03-01T13:00:00Z");
    let short = ask(json!({"expirationSeconds": 10})).unwrap_err();
    assert!(short.message.contains("may not specify a duration less than 10 minutes"), "{}", short.message);
    assert_eq!(ask(json!({"boundObjectRef": {"kind": "Node", "name": "n"}})).unwrap_err().code, 422);
    assert_eq!(ask(json!({"boundObjectRef": {"kind": "Pod", "name": "none"}})).unwrap_err().code, 404);
    assert_eq!(ask(json!({"boundObjectRef": {"kind": "Pod", "name": "p", "uid": "other"}})).unwrap_err().code, 409);
}

#[test]
fn a_self_review_shows_the_user_as_authenticated() {
    let answer = self_subject_review(&user("jane devs"), json!({"kind": "SelfSubjectReview"}));
    assert_eq!(answer["status"]["userInfo"], json!({"username": "jane", "groups": ["devs", "system:authenticated"]}));
}

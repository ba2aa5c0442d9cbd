//! The review APIs: questions about users and permissions that are answered and not stored.
//!
//! Each function takes the posted object and returns it with its status.

use std::collections::BTreeSet;

use apimachinery::status::{Cause, Status};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::authn::Authenticator;
use super::rbac::{Decision, Rule, Snapshot};
use crate::admission::Ask;
use crate::user::{SYSTEM_MASTERS, UserInfo};

const AUTHORIZATION: &str = "authorization.k8s.io";

/// Answers a TokenReview: whose is this token?
pub fn token_review(authenticator: &Authenticator, mut review: Value, now: Timestamp) -> Result<Value, Status> {
    let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    review["status"] = match authenticator.review(&token, &strings(&review["spec"]["audiences"]), now) {
        Ok(found) => json!({"authenticated": true, "user": found.user, "audiences": found.audiences}),
        Err(refusal) => json!({"user": {}, "error": refusal.message}),
    };
    Ok(review)
}

/// Answers a SelfSubjectReview: who am I?
pub fn self_subject_review(user: &UserInfo, mut review: Value) -> Value {
    review["status"] = json!({ "userInfo": user });
    review
}

/// Answers a SelfSubjectAccessReview: may I?
pub fn self_subject_access_review(rbac: &Snapshot, user: &UserInfo, mut review: Value) -> Result<Value, Status> {
    let ask = ask(&review["spec"], "SelfSubjectAccessReview")?;
    review["status"] = answer(&rbac.decide(user, &ask));
    Ok(review)
}

/// Answers a SubjectAccessReview: may they?
pub fn subject_access_review(rbac: &Snapshot, mut review: Value) -> Result<Value, Status> {
    let (user, ask) = (subject(&review["spec"], "SubjectAccessReview")?, ask(&review["spec"], "SubjectAccessReview")?);
    review["status"] = answer(&rbac.decide(&user, &ask));
    Ok(review)
}

/// Answers a LocalSubjectAccessReview: may they, in this namespace?
pub fn local_subject_access_review(rbac: &Snapshot, namespace: &str, mut review: Value) -> Result<Value, Status> {
    const KIND: &str = "LocalSubjectAccessReview";
    let (user, ask) = (subject(&review["spec"], KIND)?, ask(&review["spec"], KIND)?);
    if !ask.path.is_empty() {
        return Err(invalid(KIND, Cause::forbidden("spec.nonResourceAttributes", "disallowed on this kind of request")));
    }
    if ask.namespace != namespace {
        let field = "spec.resourceAttributes.namespace";
        return Err(invalid(KIND, Cause::invalid(field, &json!(ask.namespace), &format!("must match metadata.namespace: {namespace}"))));
    }
    review["status"] = answer(&rbac.decide(&user, &ask));
    Ok(review)
}

/// Answers a SelfSubjectRulesReview: what may I do in this namespace?
pub fn self_subject_rules_review(rbac: &Snapshot, user: &UserInfo, mut review: Value) -> Result<Value, Status> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default().to_owned();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request: set spec.namespace"));
    }
    let all = || vec!["*".to_owned()];
    let unrestricted = [
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
    ];
    let rules: Vec<&Rule> = if user.is_in(SYSTEM_MASTERS) { unrestricted.iter().collect() } else { rbac.rules_for(user, &namespace) };
    let (mut resource_rules, mut path_rules, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for rule in rules {
        // Several bindings of one role say the same.
        if !seen.insert(rule.to_string()) {
            continue;
        }
        if !rule.resources.is_empty() {
            let mut shown = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                shown["resourceNames"] = json!(rule.resource_names);
            }
            resource_rules.push(shown);
        }
        if !rule.non_resource_urls.is_empty() {
            path_rules.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
        }
    }
    review["status"] = json!({"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": false});
    Ok(review)
}

fn answer(decision: &Decision) -> Value {
    let mut status = json!({ "allowed": decision.is_allowed() });
    let reason = decision.reason();
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    status
}

fn ask(spec: &Value, kind: &str) -> Result<Ask, Status> {
    let resource = spec.get("resourceAttributes").filter(|a| !a.is_null());
    let path = spec.get("nonResourceAttributes").filter(|a| !a.is_null());
    let text = |from: &Value, field: &str| from[field].as_str().unwrap_or_default().to_owned();
    match (resource, path) {
        (Some(at), None) => Ok(Ask {
            verb: text(at, "verb"),
            group: text(at, "group"),
            resource: text(at, "resource"),
            subresource: text(at, "subresource"),
            namespace: text(at, "namespace"),
            name: named(at),
            path: String::new(),
        }),
        (None, Some(at)) => Ok(Ask { verb: text(at, "verb"), path: text(at, "path"), ..Ask::default() }),
        (both, _) => {
            let why = format!(
                "exactly one of nonResourceAttributes or resourceAttributes must be specified, {} are",
                if both.is_some() { "both" } else { "none" }
            );
            Err(invalid(kind, Cause::invalid("spec.resourceAttributes", &json!(resource), &why)))
        }
    }
}

/// Returns the name asked for: also when a field selector pins it, as it does for list and watch requests.
fn named(attributes: &Value) -> String {
    if let Some(name) = attributes["name"].as_str().filter(|n| !n.is_empty()) {
        return name.to_owned();
    }
    let requirements = attributes["fieldSelector"]["requirements"].as_array().into_iter().flatten();
    let pinned = requirements.filter(|r| r["key"] == "metadata.name" && r["operator"] == "In").find_map(|r| {
        match r["values"].as_array()?.as_slice() {
            [one] => one.as_str().map(str::to_owned),
            _ => None,
        }
    });
    pinned.unwrap_or_default()
}

fn subject(spec: &Value, kind: &str) -> Result<UserInfo, Status> {
    let user = UserInfo {
        username: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups: strings(&spec["groups"]),
        extra: spec["extra"].as_object().into_iter().flatten().map(|(key, values)| (key.to_lowercase(), strings(values))).collect(),
    };
    if user.username.is_empty() && user.groups.is_empty() {
        return Err(invalid(kind, Cause::invalid("spec.user", &json!(""), "at least one of user or group must be specified")));
    }
    Ok(user)
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn invalid(kind: &str, cause: Cause) -> Status {
    Status::invalid(AUTHORIZATION, kind, "", vec![cause])
}

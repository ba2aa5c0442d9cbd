//! Whether a work's executor may do what the work wants.
//!
//! The agent may do nearly everything; a work with an executor only what that ServiceAccount may. Each manifest
//! is asked about with SubjectAccessReviews. Roles and bindings need `escalate` and `bind` on top, so that
//! nobody gains by a work what he could not by himself.

use std::collections::BTreeMap;

use ::work::Mapping;
use api::work::{DeletePropagationPolicy, ManifestWork};
use apimachinery::gvk::GroupVersionKind;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::Works;
use crate::refusal::words;

const RBAC: &str = "rbac.authorization.k8s.io";

/// Returns why manifests may not be applied, by index.
pub async fn denied(works: &Works, work: &ManifestWork, mappings: &BTreeMap<GroupVersionKind, Mapping>) -> BTreeMap<usize, String> {
    let mut denied = BTreeMap::new();
    let Some(executor) = &work.spec.executor else { return denied };
    let Some(account) = &executor.subject.service_account else {
        let why = "spec.executor.subject.serviceAccount is missing";
        return (0..work.spec.workload.manifests.len()).map(|index| (index, why.to_owned())).collect();
    };
    let deletes = work.spec.delete_option.as_ref().and_then(|o| o.propagation_policy) != Some(DeletePropagationPolicy::Orphan);
    for (index, manifest) in work.spec.workload.manifests.iter().enumerate() {
        let text = |field: &str| manifest.0[field].as_str().unwrap_or_default();
        let gvk = GroupVersionKind::from_api_version(text("apiVersion"), text("kind"));
        let Some(mapping) = mappings.get(&gvk) else { continue };
        for question in questions(&manifest.0, &gvk, mapping, deletes) {
            if let Err(why) = ask(works, &account.namespace, &account.name, &question).await {
                tracing::info!(work = %work.name_any(), index, why, "the executor may not apply a manifest");
                denied.insert(index, why);
                break;
            }
        }
    }
    denied
}

fn questions(manifest: &Value, gvk: &GroupVersionKind, mapping: &Mapping, deletes: bool) -> Vec<ResourceAttributes> {
    let text = |field: &str| manifest["metadata"][field].as_str().map(str::to_owned);
    let question = |verb: &str| ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(gvk.group.clone()),
        version: Some(gvk.version.clone()),
        resource: Some(mapping.resource.clone()),
        namespace: text("namespace").filter(|_| mapping.is_namespaced),
        name: text("name"),
        ..ResourceAttributes::default()
    };
    let mut verbs = vec!["get", "create", "update", "patch"];
    if deletes {
        verbs.push("delete");
    }
    if gvk.group == RBAC && (gvk.kind == "Role" || gvk.kind == "ClusterRole") {
        verbs.push("escalate");
    }
    let mut questions: Vec<_> = verbs.into_iter().map(question).collect();
    if gvk.group == RBAC && gvk.kind.ends_with("RoleBinding") {
        let role = &manifest["roleRef"];
        questions.push(ResourceAttributes {
            resource: Some(if role["kind"] == "Role" { "roles".into() } else { "clusterroles".into() }),
            name: role["name"].as_str().map(str::to_owned),
            ..question("bind")
        });
    }
    questions
}

async fn ask(works: &Works, namespace: &str, name: &str, question: &ResourceAttributes) -> Result<(), String> {
    let user = format!("system:serviceaccount:{namespace}:{name}");
    let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}"), "system:authenticated".to_owned()];
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.clone()),
            groups: Some(groups.to_vec()),
            resource_attributes: Some(question.clone()),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(works.local.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    match answer {
        Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => Ok(()),
        Ok(_) => {
            let (verb, resource) = (question.verb.as_deref().unwrap_or_default(), question.resource.as_deref().unwrap_or_default());
            let place = question.namespace.as_deref().map_or_else(|| "the cluster".to_owned(), |ns| format!("namespace {ns}"));
            Err(format!("not allowed: {user} may not {verb} {resource} in {place}"))
        }
        Err(error) => Err(format!("the right of {user} could not be checked: {}", words(&error))),
    }
}

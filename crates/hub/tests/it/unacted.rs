use api::argo::{AppProject, ApplicationSet, annotation};
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{eventually, hub, until};

const GROUP: &str = "argoproj.io/v1alpha1";

fn set() -> Value {
    json!({"apiVersion": GROUP, "kind": "ApplicationSet", "metadata": {"name": "shops", "namespace": "argocd"}, "spec": {
        "generators": [{"clusters": {}}],
        "template": {"metadata": {"name": "{{name}}"}, "spec": {"project": "default", "destination": {"namespace": "shop"},
            "source": {"repoURL": "https://git/apps.git", "path": "shop"}}}}})
}

fn project() -> Value {
    json!({"apiVersion": GROUP, "kind": "AppProject", "metadata": {"name": "team", "namespace": "argocd"}, "spec": {
        "sourceRepos": ["https://git/*"], "destinations": [{"server": "*", "namespace": "*"}],
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}})
}

/// Creates an object; returns the warnings.
async fn create(hub: &hub::Hub, resource: &str, object: &Value) -> Vec<String> {
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    let body = Full::new(object.to_string().into()).map_err(|never| match never {}).boxed_unsync();
    let request = Request::post(format!("/apis/{GROUP}/namespaces/argocd/{resource}")).header(header::CONTENT_TYPE, "application/json");
    let answer = admin.http.oneshot(request.body(body).unwrap()).await.expect("an answer");
    assert_eq!(answer.status(), 201);
    answer.headers().get_all(header::WARNING).iter().map(|w| w.to_str().unwrap().to_owned()).collect()
}

async fn hub_with_namespace() -> hub::Hub {
    let hub = hub().await;
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "argocd"}})).unwrap();
    Api::all(hub.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    hub
}

#[tokio::test]
async fn an_application_set_says_that_nothing_comes_of_it() {
    let hub = hub_with_namespace().await;
    let warnings = create(&hub, "applicationsets", &set()).await;
    assert!(warnings.len() == 1 && warnings[0].contains("ManifestWorkReplicaSet"), "{warnings:?}");
    let sets: Api<ApplicationSet> = Api::namespaced(hub.client.clone(), "argocd");
    let told = until(&sets, "shops", |set| set.status.as_ref().is_some_and(|s| !s.conditions.is_empty())).await;
    let condition = &told.status.unwrap().conditions[0];
    let words = ["type", "status", "reason"].map(|field| condition[field].as_str().unwrap_or_default());
    assert_eq!(words, ["ErrorOccurred", "True", "NotActedOn"]);
    assert!(condition["message"].as_str().unwrap().contains("Placement") && condition["lastTransitionTime"].is_string());
    hub.stop().await;
}

#[tokio::test]
async fn a_project_names_the_rules_that_nobody_enforces() {
    let hub = hub_with_namespace().await;
    let warnings = create(&hub, "appprojects", &project()).await;
    assert!(warnings.len() == 1 && warnings[0].contains("spec.sourceRepos;"), "{warnings:?}");
    let projects: Api<AppProject> = Api::namespaced(hub.client.clone(), "argocd");
    let note = |project: &AppProject| project.metadata.annotations.as_ref().and_then(|a| a.get(annotation::NOT_ACTED_ON)).cloned();
    until(&projects, "team", |project| note(project).as_deref() == Some("spec.sourceRepos")).await;
    let events: Api<Event> = Api::namespaced(hub.client.clone(), "argocd");
    let event = eventually(|| async {
        let all = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        all.into_iter().find(|e| e.regarding.as_ref().is_some_and(|r| r.name.as_deref() == Some("team"))).ok_or("no event".to_owned())
    })
    .await;
    assert_eq!((event.type_.as_deref(), event.reason.as_deref()), (Some("Warning"), Some("NotActedOn")));
    // Once it permits everything, it says nothing.
    let patch = Patch::Merge(json!({"spec": {"sourceRepos": ["*"]}}));
    projects.patch("team", &PatchParams::default(), &patch).await.unwrap();
    until(&projects, "team", |project| note(project).is_none()).await;
    hub.stop().await;
}

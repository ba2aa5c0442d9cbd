use agent::StateDir;
use serde_json::{Value, json};

use crate::hub::Hub;
use crate::{create, eventually, hub, start_agent, store};

async fn held(hub: &Hub, kind: &str, key: &str) -> Value {
    eventually(&format!("the hub holds {kind} {key}"), async || hub.desk.held.lock().get(&(kind.to_owned(), key.to_owned())).cloned()).await
}

fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"}, "spec": {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}}})
}

#[tokio::test]
async fn workloads_are_told_and_a_restart_of_either_side_loses_nothing() {
    let (hub, store) = (hub::hub().await, store().await);
    let directory = tempfile::tempdir().unwrap();
    let state_dir = StateDir::open(directory.path()).unwrap();
    let agent = start_agent(&hub, &store, state_dir.clone());
    create(&store.admin, deployment("web")).await;
    let told = held(&hub, "workload", "Deployment/default/web").await;
    assert_eq!(
        (told["images"][0].as_str(), told["desired"].as_i64(), told["health"].as_str()),
        (Some("web:1"), Some(1), Some("Progressing"))
    );
    // A step of its rollout, which is Progressing as before, comes a moment later.
    let deployments: kube::Api<k8s_openapi::api::apps::v1::Deployment> = kube::Api::namespaced(store.admin.clone(), "default");
    let step = json!({"status": {"observedGeneration": 1, "replicas": 2, "readyReplicas": 1}});
    deployments.patch_status("web", &Default::default(), &kube::api::Patch::Merge(&step)).await.unwrap();
    eventually("the step is told", async || {
        let told = held(&hub, "workload", "Deployment/default/web").await;
        (told["ready"] == 1 && told["health"] == "Progressing").then_some(())
    })
    .await;
    assert_eq!(held(&hub, "cluster-info", "cluster").await["kubernetesVersion"], "v1.33.1");
    // The hub takes no streams while the agent ends.
    *hub.desk.is_closed.lock() = true;
    agent.stop().await;
    let agent = start_agent(&hub, &store, state_dir.clone());
    create(&store.admin, deployment("later")).await;
    *hub.desk.is_closed.lock() = false;
    held(&hub, "workload", "Deployment/default/later").await;
    assert_eq!(hub.desk.sequences.lock().len(), 1, "one incarnation through it all");
    assert!(hub.desk.gaps.lock().is_empty());
    agent.stop().await;
}

#[tokio::test]
async fn a_restored_hub_is_told_everything_again() {
    let (hub, store) = (hub::hub().await, store().await);
    let agent = start_agent(&hub, &store, StateDir::memory());
    create(&store.admin, deployment("web")).await;
    held(&hub, "workload", "Deployment/default/web").await;
    // The backup is from before: the hub holds nothing, and its epoch is higher.
    hub.desk.held.lock().clear();
    hub.desk.sequences.lock().values_mut().for_each(|sequence| *sequence = 0);
    hub.desk.identity.lock().as_mut().unwrap().epoch = 2;
    create(&store.admin, deployment("next")).await;
    held(&hub, "workload", "Deployment/default/web").await;
    agent.stop().await;
}

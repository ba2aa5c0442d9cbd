use api::cluster::{ManagedClusterSet, ManagedClusterSetBinding, ManagedClusterSetBindingSpec, Placement, PlacementDecision};
use api::conditions;
use api::work::{ManifestWork, ManifestWorkReplicaSet, condition};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::{Agent, code, eventually, hub, until, until_gone};

fn read<K: serde::de::DeserializeOwned>(value: serde_json::Value) -> K {
    serde_json::from_value(value).expect("an object")
}

fn placement(name: &str, spec: serde_json::Value) -> Placement {
    read(json!({"apiVersion": "cluster.open-cluster-management.io/v1beta1", "kind": "Placement", "metadata": {"name": name}, "spec": spec}))
}

async fn bind_global(hub: &hub::Hub) {
    let bindings: Api<ManagedClusterSetBinding> = Api::namespaced(hub.client.clone(), "default");
    let binding = ManagedClusterSetBinding::new("global", ManagedClusterSetBindingSpec { cluster_set: "global".into() });
    bindings.create(&PostParams::default(), &binding).await.expect("a binding");
    until(&bindings, "global", |b| b.status.as_ref().is_some_and(|s| conditions::is_true(&s.conditions, "Bound"))).await;
}

fn selected(decision: &PlacementDecision) -> Vec<&str> {
    decision.status.iter().flat_map(|s| &s.decisions).map(|d| d.cluster_name.as_str()).collect()
}

#[tokio::test]
async fn work_follows_a_placement_to_its_clusters_and_away() {
    let hub = hub().await;
    let admin = hub.client.clone();
    bind_global(&hub).await;
    let one = Agent::join(&hub, "store-1", "u1").await;
    let two = Agent::join(&hub, "store-2", "u2").await;
    one.is_available(&hub, json!({"env": "prod"})).await;
    two.is_available(&hub, json!({"env": "dev"})).await;

    let placements: Api<Placement> = Api::namespaced(admin.clone(), "default");
    let decisions: Api<PlacementDecision> = Api::namespaced(admin.clone(), "default");
    let spec = json!({"predicates": [{"requiredClusterSelector": {"labelSelector": {"matchLabels": {"env": "prod"}}}}]});
    placements.create(&PostParams::default(), &placement("prod", spec)).await.unwrap();
    until(&decisions, "prod-decision-1", |d| selected(d) == ["store-1"]).await;
    until(&placements, "prod", |p| {
        p.status.as_ref().is_some_and(|s| s.number_of_selected_clusters == 1 && conditions::is_true(&s.conditions, "PlacementSatisfied"))
    })
    .await;

    let sets: Api<ManifestWorkReplicaSet> = Api::namespaced(admin.clone(), "default");
    let set: ManifestWorkReplicaSet = read(json!({
        "apiVersion": "work.open-cluster-management.io/v1alpha1", "kind": "ManifestWorkReplicaSet", "metadata": {"name": "web"},
        "spec": {
            "placementRefs": [{"name": "prod"}],
            "manifestWorkTemplate": {"workload": {"manifests": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "default"}, "data": {"k": "1"}},
            ]}},
        },
    }));
    sets.create(&PostParams::default(), &set).await.unwrap();
    let works_one: Api<ManifestWork> = Api::namespaced(one.client(), "store-1");
    let name = eventually(|| async {
        let works = works_one.list(&Default::default()).await.map_err(|e| e.to_string())?.items;
        works.first().and_then(|w| w.metadata.name.clone()).ok_or("no work".to_owned())
    })
    .await;
    // What the agent says comes up in the set.
    let applied = json!({"status": {"conditions": [{
        "type": "Applied", "status": "True", "reason": "AppliedManifestWorkComplete", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    works_one.patch_status(&name, &PatchParams::default(), &Patch::Merge(applied)).await.unwrap();
    let done =
        |s: &ManifestWorkReplicaSet| s.status.as_ref().is_some_and(|s| conditions::is_true(&s.conditions, condition::PLACEMENT_ROLLED_OUT));
    let told = until(&sets, "web", done).await.status.unwrap();
    assert_eq!((told.summary.total, told.summary.applied, told.summary.updated), (1, 1, 1));
    assert_eq!(told.placement_summary[0].available_decision_groups, "1 (1 / 1 clusters applied)");

    // A new template reaches the work; a cluster that matches gets it, one that does not loses it.
    let patch = json!({"spec": {"manifestWorkTemplate": {"workload": {"manifests": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "default"}, "data": {"k": "2"}},
    ]}}}});
    sets.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    until(&works_one, &name, |w| w.spec.workload.manifests[0].0["data"]["k"] == "2").await;
    two.is_available(&hub, json!({"env": "prod"})).await;
    let works_two: Api<ManifestWork> = Api::namespaced(two.client(), "store-2");
    until(&works_two, &name, |_| true).await;
    one.is_available(&hub, json!({"env": "dev"})).await;
    until_gone(&works_one, &name).await;
    sets.delete("web", &DeleteParams::default()).await.unwrap();
    until_gone(&works_two, &name).await;
    until_gone(&sets, "web").await;
    hub.stop().await;
}

#[tokio::test]
async fn a_placement_of_some_keeps_what_it_has() {
    let hub = hub().await;
    bind_global(&hub).await;
    for name in ["b", "c"] {
        Agent::join(&hub, name, name).await.is_available(&hub, json!({})).await;
    }
    let placements: Api<Placement> = Api::namespaced(hub.client.clone(), "default");
    let decisions: Api<PlacementDecision> = Api::namespaced(hub.client.clone(), "default");
    placements.create(&PostParams::default(), &placement("two", json!({"numberOfClusters": 2}))).await.unwrap();
    until(&decisions, "two-decision-1", |d| selected(d) == ["b", "c"]).await;
    Agent::join(&hub, "a", "a").await.is_available(&hub, json!({})).await;
    placements.create(&PostParams::default(), &placement("all", json!({}))).await.unwrap();
    until(&decisions, "all-decision-1", |d| selected(d) == ["a", "b", "c"]).await;
    let kept = decisions.get("two-decision-1").await.unwrap();
    assert_eq!(selected(&kept), ["b", "c"]);
    // A surplus or lost decision object is put right.
    decisions.delete("all-decision-1", &DeleteParams::default()).await.unwrap();
    until(&decisions, "all-decision-1", |d| selected(d) == ["a", "b", "c"]).await;
    placements.delete("all", &DeleteParams::default()).await.unwrap();
    until_gone(&decisions, "all-decision-1").await;
    hub.stop().await;
}

#[tokio::test]
async fn built_in_sets_come_back_and_say_how_many() {
    let hub = hub().await;
    let sets: Api<ManagedClusterSet> = Api::all(hub.client.clone());
    sets.delete("global", &DeleteParams::default()).await.unwrap();
    let is_empty = |s: &ManagedClusterSet| s.status.as_ref().is_some_and(|s| conditions::is_true(&s.conditions, "ClusterSetEmpty"));
    until(&sets, "global", is_empty).await;
    let patch = json!({"spec": {"clusterSelector": {"labelSelector": {"matchLabels": {"a": "b"}}}}});
    sets.patch("global", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    until(&sets, "global", |s| {
        s.spec.cluster_selector.as_ref().and_then(|c| c.label_selector.as_ref()).is_some_and(|l| l.match_labels.is_none())
    })
    .await;
    Agent::join(&hub, "a", "a").await;
    until(&sets, "default", |s| {
        s.status
            .as_ref()
            .is_some_and(|s| conditions::find(&s.conditions, "ClusterSetEmpty").is_some_and(|c| c.message == "1 ManagedClusters selected"))
    })
    .await;
    hub.stop().await;
}

#[tokio::test]
async fn works_and_bindings_that_make_no_sense_are_refused() {
    let hub = hub().await;
    Agent::join(&hub, "a", "a").await;
    let works: Api<ManifestWork> = Api::namespaced(hub.client.clone(), "a");
    eventually(|| async {
        let refused = works.create(&PostParams::default(), &ManifestWork::new("w", Default::default())).await;
        match refused {
            Err(kube::Error::Api(status)) if status.code == 422 => {
                assert!(status.message.contains("spec.workload.manifests"), "{status:?}");
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let bindings: Api<ManagedClusterSetBinding> = Api::namespaced(hub.client.clone(), "default");
    let wrong = ManagedClusterSetBinding::new("x", ManagedClusterSetBindingSpec { cluster_set: "global".into() });
    assert_eq!(code(bindings.create(&PostParams::default(), &wrong).await), 422);
    hub.stop().await;
}

use api::cluster::{ManagedCluster, annotation, condition, taint};
use api::conditions;
use api::work::ManifestWork;
use controller::Clock;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::{Agent, bootstrap, code, create_cluster, eventually, hub, hub_with, request, until, until_gone};

#[tokio::test]
async fn a_cluster_joins_by_token_and_gets_its_rights() {
    let hub = hub().await;
    let agent = Agent::join(&hub, "store-1", "uid-1").await;
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    let cluster = clusters.get("store-1").await.unwrap();
    let annotations = cluster.metadata.annotations.clone().unwrap();
    assert!(annotations.contains_key(annotation::AUTOMATICALLY_ACCEPTED_ON));
    assert_eq!(annotations[annotation::CLUSTER_UID], "uid-1");
    assert_eq!(cluster.metadata.labels.unwrap()["cluster.open-cluster-management.io/clusterset"], "default");
    until(&Api::<Namespace>::all(hub.client.clone()), "store-1", |_| true).await;
    until(&Api::<Lease>::namespaced(hub.client.clone(), "store-1"), "managed-cluster-lease", |_| true).await;
    until(&Api::<RoleBinding>::namespaced(hub.client.clone(), "store-1"), "open-cluster-management:managedcluster:store-1:work", |_| true)
        .await;

    // The agent sees and tells about itself, and nobody else.
    let own: Api<ManagedCluster> = Api::all(agent.client());
    assert!(own.get("store-1").await.is_ok());
    let works: Api<ManifestWork> = Api::namespaced(agent.client(), "store-1");
    assert!(works.list(&Default::default()).await.is_ok());
    Agent::join(&hub, "store-2", "uid-2").await;
    assert_eq!(code(own.get("store-2").await), 403);
    assert_eq!(code(Api::<ManifestWork>::namespaced(agent.client(), "store-2").list(&Default::default()).await), 403);
    hub.stop().await;
}

#[tokio::test]
async fn a_bootstrap_token_cannot_accept_its_own_cluster() {
    let hub = hub().await;
    let connection = bootstrap(&hub).await;
    let clusters: Api<ManagedCluster> = Api::all(connection.client.clone());
    let mut cluster = ManagedCluster::new("a", Default::default());
    cluster.spec.hub_accepts_client = true;
    assert_eq!(code(clusters.create(&PostParams::default(), &cluster).await), 403);
    let mut badly_named = ManagedCluster::new("a.b", Default::default());
    badly_named.spec.managed_cluster_client_configs = vec![api::cluster::ClientConfig { url: "http://x".into(), ca_bundle: None }];
    let refused = clusters.create(&PostParams::default(), &badly_named).await.unwrap_err().to_string();
    assert!(refused.contains("metadata.name") && refused.contains("managedClusterClientConfigs[0].url"), "{refused}");
    hub.stop().await;
}

#[tokio::test]
async fn a_second_claimant_is_left_and_shown() {
    let hub = hub().await;
    Agent::join(&hub, "store-1", "uid-1").await;
    let connection = bootstrap(&hub).await;
    let requests: Api<CertificateSigningRequest> = Api::all(connection.client.clone());
    let second = requests.create(&PostParams::default(), &request("store-1", "uid-2").0).await.unwrap();
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    let shown = until(&clusters, "store-1", |c| conditions::is_false(c.conditions(), condition::IDENTITY_UNIQUE)).await;
    let text = &conditions::find(shown.conditions(), condition::IDENTITY_UNIQUE).unwrap().message;
    assert!(text.contains("uid-2") && text.contains("uid-1"), "{text}");
    let left = requests.get(&second.metadata.name.unwrap()).await.unwrap();
    assert!(left.status.is_none_or(|s| s.conditions.is_none_or(|c| c.is_empty())));
    hub.stop().await;
}

#[tokio::test]
async fn what_is_not_accepted_any_more_loses_its_rights() {
    let hub = hub().await;
    let agent = Agent::join(&hub, "store-1", "uid-1").await;
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    let patch = Patch::Merge(json!({"spec": {"hubAcceptsClient": false}}));
    clusters.patch("store-1", &PatchParams::default(), &patch).await.unwrap();
    until(&clusters, "store-1", |c| conditions::is_false(c.conditions(), condition::HUB_ACCEPTED)).await;
    let works: Api<ManifestWork> = Api::namespaced(agent.client(), "store-1");
    eventually(|| async { works.list(&Default::default()).await.map_or(Ok(()), |_| Err("still allowed".to_owned())) }).await;
    assert!(Api::<ManagedCluster>::all(agent.client()).get("store-1").await.is_ok());
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_cluster_becomes_unknown_after_five_lease_durations() {
    let hub = hub_with(Clock::virtual_from("2026-01-01T00:00:00Z".parse().unwrap())).await;
    let agent = Agent::join(&hub, "store-1", "uid-1").await;
    agent.is_available(&hub, json!({})).await;
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    tokio::time::sleep(std::time::Duration::from_secs(290)).await;
    let cluster = clusters.get("store-1").await.unwrap();
    assert!(conditions::is_true(cluster.conditions(), condition::AVAILABLE) && cluster.spec.taints.is_empty());
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    let lost = until(&clusters, "store-1", |c| !c.spec.taints.is_empty()).await;
    let available = conditions::find(lost.conditions(), condition::AVAILABLE).unwrap();
    assert_eq!((available.status.as_str(), available.reason.as_str()), ("Unknown", "ManagedClusterLeaseUpdateStopped"));
    assert_eq!(lost.spec.taints[0].key, taint::UNREACHABLE);
    // It comes back by itself, with a clock that is two hours behind.
    let leases: Api<Lease> = Api::namespaced(agent.client(), "store-1");
    let mut lease = leases.get("managed-cluster-lease").await.unwrap();
    let behind = hub.context.now() - jiff::SignedDuration::from_hours(2);
    lease.spec.as_mut().unwrap().renew_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(behind));
    leases.replace("managed-cluster-lease", &PostParams::default(), &lease).await.unwrap();
    agent.is_available(&hub, json!({})).await;
    let back = until(&clusters, "store-1", |c| conditions::is_false(c.conditions(), condition::CLOCK_SYNCED)).await;
    assert!(conditions::is_true(back.conditions(), condition::AVAILABLE));
    hub.stop().await;
}

#[tokio::test]
async fn a_deleted_cluster_leaves_its_namespace_only() {
    let hub = hub().await;
    let agent = Agent::join(&hub, "store-1", "uid-1").await;
    let works: Api<ManifestWork> = Api::namespaced(hub.client.clone(), "store-1");
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}});
    let mut work = ManifestWork::new("w", Default::default());
    work.spec.workload.manifests = vec![api::work::Manifest(manifest)];
    work.metadata.finalizers = Some(vec![api::work::finalizer::MANIFEST_WORK.into()]);
    works.create(&PostParams::default(), &work).await.unwrap();
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    until(&clusters, "store-1", |c| c.metadata.finalizers.as_ref().is_some_and(|f| f.len() == 2)).await;
    clusters.delete("store-1", &DeleteParams::default()).await.unwrap();
    let going = until(&clusters, "store-1", |c| conditions::is_true(c.conditions(), condition::DELETING)).await;
    assert!(conditions::find(going.conditions(), condition::DELETING).unwrap().message.contains("manifestworks/w"));
    // The agent still may take its work down; then all goes.
    let by_agent: Api<ManifestWork> = Api::namespaced(agent.client(), "store-1");
    let patch = Patch::Merge(json!({"metadata": {"finalizers": []}}));
    by_agent.patch("w", &PatchParams::default(), &patch).await.unwrap();
    until_gone(&clusters, "store-1").await;
    until_gone(&Api::<ClusterRole>::all(hub.client.clone()), "open-cluster-management:managedcluster:store-1").await;
    assert!(Api::<Namespace>::all(hub.client.clone()).get("store-1").await.is_ok());
    assert!(create_cluster(&hub.client, "store-1").await.is_ok());
    hub.stop().await;
}

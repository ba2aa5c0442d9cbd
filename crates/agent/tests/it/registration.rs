use agent::StateDir;
use api::cluster::{ManagedCluster, condition};
use api::conditions::{self, Said};
use api::hub::HubInfo;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::{CLUSTER, eventually, hub, start_agent, store};

async fn available(hub: &hub::Hub) -> ManagedCluster {
    let clusters: Api<ManagedCluster> = Api::all(hub.server.admin.clone());
    eventually("the cluster is available", async || {
        let cluster = clusters.get_opt(CLUSTER).await.unwrap()?;
        conditions::is_true(cluster.conditions(), condition::AVAILABLE).then_some(cluster)
    })
    .await
}

#[tokio::test]
async fn a_cluster_joins_tells_about_itself_and_beats() {
    let (hub, store) = (hub::hub().await, store().await);
    start_agent(&hub, &store, StateDir::memory());
    let cluster = available(&hub).await;
    assert!(conditions::is_true(cluster.conditions(), condition::JOINED));
    assert!(conditions::is_true(cluster.conditions(), condition::HUB_ACCEPTED), "what the hub wrote stays");
    assert_eq!(cluster.status.as_ref().unwrap().version.as_ref().unwrap().kubernetes, "v1.33.1");
    assert_eq!(cluster.claim("id.k8s.io").unwrap().len(), 36);
    let secrets: Api<Secret> = Api::namespaced(store.admin.clone(), "open-cluster-management-agent");
    let secret = secrets.get("hub-kubeconfig-secret").await.unwrap();
    let names: Vec<&str> = secret.data.as_ref().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["agent-name", "cluster-name", "kubeconfig", "tls.crt", "tls.key"]);
    let leases: Api<Lease> = Api::namespaced(hub.server.admin.clone(), CLUSTER);
    let beat = async || leases.get("managed-cluster-lease").await.unwrap().spec?.renew_time;
    let first = eventually("the lease is renewed", beat).await;
    eventually("it is renewed again", async || beat().await.filter(|next| *next > first)).await;
}

#[tokio::test]
async fn an_agent_that_was_taken_for_lost_says_at_once_that_it_is_well() {
    let (hub, store) = (hub::hub().await, store().await);
    let agent = start_agent(&hub, &store, StateDir::memory());
    let mut cluster = available(&hub).await;
    // The agent looks once more after its first welcome; then not for a minute.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let clusters: Api<ManagedCluster> = Api::all(hub.server.admin.clone());
    let all = &mut cluster.status.as_mut().unwrap().conditions;
    let lost = Said::new(condition::AVAILABLE, conditions::UNKNOWN, "ManagedClusterLeaseUpdateStopped", "");
    assert!(conditions::set(all, &lost, jiff::Timestamp::now()));
    let patch = Patch::Merge(json!({"status": {"conditions": all}}));
    clusters.patch_status(CLUSTER, &PatchParams::default(), &patch).await.unwrap();
    hub.desk.cut.notify_waiters();
    available(&hub).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_restart_uses_the_same_certificate() {
    let (hub, store) = (hub::hub().await, store().await);
    let first = start_agent(&hub, &store, StateDir::memory());
    available(&hub).await;
    first.stop().await;
    let leases: Api<Lease> = Api::namespaced(hub.server.admin.clone(), CLUSTER);
    let before = leases.get("managed-cluster-lease").await.unwrap().spec.and_then(|s| s.renew_time);
    start_agent(&hub, &store, StateDir::memory());
    eventually("the lease is renewed by the second", async || {
        let renewed = leases.get("managed-cluster-lease").await.unwrap().spec?.renew_time;
        (renewed > before).then_some(())
    })
    .await;
    let requests: Api<CertificateSigningRequest> = Api::all(hub.server.admin.clone());
    assert_eq!(requests.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn another_hub_at_the_same_address_is_refused() {
    let (hub, store) = (hub::hub().await, store().await);
    let first = start_agent(&hub, &store, StateDir::memory());
    available(&hub).await;
    first.stop().await;
    *hub.desk.identity.lock() = Some(HubInfo { uid: "hub-2".into(), epoch: 1, version: "test".into() });
    let leases: Api<Lease> = Api::namespaced(hub.server.admin.clone(), CLUSTER);
    let before = leases.get("managed-cluster-lease").await.unwrap().resource_version();
    hub.desk.held.lock().clear();
    start_agent(&hub, &store, StateDir::memory());
    // It asks who the hub is first thing; a second is many times what a heartbeat needs.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(leases.get("managed-cluster-lease").await.unwrap().resource_version(), before);
    assert!(hub.desk.held.lock().is_empty(), "nothing is told to another hub");
}

async fn requests(hub: &hub::Hub) -> Vec<String> {
    let requests: Api<CertificateSigningRequest> = Api::all(hub.server.admin.clone());
    requests.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect()
}

#[tokio::test]
async fn a_restart_waits_on_the_same_certificate_request() {
    let (hub, store) = (hub::slow_hub().await, store().await);
    let first = start_agent(&hub, &store, StateDir::memory());
    let asked = eventually("a certificate is requested", async || Some(requests(&hub).await).filter(|names| !names.is_empty())).await;
    first.stop().await;
    let second = start_agent(&hub, &store, StateDir::memory());
    hub.approve();
    available(&hub).await;
    assert_eq!(requests(&hub).await, asked);
    let secrets: Api<Secret> = Api::namespaced(store.admin.clone(), "open-cluster-management-agent");
    assert!(secrets.get_opt("hub-certificate-request").await.unwrap().is_none(), "its key is kept once");
    second.stop().await;
}

#[tokio::test]
async fn a_certificate_that_the_hub_no_longer_knows_is_replaced_by_joining_anew() {
    let (hub, store) = (hub::hub().await, store().await);
    let first = start_agent(&hub, &store, StateDir::memory());
    available(&hub).await;
    first.stop().await;
    let secrets: Api<Secret> = Api::namespaced(store.admin.clone(), "open-cluster-management-agent");
    let certificate = async || secrets.get("hub-kubeconfig-secret").await.unwrap().data.unwrap()["tls.crt"].clone();
    let before = certificate().await;
    *hub.desk.rejections.lock() = 1;
    let second = start_agent(&hub, &store, StateDir::memory());
    eventually("there is another certificate", async || (certificate().await != before).then_some(())).await;
    let leases: Api<Lease> = Api::namespaced(hub.server.admin.clone(), CLUSTER);
    let beat = async || leases.get("managed-cluster-lease").await.unwrap().spec?.renew_time;
    let last = beat().await;
    eventually("the lease is renewed with it", async || beat().await.filter(|next| Some(next) > last.as_ref())).await;
    assert_eq!(requests(&hub).await.len(), 2);
    second.stop().await;
}

//! The certificate's life: the next one comes before the present one ends, and nothing notices.

use std::sync::Arc;
use std::time::Duration;

use agent::StateDir;
use api::cluster::{ManagedCluster, condition};
use api::conditions;
use controller::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use pki::Identity;
use serde_json::json;

use crate::hub::{Hub, Server};
use crate::{CLUSTER, create, eventually, eventually_within, hub, start_agent, start_agent_by, store, store_at};

/// The certificate in use, and a kubeconfig with it.
async fn credential(store: &Server) -> Option<(Identity, Kubeconfig)> {
    let secrets: Api<Secret> = Api::namespaced(store.admin.clone(), "open-cluster-management-agent");
    let data = secrets.get_opt("hub-kubeconfig-secret").await.unwrap()?.data?;
    let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
    let mut kubeconfig = hub::bootstrap();
    kubeconfig.auth_infos[0].auth_info =
        serde_json::from_value(json!({"client-certificate-data": data["tls.crt"], "client-key-data": data["tls.key"]})).unwrap();
    Some((Identity::from_pem(&text("tls.crt")).unwrap(), kubeconfig))
}

async fn renewed_at(hub: &Hub) -> Option<Timestamp> {
    let leases: Api<Lease> = Api::namespaced(hub.server.admin.clone(), CLUSTER);
    leases.get_opt("managed-cluster-lease").await.unwrap()?.spec?.renew_time.map(|at| at.0)
}

async fn requests(hub: &Hub) -> usize {
    Api::<CertificateSigningRequest>::all(hub.server.admin.clone()).list(&ListParams::default()).await.unwrap().items.len()
}

async fn reads_itself(client: Client) -> Result<(), String> {
    Api::<ManagedCluster>::all(client).get(CLUSTER).await.map(drop).map_err(|error| error.to_string())
}

async fn sleep_until(clock: &Clock, time: Timestamp) {
    tokio::time::sleep(Duration::try_from(clock.now().duration_until(time)).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_rotated_before_it_ends_and_the_next_one_serves() {
    let clock = Clock::virtual_from("2026-01-01T00:00:00Z".parse().unwrap());
    let (hub, store) = (hub::hub_at(clock.clone()).await, store_at(clock.clone()).await);
    hub.sign(&[SignedDuration::from_mins(10)]);
    let agent = start_agent(&hub, &store, StateDir::memory());
    let (first, kubeconfig) = eventually("there is a certificate", async || credential(&store).await).await;
    let with_first = hub.server.api.connector().connect(&kubeconfig).unwrap().client;
    eventually("it serves", async || reads_itself(with_first.clone()).await.ok()).await;
    eventually("the lease is renewed", async || renewed_at(&hub).await).await;

    let life = first.not_before.duration_until(first.not_after);
    // Between a fifth and a quarter of its life is left then, so that a fleet does not rotate at once.
    sleep_until(&clock, first.not_after - life / 4).await;
    assert_eq!(requests(&hub).await, 1);
    let (second, _) = eventually_within(Duration::from_secs(60), "the certificate is rotated", async || {
        credential(&store).await.filter(|(identity, _)| *identity != first)
    })
    .await;
    assert_eq!((&second.cn, &second.orgs, requests(&hub).await), (&first.cn, &first.orgs, 2));
    assert!(second.not_after > first.not_after);
    let clusters: Api<ManagedCluster> = Api::all(hub.server.admin.clone());
    eventually("it is said", async || {
        let cluster = clusters.get(CLUSTER).await.unwrap();
        conditions::is_true(cluster.conditions(), condition::CERTIFICATE_ROTATED).then_some(())
    })
    .await;

    // The first ends; the agent goes on, and has not asked again.
    let end = first.not_after + SignedDuration::from_secs(1);
    sleep_until(&clock, end).await;
    let refused = reads_itself(with_first).await.unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
    eventually("the lease is renewed with the second", async || renewed_at(&hub).await.filter(|at| *at > end)).await;
    create(&store.admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})).await;
    create(
        &store.admin,
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "late", "namespace": "shop"}, "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "web:1"}]}}}}),
    )
    .await;
    eventually("reports go on", async || hub.desk.held.lock().keys().any(|(_, key)| key == "Job/shop/late").then_some(())).await;
    assert_eq!(credential(&store).await.unwrap().0, second, "nothing was asked for meanwhile");
    agent.stop().await;
}

#[tokio::test]
async fn over_tls_a_certificate_of_seconds_is_replaced_in_time() {
    let (hub, store) = (hub::slow_hub().await, store().await);
    hub.sign(&[SignedDuration::from_secs(3), SignedDuration::from_hours(1)]);
    let bootstrap = hub.server.serve().await;
    let agent = start_agent_by(Arc::new(tunnel::TlsConnector), bootstrap, &store, StateDir::memory());
    let (first, _) = eventually("there is a certificate", async || credential(&store).await).await;
    eventually("the lease is renewed after the first certificate ended", async || {
        renewed_at(&hub).await.filter(|at| *at > first.not_after)
    })
    .await;
    assert!(credential(&store).await.unwrap().0.not_after > first.not_after);
    assert_eq!(requests(&hub).await, 2, "a certificate that is due at once is not asked for in a loop");
    agent.stop().await;
}

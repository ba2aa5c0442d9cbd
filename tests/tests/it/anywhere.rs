//! The hub's reconcilers on whatever control plane the environment gives: they are plain clients.

use std::time::Duration;

use controller::{Clock, Runtime};
use testkit::control_plane::ControlPlane;
use testkit::{apply, delete, eventually_within, get};

const CLUSTER: &str = "cluster.open-cluster-management.io/v1";
const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_runs_on_any_kubernetes() {
    testkit::init_logs();
    let plane = ControlPlane::start().await;
    let client = plane.client().await;
    let runtime = Runtime::new(Clock::wall());
    hub::run(client.clone(), runtime.clone(), hub::Options::default()).await.expect("the reconcilers start");

    // Its own name: the control plane may be one that others use too.
    let name = format!("anywhere-{}", jiff::Timestamp::now().as_microsecond());
    apply(
        &client,
        &format!("{{apiVersion: {CLUSTER}, kind: ManagedCluster, metadata: {{name: {name}}}, spec: {{hubAcceptsClient: true}}}}"),
    )
    .await;
    eventually_within(PATIENCE, "the cluster is accepted", async || {
        let cluster = get(&client, CLUSTER, "ManagedCluster", None, &name).await;
        let conditions = cluster["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == "HubAcceptedManagedCluster" && condition["status"] == "True")
    })
    .await;
    eventually_within(PATIENCE, "it has a namespace", async || {
        get(&client, "v1", "Namespace", None, &name).await["metadata"]["name"] == name
    })
    .await;
    delete(&client, CLUSTER, "ManagedCluster", None, &name).await;
    if plane.has_controllers() {
        eventually_within(PATIENCE, "it is gone", async || get(&client, CLUSTER, "ManagedCluster", None, &name).await.is_null()).await;
    }
    runtime.stop().await;
}

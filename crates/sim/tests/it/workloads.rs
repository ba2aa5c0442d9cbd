use serde_json::{Value, json};

use crate::support::{apply, condition, delete, eventually, get, list, store};

fn deployment(image: &str, replicas: u32) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: default}}, spec: {{replicas: {replicas},
          selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}},
          spec: {{containers: [{{name: main, image: '{image}'}}]}}}}}}}}"
    )
}

async fn web(store: &sim::Store) -> Value {
    get(store, "apps/v1", "Deployment", "web").await
}

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_available_and_rolls_to_the_next_image() {
    let store = store(1).await;
    apply(&store, &deployment("shop/web:1", 3)).await;
    eventually("available", 10, async || web(&store).await["status"]["availableReplicas"] == 3).await;
    let first = web(&store).await;
    assert_eq!(condition(&first, "Progressing")["reason"], "NewReplicaSetAvailable");
    assert_eq!(condition(&first, "Available")["status"], "True");
    assert_eq!(first["status"]["observedGeneration"], first["metadata"]["generation"]);
    let pods = list(&store, "v1", "Pod").await;
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(|pod| pod["status"]["phase"] == "Running" && pod["spec"]["nodeName"] == "store-0001-node-1"));
    let mut ips: Vec<&Value> = pods.iter().map(|pod| &pod["status"]["podIP"]).collect();
    ips.sort_by_key(|ip| ip.to_string());
    ips.dedup();
    assert_eq!(ips.len(), 3);

    apply(&store, &deployment("shop/web:2", 3)).await;
    eventually("rolled", 30, async || {
        let now = web(&store).await;
        now["status"]["updatedReplicas"] == 3
            && now["status"]["replicas"] == 3
            && condition(&now, "Progressing")["reason"] == "NewReplicaSetAvailable"
    })
    .await;
    let sets = list(&store, "apps/v1", "ReplicaSet").await;
    assert_eq!(sets.len(), 2);
    assert_eq!(web(&store).await["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    eventually("old pods gone", 40, async || list(&store, "v1", "Pod").await.len() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_stops_the_rollout_while_old_pods_serve() {
    let store = store(1).await;
    apply(&store, &deployment("shop/web:1", 4)).await;
    eventually("available", 10, async || web(&store).await["status"]["availableReplicas"] == 4).await;
    apply(&store, &deployment("shop/web:2-bad", 4)).await;
    eventually("deadline", 700, async || condition(&web(&store).await, "Progressing")["reason"] == "ProgressDeadlineExceeded").await;
    let stuck = web(&store).await;
    assert_eq!(stuck["status"]["availableReplicas"], 3);
    let reasons: Vec<Value> =
        list(&store, "v1", "Pod").await.iter().map(|p| p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone()).collect();
    assert!(reasons.contains(&json!("ImagePullBackOff")), "{reasons:?}");
    let events = list(&store, "v1", "Event").await;
    assert!(events.iter().any(|e| e["reason"] == "Failed" && e["involvedObject"]["kind"] == "Pod"), "{events:?}");

    apply(&store, &deployment("shop/web:1", 4)).await;
    eventually("back", 60, async || {
        let now = web(&store).await;
        now["status"]["availableReplicas"] == 4 && now["status"]["replicas"] == 4
    })
    .await;
    // The old ReplicaSet serves again: no third one.
    assert_eq!(list(&store, "apps/v1", "ReplicaSet").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fault_ordered_at_run_time_starts_and_ends() {
    let store = store(1).await;
    apply(&store, &deployment("shop/web:1", 1)).await;
    eventually("available", 10, async || web(&store).await["status"]["availableReplicas"] == 1).await;
    store.set_faults([("crash".to_owned(), "image: 'shop/web:*'\nfault: crash-loop".to_owned())].into()).await.expect("set");
    eventually("crashing", 30, async || {
        let pods = list(&store, "v1", "Pod").await;
        pods.iter().any(|p| p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff")
    })
    .await;
    eventually("unavailable", 10, async || web(&store).await["status"]["availableReplicas"].is_null()).await;
    store.set_faults(Default::default()).await.expect("set");
    eventually("available again", 400, async || web(&store).await["status"]["availableReplicas"] == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_comes_up_in_order_with_bound_claims() {
    let store = store(1).await;
    apply(
        &store,
        "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: default}, spec: {replicas: 3, serviceName: db,
          selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: main, image: 'db:1'}]}},
          volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}",
    )
    .await;
    eventually("ready", 30, async || get(&store, "apps/v1", "StatefulSet", "db").await["status"]["readyReplicas"] == 3).await;
    let set = get(&store, "apps/v1", "StatefulSet", "db").await;
    assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
    for ordinal in 0..3 {
        let claim = get(&store, "v1", "PersistentVolumeClaim", &format!("data-db-{ordinal}")).await;
        assert_eq!(claim["status"]["phase"], "Bound", "{claim}");
    }
    let uid = async || get(&store, "v1", "Pod", "db-1").await["metadata"]["uid"].clone();
    let before = uid().await;
    delete(&store, "v1", "Pod", "db-1").await;
    eventually("replaced", 60, async || {
        let now = uid().await;
        !now.is_null() && now != before
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_runs_on_every_node_and_a_node_is_ready() {
    let store = store(3).await;
    apply(
        &store,
        "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent, namespace: default}, spec: {
          selector: {matchLabels: {app: agent}}, template: {metadata: {labels: {app: agent}}, spec: {containers: [{name: main, image: 'agent:1'}]}}}}",
    )
    .await;
    eventually("ready", 30, async || get(&store, "apps/v1", "DaemonSet", "agent").await["status"]["numberReady"] == 3).await;
    let mut nodes: Vec<String> = list(&store, "v1", "Pod").await.iter().map(|p| p["spec"]["nodeName"].to_string()).collect();
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes.len(), 3);
    assert!(list(&store, "v1", "Node").await.iter().all(|node| condition(node, "Ready")["status"] == "True"));
}

#[tokio::test(start_paused = true)]
async fn a_job_completes_and_a_cron_job_makes_jobs() {
    let store = store(1).await;
    let job = "spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: 'task:1'}]}}}";
    apply(&store, &format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{name: load, namespace: default}}\n{job}")).await;
    eventually("complete", 30, async || condition(&get(&store, "batch/v1", "Job", "load").await, "Complete")["status"] == "True").await;
    assert_eq!(get(&store, "batch/v1", "Job", "load").await["status"]["succeeded"], 1);
    apply(
        &store,
        "{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly, namespace: default}, spec: {schedule: '*/5 * * * *',
          jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: 'task:1'}]}}}}}}",
    )
    .await;
    eventually("twice", 700, async || {
        let jobs = list(&store, "batch/v1", "Job").await;
        jobs.iter()
            .filter(|job| job["metadata"]["name"].to_string().contains("nightly-") && condition(job, "Complete")["status"] == "True")
            .count()
            == 2
    })
    .await;
    let cron_job = get(&store, "batch/v1", "CronJob", "nightly").await;
    assert!(cron_job["status"]["lastSuccessfulTime"].is_string(), "{cron_job}");
}

#[tokio::test(start_paused = true)]
async fn a_service_has_an_address_and_its_ready_pods_behind_it() {
    let store = store(1).await;
    apply(&store, &deployment("shop/web:1", 2)).await;
    apply(
        &store,
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}",
    )
    .await;
    eventually("endpoints", 20, async || {
        let slices = list(&store, "discovery.k8s.io/v1", "EndpointSlice").await;
        slices.iter().any(|slice| {
            let endpoints = slice["endpoints"].as_array().cloned().unwrap_or_default();
            endpoints.len() == 2 && endpoints.iter().all(|e| e["conditions"]["ready"] == true)
        })
    })
    .await;
    let service = get(&store, "v1", "Service", "web").await;
    assert!(service["spec"]["clusterIP"].as_str().is_some_and(|ip| ip.starts_with("10.")), "{service}");
    assert!(service["status"]["loadBalancer"]["ingress"][0]["ip"].is_string(), "{service}");
}

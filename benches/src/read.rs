//! The read model of a large fleet: what people wait for when they look at it.
//!
//! A hub in memory with 10,000 ManagedClusters of ten Applications and twenty workloads each; questions come the way
//! a browser's do, over the hub's own endpoints, while a cluster reports every 10 ms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use api::cluster::{ManagedCluster, condition, label};
use api::conditions::{self, Said, TRUE};
use api::hub::{ClusterRow, Page, path};
use controller::{Clock, Runtime};
use futures::StreamExt;
use hub::{Hub, HubOptions};
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use records::{Facets, Frame, Intake, Report};
use serde_json::json;

use crate::report::{Latencies, rss_kib};

const CLUSTERS: usize = 10_000;
const APPS: u64 = 10;
const WORKLOADS: u64 = 20;
const ROUNDS: usize = 200;
const AT_A_TIME: usize = 64;

pub async fn run() -> anyhow::Result<()> {
    let hub = hub::start(HubOptions::new(Runtime::new(Clock::wall()))).await?;
    let begun = Instant::now();
    let before = rss_kib("self");
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    let made = futures::stream::iter(0..CLUSTERS).map(|number| make(&clusters, &hub, number)).buffer_unordered(AT_A_TIME);
    let made: Vec<anyhow::Result<()>> = made.collect().await;
    made.into_iter().collect::<anyhow::Result<()>>()?;
    println!("{CLUSTERS} clusters with {APPS} Applications and {WORKLOADS} workloads each, made in {:.0} s", begun.elapsed().as_secs_f64());
    let connection = hub.api.connector().connect(&hub.admin_kubeconfig())?;
    loop {
        let page: Page<ClusterRow> = serde_json::from_slice(&ask(&connection, &format!("{}?limit=1&status=Ready", path::CLUSTERS)).await?)?;
        if page.total as usize == CLUSTERS - CLUSTERS / 100 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("read model ready after: {:.0} s", begun.elapsed().as_secs_f64());
    println!("whole hub, memory per cluster: {:.0} KiB", (rss_kib("self") - before) as f64 / CLUSTERS as f64);

    let reporting = tokio::spawn(report_on(hub.clone()));
    for (name, path) in [
        ("clusters, first page of 50", format!("{}?limit=50", path::CLUSTERS)),
        ("clusters, a page of 500 by last sign of life", format!("{}?limit=500&sort=-lastSeen", path::CLUSTERS)),
        ("clusters, by text, state and label", format!("{}?limit=50&q=7&status=Ready&labelSelector=format%3Dmall", path::CLUSTERS)),
        ("fleet, aggregated", path::FLEET.to_owned()),
        ("fleet, the tiles of a set", format!("{}?set=set-3", path::FLEET)),
        ("problems", path::PROBLEMS.to_owned()),
        ("apps, first page of 50", format!("{}?limit=50", path::APPS)),
        ("apps, matrix", path::APPS_MATRIX.to_owned()),
        ("one cluster", path::cluster("store-04711")),
    ] {
        let mut latencies = Latencies::default();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            ask(&connection, &path).await?;
            latencies.add(begun.elapsed());
            if start.elapsed() > Duration::from_secs(30) {
                break;
            }
        }
        latencies.print(name, start.elapsed());
    }
    reporting.abort();
    hub.stop().await;
    Ok(())
}

/// Returns what the hub answers to one question.
pub async fn ask(connection: &tunnel::Connection, path: &str) -> anyhow::Result<bytes::Bytes> {
    let request = http::Request::get(path).body(tunnel::body::empty())?;
    let answer = tunnel::send(&connection.http, request).await.map_err(|e| anyhow::anyhow!("{path}: {e}"))?;
    let status = answer.status();
    let bytes = tunnel::body::collect(answer.into_body(), 1 << 30).await.map_err(|e| anyhow::anyhow!("{path}: {e}"))?;
    if !status.is_success() {
        bail!("{path}: {status} {}", String::from_utf8_lossy(&bytes));
    }
    Ok(bytes)
}

async fn make(clusters: &Api<ManagedCluster>, hub: &Hub, number: usize) -> anyhow::Result<()> {
    let name = name(number);
    let labels = json!({
        label::CLUSTER_SET: format!("set-{}", number % 8),
        "region": format!("region-{}", number % 5),
        "format": (["mall", "flagship", "outlet", "kiosk"][number % 4]),
    });
    let object: ManagedCluster = serde_json::from_value(json!({
        "apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster",
        "metadata": {"name": name, "labels": labels, "annotations": {"muster.dev/cluster-uid": uid(number)}},
        "spec": {"hubAcceptsClient": true},
    }))?;
    clusters.create(&PostParams::default(), &object).await?;
    let mut all = Vec::new();
    conditions::set(&mut all, &Said::new(condition::AVAILABLE, TRUE, "ManagedClusterAvailable", "available"), Timestamp::now());
    let status = json!({"status": {"conditions": all, "version": {"kubernetes": "v1.33.1"}}});
    clusters.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
    hub.records.append(intake(number, 1, "Synced")).await?;
    Ok(())
}

fn name(number: usize) -> String {
    format!("store-{number:05}")
}

fn uid(number: usize) -> String {
    format!("uid-{number:05}")
}

/// Everything that a store has to tell; each hundredth has a bad image.
fn intake(number: usize, first: u64, sync: &str) -> Intake {
    let now = Timestamp::now();
    let is_bad = number.is_multiple_of(100);
    let report = |sequence: u64, kind: &str, key: String, value: serde_json::Value| {
        Frame::Report(Report {
            sequence,
            kind: kind.to_owned(),
            key,
            is_state: true,
            observed_at: now,
            value: serde_json::value::to_raw_value(&value).ok(),
            facets: Facets::new(),
        })
    };
    let apps = (0..APPS).map(|app| {
        let value = json!({
            "namespace": "argocd", "name": format!("app-{app}"), "project": "default", "repo": "https://git.example/shop.git",
            "path": format!("apps/app-{app}"), "targetRevision": "prod", "revision": "0123456789abcdef0123456789abcdef01234567",
            "sync": sync, "health": "Healthy", "syncSince": now, "healthSince": now, "engine": "native", "operation": "Succeeded", "resources": 7,
        });
        report(first + app, "application", format!("argocd/app-{app}"), value)
    });
    let workloads = (0..WORKLOADS).map(|workload| {
        let image = format!("registry.example/shop/app-{workload}:1.4.2");
        let mut value = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": format!("app-{workload}"), "images": [image],
            "desired": 2, "ready": 2, "health": "Healthy", "since": now, "application": format!("argocd/app-{}", workload % APPS),
        });
        value["digests"][&image] = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03".into();
        if is_bad && workload == 0 {
            value["trouble"] = json!({"reason": "ImagePullBackOff", "message": "back-off pulling image", "image": image, "pods": 1});
        }
        report(first + APPS + workload, "workload", format!("Deployment/shop/app-{workload}"), value)
    });
    Intake {
        cluster: name(number),
        cluster_uid: uid(number),
        incarnation: "bench".into(),
        received_at: now,
        skew_ms: Some(0),
        frames: apps.chain(workloads).collect(),
    }
}

/// Lets one cluster after the other tell everything anew.
async fn report_on(hub: Hub) {
    let hub = Arc::new(hub);
    for number in (0..CLUSTERS).cycle() {
        // The second time on, these are repetitions, which cost no less to look at.
        let sync = if number.is_multiple_of(2) { "OutOfSync" } else { "Synced" };
        if hub.records.append(intake(number, 1 + APPS + WORKLOADS, sync)).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

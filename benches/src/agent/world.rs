//! A hub and a store over TLS, and what the store is to run.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use controller::Runtime;
use hub::{Hub, HubOptions};
use jiff::SignedDuration;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::{Value, json};
use sim::cluster::{Options, Store};
use sim::driver::EventLevel;
use sim::spec::StoreSpec;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::git::Repository;

pub const CLUSTER: &str = "store-0001";
/// Workloads by ManifestWork, and by Application.
const BY_WORK: usize = 4;
const BY_GIT: usize = 6;
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub struct World {
    pub bootstrap: Kubeconfig,
    pub local: Kubeconfig,
    hub: Hub,
    store: Store,
    repository: Repository,
}

impl World {
    /// Starts all but the agent; `hub_has_git`: the hub mirrors Git for the store.
    pub async fn start(runtime: &Runtime, directory: &Path, hub_has_git: bool) -> anyhow::Result<Self> {
        let mut options = HubOptions::new(runtime.clone());
        options.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        options.git = hub_has_git.then(|| hub::gitserver::Options::new(directory.join("mirrors")));
        let hub = hub::start(options).await?;
        let bootstrap = hub.bootstrap_kubeconfig(SignedDuration::from_hours(1)).await.map_err(|error| anyhow::anyhow!(error.full()))?;
        let disk_turns = Arc::new(Semaphore::new(1));
        let options = Options { seed: 1, dir: None, hub: None, events: EventLevel::All, disk_turns, drawings: Default::default() };
        let store = Store::start(runtime, StoreSpec::named(CLUSTER), options).await?;
        let local = store.serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?).await?;
        let local = Kubeconfig::from_yaml(&local)?;
        let files: Vec<_> = (0..BY_GIT).map(|number| file(number, "1.0")).collect();
        let repository = Repository::serve(runtime, directory, &files).await?;
        Ok(Self { bootstrap, local, hub, store, repository })
    }

    pub async fn stop(&self) {
        // What a store that ends cannot write is of no use here.
        let _ = self.store.stop().await;
        self.hub.stop().await;
    }

    /// Waits until the hub sees the cluster as available.
    pub async fn until_joined(&self, patience: Duration) -> anyhow::Result<()> {
        let clusters = api(&self.hub.client, "cluster.open-cluster-management.io/v1", "ManagedCluster", None);
        until("the cluster is available", patience, async || {
            let cluster = clusters.get_opt(CLUSTER).await.ok()??;
            is_true(&cluster, "ManagedClusterConditionAvailable").then_some(())
        })
        .await
    }

    /// Creates the works: some hold workloads, one the Application.
    pub async fn give_workloads(&self) -> anyhow::Result<()> {
        for number in 0..BY_WORK {
            let name = format!("work-{number}");
            let manifests = [namespace("till"), deployment(&name, "till", "1.0"), service(&name, "till"), config(&name, "till")];
            self.create_work(&name, manifests.to_vec()).await?;
        }
        let application = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": {"repoURL": self.repository.url, "targetRevision": "main", "path": "."},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["CreateNamespace=true"]},
        }});
        self.create_work("shop", vec![namespace("argocd"), application]).await
    }

    async fn create_work(&self, name: &str, manifests: Vec<Value>) -> anyhow::Result<()> {
        let work = json!({"apiVersion": "work.open-cluster-management.io/v1", "kind": "ManifestWork",
            "metadata": {"name": name, "namespace": CLUSTER}, "spec": {"workload": {"manifests": manifests}}});
        let work: DynamicObject = serde_json::from_value(work)?;
        self.works().create(&PostParams::default(), &work).await.with_context(|| format!("ManifestWork {name}"))?;
        Ok(())
    }

    /// Waits until all is applied, healthy, and known on the hub.
    pub async fn until_settled(&self, patience: Duration) -> anyhow::Result<()> {
        until("all works are applied and available", patience, async || {
            let works = self.works().list(&Default::default()).await.ok()?.items;
            let is_settled = |work: &DynamicObject| is_true(work, "Applied") && is_true(work, "Available");
            (works.len() == BY_WORK + 1 && works.iter().all(is_settled)).then_some(())
        })
        .await?;
        until("the Application is Synced and Healthy on the store", patience, async || self.application(None).await).await?;
        until("the hub knows the workloads", patience, async || {
            let told = self.hub.records.list(records::Query::of("workload")).await.ok()?.rows;
            let value = |row: &records::Row| serde_json::from_str(row.value.as_ref()?.get()).ok();
            let is_healthy = |row: &records::Row| value(row).is_some_and(|value: Value| value["health"] == "Healthy");
            (told.iter().filter(|row| is_healthy(row)).count() >= BY_WORK + BY_GIT).then_some(())
        })
        .await
    }

    /// Changes one workload in Git; returns the commit.
    pub fn commit(&self) -> anyhow::Result<String> {
        self.repository.commit(&[file(0, "1.1")])
    }

    /// Waits until a commit is live.
    pub async fn until_synced(&self, commit: &str, patience: Duration) -> anyhow::Result<()> {
        until("the commit is Synced and Healthy", patience, async || self.application(Some(commit)).await).await
    }

    async fn application(&self, commit: Option<&str>) -> Option<()> {
        let applications = api(&self.store.client(), "argoproj.io/v1alpha1", "Application", Some("argocd"));
        let application = applications.get_opt("shop").await.ok()??;
        let status = &application.data["status"];
        let is_settled = status["sync"]["status"] == "Synced" && status["health"]["status"] == "Healthy";
        (is_settled && commit.is_none_or(|commit| status["sync"]["revision"] == commit)).then_some(())
    }

    fn works(&self) -> Api<DynamicObject> {
        api(&self.hub.client, "work.open-cluster-management.io/v1", "ManifestWork", Some(CLUSTER))
    }
}

fn api(client: &Client, api_version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

fn is_true(object: &DynamicObject, condition: &str) -> bool {
    let conditions = object.data["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == condition && c["status"] == "True"))
}

async fn until(what: &str, patience: Duration, holds: impl AsyncFn() -> Option<()>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while holds().await.is_none() {
        if begun.elapsed() > patience {
            bail!("not within {} s: {what}", patience.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn deployment(name: &str, namespace: &str, version: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": name, "image": format!("registry.example.com/{name}:{version}"),
                "ports": [{"containerPort": 8080}], "env": [{"name": "STORE", "value": CLUSTER}],
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}]}}}})
}

fn service(name: &str, namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}})
}

fn config(name: &str, namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"mode": "till"}})
}

/// One workload as a file of the repository; JSON is YAML.
fn file(number: usize, version: &str) -> (String, String) {
    let name = format!("app-{number}");
    let objects = [deployment(&name, "shop", version), service(&name, "shop"), config(&name, "shop")];
    let documents: Vec<String> = objects.iter().map(|object| format!("{object:#}\n")).collect();
    (format!("{name}.yaml"), documents.join("---\n"))
}

//! What one write costs an API server: processor time and allocations, fan-out to watchers included.
//!
//! One thread and one request after another: what the thread spends is what the writes cost. The store is in memory,
//! as that of a simulated cluster; each kind has three watchers: two of whole objects, one of metadata only.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use apiserver::user::UserInfo;
use apiserver::{ApiServer, Body, Caller, Options};
use controller::{Clock, Runtime};
use futures::FutureExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};

const ROUNDS: usize = 2_000;
const WARM: usize = 200;
const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const MANAGER: &str = "fieldManager=kube-controller-manager";

const WATCHED: [&str; 6] = [
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets",
    "/api/v1/pods",
    "/api/v1/events",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/argoproj.io/v1alpha1/applications",
];

/// Measures each kind of write; `allocations` says how many there have been.
pub async fn run(definition: Value, allocations: fn() -> u64) -> anyhow::Result<()> {
    pki::tls::install_provider();
    let mut bench = Bench::start(definition, allocations).await?;
    println!("{:<44} {:>9} {:>12} {:>12}", "one write, three watchers", "us", "allocations", "bytes");
    bench.deployment().await?;
    bench.replica_set().await?;
    bench.pods().await?;
    bench.others().await?;
    bench.application().await?;
    let namespace = "/api/v1/namespaces/shop";
    bench.measure("get namespace", GET, |_| (namespace.to_owned(), Value::Null)).await
}

/// A method and the media type of its body.
#[derive(Clone, Copy)]
struct Write {
    method: &'static str,
    media: &'static str,
}

const CREATE: Write = Write { method: "POST", media: JSON };
const REPLACE: Write = Write { method: "PUT", media: JSON };
const PATCH: Write = Write { method: "PATCH", media: "application/merge-patch+json" };
const APPLIED: Write = Write { method: "PATCH", media: APPLY };
const DELETE: Write = Write { method: "DELETE", media: JSON };
const GET: Write = Write { method: "GET", media: JSON };

struct Bench {
    server: ApiServer,
    watchers: Vec<Body>,
    seen: usize,
    allocations: fn() -> u64,
}

impl Bench {
    async fn start(definition: Value, allocations: fn() -> u64) -> anyhow::Result<Self> {
        let store = Arc::new(store::MemoryStore::default());
        let options = Options { store, ..Options::ephemeral(Runtime::new(Clock::wall()))? };
        let server = ApiServer::new(options).await.map_err(|status| anyhow::anyhow!("{status}"))?;
        let mut bench = Self { server, watchers: Vec::new(), seen: 0, allocations };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        bench.send("POST", "/api/v1/namespaces", JSON, namespace.to_string()).await?;
        bench.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", JSON, definition.to_string()).await?;
        for path in WATCHED {
            for accept in [JSON, JSON, METADATA] {
                let request = Request::get(format!("{path}?watch=1")).header("accept", accept).body(body(String::new()))?;
                let response = bench.server.handle(request, Caller::Known(UserInfo::admin("bench"))).await;
                anyhow::ensure!(response.status().is_success(), "watch of {path}: {}", response.status());
                bench.watchers.push(response.into_body());
            }
        }
        Ok(bench)
    }

    /// Sends one request and takes what the watchers are sent; what the server does by itself afterwards is done as well.
    async fn send(&mut self, method: &str, target: &str, media: &str, text: String) -> anyhow::Result<Response<Body>> {
        let request = Request::builder().method(method).uri(target).header("content-type", media).header("accept", JSON);
        let request = request.header("user-agent", "bench/1").body(body(text))?;
        let response = self.server.handle(request, Caller::Known(UserInfo::admin("bench"))).await;
        if !response.status().is_success() {
            let status = response.status();
            let why = response.into_body().collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
            anyhow::bail!("{method} {target}: {status}: {}", String::from_utf8_lossy(&why));
        }
        tokio::task::yield_now().await;
        for watcher in &mut self.watchers {
            while let Some(Some(Ok(frame))) = watcher.frame().now_or_never() {
                self.seen += frame.data_ref().map_or(0, |data| data.len());
            }
        }
        Ok(response)
    }

    async fn read(&mut self, target: &str) -> anyhow::Result<Value> {
        let response = self.send("GET", target, JSON, String::new()).await?;
        let bytes = response.into_body().collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Sends requests made beforehand, and prints what one of them cost.
    async fn measure(&mut self, name: &str, write: Write, request: impl Fn(usize) -> (String, Value)) -> anyhow::Result<()> {
        let requests = (0..WARM + ROUNDS).map(request).map(|(target, body)| (target, body.to_string()));
        let requests: Vec<(String, String)> = requests.collect();
        let mut begun = (self.seen, (self.allocations)(), cpu_time());
        for (round, (target, body)) in requests.into_iter().enumerate() {
            if round == WARM {
                begun = (self.seen, (self.allocations)(), cpu_time());
            }
            self.send(write.method, &target, write.media, body).await.with_context(|| name.to_owned())?;
        }
        let (seen, allocations, time) = begun;
        self.print(name, cpu_time() - time, (self.allocations)() - allocations, self.seen - seen);
        Ok(())
    }

    fn print(&self, name: &str, elapsed: Duration, allocations: u64, seen: usize) {
        let rounds = ROUNDS as f64;
        let us = elapsed.as_secs_f64() * 1e6 / rounds;
        println!("{name:<44} {us:>9.1} {:>12.0} {:>12.0}", allocations as f64 / rounds, seen as f64 / rounds);
    }

    async fn deployment(&mut self) -> anyhow::Result<()> {
        let target = "/apis/apps/v1/namespaces/shop/deployments/till?fieldManager=argocd-controller&force=true";
        let config = |image: usize| deployment(&format!("registry.example/shop/till:{image}"));
        self.send("PATCH", target, APPLY, config(0).to_string()).await?;
        let status = format!("/apis/apps/v1/namespaces/shop/deployments/till/status?{MANAGER}");
        self.measure("merge patch deployments/status", PATCH, |round| (status.clone(), deployment_status(round))).await?;
        self.measure("apply deployment, unchanged", APPLIED, |_| (target.to_owned(), config(0))).await?;
        self.measure("apply deployment, another image", APPLIED, |round| (target.to_owned(), config(round + 1))).await
    }

    async fn replica_set(&mut self) -> anyhow::Result<()> {
        let owner = self.read("/apis/apps/v1/namespaces/shop/deployments/till").await?;
        let target = format!("/apis/apps/v1/namespaces/shop/replicasets?{MANAGER}");
        self.send("POST", &target, JSON, replica_set(&owner).to_string()).await?;
        let target = format!("/apis/apps/v1/namespaces/shop/replicasets/till-7c5ddbdf54/status?{MANAGER}");
        self.measure("merge patch replicasets/status", PATCH, |round| {
            let ready = round % 3;
            let status = json!({
                "replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": 1,
            });
            (target.clone(), json!({ "status": status }))
        })
        .await
    }

    async fn pods(&mut self) -> anyhow::Result<()> {
        let owner = self.read("/apis/apps/v1/namespaces/shop/replicasets/till-7c5ddbdf54").await?;
        let name = |round: usize| format!("till-7c5ddbdf54-{round:05}");
        let of = |round: usize, part: &str| format!("/api/v1/namespaces/shop/pods/{}{part}?{MANAGER}", name(round));
        let pods = format!("/api/v1/namespaces/shop/pods?{MANAGER}");
        self.measure("create pod", CREATE, |round| (pods.clone(), pod(&owner, &name(round)))).await?;
        self.measure("pods/binding", CREATE, |round| {
            let target = json!({"apiVersion": "v1", "kind": "Node", "name": "node-1"});
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name(round)}, "target": target});
            (of(round, "/binding"), binding)
        })
        .await?;
        let status = |round: usize| json!({"status": pod_status(round)});
        self.measure("merge patch pods/status", PATCH, |round| (of(round, "/status"), status(round))).await?;
        self.measure("merge patch pods/status, again", PATCH, |round| (of(round, "/status"), status(round + 1))).await?;
        let of = |round: usize| format!("/api/v1/namespaces/shop/pods/{}", name(round));
        self.measure("delete pod, marked", DELETE, |round| (of(round), json!({"propagationPolicy": "Background"}))).await?;
        self.measure("delete pod, at once", DELETE, |round| (of(round), json!({"gracePeriodSeconds": 0}))).await
    }

    async fn others(&mut self) -> anyhow::Result<()> {
        let events = format!("/api/v1/namespaces/shop/events?{MANAGER}");
        self.measure("create event", CREATE, |round| (events.clone(), event(round))).await?;
        let slices = format!("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?{MANAGER}");
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints(0),
            "metadata": {"name": "till-x", "labels": {"kubernetes.io/service-name": "till",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        });
        self.send("POST", &slices, JSON, slice.to_string()).await?;
        let target = format!("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/till-x?{MANAGER}");
        self.measure("merge patch endpointslice", PATCH, |round| (target.clone(), json!({"endpoints": endpoints(round)}))).await
    }

    async fn application(&mut self) -> anyhow::Result<()> {
        let target = "/apis/argoproj.io/v1alpha1/namespaces/shop/applications";
        self.send("POST", &format!("{target}?fieldManager=muster"), JSON, application().to_string()).await?;
        let target = format!("{target}/till?fieldManager=argocd-controller");
        let mut object = self.read(&target).await?;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        self.measure("put application", REPLACE, |round| {
            let mut object = object.clone();
            object["status"] = application_status(round);
            (target.clone(), object)
        })
        .await?;
        self.measure("merge patch application status", PATCH, |round| {
            (target.clone(), json!({"status": {"reconciledAt": time(round), "health": {"status": "Degraded"}}}))
        })
        .await
    }
}

/// Returns the time this thread has spent on processors, as the kernel counts it.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

fn body(text: String) -> Body {
    http_body_util::Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Returns a time that differs from round to round.
fn time(round: usize) -> String {
    format!("2026-01-01T{:02}:{:02}:{:02}Z", round / 3600 % 24, round / 60 % 60, round % 60)
}

fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "till", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "7c5ddbdf54"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"}},
        "spec": {
            "containers": [{
                "name": "till", "image": image, "args": ["--listen=:8080", "--store=store-0001"],
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "metrics", "containerPort": 9090, "protocol": "TCP"}],
                "env": [{"name": "STORE", "value": "store-0001"}, {"name": "REGION", "value": "north"}, {"name": "LOG", "value": "info"},
                    {"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
                "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 10},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/till", "readOnly": true}, {"name": "tmp", "mountPath": "/tmp"}],
            }],
            "volumes": [{"name": "config", "configMap": {"name": "till-config"}}, {"name": "tmp", "emptyDir": {}}],
        },
    })
}

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "till", "namespace": "shop", "labels": {"app": "till", "app.kubernetes.io/part-of": "shop"},
            "annotations": {"argocd.argoproj.io/tracking-id": "till:apps/Deployment:shop/till"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "till"}}, "template": template(image)},
    })
}

fn owner_references(owner: &Value) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true}])
}

fn deployment_status(round: usize) -> Value {
    let ready = round % 3;
    json!({"status": {
        "observedGeneration": 1, "replicas": 3, "updatedReplicas": round % 4, "readyReplicas": ready, "availableReplicas": ready,
        "unavailableReplicas": 3 - ready,
        "conditions": [
            {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "lastUpdateTime": time(round),
             "lastTransitionTime": time(0), "message": "Deployment does not have minimum availability."},
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "lastUpdateTime": time(round),
             "lastTransitionTime": time(0), "message": "ReplicaSet \"till-7c5ddbdf54\" is progressing."},
        ],
    }})
}

fn replica_set(owner: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "till-7c5ddbdf54", "namespace": "shop", "ownerReferences": owner_references(owner),
            "labels": {"app": "till", "pod-template-hash": "7c5ddbdf54"},
            "annotations": {"deployment.kubernetes.io/desired-replicas": "3", "deployment.kubernetes.io/max-replicas": "4",
                "deployment.kubernetes.io/revision": "1"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "till", "pod-template-hash": "7c5ddbdf54"}},
            "template": template("registry.example/shop/till:1")},
    })
}

fn pod(owner: &Value, name: &str) -> Value {
    let template = template("registry.example/shop/till:1");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "ownerReferences": owner_references(owner),
            "labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"]},
        "spec": template["spec"],
    })
}

fn pod_status(round: usize) -> Value {
    let condition = |name: &str, at: usize| json!({"type": name, "status": "True", "lastProbeTime": null, "lastTransitionTime": time(at)});
    json!({
        "phase": "Running", "hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}], "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}],
        "startTime": time(0),
        "conditions": [condition("PodReadyToStartContainers", round), condition("Initialized", 0), condition("Ready", round),
            condition("ContainersReady", round), condition("PodScheduled", 0)],
        "containerStatuses": [{
            "name": "till", "image": "registry.example/shop/till:1", "ready": true, "started": true, "restartCount": 0,
            "imageID": "registry.example/shop/till@sha256:0f3b3e3a8f2a6a3a5c9f2f4f7f3d0d7c2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d",
            "containerID": "containerd://6c9f2f4f7f3d0d7c2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d0f3b3e3a8f2a6a3a", "lastState": {},
            "state": {"running": {"startedAt": time(round)}},
        }],
    })
}

fn event(round: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("till.{round:016x}"), "namespace": "shop"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "till-7c5ddbdf54-00001",
            "uid": "4f0e0a4e-6c0f-4b8f-9d57-0d0f3a1b2c3d"},
        "type": "Normal", "reason": "Scheduled", "message": "Successfully assigned shop/till-7c5ddbdf54-00001 to node-1", "count": 1,
        "firstTimestamp": time(round), "lastTimestamp": time(round), "source": {"component": "default-scheduler"},
        "reportingComponent": "default-scheduler", "reportingInstance": "",
    })
}

fn endpoints(round: usize) -> Value {
    let endpoint = |number: usize| {
        json!({
            "addresses": [format!("10.1.{}.{number}", round % 256)], "nodeName": "node-1",
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": format!("till-7c5ddbdf54-{number}"),
                "uid": "4f0e0a4e-6c0f-4b8f-9d57-0d0f3a1b2c3d"},
        })
    };
    (1..=3).map(endpoint).collect()
}

fn application() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "till", "namespace": "shop", "labels": {"wave": "canary", "region": "north"},
            "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
        "spec": {"project": "default", "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "source": {"repoURL": "https://git.example/shop.git", "path": "overlays/north", "targetRevision": "main"},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["ServerSideApply=true"]}},
    })
}

/// About ten kilobytes: thirty resources twice, and a history.
fn application_status(round: usize) -> Value {
    let resource = |number: usize| {
        json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": format!("till-{number}"),
            "status": "Synced", "syncWave": number % 3, "health": {"status": "Healthy"}})
    };
    let result = |number: usize| {
        json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": format!("till-{number}"),
            "status": "Synced", "hookPhase": "Running", "syncPhase": "Sync", "message": "deployment.apps/till serverside-applied"})
    };
    let source = application()["spec"]["source"].clone();
    let history = |id: usize| {
        json!({"id": id, "revision": "0f3b3e3a8f2a6a3a5c9f2f4f7f3d0d7c2a1b0c9d", "deployedAt": time(id), "deployStartedAt": time(id),
            "source": source})
    };
    json!({
        "health": {"status": if round.is_multiple_of(2) { "Healthy" } else { "Progressing" }, "lastTransitionTime": time(round)},
        "reconciledAt": time(round),
        "sync": {"status": "Synced", "revision": "0f3b3e3a8f2a6a3a5c9f2f4f7f3d0d7c2a1b0c9d",
            "comparedTo": {"source": source, "destination": application()["spec"]["destination"]}},
        "resources": (0..30).map(resource).collect::<Vec<_>>(),
        "history": (0..5).map(history).collect::<Vec<_>>(),
        "operationState": {"phase": "Succeeded", "message": "successfully synced (all tasks run)", "startedAt": time(0), "finishedAt": time(1),
            "operation": {"sync": {"revision": "0f3b3e3a8f2a6a3a5c9f2f4f7f3d0d7c2a1b0c9d"}},
            "syncResult": {"revision": "0f3b3e3a8f2a6a3a5c9f2f4f7f3d0d7c2a1b0c9d", "source": source,
                "resources": (0..30).map(result).collect::<Vec<_>>()}},
        "summary": {"images": ["registry.example/shop/till:1"]},
    })
}

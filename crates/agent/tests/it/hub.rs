//! A hub for the agent to join: our API server, an administrator who accepts clusters, and the endpoints that
//! agents use. (The real hub has tests of its own; the two meet in whole-system tests.)

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use api::cluster::ManagedCluster;
use api::hub::HubInfo;
use api::report::{Ack, Down, Lines, Refused, RefusedReason, Up, Welcome, decode, encode};
use apiserver::user::UserInfo;
use apiserver::{ApiServer, Body, Options, Route};
use async_trait::async_trait;
use controller::{Clock, Runtime};
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tunnel::body;

pub const TOKEN: &str = "bootstrap";

pub struct Server {
    pub api: ApiServer,
    pub admin: Client,
    pub runtime: Runtime,
    pub ca: Arc<pki::Authority>,
}

pub async fn server(clock: Clock, routes: Vec<(String, Arc<dyn Route>)>) -> Server {
    pki::tls::install_provider();
    let runtime = Runtime::new(clock);
    let options = Options {
        static_tokens: vec![(TOKEN.into(), UserInfo::new("bootstrap", &["system:masters"]))],
        routes,
        ..Options::ephemeral(runtime.clone()).unwrap()
    };
    let ca = options.ca.clone();
    let api = ApiServer::new(options).await.unwrap();
    let admin = api.client(UserInfo::admin("admin"));
    Server { api, admin, runtime, ca }
}

impl Server {
    /// Serves TLS; returns a bootstrap kubeconfig.
    pub async fn serve(&self) -> Kubeconfig {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issued = self.ca.sign_server(&["127.0.0.1".to_owned()], self.runtime.clock.now(), SignedDuration::from_hours(1)).unwrap();
        let address = self.api.serve(listener, pki::tls::server_config(&issued, &self.ca).unwrap()).unwrap();
        let ca = serde_json::to_value(k8s_openapi::ByteString(self.ca.certificate_pem().into_bytes())).unwrap();
        let mut kubeconfig = bootstrap();
        let cluster = kubeconfig.clusters[0].cluster.as_mut().unwrap();
        cluster.server = Some(format!("https://{address}"));
        cluster.certificate_authority_data = ca.as_str().map(str::to_owned);
        kubeconfig
    }
}

/// What the hub's endpoints saw and say.
#[derive(Default)]
pub struct Desk {
    pub identity: Mutex<Option<HubInfo>>,
    /// By kind and key: the last value.
    pub held: Mutex<BTreeMap<(String, String), Value>>,
    /// By cluster UID and incarnation: the last sequence.
    pub sequences: Mutex<BTreeMap<(String, String), u64>>,
    pub gaps: Mutex<Vec<(u64, u64)>>,
    /// Streams are refused while this is set.
    pub is_closed: Mutex<bool>,
    /// Ends the streams that are open.
    pub cut: tokio::sync::Notify,
    pub clock: OnceLock<Clock>,
    /// As many times an agent is told that its certificate is unknown.
    pub rejections: Mutex<u32>,
}

#[async_trait]
impl Route for DeskRoute {
    async fn handle(&self, request: Request<Body>, user: &UserInfo) -> Response<Body> {
        let desk = self.0.clone();
        let status = |status: StatusCode| Response::builder().status(status).body(body::empty()).unwrap();
        if user.username != "bootstrap" && *desk.rejections.lock() > 0 {
            *desk.rejections.lock() -= 1;
            return status(StatusCode::UNAUTHORIZED);
        }
        let info = desk.identity.lock().clone();
        let Some(info) = info else { return status(StatusCode::NOT_FOUND) };
        if request.method() == Method::GET && request.uri().path() == "/muster/v1/hub" {
            return Response::new(body::full(serde_json::to_vec(&info).unwrap()));
        }
        if request.uri().path().ends_with("/reports") && !*desk.is_closed.lock() {
            let (sender, answers) = body::channel(16);
            tokio::spawn(async move {
                let mut upload = request.into_body();
                let mut lines = Lines::default();
                let mut who = None;
                loop {
                    let frame = tokio::select! {
                        frame = upload.frame() => frame,
                        () = desk.cut.notified() => return,
                    };
                    let Some(Ok(frame)) = frame else { return };
                    lines.push(frame.data_ref().unwrap());
                    let mut last = None;
                    while let Ok(Some(line)) = lines.next_line() {
                        match desk.take(&info, &mut who, decode(&line).unwrap()) {
                            Some(Down::Ack(ack)) => last = Some(Down::Ack(ack)),
                            Some(other) => drop(sender.send(encode(&other).unwrap().into()).await),
                            None => {}
                        }
                    }
                    if let Some(ack) = last {
                        drop(sender.send(encode(&ack).unwrap().into()).await);
                    }
                }
            });
            return Response::new(answers);
        }
        status(StatusCode::NOT_FOUND)
    }
}

pub struct DeskRoute(pub Arc<Desk>);

impl Desk {
    fn now(&self) -> jiff::Timestamp {
        self.clock.get().map_or_else(jiff::Timestamp::now, Clock::now)
    }

    fn take(&self, info: &HubInfo, who: &mut Option<(String, String)>, frame: Up) -> Option<Down> {
        let mut sequences = self.sequences.lock();
        if let Up::Hello(hello) = &frame {
            let key = (hello.cluster_uid.clone(), hello.incarnation.clone());
            let acknowledged = *sequences.entry(key.clone()).or_default();
            *who = Some(key);
            let welcome = Welcome { hub_uid: info.uid.clone(), epoch: info.epoch, acknowledged, hub_time: self.now() };
            return Some(Down::Welcome(welcome));
        }
        let stands = sequences.get_mut(who.as_ref().unwrap()).unwrap();
        let (first, last) = (frame.first_sequence().unwrap(), frame.last_sequence().unwrap());
        if first != *stands + 1 {
            let message = format!("{first} after {stands}");
            return Some(Down::Refused(Refused { reason: RefusedReason::Protocol, message }));
        }
        *stands = last;
        match frame {
            Up::Report(report) => {
                let key = (report.kind.to_string(), report.key);
                match report.value {
                    Some(value) => self.held.lock().insert(key, serde_json::from_str(value.get()).unwrap()),
                    None => self.held.lock().remove(&key),
                };
            }
            Up::Gap(gap) => self.gaps.lock().push((gap.from, gap.to)),
            Up::Complete(_) | Up::Hello(_) => {}
        }
        Some(Down::Ack(Ack { sequence: last }))
    }
}

pub struct Hub {
    pub server: Server,
    pub desk: Arc<Desk>,
}

/// Starts a hub that accepts every cluster.
pub async fn hub() -> Hub {
    let hub = slow_hub().await;
    hub.approve();
    hub
}

impl Hub {
    /// Approves all certificate requests from now on.
    pub fn approve(&self) {
        self.server.runtime.spawn("approve", approve(self.server.admin.clone()));
    }

    /// Signs certificate requests, each for the next of these times and then for the last of them.
    pub fn sign(&self, validities: &[SignedDuration]) {
        let (ca, clock) = (self.server.ca.clone(), self.server.runtime.clock.clone());
        self.server.runtime.spawn("sign", sign(self.server.admin.clone(), ca, clock, validities.to_vec()));
    }
}

/// Starts a hub that accepts clusters, and answers no certificate request until [`Hub::approve`].
pub async fn slow_hub() -> Hub {
    hub_at(Clock::wall()).await
}

/// Starts such a hub at a time of its own.
pub async fn hub_at(clock: Clock) -> Hub {
    let desk = Arc::new(Desk::default());
    desk.clock.set(clock.clone()).unwrap();
    *desk.identity.lock() = Some(HubInfo { uid: "hub-1".into(), epoch: 1, version: "test".into() });
    let server = server(clock, vec![("/muster/v1".into(), Arc::new(DeskRoute(desk.clone())))]).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(server.admin.clone());
    for definition in api::hub_crds() {
        definitions.create(&PostParams::default(), &definition).await.unwrap();
    }
    let clusters: Api<ManagedCluster> = Api::all(server.admin.clone());
    crate::eventually("the hub serves ManagedClusters", async || clusters.list(&Default::default()).await.ok()).await;
    server.runtime.spawn("accept", accept(server.admin.clone()));
    Hub { server, desk }
}

async fn accept(admin: Client) {
    let clusters: Api<ManagedCluster> = Api::all(admin.clone());
    let mut seen = watcher(clusters.clone(), Default::default()).default_backoff().touched_objects().boxed();
    while let Some(cluster) = seen.next().await {
        let Ok(cluster) = cluster else { continue };
        let name = cluster.name_any();
        if cluster.spec.hub_accepts_client {
            continue;
        }
        let objects = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": format!("agent-{name}")},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": format!("system:open-cluster-management:{name}")}]}),
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "managed-cluster-lease", "namespace": name}}),
        ];
        for object in objects {
            crate::create(&admin, object).await;
        }
        let accepted = json!({"spec": {"hubAcceptsClient": true, "leaseDurationSeconds": 1}});
        clusters.patch(&name, &PatchParams::default(), &Patch::Merge(accepted)).await.unwrap();
        let condition = json!({"type": "HubAcceptedManagedCluster", "status": "True", "reason": "HubClusterAdminAccepted", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {"conditions": [condition]}});
        clusters.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
}

async fn approve(admin: Client) {
    let requests: Api<CertificateSigningRequest> = Api::all(admin);
    let mut seen = watcher(requests.clone(), Default::default()).default_backoff().touched_objects().boxed();
    while let Some(request) = seen.next().await {
        let Ok(request) = request else { continue };
        if request.status.as_ref().is_some_and(|s| s.conditions.is_some()) {
            continue;
        }
        assert_eq!(request.annotations()["muster.dev/cluster-uid"].len(), 36);
        let condition =
            json!({"type": "Approved", "status": "True", "reason": "Test", "message": "", "lastUpdateTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {"conditions": [condition]}});
        requests.patch_approval(&request.name_any(), &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
}

async fn sign(admin: Client, ca: Arc<pki::Authority>, clock: Clock, validities: Vec<SignedDuration>) {
    let requests: Api<CertificateSigningRequest> = Api::all(admin);
    let mut seen = watcher(requests.clone(), Default::default()).default_backoff().touched_objects().boxed();
    let mut signed = 0;
    while let Some(request) = seen.next().await {
        let Ok(request) = request else { continue };
        if request.status.as_ref().is_some_and(|s| s.certificate.is_some()) {
            continue;
        }
        let asked = pki::Request::from_pem(&request.spec.request.0).unwrap();
        let validity = validities[signed.min(validities.len() - 1)];
        signed += 1;
        let certificate = ca.sign_request(&asked, pki::Usage::Client, clock.now(), validity).unwrap();
        let status = json!({"status": {"certificate": k8s_openapi::ByteString(certificate.into_bytes())}});
        requests.patch_status(&request.name_any(), &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
}

pub fn bootstrap() -> Kubeconfig {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: hub\ncontexts: [{{name: hub, context: {{cluster: hub, user: bootstrap}}}}]\n\
         clusters: [{{name: hub, cluster: {{server: 'https://hub.example:6443'}}}}]\nusers: [{{name: bootstrap, user: {{token: {TOKEN}}}}}]"
    );
    Kubeconfig::from_yaml(&text).unwrap()
}

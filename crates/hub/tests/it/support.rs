//! A hub in memory, a hand-made agent, and waiting for what should become true.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use api::cluster::{ManagedCluster, annotation, condition, identity};
use api::conditions::{Said, TRUE};
use controller::{Clock, Runtime};
use hub::{Hub, HubOptions};
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::json;

pub async fn hub() -> Hub {
    hub_with(Clock::wall()).await
}

pub async fn hub_with(clock: Clock) -> Hub {
    let mut options = HubOptions::new(Runtime::new(clock));
    options.entropy = apiserver::Entropy::seeded(7);
    hub::start(options).await.expect("a hub")
}

/// Waits until `found` returns something; panics with the last explanation after ten seconds.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(mut found: impl FnMut() -> F) -> T {
    let mut last = String::new();
    for _ in 0..1_000 {
        match found().await {
            Ok(value) => return value,
            Err(why) => last = why,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not become true: {last}");
}

/// Waits until an object is as wanted.
pub async fn until<K>(api: &Api<K>, name: &str, is_so: impl Fn(&K) -> bool) -> K
where
    K: Clone + Debug + serde::de::DeserializeOwned + 'static,
{
    eventually(|| async {
        match api.get_opt(name).await.map_err(|e| e.to_string())? {
            Some(object) if is_so(&object) => Ok(object),
            other => Err(format!("{name} is {other:#?}")),
        }
    })
    .await
}

/// Waits until an object is gone.
pub async fn until_gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + Debug + serde::de::DeserializeOwned + 'static,
{
    eventually(|| async {
        match api.get_opt(name).await.map_err(|e| e.to_string())? {
            Some(object) => Err(format!("{name} is still {object:#?}")),
            None => Ok(()),
        }
    })
    .await;
}

pub struct Agent {
    pub name: String,
    pub connection: tunnel::Connection,
}

impl Agent {
    pub fn client(&self) -> Client {
        self.connection.client.clone()
    }

    /// Joins with a bootstrap token as an agent would, until it holds a certificate that works.
    pub async fn join(hub: &Hub, name: &str, uid: &str) -> Self {
        let bootstrap = bootstrap(hub).await;
        create_cluster(&bootstrap.client, name).await.expect("a ManagedCluster");
        let (request, key) = request(name, uid);
        let request = Api::all(bootstrap.client.clone()).create(&PostParams::default(), &request).await.expect("a request");
        let requests: Api<CertificateSigningRequest> = Api::all(bootstrap.client);
        let signed =
            until(&requests, &request.metadata.name.unwrap(), |r| r.status.as_ref().is_some_and(|s| s.certificate.is_some())).await;
        let certificate = signed.status.unwrap().certificate.unwrap().0;
        let agent = Self { name: name.into(), connection: connect(hub, &certificate, &key) };
        let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
        until(&clusters, name, |c| api::conditions::is_true(c.conditions(), condition::HUB_ACCEPTED)).await;
        agent
    }

    /// Says that the cluster is available, and has these labels.
    pub async fn is_available(&self, hub: &Hub, labels: serde_json::Value) {
        let clusters: Api<ManagedCluster> = Api::all(self.client());
        eventually(|| async {
            let cluster = clusters.get(&self.name).await.map_err(|e| e.to_string())?;
            let mut all = cluster.conditions().to_vec();
            let said = Said::new(condition::AVAILABLE, TRUE, "ManagedClusterAvailable", "");
            api::conditions::set(&mut all, &said, jiff::Timestamp::UNIX_EPOCH);
            let patch = json!({"metadata": {"resourceVersion": cluster.metadata.resource_version}, "status": {"conditions": all}});
            clusters.patch_status(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(|e| e.to_string())
        })
        .await;
        let as_admin: Api<ManagedCluster> = Api::all(hub.client.clone());
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        as_admin.patch(&self.name, &PatchParams::default(), &patch).await.expect("labels");
        until(&as_admin, &self.name, |c| c.spec.taints.is_empty()).await;
    }
}

pub async fn bootstrap(hub: &Hub) -> tunnel::Connection {
    let kubeconfig = hub.bootstrap_kubeconfig(SignedDuration::from_hours(1)).await.expect("a token");
    hub.api.connector().connect(&kubeconfig).expect("a connection")
}

pub async fn create_cluster(client: &Client, name: &str) -> kube::Result<ManagedCluster> {
    Api::all(client.clone()).create(&PostParams::default(), &ManagedCluster::new(name, Default::default())).await
}

pub fn request(name: &str, uid: &str) -> (CertificateSigningRequest, pki::Key) {
    let key = pki::Key::generate().expect("a key");
    let orgs = [identity::cluster_group(name), identity::ALL_CLUSTERS_GROUP.to_owned()];
    let pem = key.csr(&identity::agent_user(name, "agent-1"), &orgs).expect("a request");
    let request = CertificateSigningRequest {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            labels: Some([(api::CLUSTER_NAME_LABEL.to_owned(), name.to_owned())].into()),
            annotations: Some([(annotation::REQUESTER_CLUSTER_UID.to_owned(), uid.to_owned())].into()),
            ..Default::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: "kubernetes.io/kube-apiserver-client".into(),
            usages: Some(["digital signature", "key encipherment", "client auth"].map(str::to_owned).to_vec()),
            ..Default::default()
        },
        status: None,
    };
    (request, key)
}

pub fn connect(hub: &Hub, certificate: &[u8], key: &pki::Key) -> tunnel::Connection {
    let base64 = |bytes: &[u8]| serde_json::to_value(ByteString(bytes.to_vec())).expect("plain data");
    let kubeconfig: Kubeconfig = serde_json::from_value(json!({
        "clusters": [{"name": "hub", "cluster": {"server": hub.url}}],
        "users": [{"name": "agent", "user": {
            "client-certificate-data": base64(certificate), "client-key-data": base64(key.pem().as_bytes()),
        }}],
        "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": "agent"}}],
        "current-context": "hub",
    }))
    .expect("a kubeconfig");
    hub.api.connector().connect(&kubeconfig).expect("a connection")
}

pub fn code<T: Debug>(result: kube::Result<T>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

//! A hub in memory: embedded API server, admission, reconcilers, and a token to join with.

use std::sync::Arc;

use apiserver::user::UserInfo;
use apiserver::{ApiServer, Entropy, Options};
use controller::Runtime;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::Kubeconfig;
use serde_json::json;
use sim::HubAccess;

const TOKEN_ID: &str = "mustra";
const TOKEN_SECRET: &str = "0123456789abcdef";

/// A running hub.
pub struct Hub {
    pub server: ApiServer,
    pub context: Arc<hub::Context>,
    runtime: Runtime,
}

impl Hub {
    /// Starts a hub that accepts whoever has its token.
    pub async fn start(runtime: &Runtime) -> Self {
        let runtime = runtime.child();
        let ca = pki::Authority::create("muster-hub", runtime.clock.now(), SignedDuration::from_hours(24 * 365)).expect("a CA");
        let key = pki::Key::generate().expect("a key");
        let server = ApiServer::new(Options {
            store: Arc::new(store::MemoryStore::new(store::Retention::hub())),
            runtime: runtime.clone(),
            ca: Arc::new(ca),
            tokens: Arc::new(pki::token::Signer::new("https://kubernetes.default.svc", &key).expect("a signer")),
            static_tokens: Vec::new(),
            admission: hub::admission::plugins(runtime.clock.clone()),
            routes: Vec::new(),
            connects: Vec::new(),
            kubernetes_version: "v1.33.1".into(),
            lazy: Vec::new(),
            entropy: Entropy::seeded(1),
            url: "https://hub.invalid".into(),
        });
        let server = server.await.expect("the hub's API server starts");
        let client = server.client(admin());
        make_token(&client).await;
        let options = hub::Options { auto_accept: hub::AutoAccept::bootstrappers() };
        let context = hub::run(client, runtime.clone(), options).await.expect("the hub starts");
        Self { server, context, runtime }
    }

    /// Returns a client of the hub's administrator.
    pub fn client(&self) -> kube::Client {
        self.server.client(admin())
    }

    /// Returns what an agent needs to join.
    pub fn access(&self) -> HubAccess {
        let bootstrap = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bootstrap",
            "clusters": [{"name": "hub", "cluster": {"server": "https://hub.invalid"}}],
            "users": [{"name": "bootstrap", "user": {"token": format!("{TOKEN_ID}.{TOKEN_SECRET}")}}],
            "contexts": [{"name": "bootstrap", "context": {"cluster": "hub", "user": "bootstrap"}}],
        });
        let bootstrap: Kubeconfig = serde_json::from_value(bootstrap).expect("a kubeconfig");
        HubAccess { connector: self.server.connector(), bootstrap }
    }

    pub async fn stop(&self) {
        self.runtime.stop().await;
    }
}

fn admin() -> UserInfo {
    UserInfo { username: "admin".into(), groups: vec!["system:masters".into()], ..UserInfo::default() }
}

/// Makes the bootstrap token that `muster token` would make.
async fn make_token(client: &kube::Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let meta = |name: &str| ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    // The server may have made it itself.
    let _ = namespaces.create(&PostParams::default(), &Namespace { metadata: meta("kube-system"), ..Namespace::default() }).await;
    let fields = [
        ("token-id", TOKEN_ID),
        ("token-secret", TOKEN_SECRET),
        ("usage-bootstrap-authentication", "true"),
        ("auth-extra-groups", api::cluster::identity::BOOTSTRAP_GROUP),
    ];
    let secret = Secret {
        metadata: meta(&format!("bootstrap-token-{TOKEN_ID}")),
        type_: Some("bootstrap.kubernetes.io/token".into()),
        data: Some(fields.map(|(k, v)| (k.to_owned(), k8s_openapi::ByteString(v.into()))).into()),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "kube-system");
    secrets.create(&PostParams::default(), &secret).await.expect("the token is made");
}

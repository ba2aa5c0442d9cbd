//! A server in memory.

use std::sync::Arc;

use apiserver::user::UserInfo;
use apiserver::{ApiServer, Entropy, Options};
use controller::{Clock, Runtime};
use jiff::SignedDuration;

pub struct Server {
    pub api: ApiServer,
    pub admin: kube::Client,
}

pub async fn start() -> Server {
    start_on(Arc::new(store::MemoryStore::new(store::Retention::small()))).await
}

pub async fn start_on(store: Arc<dyn store::Store>) -> Server {
    pki::tls::install_provider();
    let clock = Clock::wall();
    let runtime = Runtime::new(clock.clone());
    let ca = pki::Authority::create("test", clock.now(), SignedDuration::from_hours(24)).expect("a CA");
    let key = pki::Key::generate().expect("a key");
    let options = Options {
        store,
        runtime,
        ca: Arc::new(ca),
        tokens: Arc::new(pki::token::Signer::new("https://kubernetes.default.svc", &key).expect("a signer")),
        static_tokens: vec![("secret".into(), UserInfo::admin("admin"))],
        admission: Vec::new(),
        routes: Vec::new(),
        connects: Vec::new(),
        kubernetes_version: "v1.33.1".into(),
        lazy: Vec::new(),
        entropy: Entropy::seeded(1),
        url: "https://localhost:6443".into(),
    };
    let api = ApiServer::new(options).await.expect("a server");
    let admin = api.client(UserInfo::admin("admin"));
    Server { api, admin }
}

//! Our API server in memory: in process, where a test may look into it, or over TLS.

use std::sync::Arc;

use apiserver::user::UserInfo;
use apiserver::{ApiServer, Options};
use base64::Engine;
use controller::{Clock, Runtime};
use jiff::SignedDuration;

/// A server that runs in this process.
pub struct Server {
    pub api: ApiServer,
    pub admin: kube::Client,
    pub ca: Arc<pki::Authority>,
    pub clock: Clock,
    pub tokens: Arc<pki::token::Signer>,
}

/// What the administrator's token is over TLS.
pub const TOKEN: &str = "secret";

/// Starts an empty server.
pub async fn start() -> Server {
    start_on(Arc::new(store::MemoryStore::new(store::Retention::small()))).await
}

/// Starts a server on a store.
pub async fn start_on(store: Arc<dyn store::Store>) -> Server {
    pki::tls::install_provider();
    let clock = Clock::wall();
    let ephemeral = Options::ephemeral(Runtime::new(clock.clone())).expect("a CA");
    let options = Options { store, static_tokens: vec![(TOKEN.into(), UserInfo::admin("admin"))], ..ephemeral };
    let (ca, tokens) = (options.ca.clone(), options.tokens.clone());
    let api = ApiServer::new(options).await.expect("a server");
    let admin = api.client(UserInfo::admin("admin"));
    Server { api, admin, ca, clock, tokens }
}

impl Server {
    /// Serves TLS on a free port; returns the administrator's kubeconfig as YAML.
    pub async fn serve(&self) -> String {
        let names = ["127.0.0.1".into(), "localhost".into()];
        let issued = self.ca.sign_server(&names, self.clock.now(), SignedDuration::from_hours(24)).expect("a certificate");
        let tls = pki::tls::server_config(&issued, &self.ca).expect("a configuration");
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = self.api.serve(listener, tls).expect("a listener");
        kubeconfig(&format!("https://{address}"), &self.ca, TOKEN)
    }
}

/// Returns a kubeconfig for a token.
pub fn kubeconfig(url: &str, ca: &pki::Authority, token: &str) -> String {
    let ca = base64::engine::general_purpose::STANDARD.encode(ca.certificate_pem());
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: '{url}', certificate-authority-data: {ca}}}}}]\n\
         users: [{{name: test, user: {{token: {token}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n"
    )
}

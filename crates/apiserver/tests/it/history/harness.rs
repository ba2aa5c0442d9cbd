//! Servers to test: on any store, on a wall or virtual clock, in process or over TLS.

use std::sync::Arc;

use apiserver::user::UserInfo;
use apiserver::{ApiServer, Options};
use base64::Engine;
use controller::{Clock, Runtime};
use http_body_util::BodyExt;
use jiff::SignedDuration;
use serde_json::Value;
use store::Store;
use tunnel::Connector;

pub struct Server {
    pub api: ApiServer,
    pub admin: kube::Client,
    pub store: Arc<dyn Store>,
}

pub async fn start(store: Arc<dyn Store>, clock: Clock) -> Server {
    pki::tls::install_provider();
    let options = Options {
        store: store.clone(),
        static_tokens: vec![("secret".into(), UserInfo::admin("admin"))],
        ..Options::ephemeral(Runtime::new(clock)).expect("a CA")
    };
    let api = ApiServer::new(options).await.expect("a server");
    let admin = api.client(UserInfo::admin("admin"));
    Server { api, admin, store }
}

/// Serves TLS on a free port and returns an HTTP/2 client of it.
pub async fn over_tls(server: &Server) -> kube::Client {
    let now = server.api.runtime().clock.now();
    let issued = server.api.ca().sign_server(&["127.0.0.1".into()], now, SignedDuration::from_hours(24)).expect("a certificate");
    let tls = pki::tls::server_config(&issued, server.api.ca()).expect("a configuration");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = server.api.serve(listener, tls).expect("an address");
    let ca = base64::engine::general_purpose::STANDARD.encode(server.api.ca().certificate_pem());
    let kubeconfig = serde_json::from_value(serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("https://{address}"), "certificate-authority-data": ca}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }));
    tunnel::TlsConnector.connect(&kubeconfig.expect("a kubeconfig")).expect("a client").client
}

/// What the server answered.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Reply {
    pub fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.body);
        self.body
    }

    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// Sends one request; `media` is the type of the body.
pub async fn send(client: &kube::Client, method: &str, url: &str, media: &str, body: impl Into<Vec<u8>>) -> Reply {
    let request = http::Request::builder().method(method).uri(url).header("content-type", media);
    let request = request.body(kube::client::Body::from(body.into())).expect("a request");
    let response = client.send(request).await.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap_or_else(|error| panic!("{method} {url}: {error}")).to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    Reply { code: parts.status.as_u16(), headers: parts.headers, body }
}

/// Sends a JSON body; `Null` is none.
pub async fn ask(client: &kube::Client, method: &str, url: &str, body: Value) -> Reply {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into() };
    send(client, method, url, "application/json", body).await
}

/// Waits until something is so.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

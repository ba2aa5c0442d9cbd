//! The server that is measured, in a process of its own: this program started again.
//!
//! Everything is as in production: a durable store, TLS, and a user that is nobody special: a service
//! account with a Role for ConfigMaps in one namespace. What must outlive a kill (authority,
//! token key, port, kubeconfig) stands in the directory.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use apiserver::user::UserInfo;
use apiserver::{ApiServer, Entropy, Options};
use base64::Engine;
use controller::{Clock, Runtime};
use jiff::SignedDuration;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

pub const NAMESPACE: &str = "bench";
/// An object whose writes may be acknowledged before they are on disk.
pub const LAZY_NAME: &str = "lazy";
const USER: &str = "bench";
const DAY: SignedDuration = SignedDuration::from_hours(24);
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until killed; says `ready` when it does.
pub async fn serve(directory: &Path) -> anyhow::Result<()> {
    pki::tls::install_provider();
    let clock = Clock::wall();
    let ca = Arc::new(authority(directory, &clock)?);
    let issued = ca.sign_server(&["127.0.0.1".into(), "localhost".into()], clock.now(), DAY)?;
    let tls = pki::tls::server_config(&issued, &ca)?;
    let listener = listen(directory).await?;
    let url = format!("https://{}", listener.local_addr()?);
    let issuer = "https://kubernetes.default.svc";
    let options = Options {
        store: Arc::new(store::SqliteStore::open(directory.join("store"), store::Options::default())?),
        runtime: Runtime::new(clock),
        ca: ca.clone(),
        tokens: Arc::new(pki::token::Signer::load_or_create(issuer, &directory.join("tokens.pem"))?),
        static_tokens: Vec::new(),
        admission: Vec::new(),
        routes: Vec::new(),
        connects: Vec::new(),
        kubernetes_version: "v1.33.1".into(),
        lazy: vec![("configmaps".into(), LAZY_NAME.into())],
        entropy: Entropy::system(),
        url: url.clone(),
    };
    let server = ApiServer::new(options).await.map_err(|status| anyhow::anyhow!("{status}"))?;
    server.serve(listener, tls)?;
    let kubeconfig = directory.join("kubeconfig");
    if !kubeconfig.exists() {
        let token = create_user(server.client(UserInfo::admin("admin"))).await?;
        let authority = base64::engine::general_purpose::STANDARD.encode(ca.certificate_pem());
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {"server": url, "certificate-authority-data": authority}}],
            "users": [{"name": "bench", "user": {"token": token}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench", "namespace": NAMESPACE}}],
        });
        std::fs::write(&kubeconfig, config.to_string())?;
    }
    println!("ready");
    std::future::pending().await
}

fn authority(directory: &Path, clock: &Clock) -> anyhow::Result<pki::Authority> {
    let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
    if certificate.exists() {
        return Ok(pki::Authority::load(&certificate, &key)?);
    }
    let authority = pki::Authority::create("bench", clock.now(), DAY)?;
    authority.save(&certificate, &key)?;
    Ok(authority)
}

/// Listens on the port of last time, or on any.
async fn listen(directory: &Path) -> anyhow::Result<tokio::net::TcpListener> {
    let path = directory.join("port");
    let port: u16 = std::fs::read_to_string(&path).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("port {port}"))?;
    std::fs::write(&path, listener.local_addr()?.port().to_string())?;
    Ok(listener)
}

/// Creates a user who may do with ConfigMaps of one namespace what they like; returns their token.
async fn create_user(admin: kube::Client) -> anyhow::Result<String> {
    let post = PostParams::default();
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    Api::<Namespace>::all(admin.clone()).create(&post, &namespace).await?;
    let accounts = Api::<ServiceAccount>::namespaced(admin.clone(), NAMESPACE);
    accounts.create(&post, &serde_json::from_value(json!({"metadata": {"name": USER}}))?).await?;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"],
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]}]);
    let role: Role = serde_json::from_value(json!({"metadata": {"name": USER}, "rules": rules}))?;
    Api::<Role>::namespaced(admin.clone(), NAMESPACE).create(&post, &role).await?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": USER},
        "subjects": [{"kind": "ServiceAccount", "name": USER, "namespace": NAMESPACE}],
    }))?;
    Api::<RoleBinding>::namespaced(admin, NAMESPACE).create(&post, &binding).await?;
    let spec = TokenRequestSpec { expiration_seconds: Some(12 * 3600), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let issued = accounts.create_token_request(USER, &post, &request).await?;
    issued.status.and_then(|status| status.token).context("the token request was not answered")
}

/// A server process; killed when dropped.
pub struct Server {
    process: tokio::process::Child,
    directory: PathBuf,
}

impl Server {
    /// Starts a server on a directory and waits until it serves.
    pub async fn start(directory: &Path) -> anyhow::Result<Server> {
        std::fs::create_dir_all(directory)?;
        let mut process = tokio::process::Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(directory)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().context("the output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await.context("the server did not get ready")??;
        anyhow::ensure!(line.as_deref() == Some("ready"), "the server ended instead of getting ready");
        Ok(Server { process, directory: directory.to_owned() })
    }

    /// Kills it as `kill -9` does, and waits for its end.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }

    pub fn rss_kib(&self) -> u64 {
        self.process.id().map_or(0, |pid| crate::report::rss_kib(&pid.to_string()))
    }

    /// Returns the time the server has spent on processors.
    pub fn cpu_time(&self) -> Duration {
        self.process.id().map_or(Duration::ZERO, crate::report::cpu_time)
    }

    pub fn kubeconfig(&self) -> anyhow::Result<Kubeconfig> {
        Ok(Kubeconfig::read_from(self.directory.join("kubeconfig"))?)
    }

    /// Returns a client over TLS as the user of the kubeconfig.
    pub async fn client(&self) -> anyhow::Result<kube::Client> {
        let config = kube::Config::from_custom_kubeconfig(self.kubeconfig()?, &KubeConfigOptions::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Waits until the server has been idle for some seconds, or ten have passed.
    pub async fn settle(&self) {
        let start = Instant::now();
        let mut before = self.cpu_time();
        while start.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = self.cpu_time();
            if now - before <= Duration::from_millis(20) {
                return;
            }
            before = now;
        }
    }
}

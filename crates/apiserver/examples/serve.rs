//! Serves an empty control plane in memory: `cargo run -p apiserver --example serve -- 6443 /tmp/kubeconfig`.

use std::sync::Arc;

use apiserver::user::UserInfo;
use apiserver::{ApiServer, Entropy, Options};
use base64::Engine;
use controller::{Clock, Runtime};
use jiff::SignedDuration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().unwrap_or_else(|| "6443".into()).parse()?;
    let kubeconfig = args.next().unwrap_or_else(|| "kubeconfig".into());
    let directory = args.next();
    pki::tls::install_provider();
    let clock = Clock::wall();
    let ca = Arc::new(pki::Authority::create("example", clock.now(), SignedDuration::from_hours(24))?);
    let issued = ca.sign_server(&["127.0.0.1".into(), "localhost".into()], clock.now(), SignedDuration::from_hours(24))?;
    let tls = pki::tls::server_config(&issued, &ca)?;
    let store: Arc<dyn store::Store> = match directory {
        Some(directory) => Arc::new(store::SqliteStore::open(directory, store::Options::default())?),
        None => Arc::new(store::MemoryStore::new(store::Retention::hub())),
    };
    let options = Options {
        store,
        runtime: Runtime::new(clock),
        ca: ca.clone(),
        tokens: Arc::new(pki::token::Signer::new("https://kubernetes.default.svc", &pki::Key::generate()?)?),
        static_tokens: vec![("secret".into(), UserInfo::admin("admin"))],
        admission: Vec::new(),
        routes: Vec::new(),
        connects: Vec::new(),
        kubernetes_version: "v1.33.1".into(),
        lazy: Vec::new(),
        entropy: Entropy::system(),
        url: format!("https://127.0.0.1:{port}"),
    };
    let server = ApiServer::new(options).await.map_err(|s| s.to_string())?;
    server.serve(tokio::net::TcpListener::bind(("127.0.0.1", port)).await?, tls)?;
    let ca_data = base64::engine::general_purpose::STANDARD.encode(ca.certificate_pem());
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', \
         certificate-authority-data: {ca_data}}}}}]\nusers: [{{name: u, user: {{token: secret}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(&kubeconfig, text)?;
    println!("serving on {port}, KUBECONFIG={kubeconfig}");
    tokio::signal::ctrl_c().await?;
    Ok(())
}

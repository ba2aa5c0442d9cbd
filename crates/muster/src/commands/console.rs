//! `muster console`: a link that opens the web console.
//!
//! A fleet of `muster up` has a console process; whoever can read the secret in its directory gets a link from it. For
//! any other hub, `--kubeconfig` serves a console here, for as long as this command runs, as the user of that file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use console::{Options, TICKETS_PATH};
use controller::{Clock, Runtime};
use kube::config::Kubeconfig;
use tokio::net::TcpListener;
use tunnel::{Connector, TlsConnector};

use super::part;
use crate::layout::{Fleet, Layout, Part, write_whole};
use crate::process;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 64 << 10;
const SECRET_BYTES: usize = 32;

#[derive(Args)]
pub struct Open {
    /// Directory of a fleet that `muster up` started.
    #[arg(long, default_value = ".muster", env = "MUSTER_DIR")]
    dir: PathBuf,
    /// Kubeconfig of a hub: serves its console here until Ctrl-C, as the user of this file; goes before --dir.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// With --kubeconfig: the port on 127.0.0.1; 0 for any.
    #[arg(long, default_value_t = 7445)]
    port: u16,
}

impl Open {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match &self.kubeconfig {
            Some(kubeconfig) => serve_here(kubeconfig, self.port).await?,
            None => {
                let layout = Layout::new(&self.dir);
                let fleet = layout.existing()?;
                say!("{}", link(&layout, &fleet).await?);
                eprintln!("{}", how_long());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn how_long() -> String {
    format!("the link works once, within {} s; `muster console` prints another", console::TICKET_LIFE.as_secs())
}

/// Asks the console of a fleet for a link.
pub async fn link(layout: &Layout, fleet: &Fleet) -> anyhow::Result<String> {
    if !process::is_running(layout, Part::Console) {
        let dir = layout.dir.display();
        bail!("the console of the fleet in {dir} does not run; `muster up --dir {dir}` starts it");
    }
    let path = secret_path(layout);
    let secret = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let server = tunnel::to_server(&format!("http://127.0.0.1:{}", fleet.console_port()))?;
    let request = http::Request::post(TICKETS_PATH)
        .header(http::header::AUTHORIZATION, format!("Bearer {}", secret.trim()))
        .body(tunnel::body::empty())?;
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, tunnel::send(&server, request)).await;
    let response = answer.context("the console does not answer")?.map_err(|error| anyhow!("the console cannot be reached: {error}"))?;
    let status = response.status();
    let bytes = tunnel::body::collect(response.into_body(), ANSWER_BYTES_MAX).await.map_err(|error| anyhow!("{error}"))?;
    let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match document["link"].as_str() {
        Some(link) => Ok(link.to_owned()),
        None => bail!("the console answered {status}: {}", document["message"].as_str().unwrap_or("no reason given")),
    }
}

/// Serves the console of a fleet until somebody asks this process to end.
pub async fn serve_part(runtime: &Runtime, layout: &Layout) -> anyhow::Result<()> {
    let fleet = layout.existing()?;
    let secret = pki::token::random_hex(SECRET_BYTES)?;
    // Only the owner of the fleet reads it, and it is new at each start.
    write_whole(&secret_path(layout), secret.as_bytes(), 0o600)?;
    serve(runtime, &layout.kubeconfig(), fleet.console_port(), Some(secret)).await?;
    part::asked_to_stop().await
}

async fn serve_here(kubeconfig: &Path, port: u16) -> anyhow::Result<()> {
    let runtime = Runtime::new(Clock::wall());
    let console = serve(&runtime, kubeconfig, port, None).await?;
    say!("{}", console.link()?);
    eprintln!("the link works once, within {} s; Ctrl-C ends the console", console::TICKET_LIFE.as_secs());
    part::asked_to_stop().await?;
    runtime.stop().await;
    Ok(())
}

async fn serve(runtime: &Runtime, kubeconfig: &Path, port: u16, secret: Option<String>) -> anyhow::Result<console::Console> {
    let config = Kubeconfig::read_from(kubeconfig).with_context(|| format!("failed to read the kubeconfig {}", kubeconfig.display()))?;
    let hub = TlsConnector.connect(&config).with_context(|| format!("kubeconfig {}", kubeconfig.display()))?.http;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))?;
    if !console::is_built() {
        tracing::warn!("this program was built without the console's pages: `make build` builds both");
    }
    Ok(console::Console::serve(listener, Options { runtime: runtime.clone(), hub, secret })?)
}

fn secret_path(layout: &Layout) -> PathBuf {
    // Its name while it is written must not be that of the pid file.
    layout.dir.join("console-secret")
}

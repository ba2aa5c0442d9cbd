//! The hub as this command asks it.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use api::hub::Page;
use clap::Args;
use kube::config::Kubeconfig;
use serde::de::DeserializeOwned;
use tunnel::{Connection, Connector, TlsConnector};

use crate::layout::Layout;

/// The largest page asked of the read model.
const PAGE: usize = 500;
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Which hub a command is about.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Directory of a fleet that `muster up` started.
    #[arg(long, default_value = ".muster", env = "MUSTER_DIR")]
    pub dir: PathBuf,
    /// Kubeconfig of a hub; goes before --dir.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
}

impl Target {
    pub fn layout(&self) -> Layout {
        Layout::new(&self.dir)
    }

    pub fn connect(&self) -> anyhow::Result<Hub> {
        match &self.kubeconfig {
            Some(path) => Hub::connect(path),
            None => {
                let layout = self.layout();
                layout.existing()?;
                Hub::connect(&layout.kubeconfig())
            }
        }
    }
}

/// A connection to a hub; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    connection: Connection,
}

impl Hub {
    pub fn connect(kubeconfig: &Path) -> anyhow::Result<Self> {
        let config = Kubeconfig::read_from(kubeconfig).with_context(|| format!("failed to read the kubeconfig {}", kubeconfig.display()))?;
        let connection = TlsConnector.connect(&config).with_context(|| format!("kubeconfig {}", kubeconfig.display()))?;
        Ok(Self { connection })
    }

    pub fn client(&self) -> kube::Client {
        self.connection.client.clone()
    }

    /// Returns a document; a refusal is an error with the hub's words.
    pub async fn get(&self, path: &str, accept: &str) -> anyhow::Result<serde_json::Value> {
        let request = http::Request::get(path).header(http::header::ACCEPT, accept).body(tunnel::body::empty())?;
        let response = tunnel::send(&self.connection.http, request).await.map_err(|e| anyhow!("the hub cannot be reached: {e}"))?;
        let status = response.status();
        let bytes = tunnel::body::collect(response.into_body(), ANSWER_BYTES_MAX).await.map_err(|e| anyhow!("the hub's answer ended early: {e}"))?;
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).unwrap_or_else(|_| serde_json::Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        if !status.is_success() {
            let said = value["message"].as_str().or(value.as_str()).unwrap_or("no reason given").to_owned();
            bail!("the hub answered {status}: {said}");
        }
        Ok(value)
    }

    /// Returns all rows of a read model endpoint, page by page.
    pub async fn rows<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut rows = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let after = next.map(|token| format!("&continue={}", percent_encode(&token))).unwrap_or_default();
            let page = self.get(&format!("{path}?limit={PAGE}{after}"), "application/json").await?;
            let page: Page<T> = serde_json::from_value(page).with_context(|| format!("the hub's answer to {path} is not understood"))?;
            rows.extend(page.items);
            next = page.next;
            if next.is_none() {
                return Ok(rows);
            }
        }
    }
}

fn percent_encode(text: &str) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

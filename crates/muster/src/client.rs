//! The hub as this command asks it.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use api::hub::{Page, path};
use apimachinery::uri::percent_encode;
use bytes::Bytes;
use clap::Args;
use kube::config::Kubeconfig;
use serde::de::DeserializeOwned;
use tunnel::{Connection, Connector, TlsConnector};

use crate::layout::{Layout, Part};
use crate::process;

/// The largest page asked of the read model.
const PAGE: usize = 5_000;
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
                if !layout.kubeconfig().exists() && !process::is_running(&layout, Part::Hub) {
                    bail!("{}", not_running(&layout));
                }
                Ok(Hub { layout: Some(layout.clone()), ..Hub::connect(&layout.kubeconfig())? })
            }
        }
    }
}

/// A connection to a hub; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    connection: Connection,
    kubeconfig: PathBuf,
    /// The fleet whose hub it is, if it is one of `muster up`.
    layout: Option<Layout>,
}

impl Hub {
    pub fn connect(kubeconfig: &Path) -> anyhow::Result<Self> {
        let config =
            Kubeconfig::read_from(kubeconfig).with_context(|| format!("failed to read the kubeconfig {}", kubeconfig.display()))?;
        let connection = TlsConnector.connect(&config).with_context(|| format!("kubeconfig {}", kubeconfig.display()))?;
        Ok(Self { connection, kubeconfig: kubeconfig.to_owned(), layout: None })
    }

    /// Returns the text of a kubeconfig of this hub with another credential.
    pub fn with_token(&self, user: &str, token: &str) -> anyhow::Result<String> {
        with_token(&Kubeconfig::read_from(&self.kubeconfig)?, user, token)
            .with_context(|| format!("kubeconfig {}", self.kubeconfig.display()))
    }

    pub fn client(&self) -> kube::Client {
        self.connection.client.clone()
    }

    /// Returns a document; a refusal is an error with the hub's words.
    pub async fn get(&self, path: &str, accept: &str) -> anyhow::Result<serde_json::Value> {
        let bytes = self.ask(path, accept).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| serde_json::Value::String(String::from_utf8_lossy(&bytes).into_owned())))
    }

    /// Returns what is at a path, as it is.
    pub async fn get_bytes(&self, path: &str) -> anyhow::Result<Bytes> {
        self.ask(path, "*/*").await
    }

    /// Returns one answer of the hub's endpoints.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let bytes = self.ask(path, "application/json").await?;
        serde_json::from_slice(&bytes).with_context(|| format!("the hub's answer to {path} is not understood"))
    }

    /// Asks the hub to look at a repository now.
    pub async fn refresh(&self, repo: &str) -> anyhow::Result<()> {
        let path = format!("{}/refresh?{}", path::GIT, query(&[("repo", Some(repo))]));
        self.send(http::Request::post(path)).await.map(drop)
    }

    async fn ask(&self, path: &str, accept: &str) -> anyhow::Result<Bytes> {
        self.send(http::Request::get(path).header(http::header::ACCEPT, accept)).await
    }

    async fn send(&self, request: http::request::Builder) -> anyhow::Result<Bytes> {
        let request = request.body(tunnel::body::empty())?;
        let response = tunnel::send(&self.connection.http, request).await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let bytes = tunnel::body::collect(response.into_body(), ANSWER_BYTES_MAX)
            .await
            .map_err(|e| anyhow!("the hub's answer ended early: {e}"))?;
        if !status.is_success() {
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let said = value["message"].as_str().unwrap_or(if text.is_empty() { "no reason given" } else { &text });
            if status == http::StatusCode::UNAUTHORIZED {
                bail!(
                    "the hub does not accept the credential in {}: {said}; it is of another hub, expired or revoked: get a new kubeconfig",
                    self.kubeconfig.display()
                );
            }
            bail!("the hub answered {status}: {said}");
        }
        Ok(bytes)
    }

    /// Says why a hub of this machine does not answer, where that can be known.
    fn unreachable(&self, error: &dyn std::fmt::Display) -> anyhow::Error {
        match &self.layout {
            Some(layout) if !process::is_running(layout, Part::Hub) => anyhow!("{}", not_running(layout)),
            _ => anyhow!("the hub cannot be reached: {error}; check the server in {}", self.kubeconfig.display()),
        }
    }

    /// Returns all rows of a read model endpoint, page by page.
    pub async fn rows<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        self.rows_of(path, "").await
    }

    /// Returns all rows that a query filters.
    pub async fn rows_of<T: DeserializeOwned>(&self, path: &str, filter: &str) -> anyhow::Result<Vec<T>> {
        let mut rows = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let limit = PAGE.to_string();
            let page = query(&[("limit", Some(&limit)), ("continue", next.as_deref())]);
            let and = if filter.is_empty() { "" } else { "&" };
            let page: Page<T> = self.read(&format!("{path}?{filter}{and}{page}")).await?;
            rows.extend(page.items);
            next = page.next;
            if next.is_none() {
                return Ok(rows);
            }
        }
    }
}

/// Returns a query of the pairs that have a value.
pub fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| value.map(|value| format!("{name}={}", percent_encode(value))));
    given.collect::<Vec<_>>().join("&")
}

/// Returns the cluster that is current in a kubeconfig, with another credential and with nothing on this machine.
fn with_token(known: &Kubeconfig, user: &str, token: &str) -> anyhow::Result<String> {
    let (_, mut cluster, _) = tunnel::current_context(known)?;
    if let Some(path) = cluster.certificate_authority.take().filter(|path| !path.is_empty())
        && cluster.certificate_authority_data.is_none()
    {
        let pem = std::fs::read(&path).with_context(|| format!("failed to read the certificate-authority {path}"))?;
        cluster.certificate_authority_data =
            Some(serde_json::to_value(k8s_openapi::ByteString(pem))?.as_str().unwrap_or_default().to_owned());
    }
    let text = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "hub", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": user}}],
        "current-context": "hub",
    });
    Ok(apimachinery::yaml::to_string(&text))
}

fn not_running(layout: &Layout) -> String {
    format!("the hub of {} is not running; `muster up --dir {}` resumes it", layout.dir.display(), layout.dir.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_join_the_current_cluster_as_it_is_reached_from_here() {
        let ca = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(ca.path(), "PEM").expect("written");
        let known = Kubeconfig::from_yaml(&format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: b\n\
             contexts: [{{name: a, context: {{cluster: a}}}}, {{name: b, context: {{cluster: b}}}}]\n\
             clusters: [{{name: a, cluster: {{server: 'https://a'}}}}, {{name: b, cluster: {{server: 'https://b', \
             certificate-authority: '{}', tls-server-name: hub, proxy-url: 'http://proxy:3128'}}}}]",
            ca.path().display()
        ))
        .expect("a kubeconfig");
        let text = with_token(&known, "bootstrap", "id.secret").expect("made");
        let cluster = Kubeconfig::from_yaml(&text).expect("a kubeconfig").clusters.remove(0).cluster.expect("a cluster");
        let said = |value: Option<String>| value.unwrap_or_default();
        assert_eq!(said(cluster.server), "https://b");
        assert_eq!(said(cluster.certificate_authority_data), "UEVN");
        assert_eq!(said(cluster.certificate_authority), "");
        assert_eq!((said(cluster.tls_server_name), said(cluster.proxy_url)), ("hub".into(), "http://proxy:3128".into()));
        assert!(text.contains("token: id.secret"));
    }
}

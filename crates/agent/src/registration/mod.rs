//! Joining the hub and staying joined, by Open Cluster Management's protocol.
//!
//! With the bootstrap kubeconfig: create our ManagedCluster if it is not there, ask for a certificate, wait
//! until the hub accepts us and signs. With the certificate: heartbeat, status, and the next certificate when
//! the present one is in its last quarter. A credential that no longer fits (another hub in the bootstrap
//! kubeconfig, expired, rejected) is replaced by joining anew.
//!
//! [`credential::decide`] decides; this module acts. What the hub is told of the cluster is [`status`],
//! the sign of life [`heartbeat`]. Invariant: the hub's UID is that of the hub we joined, or we take no orders.

mod claims;
mod credential;
mod csr;
mod error;
mod facts;
mod heartbeat;
mod pending;
mod quantity;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::cluster::{ManagedCluster, annotation};
use api::hub::{HubInfo, path};
use futures::FutureExt;
use http::StatusCode;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use tunnel::{Connection, Connector, body};

use crate::backoff::{BackOff, between};
use crate::{Context, HubIdentity, NoHub};
use credential::{Credential, Decision, HubAddress};
pub(crate) use error::Error;
pub(crate) use facts::cluster_uid;
use pending::Pending;
pub use status::Rotation;

/// The hub is asked who it is this often; while it does not answer, more often.
const VERIFY_EVERY: Duration = Duration::from_secs(300);
const VERIFY_FIRST: Duration = Duration::from_millis(500);
const VERIFY_MOST: Duration = Duration::from_secs(15);
/// A certificate that is due as soon as it was issued (a clock is wrong, or the hub issues very short ones) is not
/// replaced more often than this.
const ISSUED_AGAIN: Duration = Duration::from_secs(60);
/// `/muster/v1/hub` is small.
const HUB_INFO_BYTES_MAX: usize = 64 * 1024;

/// Starts what a joined cluster tells its hub.
pub(crate) fn start_told(context: &Context) {
    context.runtime.spawn("heartbeat", heartbeat::run(context.clone()));
    context.runtime.spawn("cluster-status", status::run(context.clone()));
}

/// Returns what names the hub that the stored credential is for: its UID, or its address if it has none.
pub(crate) async fn joined_hub(local: &Client) -> Result<Option<String>, Error> {
    let stored = Credential::read(local).boxed().await?;
    Ok(stored.map(|credential| credential.hub_uid.unwrap_or(credential.address.server)))
}

/// Joins, and keeps the credential good for as long as the runtime lives.
pub(crate) async fn run(context: Context, bootstrap: Kubeconfig, labels: BTreeMap<String, String>, connector: Arc<dyn Connector>) {
    let mut registration = Registration {
        threshold: between(0.2, 0.25),
        unanswered: BackOff::new(VERIFY_FIRST, VERIFY_MOST),
        context,
        bootstrap,
        labels,
        connector,
        in_use: None,
        rejected: None,
    };
    let mut back_off = BackOff::new(Duration::from_millis(250), Duration::from_secs(30));
    loop {
        match registration.step().await {
            Ok(pause) => {
                back_off.reset();
                tokio::time::sleep(pause).await;
            }
            Err(error) => {
                let delay = back_off.next_delay();
                tracing::warn!(error = error.chain(), retry_in_s = delay.as_secs_f32(), "not joined");
                tokio::time::sleep(delay).await;
            }
        }
    }
}

struct Registration {
    context: Context,
    bootstrap: Kubeconfig,
    labels: BTreeMap<String, String>,
    connector: Arc<dyn Connector>,
    /// Share of a certificate's life at which the next one is asked for.
    threshold: f64,
    /// How long to wait until a hub that did not answer is asked again.
    unanswered: BackOff,
    in_use: Option<(Credential, Connection)>,
    /// The hub said that it does not know the certificate.
    rejected: Option<String>,
}

impl Registration {
    /// Does one thing about the credential; returns how long to rest.
    async fn step(&mut self) -> Result<Duration, Error> {
        let address = HubAddress::of(&self.bootstrap)?;
        let stored = match &self.in_use {
            Some((credential, _)) => Some(credential.clone()),
            None => Credential::read(&self.context.local).boxed().await?,
        };
        // The hub's clock judges certificates, not ours.
        let now = self.context.hub_now();
        let mut decision = credential::decide(stored.as_ref(), &address, &self.context.cluster_name, self.threshold, now);
        if let Some(why) = self.rejected.take() {
            decision = Decision::Join { why };
        }
        match (decision, stored) {
            (Decision::Join { why }, stored) => {
                tracing::info!(cluster = %self.context.cluster_name, hub = %address.server, why, "joining");
                self.join(&address, stored).await?;
                Ok(self.rest_after_issue(&address))
            }
            (Decision::Rotate { why }, Some(stored)) => {
                let connection = self.use_credential(stored.clone())?;
                tracing::info!(why, "rotating the certificate");
                let rotated = self.rotate(&connection, &address, &stored).await;
                let failure = rotated.as_ref().err().map(Error::chain);
                self.context.rotation.send_replace(Some(Rotation { failure }));
                rotated.map(|()| self.rest_after_issue(&address))
            }
            (Decision::Use { look_again }, Some(stored)) => {
                let connection = self.use_credential(stored)?;
                let until_rotation = Duration::try_from(now.duration_until(look_again)).unwrap_or(Duration::ZERO);
                let rest = self.verify(&connection).await?;
                Ok(rest.min(until_rotation).max(Duration::from_millis(50)))
            }
            (Decision::Rotate { .. } | Decision::Use { .. }, None) => Ok(Duration::ZERO),
        }
    }

    /// Returns how long a certificate that was just issued must serve, even if it seems to be due already.
    fn rest_after_issue(&self, address: &HubAddress) -> Duration {
        let Some((credential, _)) = &self.in_use else { return Duration::ZERO };
        let now = self.context.hub_now();
        if let Decision::Use { .. } = credential::decide(Some(credential), address, &self.context.cluster_name, self.threshold, now) {
            return Duration::ZERO;
        }
        let not_after = credential.identity.not_after;
        tracing::warn!(%not_after, "the new certificate is due already: check the clocks of cluster and hub, and how long the hub's last");
        let left = Duration::try_from(now.duration_until(not_after)).unwrap_or(ISSUED_AGAIN);
        (left / 4).min(ISSUED_AGAIN)
    }

    async fn join(&mut self, address: &HubAddress, stored: Option<Credential>) -> Result<(), Error> {
        let connection = self.connector.connect(&self.bootstrap)?;
        self.ensure_managed_cluster(&connection).boxed().await?;
        let hub = match ask(&connection).await {
            Asked::Hub(info) => Some(info),
            Asked::Plain | Asked::Rejected(_) | Asked::Nobody(_) => None,
        };
        let stored = stored.filter(|stored| stored.cluster_name == self.context.cluster_name);
        let agent_name = match &stored {
            Some(stored) => stored.agent_name.clone(),
            None => {
                let under_way = Pending::read(&self.context.local).boxed().await?;
                let under_way = under_way.filter(|pending| pending.is_for(address, &self.context.cluster_name));
                under_way.map_or_else(random_name, |pending| pending.agent_name)
            }
        };
        let old = stored.as_ref().map(|stored| stored.key.as_str());
        let mut credential = csr::request(&self.context, &connection.client, address, &agent_name, old).boxed().await?;
        credential.hub_uid = hub.map(|info| info.uid);
        credential.store(&self.context.local).boxed().await?;
        Pending::forget(&self.context.local).boxed().await?;
        tracing::info!(agent = %agent_name, until = %credential.identity.not_after, "certificate issued");
        self.in_use = None;
        self.use_credential(credential)?;
        Ok(())
    }

    async fn ensure_managed_cluster(&self, connection: &Connection) -> Result<(), Error> {
        let clusters: Api<ManagedCluster> = Api::all(connection.client.clone());
        let name = &self.context.cluster_name;
        if clusters.get_opt(name).await.map_err(Error::hub("read our ManagedCluster"))?.is_some() {
            return Ok(());
        }
        let mut cluster = ManagedCluster::new(name, api::cluster::ManagedClusterSpec::default());
        let annotation = format!("{}muster-version", annotation::AGENT_PREFIX);
        cluster.metadata.labels = (!self.labels.is_empty()).then(|| self.labels.clone());
        cluster.metadata.annotations = Some([(annotation, crate::VERSION.to_owned())].into());
        match clusters.create(&PostParams::default(), &cluster).await {
            Ok(_) => Ok(()),
            // Somebody was faster; that is fine.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(Error::hub("create our ManagedCluster")(error)),
        }
    }

    async fn rotate(&mut self, connection: &Connection, address: &HubAddress, stored: &Credential) -> Result<(), Error> {
        let old = Some(stored.key.as_str());
        let mut next = csr::request(&self.context, &connection.client, address, &stored.agent_name, old).boxed().await?;
        next.hub_uid.clone_from(&stored.hub_uid);
        next.store(&self.context.local).boxed().await?;
        Pending::forget(&self.context.local).boxed().await?;
        tracing::info!(until = %next.identity.not_after, "certificate rotated");
        self.use_credential(next)?;
        Ok(())
    }

    /// Makes a credential the way to the hub, unless it is already.
    fn use_credential(&mut self, credential: Credential) -> Result<Connection, Error> {
        if let Some((in_use, connection)) = &self.in_use
            && *in_use == credential
        {
            return Ok(connection.clone());
        }
        let connection = self.connector.connect(&credential.kubeconfig())?;
        self.context.hub.expect(credential.hub_uid.clone());
        self.context.hub.set_way(Ok(connection.clone()));
        self.in_use = Some((credential, connection.clone()));
        Ok(connection)
    }

    /// Asks the hub who it is; returns when to ask again.
    async fn verify(&mut self, connection: &Connection) -> Result<Duration, Error> {
        let Some((credential, _)) = &mut self.in_use else { return Ok(Duration::ZERO) };
        let asked = ask(connection).await;
        if !matches!(asked, Asked::Nobody(_)) {
            self.unanswered.reset();
        }
        match asked {
            Asked::Hub(info) => {
                if let Some(expected) = credential.hub_uid.clone().filter(|expected| *expected != info.uid) {
                    let error = Error::OtherHub { server: credential.address.server.clone(), expected, found: info.uid };
                    self.context.hub.set_way(Err(NoHub::Refused(error.to_string())));
                    return Err(error);
                }
                if credential.hub_uid.is_none() {
                    credential.hub_uid = Some(info.uid.clone());
                    credential.store(&self.context.local).boxed().await?;
                    self.context.hub.expect(credential.hub_uid.clone());
                }
                self.context.hub.set_way(Ok(connection.clone()));
                self.context.hub.meet(info);
                Ok(VERIFY_EVERY)
            }
            Asked::Plain => {
                self.context.hub.set_identity(HubIdentity::Plain { server: credential.address.server.clone() });
                Ok(VERIFY_EVERY)
            }
            Asked::Rejected(why) => {
                self.rejected = Some(Error::CertificateRejected(why).to_string());
                Ok(Duration::from_secs(1))
            }
            Asked::Nobody(why) => {
                tracing::debug!(why, "the hub does not answer");
                Ok(self.unanswered.next_delay())
            }
        }
    }
}

/// What came of asking a hub who it is.
enum Asked {
    Hub(HubInfo),
    /// A Kubernetes API server without an identity of this kind.
    Plain,
    /// It answers, but does not take our certificate.
    Rejected(String),
    Nobody(String),
}

async fn ask(connection: &Connection) -> Asked {
    let Ok(request) = http::Request::get(path::HUB).body(body::empty()) else { return Asked::Plain };
    let response = match tunnel::send(&connection.http, request).await {
        Ok(response) => response,
        Err(error) => {
            let text = error.to_string();
            // What a TLS server says about a client certificate that it cannot verify.
            let is_rejected = ["UnknownCA", "CertificateExpired", "BadCertificate", "CertificateUnknown", "CertificateRevoked"]
                .iter()
                .any(|alert| text.contains(&format!("fatal alert: {alert}")));
            return if is_rejected { Asked::Rejected(text) } else { Asked::Nobody(text) };
        }
    };
    match response.status() {
        StatusCode::OK => match body::collect(response.into_body(), HUB_INFO_BYTES_MAX).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map_or(Asked::Plain, Asked::Hub),
            Err(error) => Asked::Nobody(error.to_string()),
        },
        StatusCode::UNAUTHORIZED => Asked::Rejected("401 Unauthorized".into()),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Asked::Nobody(status.to_string()),
        _ => Asked::Plain,
    }
}

/// Five letters and digits, as OCM's agents call themselves.
fn random_name() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..5).map(|_| LETTERS[(between(0.0, LETTERS.len() as f64) as usize).min(LETTERS.len() - 1)] as char).collect()
}

//! The credential for the hub: a Secret on the cluster, as Open Cluster Management's agents keep it.
//!
//! `hub-kubeconfig-secret` in `open-cluster-management-agent` holds kubeconfig, certificate, key, cluster name
//! and agent name. It is used again after a restart if it still fits the bootstrap kubeconfig.

use std::collections::BTreeMap;

use base64::Engine;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::config::{AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext};
use kube::{Api, Client};
use pki::Identity;

use super::Error;

pub const NAMESPACE: &str = "open-cluster-management-agent";
pub const SECRET: &str = "hub-kubeconfig-secret";
/// UID of the hub that signed the certificate; agents that do not know it leave it alone.
const HUB_UID_ANNOTATION: &str = "muster.dev/hub-uid";
pub(super) const FIELD_MANAGER: &str = "muster-agent";

/// Where the hub is, as a kubeconfig says it; a credential is good for exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubAddress {
    pub server: String,
    pub proxy: Option<String>,
    /// PEM.
    pub ca: Option<String>,
    pub tls_server_name: Option<String>,
    pub is_insecure: bool,
    /// The name of the cluster entry.
    pub cluster_entry: String,
}

/// A certificate and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    pub address: HubAddress,
    pub cluster_name: String,
    pub agent_name: String,
    pub certificate: String,
    pub key: String,
    pub identity: Identity,
    pub hub_uid: Option<String>,
}

/// What to do about the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Ask for a first certificate with the bootstrap kubeconfig.
    Join { why: String },
    /// Ask for the next one with the present one.
    Rotate { why: String },
    /// Use it, and look again then.
    Use { look_again: Timestamp },
}

/// Decides what to do about a credential. `threshold` is the share of its life that must be left, drawn between
/// 0.2 and 0.25 so that a fleet that joined together does not rotate together.
pub fn decide(stored: Option<&Credential>, wanted: &HubAddress, cluster_name: &str, threshold: f64, now: Timestamp) -> Decision {
    let join = |why: String| Decision::Join { why };
    // 1. Is there one, for this hub and this cluster?
    let Some(stored) = stored else { return join("there is no credential yet".into()) };
    if stored.address != *wanted {
        return join(format!("the credential is for {}, the bootstrap kubeconfig for {}", stored.address.server, wanted.server));
    }
    if stored.cluster_name != cluster_name {
        return join(format!("the credential is for cluster {}", stored.cluster_name));
    }
    // 2. Is it ours by its subject?
    let user = api::cluster::identity::agent_user(cluster_name, &stored.agent_name);
    if stored.identity.cn != user || !stored.identity.orgs.contains(&api::cluster::identity::cluster_group(cluster_name)) {
        return join(format!("the certificate is for {}, not for {user}", stored.identity.cn));
    }
    // 3. Is it still good? One that seems to begin in the future is: our clock is behind.
    if now >= stored.identity.not_after {
        return join(format!("the certificate expired at {}", stored.identity.not_after));
    }
    // 4. Is it time for the next?
    let life = stored.identity.not_before.duration_until(stored.identity.not_after);
    let rotate_at = stored.identity.not_after - life.mul_f64_saturating(threshold);
    if now >= rotate_at {
        return Decision::Rotate { why: format!("the certificate ends at {}", stored.identity.not_after) };
    }
    Decision::Use { look_again: rotate_at }
}

trait MulF64 {
    fn mul_f64_saturating(&self, factor: f64) -> SignedDuration;
}

impl MulF64 for SignedDuration {
    fn mul_f64_saturating(&self, factor: f64) -> SignedDuration {
        SignedDuration::try_from_secs_f64(self.as_secs_f64() * factor).unwrap_or(SignedDuration::ZERO)
    }
}

impl HubAddress {
    /// Reads the current context of a kubeconfig.
    pub fn of(kubeconfig: &Kubeconfig) -> Result<Self, Error> {
        let bad = |what: &str| Error::Bootstrap(what.to_owned());
        let context = match kubeconfig.current_context.as_deref() {
            Some(name) => kubeconfig.contexts.iter().find(|c| c.name == name),
            None => kubeconfig.contexts.first(),
        };
        let entry = context.and_then(|c| c.context.as_ref()).ok_or_else(|| bad("current-context names no context"))?.cluster.clone();
        let cluster = kubeconfig.clusters.iter().find(|c| c.name == entry).and_then(|c| c.cluster.as_ref());
        let cluster = cluster.ok_or_else(|| bad("the current context names no cluster"))?;
        let ca = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
            (Some(data), _) => Some(decode(data).ok_or_else(|| bad("certificate-authority-data is not base64"))?),
            (None, Some(path)) => Some(std::fs::read_to_string(path).map_err(|e| bad(&format!("certificate-authority {path}: {e}")))?),
            (None, None) => None,
        };
        Ok(Self {
            server: cluster.server.clone().ok_or_else(|| bad("clusters[].cluster.server is missing"))?,
            proxy: cluster.proxy_url.clone(),
            ca,
            tls_server_name: cluster.tls_server_name.clone(),
            is_insecure: cluster.insecure_skip_tls_verify == Some(true),
            cluster_entry: entry,
        })
    }

    /// Returns a kubeconfig for this address and a user.
    fn kubeconfig(&self, user: AuthInfo) -> Kubeconfig {
        let cluster = Cluster {
            server: Some(self.server.clone()),
            proxy_url: self.proxy.clone(),
            certificate_authority_data: self.ca.as_deref().map(encode),
            tls_server_name: self.tls_server_name.clone(),
            insecure_skip_tls_verify: self.is_insecure.then_some(true),
            ..Cluster::default()
        };
        let context = Context {
            cluster: self.cluster_entry.clone(),
            user: Some("default-auth".into()),
            namespace: Some("configuration".into()),
            ..Context::default()
        };
        Kubeconfig {
            api_version: Some("v1".into()),
            kind: Some("Config".into()),
            clusters: vec![NamedCluster { name: self.cluster_entry.clone(), cluster: Some(cluster), ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo { name: "default-auth".into(), auth_info: Some(user), ..NamedAuthInfo::default() }],
            contexts: vec![NamedContext { name: "default-context".into(), context: Some(context), ..NamedContext::default() }],
            current_context: Some("default-context".into()),
            ..Kubeconfig::default()
        }
    }
}

impl Credential {
    /// Checks that certificate and key belong together and reads the certificate.
    pub fn new(address: HubAddress, cluster_name: &str, agent_name: &str, certificate: String, key: String) -> Result<Self, Error> {
        let identity = Identity::from_pem(&certificate)?;
        if !pki::Key::from_pem(&key)?.matches(&certificate) {
            return Err(Error::KeyMismatch);
        }
        let (cluster_name, agent_name) = (cluster_name.to_owned(), agent_name.to_owned());
        Ok(Self { address, cluster_name, agent_name, certificate, key, identity, hub_uid: None })
    }

    /// Returns a kubeconfig that holds everything.
    pub fn kubeconfig(&self) -> Kubeconfig {
        // Kube's type takes the key only from a serialised form.
        let user = serde_json::json!({"client-certificate-data": encode(&self.certificate), "client-key-data": encode(&self.key)});
        self.address.kubeconfig(serde_json::from_value(user).unwrap_or_default())
    }

    /// Reads the Secret; `None` if there is none that can be used.
    pub async fn read(local: &Client) -> Result<Option<Self>, Error> {
        let secrets: Api<Secret> = Api::namespaced(local.clone(), NAMESPACE);
        let Some(secret) = secrets.get_opt(SECRET).await.map_err(Error::local("read the hub credential"))? else { return Ok(None) };
        match Self::of_secret(&secret) {
            Ok(credential) => Ok(credential),
            Err(error) => {
                tracing::warn!(%error, secret = SECRET, namespace = NAMESPACE, "the stored hub credential is not usable");
                Ok(None)
            }
        }
    }

    fn of_secret(secret: &Secret) -> Result<Option<Self>, Error> {
        let text = |key: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key))?;
            String::from_utf8(bytes.0.clone()).ok()
        };
        let (Some(kubeconfig), Some(certificate), Some(key)) = (text("kubeconfig"), text("tls.crt"), text("tls.key")) else {
            return Ok(None);
        };
        let (Some(cluster_name), Some(agent_name)) = (text("cluster-name"), text("agent-name")) else { return Ok(None) };
        let kubeconfig = Kubeconfig::from_yaml(&kubeconfig).map_err(|e| Error::Stored(e.to_string()))?;
        let mut credential = Self::new(HubAddress::of(&kubeconfig)?, &cluster_name, &agent_name, certificate, key)?;
        credential.hub_uid = secret.metadata.annotations.as_ref().and_then(|a| a.get(HUB_UID_ANNOTATION)).cloned();
        Ok(Some(credential))
    }

    /// Writes the Secret.
    pub async fn store(&self, local: &Client) -> Result<(), Error> {
        ensure_namespace(local).await?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        // In the Secret the files lie beside the kubeconfig, as where it is mounted.
        let user = AuthInfo { client_certificate: Some("tls.crt".into()), client_key: Some("tls.key".into()), ..AuthInfo::default() };
        let kubeconfig = serde_json::to_string(&self.address.kubeconfig(user)).map_err(|e| Error::Stored(e.to_string()))?;
        let entries = [
            ("kubeconfig", kubeconfig.as_str()),
            ("tls.crt", &self.certificate),
            ("tls.key", &self.key),
            ("cluster-name", &self.cluster_name),
            ("agent-name", &self.agent_name),
        ];
        let data: BTreeMap<String, ByteString> =
            entries.into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec()))).collect();
        let annotations = self.hub_uid.clone().map(|uid| BTreeMap::from([(HUB_UID_ANNOTATION.to_owned(), uid)]));
        let metadata = ObjectMeta { name: Some(SECRET.into()), namespace: Some(NAMESPACE.into()), annotations, ..ObjectMeta::default() };
        let secret = Secret { metadata, data: Some(data), ..Secret::default() };
        let secrets: Api<Secret> = Api::namespaced(local.clone(), NAMESPACE);
        secrets.patch(SECRET, &params, &Patch::Apply(secret)).await.map_err(Error::local("store the hub credential"))?;
        Ok(())
    }
}

/// Sees to it that the namespace of the agent's Secrets is there.
pub(super) async fn ensure_namespace(local: &Client) -> Result<(), Error> {
    let namespaces: Api<Namespace> = Api::all(local.clone());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    namespaces.patch(NAMESPACE, &params, &Patch::Apply(namespace)).await.map(drop).map_err(Error::local("create the agent's namespace"))
}

fn encode(text: impl AsRef<str>) -> String {
    base64::engine::general_purpose::STANDARD.encode(text.as_ref())
}

fn decode(data: &str) -> Option<String> {
    let compact: String = data.split_ascii_whitespace().collect();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(compact).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(server: &str) -> HubAddress {
        HubAddress { server: server.into(), proxy: None, ca: None, tls_server_name: None, is_insecure: false, cluster_entry: "hub".into() }
    }

    fn credential(cn: &str) -> Credential {
        let at = |text: &str| text.parse().unwrap();
        Credential {
            address: address("https://hub"),
            cluster_name: "store-1".into(),
            agent_name: "abcde".into(),
            certificate: String::new(),
            key: String::new(),
            identity: Identity {
                cn: cn.into(),
                orgs: vec!["system:open-cluster-management:store-1".into(), "system:open-cluster-management:managed-clusters".into()],
                not_before: at("2026-01-01T00:00:00Z"),
                not_after: at("2026-01-11T00:00:00Z"),
                serial: String::new(),
            },
            hub_uid: None,
        }
    }

    fn check(stored: Option<&Credential>, server: &str, cluster: &str, now: &str, expect: &str) {
        let told = match decide(stored, &address(server), cluster, 0.2, now.parse().unwrap()) {
            Decision::Join { why } => format!("join: {why}"),
            Decision::Rotate { why } => format!("rotate: {why}"),
            Decision::Use { look_again } => format!("use until {look_again}"),
        };
        assert_eq!(told, expect);
    }

    #[test]
    fn a_credential_is_used_while_it_fits_and_rotated_in_its_last_fifth() {
        let good = credential("system:open-cluster-management:store-1:abcde");
        let now = "2026-01-05T00:00:00Z";
        check(None, "https://hub", "store-1", now, "join: there is no credential yet");
        check(Some(&good), "https://hub", "store-1", now, "use until 2026-01-09T00:00:00Z");
        check(Some(&good), "https://hub", "store-1", "2026-01-09T00:00:01Z", "rotate: the certificate ends at 2026-01-11T00:00:00Z");
        check(Some(&good), "https://hub", "store-1", "2026-01-11T00:00:00Z", "join: the certificate expired at 2026-01-11T00:00:00Z");
        check(Some(&good), "https://hub", "store-1", "1970-01-01T00:00:00Z", "use until 2026-01-09T00:00:00Z");
        check(
            Some(&good),
            "https://new",
            "store-1",
            now,
            "join: the credential is for https://hub, the bootstrap kubeconfig for https://new",
        );
        check(Some(&good), "https://hub", "store-2", now, "join: the credential is for cluster store-1");
        let foreign = credential("system:open-cluster-management:store-1:other");
        check(
            Some(&foreign),
            "https://hub",
            "store-1",
            now,
            "join: the certificate is for system:open-cluster-management:store-1:other, not for system:open-cluster-management:store-1:abcde",
        );
    }

    #[tokio::test]
    async fn the_secret_holds_what_was_stored() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let authority = pki::Authority::create("test", now, SignedDuration::from_hours(24)).unwrap();
        let key = pki::Key::generate().unwrap();
        let csr = key.csr("system:open-cluster-management:store-1:abcde", &["system:open-cluster-management:store-1"]).unwrap();
        let request = pki::Request::from_pem(csr.as_bytes()).unwrap();
        let certificate = authority.sign_request(&request, pki::Usage::Client, now, SignedDuration::from_hours(1)).unwrap();
        let address = HubAddress { ca: Some(authority.certificate_pem()), ..address("https://hub:6443") };
        let credential = Credential::new(address, "store-1", "abcde", certificate, key.pem()).unwrap();
        assert_eq!(HubAddress::of(&credential.kubeconfig()).unwrap(), credential.address);
        tunnel::Connector::connect(&tunnel::TlsConnector, &credential.kubeconfig()).unwrap();
        let other = pki::Key::generate().unwrap().pem();
        assert!(Credential::new(credential.address.clone(), "store-1", "abcde", credential.certificate.clone(), other).is_err());
    }
}

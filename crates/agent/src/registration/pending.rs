//! The certificate request that is under way: a Secret beside the credential, until there is an answer.
//!
//! Name and key are written before the request is sent. An agent that restarts while the hub has not answered
//! therefore waits on the same request, and requests of a cluster that nobody accepts do not pile up.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};

use super::Error;
use super::credential::{FIELD_MANAGER, HubAddress, NAMESPACE, ensure_namespace};

const SECRET: &str = "hub-certificate-request";

/// A request that may have been sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Pending {
    /// Where it was sent.
    pub server: String,
    pub cluster_name: String,
    pub agent_name: String,
    /// Of the CertificateSigningRequest.
    pub request: String,
    /// PEM.
    pub key: String,
}

impl Pending {
    /// Reads the Secret; `None` if there is none that can be used.
    pub async fn read(local: &Client) -> Result<Option<Self>, Error> {
        let secret = secrets(local).get_opt(SECRET).await.map_err(Error::local("read the pending certificate request"))?;
        Ok(secret.as_ref().and_then(Self::of_secret))
    }

    fn of_secret(secret: &Secret) -> Option<Self> {
        let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
        Some(Self {
            server: text("server")?,
            cluster_name: text("cluster-name")?,
            agent_name: text("agent-name")?,
            request: text("request")?,
            key: text("tls.key")?,
        })
    }

    /// Whether it asks the same hub for a certificate of the same cluster.
    pub fn is_for(&self, address: &HubAddress, cluster_name: &str) -> bool {
        self.server == address.server && self.cluster_name == cluster_name
    }

    /// Writes the Secret.
    pub async fn store(&self, local: &Client) -> Result<(), Error> {
        ensure_namespace(local).await?;
        let entries = [
            ("server", &self.server),
            ("cluster-name", &self.cluster_name),
            ("agent-name", &self.agent_name),
            ("request", &self.request),
            ("tls.key", &self.key),
        ];
        let data: BTreeMap<String, ByteString> =
            entries.into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec()))).collect();
        let metadata = ObjectMeta { name: Some(SECRET.into()), namespace: Some(NAMESPACE.into()), ..ObjectMeta::default() };
        let secret = Secret { metadata, data: Some(data), ..Secret::default() };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let stored = secrets(local).patch(SECRET, &params, &Patch::Apply(secret)).await;
        stored.map(drop).map_err(Error::local("store the pending certificate request"))
    }

    /// Removes the Secret: there is an answer.
    pub async fn forget(local: &Client) -> Result<(), Error> {
        match secrets(local).delete(SECRET, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            removed => removed.map(drop).map_err(Error::local("remove the pending certificate request")),
        }
    }
}

fn secrets(local: &Client) -> Api<Secret> {
    Api::namespaced(local.clone(), NAMESPACE)
}

//! Gives every namespace its default service account and the certificate of the authority.
//!
//! As kubernetes pkg/controller/serviceaccount and pkg/controller/certificates/rootcacertpublisher.

use controller::Next;
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use super::api::{self, Outcome};
use super::{AGAIN_SOON, Error, Machine};
use crate::meta;

pub const DEFAULT: &str = "default";
pub const ROOT_CA: &str = "kube-root-ca.crt";

impl Machine {
    pub async fn ensure_service_accounts(&self, namespace: &str) -> Result<Next, Error> {
        let Some(object) = self.object("", "namespaces", "", namespace)? else { return Ok(Next::OnChange) };
        if meta::is_terminating(&object) {
            return Ok(Next::OnChange);
        }
        let table = self.server.inner.registry.snapshot();
        if self.object("", "serviceaccounts", namespace, DEFAULT)?.is_none()
            && let Some(resource) = table.get("", "v1", "serviceaccounts")
        {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DEFAULT, "namespace": namespace}});
            create(&api::of(&self.client, resource, namespace), account).await?;
        }
        let Some(resource) = table.get("", "v1", "configmaps") else { return Ok(Next::OnChange) };
        let data = json!({"ca.crt": self.server.inner.options.ca.certificate_pem()});
        let mut wanted = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {
                "name": ROOT_CA, "namespace": namespace,
                "annotations": {"kubernetes.io/description": "Holds the certificate of the authority that signed this API server's certificate."},
            },
        });
        let configmaps = api::of(&self.client, resource, namespace);
        match self.object("", "configmaps", namespace, ROOT_CA)? {
            Some(found) if found["data"] == data => Ok(Next::OnChange),
            Some(found) => {
                wanted["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
                let answer = configmaps.replace(ROOT_CA, &PostParams::default(), &dynamic(wanted)).await;
                Ok(if api::outcome(answer.map(|_| ()))? == Outcome::Done { Next::OnChange } else { AGAIN_SOON })
            }
            None => {
                create(&configmaps, wanted).await?;
                Ok(Next::OnChange)
            }
        }
    }
}

/// Creates an object; that it exists, or that its namespace is going, is no failure.
async fn create(api: &Api<DynamicObject>, object: Value) -> Result<(), kube::Error> {
    match api.create(&PostParams::default(), &dynamic(object)).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404 | 409) => {
            tracing::debug!(reason = %status.message, "not created");
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

fn dynamic(object: Value) -> DynamicObject {
    serde_json::from_value(object).expect("an object with kind and metadata")
}

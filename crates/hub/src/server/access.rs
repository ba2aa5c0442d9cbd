//! Ways in: kubeconfigs and bootstrap tokens.

use std::collections::BTreeMap;

use api::cluster::identity;
use base64::Engine;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::json;

use crate::error::{Doing, Error};

/// Returns a kubeconfig with a bearer token.
pub fn kubeconfig(url: &str, ca_pem: &str, user: &str, token: &str) -> Kubeconfig {
    let ca = base64::engine::general_purpose::STANDARD.encode(ca_pem);
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "hub", "cluster": {"server": url, "certificate-authority-data": ca}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": user, "namespace": "default"}}],
        "current-context": "hub",
    });
    serde_json::from_value(text).expect("the text above is a kubeconfig")
}

/// Makes a bootstrap token with which clusters may ask to join.
pub async fn bootstrap_token(client: &Client, now: Timestamp, valid_for: SignedDuration) -> Result<String, Error> {
    let (id, secret) = pki::token::random_bootstrap().map_err(|error| Error::Several(format!("no random bootstrap token: {error}")))?;
    let expiration = now.saturating_add(valid_for).unwrap_or(Timestamp::MAX);
    let expiration = Timestamp::from_second(expiration.as_second()).unwrap_or(expiration);
    let data: BTreeMap<String, String> = [
        ("token-id", id.clone()),
        ("token-secret", secret.clone()),
        ("expiration", expiration.to_string()),
        ("usage-bootstrap-authentication", "true".to_owned()),
        ("usage-bootstrap-signing", "true".to_owned()),
        ("auth-extra-groups", identity::BOOTSTRAP_GROUP.to_owned()),
        ("description", "lets clusters ask to join".to_owned()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into();
    let object = Secret {
        metadata: ObjectMeta {
            name: Some(format!("bootstrap-token-{id}")),
            namespace: Some("kube-system".to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("bootstrap.kubernetes.io/token".to_owned()),
        string_data: Some(data),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "kube-system");
    secrets.create(&PostParams::default(), &object).await.doing(|| format!("create Secret kube-system/bootstrap-token-{id}"))?;
    Ok(format!("{id}.{secret}"))
}

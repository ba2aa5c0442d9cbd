//! Fills Secrets of type `kubernetes.io/service-account-token`: tokens that live as long as their Secret.
//!
//! As kubernetes pkg/controller/serviceaccount/tokens_controller.go. Tools that need a credential without an end ask
//! for one this way. The token is bound to the Secret: deleting it revokes the token.

use controller::Next;
use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use pki::token::{Bound, Claims, Reference, random_uuid};
use serde_json::{Value, json};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::api::{self, Outcome};
use super::{AGAIN_SOON, Error, Machine};
use crate::{keys, meta};

pub const TYPE: &str = "\"kubernetes.io/service-account-token\"";
const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const SERVICE_ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// Tokens always end; these after ten years.
const LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

impl Machine {
    pub async fn fill_token_secret(&self, key: &str) -> Result<Next, Error> {
        let Some(parts) = keys::parts(key) else { return Ok(Next::OnChange) };
        let Some(secret) = self.object("", "secrets", parts.namespace, parts.name)? else { return Ok(Next::OnChange) };
        let account_name = secret["metadata"]["annotations"][SERVICE_ACCOUNT_NAME].as_str().unwrap_or_default();
        let is_filled = ["token", "ca.crt", "namespace"].iter().all(|field| secret["data"][*field].is_string());
        if secret["type"] != "kubernetes.io/service-account-token" || is_filled || account_name.is_empty() || meta::is_terminating(&secret)
        {
            return Ok(Next::OnChange);
        }
        // An account that comes later does not fill the Secret, as upstream.
        let Some(account) = self.object("", "serviceaccounts", parts.namespace, account_name)? else { return Ok(Next::OnChange) };
        let wanted_uid = secret["metadata"]["annotations"][SERVICE_ACCOUNT_UID].as_str();
        if wanted_uid.is_some_and(|uid| uid != meta::text(&account, "uid")) {
            return Ok(Next::OnChange);
        }
        let options = &self.server.inner.options;
        let token = options.tokens.sign(&self.claims(&account, &secret)?)?;
        let data = json!({
            "token": STANDARD.encode(token),
            "ca.crt": STANDARD.encode(options.ca.certificate_pem()),
            "namespace": STANDARD.encode(parts.namespace),
        });
        let patch = json!({
            "metadata": {
                "resourceVersion": secret["metadata"]["resourceVersion"],
                "annotations": {SERVICE_ACCOUNT_UID: account["metadata"]["uid"]},
            },
            "data": data,
        });
        let table = self.server.inner.registry.snapshot();
        let Some(resource) = table.get("", "v1", "secrets") else { return Ok(Next::OnChange) };
        let api = api::of(&self.client, resource, parts.namespace);
        let answer = api.patch(parts.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        Ok(if api::outcome(answer.map(|_| ()))? == Outcome::Changed { AGAIN_SOON } else { Next::OnChange })
    }

    fn claims(&self, account: &Value, secret: &Value) -> Result<Claims, Error> {
        let now = self.now().as_second();
        let issuer = self.server.inner.options.tokens.issuer().to_owned();
        let reference = |object: &Value| Reference { name: meta::name(object).to_owned(), uid: meta::text(object, "uid").to_owned() };
        let namespace = meta::text(account, "namespace");
        Ok(Claims {
            sub: crate::auth::rbac::service_account_user(namespace, meta::name(account)),
            aud: vec![issuer.clone()],
            iss: issuer,
            exp: now + LIFETIME.as_secs(),
            iat: now,
            nbf: now,
            jti: random_uuid()?,
            kubernetes: Bound {
                namespace: namespace.to_owned(),
                serviceaccount: reference(account),
                pod: None,
                secret: Some(reference(secret)),
            },
        })
    }
}

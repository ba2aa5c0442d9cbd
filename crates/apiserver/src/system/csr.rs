//! Signs approved CertificateSigningRequests.
//!
//! As kubernetes pkg/controller/certificates/signer. [`decide`] is pure: what the signer's contract says about
//! a request. Approving is somebody else's work (`kubectl certificate approve`, a hub's controller).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use controller::Next;
use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use pki::{Request, Usage};
use serde_json::{Value, json};

use super::api::{self, Outcome};
use super::{AGAIN_SOON, Error, Machine};
use crate::meta;

/// The longest validity, and what a request gets that does not ask: as --cluster-signing-duration.
const VALIDITY_MAX: SignedDuration = SignedDuration::from_hours(365 * 24);
/// As the API's validation of `spec.expirationSeconds`.
const VALIDITY_LEAST: SignedDuration = SignedDuration::from_secs(600);

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";

/// What to do about a request.
#[derive(Debug, PartialEq)]
enum Plan {
    /// Not approved, answered already, or another signer's.
    Nothing,
    Sign {
        request: Box<Request>,
        usage: Usage,
        validity: SignedDuration,
    },
    Refuse(String),
}

fn decide(csr: &Value) -> Plan {
    let signer = csr["spec"]["signerName"].as_str().unwrap_or_default();
    let has_condition = |ty: &str| {
        csr["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| c["type"] == ty && c["status"].as_str().unwrap_or("True") == "True")
    };
    // 1. Is it ours, and to be signed?
    if !matches!(signer, CLIENT | KUBELET_CLIENT | KUBELET_SERVING) || csr["status"]["certificate"].is_string() {
        return Plan::Nothing;
    }
    if !has_condition("Approved") || has_condition("Denied") || has_condition("Failed") {
        return Plan::Nothing;
    }
    // 2. Can it be read?
    let pem = csr["spec"]["request"].as_str().and_then(|text| STANDARD.decode(text).ok());
    let Some(pem) = pem else { return Plan::Refuse("spec.request is not base64".into()) };
    let request = match Request::from_pem(&pem) {
        Ok(request) => request,
        Err(error) => return Plan::Refuse(format!("spec.request: {error}")),
    };
    // 3. Does it keep to the signer's contract?
    let usages: Vec<&str> = csr["spec"]["usages"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if let Err(why) = contract(signer, &request, &usages) {
        return Plan::Refuse(why);
    }
    let usage = if signer == KUBELET_SERVING { Usage::Server } else { Usage::Client };
    let asked = csr["spec"]["expirationSeconds"].as_i64().map(SignedDuration::from_secs);
    let validity = asked.unwrap_or(VALIDITY_MAX).clamp(VALIDITY_LEAST, VALIDITY_MAX);
    Plan::Sign { request: Box::new(request), usage, validity }
}

/// The rules of the signers, as documented for each signerName.
fn contract(signer: &str, request: &Request, usages: &[&str]) -> Result<(), String> {
    let (required, allowed): (&str, &[&str]) = match signer {
        KUBELET_SERVING => ("server auth", &["server auth", "digital signature", "key encipherment"]),
        _ => ("client auth", &["client auth", "digital signature", "key encipherment"]),
    };
    if !usages.contains(&required) {
        return Err(format!("spec.usages: {signer} requires {required:?}"));
    }
    if let Some(other) = usages.iter().find(|u| !allowed.contains(u)) {
        return Err(format!("spec.usages: {signer} does not sign {other:?}"));
    }
    if signer == CLIENT {
        return Ok(());
    }
    if request.orgs != ["system:nodes"] || !request.cn.starts_with("system:node:") {
        return Err("spec.request: a kubelet's subject is O=system:nodes, CN=system:node:<name>".into());
    }
    let serves_nothing = request.dns_names.is_empty() && request.ip_addresses.is_empty();
    match signer {
        KUBELET_CLIENT if request.has_alternative_names() => {
            Err("spec.request: a kubelet's client certificate has no alternative names".into())
        }
        KUBELET_SERVING if serves_nothing || !request.emails.is_empty() || !request.uris.is_empty() => {
            Err("spec.request: a kubelet's serving certificate has DNS names or IP addresses and nothing else".into())
        }
        _ => Ok(()),
    }
}

impl Machine {
    pub async fn sign_request(&self, name: &str) -> Result<Next, Error> {
        let Some(csr) = self.object("certificates.k8s.io", "certificatesigningrequests", "", name)? else { return Ok(Next::OnChange) };
        let now = self.now();
        let status = match decide(&csr) {
            Plan::Nothing => return Ok(Next::OnChange),
            Plan::Sign { request, usage, validity } => {
                let certificate = self.server.inner.options.ca.sign_request(&request, usage, now, validity)?;
                tracing::info!(csr = name, user = %request.cn, "certificate signed");
                json!({ "certificate": STANDARD.encode(certificate) })
            }
            Plan::Refuse(why) => {
                tracing::info!(csr = name, reason = %why, "certificate refused");
                let mut conditions = csr["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let at = meta::time(now);
                conditions.push(json!({
                    "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
                    "lastUpdateTime": at, "lastTransitionTime": at,
                }));
                json!({ "conditions": conditions })
            }
        };
        let patch = json!({"metadata": {"resourceVersion": csr["metadata"]["resourceVersion"]}, "status": status});
        let table = self.server.inner.registry.snapshot();
        let Some(resource) = table.get("certificates.k8s.io", "v1", "certificatesigningrequests") else { return Ok(Next::OnChange) };
        let answer = api::of(&self.client, resource, "").patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        Ok(if api::outcome(answer.map(|_| ()))? == Outcome::Changed { AGAIN_SOON } else { Next::OnChange })
    }
}

#[cfg(test)]
mod tests {
    use pki::Key;

    use super::*;

    fn csr(signer: &str, orgs: &[&str], cn: &str, usages: &[&str]) -> Value {
        let request = Key::generate().expect("a key").csr(cn, orgs).expect("a request");
        json!({
            "spec": {"signerName": signer, "request": STANDARD.encode(request), "usages": usages},
            "status": {"conditions": [{"type": "Approved", "status": "True"}]},
        })
    }

    fn refusal(csr: &Value) -> String {
        match decide(csr) {
            Plan::Refuse(why) => why,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_approved_request_is_signed_for_as_long_as_it_asks() {
        let usages = ["digital signature", "client auth"];
        let mut asked = csr(CLIENT, &["a", "b"], "c", &usages);
        let validity = |csr: &Value| match decide(csr) {
            Plan::Sign { validity, usage: Usage::Client, .. } => validity.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!(validity(&asked), 365 * 24 * 3600);
        asked["spec"]["expirationSeconds"] = json!(3600);
        assert_eq!(validity(&asked), 3600);
        asked["spec"]["expirationSeconds"] = json!(10_000_000_000_i64);
        assert_eq!(validity(&asked), 365 * 24 * 3600);
    }

    #[test]
    fn what_is_not_approved_or_not_ours_is_left_alone() {
        let good = csr(CLIENT, &["a"], "c", &["client auth"]);
        for (pointer, value) in [
            ("/spec/signerName", json!("example.com/other")),
            ("/status/conditions", json!([])),
            ("/status/conditions", json!([{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}])),
            ("/status/conditions", json!([{"type": "Approved", "status": "True"}, {"type": "Failed", "status": "True"}])),
            ("/status", json!({"conditions": [{"type": "Approved"}], "certificate": "x"})),
        ] {
            let mut csr = good.clone();
            *csr.pointer_mut(pointer).expect("a field") = value;
            assert_eq!(decide(&csr), Plan::Nothing, "{pointer}");
        }
    }

    #[test]
    fn a_request_outside_the_contract_is_refused_with_the_field() {
        assert!(refusal(&csr(CLIENT, &["a"], "c", &["digital signature"])).contains(r#"requires "client auth""#));
        assert!(refusal(&csr(CLIENT, &["a"], "c", &["client auth", "server auth"])).contains(r#"does not sign "server auth""#));
        assert!(refusal(&csr(KUBELET_CLIENT, &["a"], "c", &["client auth"])).contains("system:nodes"));
        assert!(refusal(&csr(KUBELET_SERVING, &["system:nodes"], "system:node:n", &["server auth"])).contains("DNS names"));
        let mut garbled = csr(CLIENT, &["a"], "c", &["client auth"]);
        garbled["spec"]["request"] = json!("aGVsbG8=");
        assert!(refusal(&garbled).starts_with("spec.request: the PEM certificate request is not readable"), "{}", refusal(&garbled));
    }
}

//! Who may ask for which certificate, approve and sign it.
//!
//! As kubernetes plugin/pkg/admission/certificates: approving takes the verb `approve` on the signer, writing a certificate
//! the verb `sign`; nobody gets a certificate for `system:masters` from the API server's client signer. A request
//! says by whom it was made: that is the server's to fill in, here, and never changes.

use apimachinery::status::{Cause, Status};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pki::Request;
use serde_json::{Value, json};

use super::{Admission, Ask, Attributes, Authorize, Operation};
use crate::auth::rbac::refuse;
use crate::user::SYSTEM_MASTERS;

const GROUP: &str = "certificates.k8s.io";
const RESOURCE: &str = "certificatesigningrequests";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub struct Certificates;

#[async_trait]
impl Admission for Certificates {
    fn handles(&self, group: &str, resource: &str) -> bool {
        group == GROUP && resource == RESOURCE
    }

    async fn admit(&self, attributes: &Attributes<'_>, object: &mut Value, _: &dyn Authorize) -> Result<(), Status> {
        match (attributes.operation, attributes.subresource) {
            (Operation::Create, "") => fill_requester(attributes, object),
            (Operation::Update, "") => {
                if let Some(old) = attributes.old {
                    object["spec"] = old["spec"].clone();
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, authorize: &dyn Authorize) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        match (attributes.operation, attributes.subresource) {
            (Operation::Create, "") => check_request(attributes, object),
            (Operation::Update, "approval") => {
                check_answer(attributes, object)?;
                check_signer(attributes, object, authorize, "approve").await
            }
            (Operation::Update, "status") => {
                let is_signed = attributes.old.is_some_and(|old| old["status"]["certificate"] != object["status"]["certificate"]);
                if is_signed { check_signer(attributes, object, authorize, "sign").await } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

fn fill_requester(attributes: &Attributes<'_>, object: &mut Value) {
    let Some(spec) = object["spec"].as_object_mut() else { return };
    let user = attributes.user;
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    spec.insert("username".into(), json!(user.username));
    spec.insert("groups".into(), json!(user.groups));
    if !user.uid.is_empty() {
        spec.insert("uid".into(), json!(user.uid));
    }
    if !user.extra.is_empty() {
        spec.insert("extra".into(), json!(user.extra));
    }
}

/// Checks the fields, and refuses requests for the group that may do anything from the signer whose
/// certificates the API server trusts.
fn check_request(attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
    let spec = &object["spec"];
    let mut causes = Vec::new();
    let request = STANDARD.decode(spec["request"].as_str().unwrap_or_default()).ok().filter(|pem| !pem.is_empty());
    let request = match request.map(|pem| Request::from_pem(&pem)) {
        Some(Ok(request)) => Some(request),
        Some(Err(error)) => {
            causes.push(Cause::invalid("spec.request", &json!("<...>"), &error.to_string()));
            None
        }
        None => {
            causes.push(Cause::required("spec.request", "a PEM certificate request in base64"));
            None
        }
    };
    let signer = spec["signerName"].as_str().unwrap_or_default();
    if !signer.split_once('/').is_some_and(|(domain, name)| domain.contains('.') && !name.is_empty()) {
        causes.push(Cause::invalid(
            "spec.signerName",
            &spec["signerName"],
            "must be a domain and a name, as kubernetes.io/kube-apiserver-client",
        ));
    }
    if spec["usages"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required("spec.usages", "what the certificate is for, as \"client auth\""));
    }
    if spec["expirationSeconds"].as_i64().is_some_and(|seconds| seconds < 600) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        causes.push(Cause::invalid("spec.expirationSeconds", &spec["expirationSeconds"], why));
    }
    if !causes.is_empty() {
        return Err(Status::invalid(GROUP, "CertificateSigningRequest", attributes.name, causes));
    }
    if signer == CLIENT_SIGNER && request.is_some_and(|r| r.orgs.iter().any(|o| o == SYSTEM_MASTERS)) {
        let why = format!("use of {CLIENT_SIGNER} signer with {SYSTEM_MASTERS} group is not allowed");
        return Err(refuse(GROUP, RESOURCE, attributes.name, &why));
    }
    Ok(())
}

/// An answer is one of two, and stays.
fn check_answer(attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
    let has = |csr: &Value, ty: &str| csr["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == ty);
    let conditions = &object["status"]["conditions"];
    let why = if has(object, "Approved") && has(object, "Denied") {
        "Approved and Denied conditions are mutually exclusive"
    } else if ["Approved", "Denied"].iter().any(|ty| attributes.old.is_some_and(|old| has(old, ty)) && !has(object, ty)) {
        "Approved and Denied conditions may not be removed or changed into the other; create a new request"
    } else {
        return Ok(());
    };
    Err(Status::invalid(GROUP, "CertificateSigningRequest", attributes.name, vec![Cause::invalid("status.conditions", conditions, why)]))
}

async fn check_signer(attributes: &Attributes<'_>, object: &Value, authorize: &dyn Authorize, verb: &str) -> Result<(), Status> {
    let signer = attributes.old.unwrap_or(object)["spec"]["signerName"].as_str().unwrap_or_default();
    // The signer itself, or all of its domain: `example.com/*`.
    let domain = signer.split_once('/').map(|(domain, _)| format!("{domain}/*")).unwrap_or_default();
    for name in [signer, &domain] {
        let ask = Ask { verb: verb.into(), group: GROUP.into(), resource: "signers".into(), name: name.into(), ..Ask::default() };
        if authorize.is_allowed(attributes.user, &ask).await {
            return Ok(());
        }
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(refuse(GROUP, RESOURCE, attributes.name, &why))
}

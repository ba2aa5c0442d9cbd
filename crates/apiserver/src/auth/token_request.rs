//! `serviceaccounts/<name>/token`: signs a token for a service account.

use std::sync::Arc;

use apimachinery::status::{Cause, Status};
use jiff::Timestamp;
use pki::token::{Bound, Claims, Reference, Signer, random_uuid};
use serde_json::{Value, json};

use super::Objects;

const SECONDS_DEFAULT: i64 = 3600;
const SECONDS_LEAST: i64 = 600;
// As the API's validation: 2^32.
const SECONDS_MOST: i64 = 1 << 32;

/// Answers a TokenRequest for a service account that exists.
pub fn token_request(signer: &Signer, objects: &dyn Objects, account: &Value, mut request: Value, now: Timestamp) -> Result<Value, Status> {
    let metadata = |field: &str| account["metadata"][field].as_str().unwrap_or_default().to_owned();
    let (namespace, name, uid) = (metadata("namespace"), metadata("name"), metadata("uid"));
    let seconds = lifetime(&request["spec"], &name)?;
    let mut audiences: Vec<String> =
        request["spec"]["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(signer.issuer().to_owned());
    }
    let (pod, secret) = bound_object(objects, &request["spec"]["boundObjectRef"], &namespace, &name)?;
    let issued_at = now.as_second();
    let claims = Claims {
        iss: signer.issuer().to_owned(),
        sub: super::rbac::service_account_user(&namespace, &name),
        aud: audiences.clone(),
        exp: issued_at + seconds,
        iat: issued_at,
        nbf: issued_at,
        jti: random_uuid().map_err(Status::internal)?,
        kubernetes: Bound { namespace: namespace.clone(), serviceaccount: Reference { name: name.clone(), uid }, pod, secret },
    };
    let token = signer.sign(&claims).map_err(Status::internal)?;
    let expires_at = Timestamp::from_second(claims.exp).unwrap_or(Timestamp::MAX);
    request["metadata"]["name"] = json!(name);
    request["metadata"]["namespace"] = json!(namespace);
    request["metadata"]["creationTimestamp"] = json!(Timestamp::from_second(issued_at).unwrap_or(now));
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    request["status"] = json!({"token": token, "expirationTimestamp": expires_at});
    Ok(request)
}

fn lifetime(spec: &Value, name: &str) -> Result<i64, Status> {
    let asked = &spec["expirationSeconds"];
    let why = match asked.as_i64() {
        None => return Ok(SECONDS_DEFAULT),
        Some(seconds) if seconds < SECONDS_LEAST => "may not specify a duration less than 10 minutes",
        Some(seconds) if seconds > SECONDS_MOST => "may not specify a duration larger than 2^32 seconds",
        Some(seconds) => return Ok(seconds),
    };
    Err(invalid(name, Cause::invalid("spec.expirationSeconds", asked, why)))
}

type BoundObjects = (Option<Reference>, Option<Reference>);

/// Returns the pod or secret that the token is to end with.
fn bound_object(objects: &dyn Objects, reference: &Value, namespace: &str, account: &str) -> Result<BoundObjects, Status> {
    if reference.is_null() {
        return Ok((None, None));
    }
    let kind = reference["kind"].as_str().unwrap_or_default();
    let name = reference["name"].as_str().unwrap_or_default();
    let resource = match kind {
        "Pod" => "pods",
        "Secret" => "secrets",
        _ => {
            let why = "cannot bind token for serviceaccount to this kind of object; use Pod or Secret";
            return Err(invalid(account, Cause::invalid("spec.boundObjectRef.kind", &json!(kind), why)));
        }
    };
    let object: Arc<Value> = objects.get("", resource, namespace, name).ok_or_else(|| Status::not_found("", resource, name))?;
    if kind == "Pod" && object["spec"]["serviceAccountName"].as_str().unwrap_or("default") != account {
        let why = "the pod runs with another service account";
        return Err(invalid(account, Cause::invalid("spec.boundObjectRef.name", &json!(name), why)));
    }
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    if let Some(wanted) = reference["uid"].as_str().filter(|u| !u.is_empty() && *u != uid) {
        let why = format!("the UID in the bound object reference ({wanted}) does not match the UID in record ({uid})");
        return Err(Status::conflict("", resource, name, &why));
    }
    let found = Some(Reference { name: name.to_owned(), uid: uid.to_owned() });
    Ok(if kind == "Pod" { (found, None) } else { (None, found) })
}

fn invalid(name: &str, cause: Cause) -> Status {
    Status::invalid("authentication.k8s.io", "TokenRequest", name, vec![cause])
}

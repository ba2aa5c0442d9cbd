//! `update`: PUT of a whole object or of one part of it.

use apimachinery::status::Status;
use http::Response;
use serde_json::Value;

use super::commit::Ownership;
use super::{Call, Stored};
use crate::strategy::{self, Scope};
use crate::{Body, Inner, meta};

/// How often a write is tried again when the object changes meanwhile. A conditional one then meets what is there:
/// another revision is a conflict, nothing is not found.
pub(crate) const ATTEMPTS: usize = 10;

impl Inner {
    pub(crate) async fn update(&self, call: &Call, scope: Scope) -> Result<Response<Body>, Status> {
        for _ in 0..ATTEMPTS {
            let object = self.read_object(call)?;
            check_name(call, &object)?;
            let old = match self.load(call) {
                Ok(old) => old,
                Err(missing) if missing.code == 404 && scope == Scope::Main && strategy::is_created_by_update(&call.resource) => {
                    return self.create_object(call, object, Ownership::Update).await;
                }
                Err(error) => return Err(error),
            };
            check_preconditions(call, &object, &old)?;
            if let Some(entry) = self.finish_update(call, &old, object, scope, Ownership::Update).await? {
                return self.answer_entry(call, 200, &entry);
            }
            // What is said of the body is said again.
            call.warnings.lock().clear();
        }
        Err(changed(call))
    }
}

fn check_name(call: &Call, object: &Value) -> Result<(), Status> {
    let name = meta::name(object);
    if name.is_empty() {
        return Err(Status::bad_request("name must be provided: metadata.name is empty"));
    }
    if name != call.path.name {
        let path = &call.path.name;
        return Err(Status::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({path})")));
    }
    let namespace = meta::text(object, "namespace");
    if call.resource.namespaced && !namespace.is_empty() && namespace != call.path.namespace {
        let path = &call.path.namespace;
        return Err(Status::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({path})"
        )));
    }
    Ok(())
}

/// Compares uid and resourceVersion, where the client gives them, with what is stored.
pub(crate) fn check_preconditions(call: &Call, object: &Value, old: &Stored) -> Result<(), Status> {
    let uid = meta::text(object, "uid");
    let stored_uid = meta::text(&old.value, "uid");
    if !uid.is_empty() && uid != stored_uid {
        return Err(call.conflict(&format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {stored_uid}")));
    }
    let revision = meta::text(object, "resourceVersion");
    if revision.is_empty() || revision == "0" {
        return Ok(());
    }
    if revision.parse::<u64>().is_err() {
        return Err(Status::bad_request(format!("metadata.resourceVersion: Invalid value: {revision:?}: must be an integer")));
    }
    if revision != meta::text(&old.value, "resourceVersion") {
        return Err(changed(call));
    }
    Ok(())
}

pub(crate) fn changed(call: &Call) -> Status {
    call.conflict("the object has been modified; please apply your changes to the latest version and try again")
}

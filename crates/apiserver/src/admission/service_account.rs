//! Pods run as a service account: `default`, unless they say otherwise.
//!
//! Of kubernetes plugin/pkg/admission/serviceaccount the defaulting and the check that the account exists; tokens
//! are not mounted, since what runs pods here has no use for them.

use std::sync::Arc;

use apimachinery::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Admission, Attributes, Authorize, Operation};
use crate::auth::Objects;
use crate::auth::rbac::refuse;

const DEFAULT: &str = "default";

pub struct ServiceAccount {
    pub objects: Arc<dyn Objects>,
}

#[async_trait]
impl Admission for ServiceAccount {
    fn handles(&self, group: &str, resource: &str) -> bool {
        group.is_empty() && resource == "pods"
    }

    async fn admit(&self, attributes: &Attributes<'_>, object: &mut Value, _: &dyn Authorize) -> Result<(), Status> {
        if attributes.operation != Operation::Create || !attributes.subresource.is_empty() || !object["spec"].is_object() {
            return Ok(());
        }
        let spec = &mut object["spec"];
        if spec["serviceAccountName"].as_str().is_none_or(str::is_empty) {
            spec["serviceAccountName"] = spec["serviceAccount"].as_str().filter(|s| !s.is_empty()).map_or(json!(DEFAULT), |s| json!(s));
        }
        // The old name of the field; clients that read it exist.
        spec["serviceAccount"] = spec["serviceAccountName"].clone();
        Ok(())
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, _: &dyn Authorize) -> Result<(), Status> {
        let (Operation::Create, "", Some(object)) = (attributes.operation, attributes.subresource, object) else { return Ok(()) };
        let name = object["spec"]["serviceAccountName"].as_str().unwrap_or(DEFAULT);
        // The default account comes a moment after its namespace; the pod need not wait.
        if name == DEFAULT || self.objects.get("", "serviceaccounts", attributes.namespace, name).is_some() {
            return Ok(());
        }
        let why = format!("error looking up service account {}/{name}: serviceaccount {name:?} not found", attributes.namespace);
        Err(refuse("", "pods", attributes.name, &why))
    }
}

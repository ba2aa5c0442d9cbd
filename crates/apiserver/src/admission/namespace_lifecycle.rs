//! Objects are created only in namespaces that exist and stay.
//!
//! As apiserver pkg/admission/plugin/namespace/lifecycle.

use std::sync::Arc;

use apimachinery::status::{Cause, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::{Admission, Attributes, Authorize, Operation};
use crate::auth::Objects;
use crate::auth::rbac::refuse;

/// Namespaces without which a cluster does not work.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub struct NamespaceLifecycle {
    pub objects: Arc<dyn Objects>,
}

#[async_trait]
impl Admission for NamespaceLifecycle {
    fn handles(&self, _: &str, _: &str) -> bool {
        true
    }

    async fn admit(&self, _: &Attributes<'_>, _: &mut Value, _: &dyn Authorize) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, attributes: &Attributes<'_>, _: Option<&Value>, _: &dyn Authorize) -> Result<(), Status> {
        let gvr = &attributes.resource.gvr;
        let is_namespace = gvr.group.is_empty() && gvr.resource == "namespaces";
        match attributes.operation {
            Operation::Delete if is_namespace && IMMORTAL.contains(&attributes.name) => {
                Err(refuse("", "namespaces", attributes.name, "this namespace may not be deleted"))
            }
            Operation::Create if attributes.resource.namespaced && !is_review(&gvr.group) => self.check(attributes),
            _ => Ok(()),
        }
    }
}

impl NamespaceLifecycle {
    fn check(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let name = attributes.namespace;
        let is_terminating = self.objects.is_terminating(name).ok_or_else(|| Status::not_found("", "namespaces", name))?;
        if is_terminating {
            let gvr = &attributes.resource.gvr;
            let why = format!("unable to create new content in namespace {name} because it is being terminated");
            let cause = Cause {
                reason: "NamespaceTerminating",
                message: format!("namespace {name} is being terminated"),
                field: "metadata.namespace".into(),
            };
            return Err(refuse(&gvr.group, &gvr.resource, attributes.name, &why).with_causes(vec![cause]));
        }
        Ok(())
    }
}

/// Questions are answered also about namespaces that are not there.
fn is_review(group: &str) -> bool {
    matches!(group, "authorization.k8s.io" | "authentication.k8s.io")
}

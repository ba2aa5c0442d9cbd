//! What may change or refuse a write between authorization and storage.

mod certificates;
mod namespace_lifecycle;
mod service_account;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use apimachinery::status::Status;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

pub use certificates::Certificates;
pub use namespace_lifecycle::NamespaceLifecycle;
pub use service_account::ServiceAccount;

use crate::auth::escalation::Escalation;
use crate::auth::{Objects, Rbac};
use crate::registry::Resource;
use crate::request::RequestInfo;
use crate::user::UserInfo;

/// A write about to happen.
pub struct Attributes<'a> {
    pub request: &'a RequestInfo,
    pub resource: &'a Resource,
    pub user: &'a UserInfo,
    pub operation: Operation,
    /// Empty while the server has yet to make one up from generateName.
    pub name: &'a str,
    pub namespace: &'a str,
    pub subresource: &'a str,
    /// What is stored now, for update and delete.
    pub old: Option<&'a Value>,
    pub dry_run: bool,
    /// What the caller is told beside the answer.
    pub warnings: &'a Mutex<Vec<String>>,
}

impl Attributes<'_> {
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.lock().push(text.into());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// Asks the server's authorizer, as a SubjectAccessReview would.
#[async_trait]
pub trait Authorize: Send + Sync {
    async fn is_allowed(&self, user: &UserInfo, ask: &Ask) -> bool;
}

/// One question to the authorizer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// Set instead of a resource for non-resource URLs.
    pub path: String,
}

/// A plugin. `admit` may change the object, `validate` sees it as it will be stored.
#[async_trait]
pub trait Admission: Send + Sync {
    /// Returns whether this plugin wants to see writes of the resource.
    fn handles(&self, group: &str, resource: &str) -> bool;

    async fn admit(&self, attributes: &Attributes<'_>, object: &mut Value, authorize: &dyn Authorize) -> Result<(), Status>;

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, authorize: &dyn Authorize) -> Result<(), Status>;
}

/// Returns the plugins that every server has, in the order in which they are asked.
pub fn generic(objects: &Arc<dyn Objects>, rbac: &Arc<Rbac>) -> Vec<Arc<dyn Admission>> {
    vec![
        Arc::new(NamespaceLifecycle { objects: objects.clone() }),
        Arc::new(ServiceAccount { objects: objects.clone() }),
        Arc::new(Certificates),
        Arc::new(Escalation { rbac: rbac.clone() }),
    ]
}

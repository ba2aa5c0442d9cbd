//! Role-based access control.
//!
//! [`Snapshot`] is an immutable index of roles and bindings; [`Snapshot::decide`] is a pure function of it,
//! the user and the question. [`Rbac`] holds the current snapshot and follows changes one by one: the maps
//! are persistent, so a change costs the path to it and not a copy. Bindings are indexed by subject and
//! namespace, so a decision looks only at what concerns the asker, however many clusters there are.
//!
//! As kubernetes plugin/pkg/auth/authorizer/rbac: rules only ever add; there is no denying rule.

mod rule;
mod snapshot;

use std::sync::Arc;

use apimachinery::status::Status;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

pub use rule::{Rule, uncovered};
pub use snapshot::{Decision, RoleRef, Snapshot};
pub(crate) use snapshot::{parse_rules, service_account_user};

use super::Objects;
use crate::admission::{Ask, Authorize};
use crate::user::UserInfo;

pub const GROUP: &str = "rbac.authorization.k8s.io";

/// The current snapshot, following changes.
#[derive(Default)]
pub struct Rbac {
    current: ArcSwap<Snapshot>,
    changing: Mutex<()>,
}

impl Rbac {
    /// Returns an authorizer that knows all stored roles and bindings.
    pub fn load(objects: &dyn Objects) -> Self {
        let mut snapshot = Snapshot::default();
        for resource in ["clusterroles", "roles", "clusterrolebindings", "rolebindings"] {
            for object in objects.list(GROUP, resource) {
                let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
                snapshot.apply(resource, text("namespace"), text("name"), Some(&object));
            }
        }
        Self { current: ArcSwap::from_pointee(snapshot), changing: Mutex::default() }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Returns whether writes of a resource must be told to [`Rbac::changed`].
    pub fn concerns(group: &str, resource: &str) -> bool {
        group == GROUP && matches!(resource, "clusterroles" | "roles" | "clusterrolebindings" | "rolebindings")
    }

    /// Takes in one written object, or its deletion (`None`). Call it in the order of revisions.
    pub fn changed(&self, resource: &str, namespace: &str, name: &str, object: Option<&Value>) {
        let _guard = self.changing.lock();
        let mut next = Snapshot::clone(&self.current.load());
        next.apply(resource, namespace, name, object);
        self.current.store(Arc::new(next));
    }

    pub fn decide(&self, user: &UserInfo, ask: &Ask) -> Decision {
        self.current.load().decide(user, ask)
    }

    /// Returns nothing, or the 403 that says what was asked.
    pub fn check(&self, user: &UserInfo, ask: &Ask) -> Result<(), Status> {
        if self.decide(user, ask).is_allowed() { Ok(()) } else { Err(forbidden(user, ask)) }
    }
}

#[async_trait]
impl Authorize for Rbac {
    async fn is_allowed(&self, user: &UserInfo, ask: &Ask) -> bool {
        self.decide(user, ask).is_allowed()
    }
}

/// Returns the refusal of a question, in the words that clients show and people search for.
pub fn forbidden(user: &UserInfo, ask: &Ask) -> Status {
    if !ask.path.is_empty() {
        let message = format!("forbidden: User {:?} cannot {} path {:?}", user.username, ask.verb, ask.path);
        return Status::new(403, "Forbidden", message);
    }
    let resource = if ask.subresource.is_empty() { ask.resource.clone() } else { format!("{}/{}", ask.resource, ask.subresource) };
    let place = if ask.namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace {:?}", ask.namespace) };
    let why = format!("User {:?} cannot {} resource {resource:?} in API group {:?} {place}", user.username, ask.verb, ask.group);
    refuse(&ask.group, &ask.resource, &ask.name, &why)
}

/// Returns a 403 about an object.
pub fn refuse(group: &str, resource: &str, name: &str, why: &str) -> Status {
    let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let subject = if name.is_empty() { qualified } else { format!("{qualified} {name:?}") };
    Status::new(403, "Forbidden", format!("{subject} is forbidden: {why}")).about(group, resource, name)
}

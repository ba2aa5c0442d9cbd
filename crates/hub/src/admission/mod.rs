//! What Open Cluster Management's webhooks change and refuse, inside the server.
//!
//! A cluster cannot accept itself, join a set or bind one without the right to (virtual resources
//! `managedclusters/accept`, `managedclustersets/join` and `/bind`); a work is refused before it reaches an agent that
//! could not apply it. On a hub that is a plain Kubernetes the same rules come from webhooks; the reconcilers do not
//! rely on them. One file a kind; see `registration/webhook` and `work/webhook` upstream.

mod binding;
mod cluster;
mod unacted;
mod work;

use std::sync::Arc;

use apimachinery::status::{Cause, Status};
use apiserver::admission::{Admission, Ask, Attributes, Authorize, Operation};
use serde_json::Value;

pub use binding::Bindings;
pub use cluster::Clusters;
pub use unacted::Unacted;
pub use work::Works;

/// Returns the plugins of a hub.
pub fn plugins(clusters: Arc<Clusters>) -> Vec<Arc<dyn Admission>> {
    vec![clusters, Arc::new(Bindings), Arc::new(Works), Arc::new(Unacted)]
}

/// Returns whether this is a write of the object itself, not of a subresource or a deletion.
fn is_object_write(attributes: &Attributes<'_>) -> bool {
    attributes.subresource.is_empty() && matches!(attributes.operation, Operation::Create | Operation::Update)
}

async fn require(attributes: &Attributes<'_>, authorize: &dyn Authorize, ask: Ask, to_do: &str) -> Result<(), Status> {
    if authorize.is_allowed(attributes.user, &ask).await {
        return Ok(());
    }
    let user = &attributes.user.username;
    let remedy = format!("{} on {}/{} in {} named {:?}", ask.verb, ask.resource, ask.subresource, ask.group, ask.name);
    let text = format!(
        "{}.{} {:?} is forbidden: user {user:?} may not {to_do}; that takes {remedy}",
        attributes.resource.gvr.resource, attributes.resource.gvr.group, attributes.name
    );
    Err(Status::new(403, "Forbidden", text).about(&attributes.resource.gvr.group, &attributes.resource.gvr.resource, attributes.name))
}

fn invalid(attributes: &Attributes<'_>, causes: Vec<Cause>) -> Status {
    Status::invalid(&attributes.resource.gvr.group, &attributes.resource.kind, attributes.name, causes)
}

fn parse<T: serde::de::DeserializeOwned>(attributes: &Attributes<'_>, object: &Value) -> Result<T, Status> {
    let wrong =
        |e: serde_json::Error| Status::bad_request(format!("{} {:?} cannot be read: {e}", attributes.resource.kind, attributes.name));
    T::deserialize(object).map_err(wrong)
}

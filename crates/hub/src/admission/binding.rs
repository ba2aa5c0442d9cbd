//! ManagedClusterSetBindings: named as their set, made by those who may bind it.

use api::cluster::{GROUP, ManagedClusterSetBinding};
use apimachinery::status::{Cause, Status};
use apiserver::admission::{Admission, Attributes, Authorize};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::cluster::ask_set;
use super::{invalid, is_object_write, parse, require};

pub struct Bindings;

#[async_trait]
impl Admission for Bindings {
    fn handles(&self, group: &str, resource: &str) -> bool {
        group == GROUP && resource == "managedclustersetbindings"
    }

    async fn admit(&self, _: &Attributes<'_>, _: &mut Value, _: &dyn Authorize) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, authorize: &dyn Authorize) -> Result<(), Status> {
        let Some(object) = object.filter(|_| is_object_write(attributes)) else { return Ok(()) };
        let binding: ManagedClusterSetBinding = parse(attributes, object)?;
        let set = &binding.spec.cluster_set;
        if binding.metadata.name.as_ref() != Some(set) {
            let text = "a binding bears the name of the set it binds";
            return Err(invalid(attributes, vec![Cause::invalid("metadata.name", &json!(binding.metadata.name), text)]));
        }
        if attributes.old.is_some_and(|old| old["spec"]["clusterSet"] == set.as_str()) {
            return Ok(());
        }
        require(attributes, authorize, ask_set(set, "bind"), &format!("bind ManagedClusterSet {set}")).await
    }
}

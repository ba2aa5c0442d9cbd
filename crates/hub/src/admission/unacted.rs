//! ApplicationSets and AppProjects: whoever writes one is warned of what the hub does not do (`crate::unacted`).

use api::argo::{self, AppProjectSpec};
use apimachinery::status::Status;
use apiserver::admission::{Admission, Attributes, Authorize};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::is_object_write;
use crate::unacted::decide;

pub struct Unacted;

#[async_trait]
impl Admission for Unacted {
    fn handles(&self, group: &str, resource: &str) -> bool {
        group == argo::GROUP && matches!(resource, "applicationsets" | "appprojects")
    }

    async fn admit(&self, _: &Attributes<'_>, _: &mut Value, _: &dyn Authorize) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, _: &dyn Authorize) -> Result<(), Status> {
        let Some(object) = object.filter(|_| is_object_write(attributes)) else { return Ok(()) };
        // What did not change was warned of before.
        if attributes.old.is_some_and(|old| old["spec"] == object["spec"]) {
            return Ok(());
        }
        match attributes.resource.gvr.resource.as_str() {
            "applicationsets" => attributes.warn(decide::SET_MESSAGE),
            _ => {
                let fields = AppProjectSpec::deserialize(&object["spec"]).map(|spec| decide::fields(&spec)).unwrap_or_default();
                if !fields.is_empty() {
                    attributes.warn(decide::project_message(&fields));
                }
            }
        }
        Ok(())
    }
}

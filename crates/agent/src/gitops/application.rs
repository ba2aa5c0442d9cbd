//! An Application as it lies on the cluster: read leniently, so that one that is malformed does not hide the others.

use std::borrow::Cow;

use api::argo::{Application, annotation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Any object of kind Application.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnyApplication {
    #[serde(default = "api_version")]
    pub api_version: String,
    #[serde(default = "kind")]
    pub kind: String,
    pub metadata: ObjectMeta,
    /// `spec`, `status`, `operation` and whatever else there is.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

fn api_version() -> String {
    format!("{}/{}", api::argo::GROUP, api::argo::VERSION)
}

fn kind() -> String {
    "Application".to_owned()
}

impl kube::Resource for AnyApplication {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        "Application".into()
    }

    fn group(_: &()) -> Cow<'_, str> {
        api::argo::GROUP.into()
    }

    fn version(_: &()) -> Cow<'_, str> {
        api::argo::VERSION.into()
    }

    fn plural(_: &()) -> Cow<'_, str> {
        "applications".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl AnyApplication {
    /// Returns it as an Application, or what is wrong with it.
    pub fn parse(&self) -> Result<Application, String> {
        let value = serde_json::to_value(self).map_err(|e| e.to_string())?;
        serde_json::from_value(value).map_err(|e| format!("the Application is not readable: {e}"))
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    pub fn asks_for_refresh(&self) -> bool {
        self.annotation(annotation::REFRESH).is_some()
    }

    pub fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

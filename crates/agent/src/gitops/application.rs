//! An Application as it lies on the cluster: read leniently, so that one that is malformed does not hide the others.

use std::borrow::Cow;

use api::argo::{Application, annotation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Any object of kind Application.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnyApplication {
    pub api_version: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    /// Without `managedFields`: they are large, nobody here reads them, and a server keeps them for whoever writes none.
    pub metadata: ObjectMeta,
    /// `spec`, `status`, `operation` and whatever else there is.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Written out, since a derived `flatten` would read everything twice.
impl<'de> Deserialize<'de> for AnyApplication {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = AnyApplication;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an Application")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyApplication, A::Error> {
                let (mut metadata, mut rest) = (None, Map::new());
                while let Some(field) = map.next_key::<String>()? {
                    match field.as_str() {
                        "apiVersion" | "kind" => drop(map.next_value::<serde::de::IgnoredAny>()?),
                        "metadata" => metadata = Some(map.next_value::<ObjectMeta>()?),
                        _ => drop(rest.insert(field, map.next_value()?)),
                    }
                }
                let mut metadata = metadata.ok_or_else(|| serde::de::Error::missing_field("metadata"))?;
                metadata.managed_fields = None;
                let api_version = format!("{}/{}", api::argo::GROUP, api::argo::VERSION).into();
                Ok(AnyApplication { api_version, kind: "Application".into(), metadata, rest })
            }
        }

        deserializer.deserialize_map(Fields)
    }
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
        let read = || {
            Ok(Application {
                api_version: self.api_version.to_string(),
                kind: self.kind.to_string(),
                metadata: self.metadata.clone(),
                spec: self.field("spec")?.ok_or_else(|| serde::de::Error::missing_field("spec"))?,
                status: self.field::<Option<_>>("status")?.flatten(),
                operation: self.field::<Option<_>>("operation")?.flatten(),
            })
        };
        read().map_err(|e: serde_json::Error| format!("the Application is not readable: {e}"))
    }

    /// Returns a field, or nothing if it is not there.
    pub fn field<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, serde_json::Error> {
        self.rest.get(name).map(T::deserialize).transpose()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nobody_knows_is_kept_and_what_is_malformed_is_told() {
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "other": {"a": [1]},
            "metadata": {"name": "a", "managedFields": [{"manager": "x"}]}, "spec": {"source": {"repoURL": "r"}}, "status": null});
        let any: AnyApplication = serde_json::from_value(object.clone()).expect("any object is one");
        let app = any.parse().expect("an Application");
        assert_eq!((app.spec.sources()[0].repo_url.as_str(), app.status, app.operation), ("r", None, None));
        let mut written = object;
        written["metadata"] = json!({"name": "a"});
        assert_eq!(serde_json::to_value(&any).expect("JSON"), written);
        let of = |rest: Value| {
            let mut object = json!({"metadata": {"name": "a"}});
            object.as_object_mut().expect("an object").extend(rest.as_object().cloned().unwrap_or_default());
            serde_json::from_value::<AnyApplication>(object).expect("any object is one").parse().expect_err("it is malformed")
        };
        assert!(of(json!({})).contains("missing field `spec`"), "{}", of(json!({})));
        assert!(of(json!({"spec": {"project": 1}})).contains("the Application is not readable"));
    }
}

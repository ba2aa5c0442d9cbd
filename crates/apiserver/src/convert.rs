//! Between the version an object is stored in and the one a call speaks.
//!
//! CRDs convert by name only (strategy `None`); built-in kinds by the functions of [`builtin`].

use apimachinery::gvk::GroupVersionKind;
use serde_json::Value;

use crate::registry::Resource;

/// Returns a stored object in the version of the row.
pub fn from_storage(resource: &Resource, object: Value) -> Value {
    convert(resource, object, resource.gvk().api_version())
}

/// Returns an object of the row's version as it is stored.
pub fn to_storage(resource: &Resource, object: Value) -> Value {
    let stored = apimachinery::gvk::join_api_version(&resource.storage_group, &resource.storage_version);
    convert(resource, object, stored)
}

fn convert(resource: &Resource, mut object: Value, api_version: String) -> Value {
    if object["apiVersion"] == api_version.as_str() {
        return object;
    }
    let gvk = GroupVersionKind::from_api_version(&api_version, &resource.kind);
    if !resource.is_builtin() || !builtin::convert(&mut object, &gvk) {
        object["apiVersion"] = api_version.into();
    }
    object
}

//! What the build script writes and the library reads: definitions without their descriptions.
//!
//! Compiled twice, into `build.rs` and into the library, so that both sides agree on the encoding.
//! Names, types and required fields come from k8s-openapi; the rest from `schema/*.yaml`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One named definition, as `io.k8s.api.apps.v1.Deployment`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Definition {
    pub name: String,
    pub shape: Shape,
    /// Fields of a [`Shape::Record`], by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Group, version and kind, where it is an object of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gvk: Option<[String; 3]>,
    /// `x-kubernetes-map-type: atomic`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub atomic_map: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    pub shape: Shape,
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
}

/// What an overlay says about a field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Protobuf field number; more than one where JSON inlines a message (`2.1`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<u32>,
    /// `atomic`, `set`, `map`; empty where upstream says nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub list: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// `atomic`, `granular` or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub map: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub merge_key: String,
    /// `merge`, `retainKeys`, `merge,retainKeys`, `replace` or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub patch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// A scalar whose zero is a value and not an absence.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pointer: bool,
    /// Definition of the values of a map that k8s-openapi does not have; used while building only.
    #[serde(skip)]
    pub map_of: String,
    /// Where upstream and k8s-openapi differ in what is required; used while building only.
    #[serde(skip)]
    pub required: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    /// Any JSON value.
    Any,
    /// An object about which nothing is known.
    Object,
    /// An object with the definition's fields.
    Record,
    Boolean,
    Number,
    /// With the format (`int32`, `int64`).
    Integer(String),
    /// With the format (`byte`, `date-time`) or nothing.
    String(String),
    IntOrString,
    Quantity,
    List(Box<Shape>),
    Map(Box<Shape>),
    /// Index of another definition.
    Ref(u32),
}

impl Facts {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

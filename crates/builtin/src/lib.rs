//! Everything an API server knows about built-in kinds, as data and pure functions.
//!
//! - [`resources`]: the served kinds: names, verbs, subresources, columns and resolved schemas.
//! - [`openapi`]: the same definitions with descriptions, for OpenAPI documents.
//!
//! Structure comes at build time from k8s-openapi; list keys, merge keys, defaults and protobuf numbers
//! from `schema/*.yaml`, one file a group. There is no code per kind but what a rule needs that data
//! cannot say. Nothing here knows the API server: it converts [`Row`]s to its own table.

mod blob;
mod model;
pub mod openapi;
mod resolve;
mod row;
mod rows;
mod table;

pub use openapi::{openapi_closure, openapi_definitions};
pub use row::{BuiltinResource, COLUMN_FUNCTIONS, Column, Row, ScalePaths, Subresource};
pub use table::{definition, definition_of, find, resources, schema_of};

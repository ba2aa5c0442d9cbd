//! Everything an API server knows about built-in kinds, as data and pure functions.
//!
//! - [`resources`]: the served kinds: names, verbs, subresources, columns and resolved schemas.
//! - [`openapi`]: the same definitions with descriptions, for OpenAPI documents.
//! - [`protobuf`]: request and answer bodies in protobuf.
//! - [`default`], [`prepare_create`], [`prepare_update`], [`convert`]: what a server does to an object
//!   before it stores or answers it; [`validate`]: what it refuses.
//!
//! Structure comes at build time from k8s-openapi; list keys, merge keys, defaults and protobuf numbers
//! from `schema/*.yaml`, one file a group. There is no code per kind but what a rule needs that data
//! cannot say. Nothing here knows the API server: it converts [`Row`]s to its own table.

mod blob;
mod convert;
mod default;
mod edit;
mod model;
pub mod openapi;
pub mod protobuf;
mod quantity;
mod resolve;
mod row;
mod rows;
mod table;
mod validate;

pub use convert::convert;
pub use default::{default, default_touched, prepare_create, prepare_update};
pub use openapi::{openapi_closure, openapi_definitions};
pub use row::{BuiltinResource, COLUMN_FUNCTIONS, Column, Row, ScalePaths, Subresource};
pub use table::{definition, definition_of, find, resources, schema_of};
pub use validate::{validate, validate_touched};

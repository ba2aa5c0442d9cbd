//! The pure mechanics of Kubernetes objects.
//!
//! Everything here maps values to values: no client, clock, randomness, files or sockets.
//! Objects are `serde_json::Value`s (maps are sorted, so serialising one is canonical).
//! A [`schema::Schema`] says what an object of a kind looks like; validation, pruning, defaulting,
//! strategic merge ([`patch`]) and server-side apply ([`apply`]) are all driven by it.

pub mod apply;
pub mod diff;
pub mod gvk;
pub mod json;
pub mod jsonpath;
pub mod names;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod uri;
pub mod yaml;

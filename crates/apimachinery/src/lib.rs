//! The pure mechanics of Kubernetes objects.
//!
//! Everything here maps values to values: no client, clock, randomness, files or sockets.
//! Objects are `serde_json::Value`s (maps are sorted, so serialising one is canonical).
//! A [`schema::Schema`] says what an object of a kind looks like; validation, pruning, defaulting,
//! strategic merge ([`patch`]) and server-side apply ([`apply`]) are all driven by it.

pub mod gvk;
pub mod names;
pub mod schema;
pub mod status;

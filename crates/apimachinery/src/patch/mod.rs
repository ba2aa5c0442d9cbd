//! The three patches of the Kubernetes API that need no field managers.
//!
//! Each maps an object to a new one and leaves the old alone, so a refused patch changes nothing.
//! Server-side apply is in [`crate::apply`].

mod json;
mod merge;
mod strategic;

pub use json::{OPERATIONS_MAX, json};
pub use merge::merge;
pub use strategic::strategic;

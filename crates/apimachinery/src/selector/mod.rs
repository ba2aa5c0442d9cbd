//! Selectors: the strings of `labelSelector` and `fieldSelector`, and LabelSelector objects.
//!
//! Grammar and messages follow apimachinery's `labels/selector.go` and `fields/selector.go`.

mod field;
mod label;
mod parse;

pub use field::FieldSelector;
pub use label::{LabelSelector, Labels, Operator, Requirement};

use crate::status::Status;

/// A selector that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSelector(pub String);

impl From<InvalidSelector> for Status {
    fn from(invalid: InvalidSelector) -> Self {
        Status::bad_request(invalid.0)
    }
}

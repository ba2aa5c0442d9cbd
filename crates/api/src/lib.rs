//! The words of muster: CRD types per group, condition types and reasons, label and annotation keys,
//! and the frames of the report stream.
//!
//! Types follow the field's own groups and spellings; each module names its source.

pub mod addon;
pub mod argo;
pub mod cluster;
pub mod hub;
pub mod report;
pub mod work;

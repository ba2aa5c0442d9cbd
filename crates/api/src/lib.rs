//! The words of muster: CRD types per group, condition types and reasons, label and annotation keys,
//! and the frames of the report stream.
//!
//! Types follow the field's own groups and spellings, so that existing YAML means here what it means
//! there; each module names its source. A status field is optional where its absence means "not seen yet".
//! Closed sets that the CRD schema enforces are enums; open ones are strings, since one object with an
//! unknown word must not make a whole list unreadable.

// Printer columns repeat attribute names on purpose.
#![allow(clippy::duplicated_attributes)]

pub mod addon;
pub mod argo;
pub mod cluster;
pub mod conditions;
mod crds;
pub mod hub;
pub mod report;
mod shape;
pub mod work;

pub use crds::{crds, hub_crds, spoke_crds};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, LabelSelectorRequirement, Time};
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Label on namespaces, leases, CSRs and RBAC objects of a cluster.
pub const CLUSTER_NAME_LABEL: &str = "open-cluster-management.io/cluster-name";

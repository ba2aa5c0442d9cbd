//! Which clusters are in a set.

use api::cluster::{ManagedCluster, ManagedClusterSet, SelectorType, label};

use crate::Selector;

/// A set's selector, understood once for many clusters.
pub enum Membership<'a> {
    /// Clusters whose `clusterset` label is the set's name.
    Exclusive(&'a str),
    Labels(Selector),
    /// A selector nobody can match: none given, or not a valid one.
    Nobody,
}

impl<'a> Membership<'a> {
    pub fn of(set: &'a ManagedClusterSet) -> Self {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let Some(selector) = &set.spec.cluster_selector else { return Self::Exclusive(name) };
        match (selector.selector_type, &selector.label_selector) {
            (SelectorType::ExclusiveClusterSetLabel, _) => Self::Exclusive(name),
            // As a nil selector in Kubernetes: it matches nothing, an empty one everything.
            (SelectorType::LabelSelector, None) => Self::Nobody,
            (SelectorType::LabelSelector, Some(labels)) => {
                Selector::from_labels(Some(labels), "spec.clusterSelector").map_or(Self::Nobody, Self::Labels)
            }
        }
    }

    pub fn contains(&self, cluster: &ManagedCluster) -> bool {
        let labels = cluster.metadata.labels.as_ref();
        match self {
            Self::Exclusive(set) => labels.and_then(|l| l.get(label::CLUSTER_SET)).is_some_and(|found| found == set),
            Self::Labels(selector) => selector.matches_labels(labels),
            Self::Nobody => false,
        }
    }
}

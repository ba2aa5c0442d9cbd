//! Which sets select a cluster: the sets of the hub, understood once for many clusters.

use std::sync::Arc;

use api::cluster::{ManagedCluster, ManagedClusterSet, label};
use placement::clusterset::Membership;

pub struct Selecting<'a>(Vec<(&'a str, Membership<'a>)>);

impl<'a> Selecting<'a> {
    pub fn of(sets: &'a [Arc<ManagedClusterSet>]) -> Self {
        Self(sets.iter().filter_map(|set| Some((set.metadata.name.as_deref()?, Membership::of(set)))).collect())
    }

    /// Returns all sets of a cluster, by name.
    pub fn sets_of(&self, cluster: &ManagedCluster) -> Vec<String> {
        let selecting: Vec<&str> = self.0.iter().filter(|(_, members)| members.contains(cluster)).map(|(name, _)| *name).collect();
        overview::sets::all(labelled(cluster), &selecting)
    }
}

/// Returns the set that the label of a cluster names; empty for none.
pub fn labelled(cluster: &ManagedCluster) -> &str {
    cluster.metadata.labels.as_ref().and_then(|labels| labels.get(label::CLUSTER_SET)).map(String::as_str).unwrap_or_default()
}

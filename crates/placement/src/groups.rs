//! How selected clusters are divided into decision groups, and groups into PlacementDecisions.
//!
//! Named groups come first, in their order, each with the clusters no earlier one took; the rest follows
//! without a name. A group with more clusters than `clustersPerDecisionGroup` becomes several. No object
//! holds clusters of two groups.

use std::collections::BTreeMap;

use api::IntOrString;
use api::cluster::{ClusterDecision, DECISIONS_PER_OBJECT_MAX, ManagedCluster, Placement, label};

use crate::{Misconfigured, Rules, name};

#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Counts from 0.
    pub index: usize,
    pub name: String,
    pub objects: Vec<DecisionObject>,
}

impl Group {
    pub fn clusters_count(&self) -> usize {
        self.objects.iter().map(|o| o.decisions.len()).sum()
    }
}

/// One PlacementDecision.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionObject {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub decisions: Vec<ClusterDecision>,
}

/// `clustersPerDecisionGroup`, understood.
pub enum PerGroup {
    Count(usize),
    Percent(usize),
}

impl PerGroup {
    pub fn parse(value: Option<&IntOrString>) -> Result<Self, Misconfigured> {
        let field = "spec.decisionStrategy.groupStrategy.clustersPerDecisionGroup";
        let wrong = || Misconfigured::new(field, "must be a number above 0 or a percentage from 1% to 100%");
        let text = match value {
            None => return Ok(Self::Percent(100)),
            Some(IntOrString::Int(count)) => count.to_string(),
            Some(IntOrString::String(text)) => text.clone(),
        };
        let (number, is_percent) = text.strip_suffix('%').map_or((text.as_str(), false), |n| (n, true));
        match (number.parse::<usize>().map_err(|_| wrong())?, is_percent) {
            (percent @ 1..=100, true) => Ok(Self::Percent(percent)),
            (count @ 1.., false) => Ok(Self::Count(count)),
            _ => Err(wrong()),
        }
    }

    /// Percentages are of all selected clusters, rounded up.
    fn of(&self, total: usize) -> usize {
        match self {
            Self::Count(count) => *count,
            Self::Percent(percent) => (total * percent).div_ceil(100).max(1),
        }
    }
}

/// Divides the selected clusters, which come in name order.
pub(crate) fn divide(placement: &Placement, rules: &Rules, selected: &[&ManagedCluster]) -> Vec<Group> {
    let per_group = rules.per_group.of(selected.len());
    let mut rest: Vec<&ManagedCluster> = selected.to_vec();
    let mut parts: Vec<(&str, Vec<&ManagedCluster>)> = Vec::new();
    for (group_name, predicate) in &rules.groups {
        let (taken, left): (Vec<_>, Vec<_>) = rest.into_iter().partition(|c| predicate.matches(c));
        rest = left;
        parts.extend(taken.chunks(per_group).map(|chunk| (group_name.as_str(), chunk.to_vec())));
    }
    parts.extend(rest.chunks(per_group).map(|chunk| ("", chunk.to_vec())));
    if parts.is_empty() {
        parts.push(("", Vec::new()));
    }
    let placement_name = placement.metadata.name.as_deref().unwrap_or_default();
    let mut objects_count = 0;
    let mut object = |group: usize, group_name: &str, clusters: &[&ManagedCluster]| {
        objects_count += 1;
        let labels = [
            (label::PLACEMENT, placement_name.to_owned()),
            (label::DECISION_GROUP_INDEX, group.to_string()),
            (label::DECISION_GROUP_NAME, group_name.to_owned()),
        ];
        DecisionObject {
            name: format!("{placement_name}-decision-{objects_count}"),
            labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            decisions: clusters
                .iter()
                .map(|c| ClusterDecision { cluster_name: name(c).to_owned(), ..ClusterDecision::default() })
                .collect(),
        }
    };
    let mut group = |(index, (group_name, clusters)): (usize, (&str, Vec<&ManagedCluster>))| {
        let mut objects: Vec<DecisionObject> =
            clusters.chunks(DECISIONS_PER_OBJECT_MAX).map(|chunk| object(index, group_name, chunk)).collect();
        if objects.is_empty() {
            objects.push(object(index, group_name, &[]));
        }
        Group { index, name: group_name.to_owned(), objects }
    };
    parts.into_iter().enumerate().map(&mut group).collect()
}

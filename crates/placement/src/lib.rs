//! Which clusters a Placement selects.
//!
//! [`decide`] looks at a Placement, the sets its namespace is bound to, all clusters, and what was decided
//! before, and says which clusters it selects, why others are left out, and when to look again. The order of
//! the gates and the scores are those of Open Cluster Management's `pkg/placement/controllers/scheduling`.
//! It does not write PlacementDecisions: `hub/src/placement` does. What a Placement asks for and this does
//! not do yet is named in a condition; if ignoring it would select other clusters, nothing is decided anew.

pub mod clusterset;
mod groups;
mod quantity;
mod scores;
mod selector;
mod taints;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::cluster::{
    AddOnPlacementScore, ClusterPredicate, ManagedCluster, ManagedClusterSet, ManagedClusterSetBinding, Placement, SortBy, TaintEffect,
    annotation, placement_condition as said,
};
use api::conditions::{FALSE, Said, TRUE};
use jiff::Timestamp;

pub use groups::{DecisionObject, Group};
pub use selector::{Misconfigured, Selector};

/// What a decision looks at.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub placement: Arc<Placement>,
    /// Bindings in the Placement's namespace.
    pub bindings: Vec<Arc<ManagedClusterSetBinding>>,
    pub sets: Vec<Arc<ManagedClusterSet>>,
    pub clusters: Vec<Arc<ManagedCluster>>,
    /// Scores of add-ons; others than those the Placement names may be missing.
    pub scores: Vec<Arc<AddOnPlacementScore>>,
    /// Clusters this Placement has selected until now.
    pub selected_before: BTreeSet<String>,
    /// How many decisions of other Placements name a cluster.
    pub selected_elsewhere: BTreeMap<String, u32>,
}

/// What to do about a Placement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decisions {
    pub placed: Placed,
    pub conditions: Vec<Said>,
    /// Clusters in reach of the Placement that it does not select, by name.
    pub left_out: BTreeMap<String, Why>,
    /// What to tell an operator besides: scores that have expired and the like.
    pub warnings: Vec<String>,
    /// When time alone may change the outcome.
    pub look_again_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Placed {
    /// Leave the decisions as they are.
    #[default]
    AsBefore,
    /// Decisions by group; there is always at least one group and one object, if only an empty one.
    Anew(Vec<Group>),
}

/// Why a cluster is left out.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    IsBeingDeleted,
    NoPredicateMatches,
    Taint {
        key: String,
        effect: TaintEffect,
    },
    /// Enough clusters come before it.
    Outranked {
        score: i64,
    },
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::IsBeingDeleted => f.write_str("the cluster is being deleted"),
            Self::NoPredicateMatches => f.write_str("no predicate matches its labels and claims"),
            Self::Taint { key, effect } => write!(f, "taint {key}:{effect:?} is not tolerated"),
            Self::Outranked { score } => write!(f, "enough clusters rank before it (score {score})"),
        }
    }
}

impl Decisions {
    /// Returns how many clusters are selected, if this decides.
    pub fn selected_count(&self) -> Option<usize> {
        match &self.placed {
            Placed::AsBefore => None,
            Placed::Anew(groups) => Some(groups.iter().map(Group::clusters_count).sum()),
        }
    }
}

/// Decides which clusters a Placement selects.
pub fn decide(seen: &Snapshot, now: Timestamp) -> Decisions {
    let placement = &*seen.placement;
    // 1. A Placement whose scheduling is switched off keeps what it has.
    if is_scheduling_disabled(placement) {
        return Decisions::default();
    }
    let mut out = Decisions::default();
    // 2. What cannot be understood decides nothing: selecting too much is worse than selecting late.
    let rules = match Rules::parse(placement) {
        Ok(rules) => rules,
        Err(error) => {
            out.conditions = vec![
                misconfigured(placement, Some(&error)),
                satisfied(placement, FALSE, said::IS_MISCONFIGURED, error.to_string()),
                fields_not_acted_on(placement),
            ];
            return out;
        }
    };
    // 3. Sets that are bound in the namespace and asked for.
    let bound = bound_sets(seen);
    let asked_for = &placement.spec.cluster_sets;
    let eligible: Vec<&ManagedClusterSet> = bound
        .iter()
        .copied()
        .filter(|set| asked_for.is_empty() || set.metadata.name.as_ref().is_some_and(|n| asked_for.contains(n)))
        .collect();
    // 4. Clusters of those sets, 5. that match a predicate, 6. whose taints are tolerated.
    let reach = in_reach(seen, &eligible, &mut out);
    let reach_count = reach.len();
    let feasible = filter(seen, &rules, reach, now, &mut out);
    // 7. The best first, and as many as wanted.
    let ranked = scores::rank(seen, &rules.weights, &feasible, now, &mut out);
    let wanted = placement.spec.number_of_clusters.map(|n| usize::try_from(n).unwrap_or(0));
    let taken = wanted.unwrap_or(usize::MAX).min(ranked.len());
    for (cluster, score) in &ranked[taken..] {
        out.left_out.insert(name(cluster).to_owned(), Why::Outranked { score: *score });
    }
    // 8. Groups, each in name order.
    let mut selected: Vec<&ManagedCluster> = ranked[..taken].iter().map(|(cluster, _)| *cluster).collect();
    selected.sort_by(|a, b| name(a).cmp(name(b)));
    let missing = wanted.map_or(0, |wanted| wanted - taken);
    let counts = Counts { bound: bound.len(), eligible: eligible.len(), reach: reach_count, feasible: feasible.len(), missing };
    out.conditions = vec![misconfigured(placement, None), satisfied_by(placement, &counts, &bound), fields_not_acted_on(placement)];
    out.placed = Placed::Anew(groups::divide(placement, &rules, &selected));
    out
}

fn is_scheduling_disabled(placement: &Placement) -> bool {
    let annotations = placement.metadata.annotations.as_ref();
    annotations.and_then(|a| a.get(annotation::SCHEDULING_DISABLED)).is_some_and(|value| value == "true")
}

/// A Placement's spec, understood.
pub(crate) struct Rules {
    predicates: Vec<Predicate>,
    tolerations: taints::Tolerations,
    weights: Vec<(scores::Prioritizer, i64)>,
    groups: Vec<(String, Predicate)>,
    per_group: groups::PerGroup,
}

/// Labels and claims must both match.
pub(crate) struct Predicate {
    labels: Selector,
    claims: Selector,
}

impl Predicate {
    fn matches(&self, cluster: &ManagedCluster) -> bool {
        self.labels.matches_labels(cluster.metadata.labels.as_ref()) && self.claims.matches(|name| cluster.claim(name))
    }
}

impl Rules {
    fn parse(placement: &Placement) -> Result<Self, Misconfigured> {
        let spec = &placement.spec;
        let predicates =
            spec.predicates.iter().enumerate().map(|(i, p)| parse_predicate(i, p)).collect::<Result<Vec<Predicate>, Misconfigured>>()?;
        let strategy = spec.decision_strategy.as_ref().map(|s| &s.group_strategy);
        let mut groups = Vec::new();
        for (i, group) in strategy.into_iter().flat_map(|s| &s.decision_groups).enumerate() {
            let path = format!("spec.decisionStrategy.groupStrategy.decisionGroups[{i}].groupClusterSelector");
            let selector = &group.group_cluster_selector;
            let labels = Selector::from_labels(selector.label_selector.as_ref(), &path)?;
            let claims = Selector::from_claims(selector.claim_selector.as_ref(), &path)?;
            groups.push((group.group_name.clone(), Predicate { labels, claims }));
        }
        Ok(Self {
            predicates,
            tolerations: taints::Tolerations::parse(&spec.tolerations)?,
            weights: scores::weights(spec.prioritizer_policy.as_ref())?,
            groups,
            per_group: groups::PerGroup::parse(strategy.and_then(|s| s.clusters_per_decision_group.as_ref()))?,
        })
    }
}

fn parse_predicate(i: usize, predicate: &ClusterPredicate) -> Result<Predicate, Misconfigured> {
    let path = format!("spec.predicates[{i}].requiredClusterSelector");
    let selector = &predicate.required_cluster_selector;
    if selector.cel_selector.as_ref().is_some_and(|cel| !cel.cel_expressions.is_empty()) {
        return Err(Misconfigured::new(format!("{path}.celSelector"), "is not supported yet; use labelSelector or claimSelector"));
    }
    Ok(Predicate {
        labels: Selector::from_labels(selector.label_selector.as_ref(), &path)?,
        claims: Selector::from_claims(selector.claim_selector.as_ref(), &path)?,
    })
}

/// Returns the sets bound in the namespace: the set exists and the binding bears its name.
fn bound_sets(seen: &Snapshot) -> Vec<&ManagedClusterSet> {
    let bound: BTreeSet<&str> = seen
        .bindings
        .iter()
        .filter(|b| b.metadata.deletion_timestamp.is_none() && b.metadata.name.as_ref() == Some(&b.spec.cluster_set))
        .map(|b| b.spec.cluster_set.as_str())
        .collect();
    seen.sets.iter().map(|s| &**s).filter(|s| s.metadata.name.as_deref().is_some_and(|n| bound.contains(n))).collect()
}

fn in_reach<'a>(seen: &'a Snapshot, sets: &[&ManagedClusterSet], out: &mut Decisions) -> Vec<&'a ManagedCluster> {
    let memberships: Vec<clusterset::Membership> = sets.iter().map(|set| clusterset::Membership::of(set)).collect();
    let members = seen.clusters.iter().map(|c| &**c).filter(|c| memberships.iter().any(|m| m.contains(c)));
    let (gone, there): (Vec<_>, Vec<_>) = members.partition(|c| c.metadata.deletion_timestamp.is_some());
    out.left_out.extend(gone.into_iter().map(|c| (name(c).to_owned(), Why::IsBeingDeleted)));
    there
}

fn filter<'a>(
    seen: &Snapshot,
    rules: &Rules,
    reach: Vec<&'a ManagedCluster>,
    now: Timestamp,
    out: &mut Decisions,
) -> Vec<&'a ManagedCluster> {
    let mut feasible = Vec::with_capacity(reach.len());
    for cluster in reach {
        if !rules.predicates.is_empty() && !rules.predicates.iter().any(|p| p.matches(cluster)) {
            out.left_out.insert(name(cluster).to_owned(), Why::NoPredicateMatches);
            continue;
        }
        let is_selected = seen.selected_before.contains(name(cluster));
        match rules.tolerations.check(&cluster.spec.taints, is_selected, now) {
            taints::Verdict::Tolerated { until } => {
                look_again(&mut out.look_again_at, until);
                feasible.push(cluster);
            }
            taints::Verdict::Not { key, effect } => {
                out.left_out.insert(name(cluster).to_owned(), Why::Taint { key, effect });
            }
        }
    }
    feasible
}

pub(crate) fn look_again(at: &mut Option<Timestamp>, candidate: Option<Timestamp>) {
    *at = match (*at, candidate) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

pub(crate) fn name(cluster: &ManagedCluster) -> &str {
    cluster.metadata.name.as_deref().unwrap_or_default()
}

struct Counts {
    bound: usize,
    eligible: usize,
    reach: usize,
    feasible: usize,
    missing: usize,
}

fn satisfied_by(placement: &Placement, counts: &Counts, bound: &[&ManagedClusterSet]) -> Said {
    let asked_for = placement.spec.cluster_sets.join(", ");
    let names: Vec<&str> = bound.iter().filter_map(|s| s.metadata.name.as_deref()).collect();
    let (status, reason, message) = match counts {
        Counts { bound: 0, .. } => {
            let text = "the namespace is bound to no ManagedClusterSet: create a ManagedClusterSetBinding";
            (FALSE, said::NO_MANAGED_CLUSTER_SET_BINDINGS, text.to_owned())
        }
        Counts { eligible: 0, .. } => {
            let text =
                format!("of the sets in spec.clusterSets [{asked_for}] none is bound in the namespace; bound are [{}]", names.join(", "));
            (FALSE, said::NO_INTERSECTION, text)
        }
        Counts { reach: 0, .. } => {
            (FALSE, said::ALL_MANAGED_CLUSTER_SETS_EMPTY, "the ManagedClusterSets in reach have no clusters".to_owned())
        }
        Counts { feasible: 0, reach, .. } => {
            let text = format!("none of {reach} clusters in reach matches the predicates with its taints tolerated");
            (FALSE, said::NO_MANAGED_CLUSTER_MATCHED, text)
        }
        Counts { missing: 0, .. } => (TRUE, said::ALL_DECISIONS_SCHEDULED, "all wanted clusters are selected".to_owned()),
        Counts { missing, .. } => {
            (FALSE, said::NOT_ALL_DECISIONS_SCHEDULED, format!("{missing} more clusters are wanted than there are to select"))
        }
    };
    satisfied(placement, status, reason, message)
}

fn satisfied(placement: &Placement, status: &'static str, reason: &'static str, message: String) -> Said {
    Said::new(said::SATISFIED, status, reason, message).at_generation(placement.metadata.generation)
}

fn misconfigured(placement: &Placement, error: Option<&Misconfigured>) -> Said {
    let condition = match error {
        Some(error) => Said::new(said::MISCONFIGURED, TRUE, said::IS_MISCONFIGURED, error.to_string()),
        None => Said::new(said::MISCONFIGURED, FALSE, said::SUCCEED_CONFIGURED, "the Placement is well configured"),
    };
    condition.at_generation(placement.metadata.generation)
}

/// Names what the Placement asks for and this does not do; none of it changes which clusters qualify.
fn fields_not_acted_on(placement: &Placement) -> Said {
    let spec = &placement.spec;
    let mut fields = Vec::new();
    if spec.spread_policy.as_ref().is_some_and(|s| !s.spread_constraints.is_empty()) {
        fields.push("spec.spreadPolicy");
    }
    if spec.sort_by == Some(SortBy::Score) {
        fields.push("spec.sortBy");
    }
    // The schema's default is 1m.
    if spec.score_rate_limit.as_deref().is_some_and(|limit| limit != "1m") {
        fields.push("spec.scoreRateLimit");
    }
    let condition = if fields.is_empty() {
        Said::new(said::FIELDS_NOT_ACTED_ON, FALSE, "AllFieldsActedOn", "")
    } else {
        Said::new(said::FIELDS_NOT_ACTED_ON, TRUE, said::NOT_SUPPORTED_YET, format!("not acted on yet: {}", fields.join(", ")))
    };
    condition.at_generation(placement.metadata.generation)
}

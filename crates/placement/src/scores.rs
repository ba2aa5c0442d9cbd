//! Which of the feasible clusters come first.
//!
//! Every prioritizer gives a cluster -100 to 100; the sum weighted as the Placement says decides, then the name.

use std::collections::HashMap;

use api::cluster::{AddOnPlacementScore, AddOnScore, ManagedCluster, PrioritizerPolicy, ScoreCoordinateType};
use jiff::Timestamp;

use crate::{Decisions, Misconfigured, Snapshot, look_again, name, quantity};

const SCORE_MAX: i64 = 100;

#[derive(Clone, Debug, PartialEq)]
pub enum Prioritizer {
    /// Clusters with fewer decisions of other Placements first.
    Balance,
    /// Clusters this Placement has selected already first.
    Steady,
    ResourceAllocatable(&'static str),
    AddOn(AddOnScore),
}

/// Returns the prioritizers in effect with their weights.
pub fn weights(policy: Option<&PrioritizerPolicy>) -> Result<Vec<(Prioritizer, i64)>, Misconfigured> {
    let mut weights = match policy.and_then(|p| p.mode.as_deref()).unwrap_or("Additive") {
        "Additive" | "" => vec![(Prioritizer::Balance, 1), (Prioritizer::Steady, 1)],
        "Exact" => Vec::new(),
        other => {
            let problem = format!("is {other:?}: one of Additive, Exact is needed");
            return Err(Misconfigured::new("spec.prioritizerPolicy.mode", problem));
        }
    };
    for (i, config) in policy.into_iter().flat_map(|p| &p.configurations).enumerate() {
        let path = format!("spec.prioritizerPolicy.configurations[{i}].scoreCoordinate");
        let coordinate = &config.score_coordinate;
        let prioritizer = match coordinate.type_ {
            ScoreCoordinateType::AddOn => {
                let score = coordinate.add_on.clone();
                Prioritizer::AddOn(score.ok_or_else(|| Misconfigured::new(format!("{path}.addOn"), "is needed for type AddOn"))?)
            }
            ScoreCoordinateType::BuiltIn => built_in(coordinate.built_in.as_deref().unwrap_or_default(), &path)?,
        };
        let weight = i64::from(config.weight.unwrap_or(1));
        match weights.iter_mut().find(|(p, _)| *p == prioritizer) {
            Some(entry) => entry.1 = weight,
            None => weights.push((prioritizer, weight)),
        }
    }
    weights.retain(|(_, weight)| *weight != 0);
    Ok(weights)
}

fn built_in(word: &str, path: &str) -> Result<Prioritizer, Misconfigured> {
    match word {
        "Balance" => Ok(Prioritizer::Balance),
        "Steady" => Ok(Prioritizer::Steady),
        "ResourceAllocatableCPU" => Ok(Prioritizer::ResourceAllocatable("cpu")),
        "ResourceAllocatableMemory" => Ok(Prioritizer::ResourceAllocatable("memory")),
        other => {
            let problem = format!("is {other:?}: one of Balance, Steady, ResourceAllocatableCPU, ResourceAllocatableMemory is needed");
            Err(Misconfigured::new(format!("{path}.builtIn"), problem))
        }
    }
}

/// Returns the clusters with their scores, best first.
pub fn rank<'a>(
    seen: &Snapshot,
    weights: &[(Prioritizer, i64)],
    clusters: &[&'a ManagedCluster],
    now: Timestamp,
    out: &mut Decisions,
) -> Vec<(&'a ManagedCluster, i64)> {
    let mut ranked: Vec<(&ManagedCluster, i64)> = clusters.iter().map(|c| (*c, 0)).collect();
    for (prioritizer, weight) in weights {
        let scores = match prioritizer {
            Prioritizer::Balance => balance(seen, clusters),
            Prioritizer::Steady => clusters.iter().map(|c| if seen.selected_before.contains(name(c)) { SCORE_MAX } else { 0 }).collect(),
            Prioritizer::ResourceAllocatable(resource) => allocatable(resource, clusters),
            Prioritizer::AddOn(score) => add_on(seen, score, clusters, now, out),
        };
        for ((_, sum), score) in ranked.iter_mut().zip(scores) {
            *sum += weight * score;
        }
    }
    ranked.sort_by(|(a, a_score), (b, b_score)| b_score.cmp(a_score).then_with(|| name(a).cmp(name(b))));
    ranked
}

// As ocm plugins/balance: 2*int64(100*(0.5-count/max)).
fn balance(seen: &Snapshot, clusters: &[&ManagedCluster]) -> Vec<i64> {
    let counts: Vec<u32> = clusters.iter().map(|c| seen.selected_elsewhere.get(name(c)).copied().unwrap_or(0)).collect();
    let max = counts.iter().copied().max().unwrap_or(0);
    if max == 0 {
        return vec![0; clusters.len()];
    }
    counts.into_iter().map(|count| 2 * (100.0 * (0.5 - f64::from(count) / f64::from(max))) as i64).collect()
}

// As ocm plugins/resource: the least gets -100, the most 100; all the same get 100, who does not tell 0.
fn allocatable(resource: &str, clusters: &[&ManagedCluster]) -> Vec<i64> {
    let amount = |c: &ManagedCluster| c.status.as_ref()?.allocatable.get(resource).and_then(|q| quantity::parse(&q.0));
    let amounts: Vec<Option<f64>> = clusters.iter().map(|c| amount(c)).collect();
    let known = || amounts.iter().flatten().copied();
    let (min, max) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let score = |amount: Option<f64>| match amount {
        None => 0,
        Some(_) if max == min => SCORE_MAX,
        Some(amount) => (((amount - min) / (max - min) - 0.5) * 200.0) as i64,
    };
    amounts.iter().map(|a| score(*a)).collect()
}

fn add_on(seen: &Snapshot, wanted: &AddOnScore, clusters: &[&ManagedCluster], now: Timestamp, out: &mut Decisions) -> Vec<i64> {
    let told: HashMap<&str, &AddOnPlacementScore> = seen
        .scores
        .iter()
        .filter(|s| s.metadata.name.as_ref() == Some(&wanted.resource_name))
        .filter_map(|s| Some((s.metadata.namespace.as_deref()?, &**s)))
        .collect();
    let mut expired = 0;
    let mut score = |cluster: &ManagedCluster| {
        let status = told.get(name(cluster))?.status.as_ref()?;
        if let Some(until) = &status.valid_until {
            if until.0 <= now {
                expired += 1;
                return None;
            }
            look_again(&mut out.look_again_at, Some(until.0));
        }
        let item = status.scores.iter().find(|s| s.name == wanted.score_name)?;
        Some(i64::from(item.value).clamp(-SCORE_MAX, SCORE_MAX))
    };
    let scores = clusters.iter().map(|c| score(c).unwrap_or(0)).collect();
    if expired > 0 {
        let AddOnScore { resource_name, .. } = wanted;
        out.warnings.push(format!("AddOnPlacementScore {resource_name} has expired on {expired} clusters and counts as 0 there"));
    }
    scores
}

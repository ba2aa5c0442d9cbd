//! What a decision looks at, gathered from the caches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::cluster::{PlacementDecision, label};
use controller::Key;
use kube::api::ListParams;
use placement::Snapshot;

use crate::Context;
use crate::error::{Doing, Error};

pub struct Observed {
    pub snapshot: Snapshot,
    /// The Placement's decision objects as they are.
    pub decisions: Vec<Arc<PlacementDecision>>,
}

pub async fn observe(ctx: &Context, key: &Key) -> Result<Option<Observed>, Error> {
    let caches = &ctx.caches;
    let Some(placement) = caches.placements.get(key).filter(|p| p.metadata.deletion_timestamp.is_none()) else { return Ok(None) };
    let ranks = placement.spec.number_of_clusters.is_some();
    let decisions = if ranks { own_decisions_now(ctx, key).await? } else { own_decisions(ctx, key) };
    let selected_before = decisions.iter().flat_map(|d| clusters_of(d)).map(str::to_owned).collect::<BTreeSet<String>>();
    let snapshot = Snapshot {
        bindings: caches.bindings.list_in(&key.namespace),
        sets: caches.sets.list(),
        clusters: caches.clusters.list(),
        scores: caches.scores.list(),
        selected_before,
        // Only a Placement that wants some of many asks where others lie.
        selected_elsewhere: if ranks { selected_elsewhere(ctx, key) } else { BTreeMap::new() },
        placement,
    };
    Ok(Some(Observed { snapshot, decisions }))
}

/// Asks the server: a choice on top of an old choice must know the last one, not what the cache has seen of it.
async fn own_decisions_now(ctx: &Context, key: &Key) -> Result<Vec<Arc<PlacementDecision>>, Error> {
    let params = ListParams::default().labels(&format!("{}={}", label::PLACEMENT, key.name));
    let found = ctx.namespaced::<PlacementDecision>(&key.namespace).list(&params).await;
    Ok(found.doing(|| format!("list the decisions of Placement {key}"))?.items.into_iter().map(Arc::new).collect())
}

fn own_decisions(ctx: &Context, key: &Key) -> Vec<Arc<PlacementDecision>> {
    let mut found = ctx.caches.decisions.list_in(&key.namespace);
    found.retain(|d| placement_of(d) == Some(&key.name));
    found
}

fn selected_elsewhere(ctx: &Context, key: &Key) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for decision in ctx.caches.decisions.list() {
        let is_own = decision.metadata.namespace.as_deref() == Some(&key.namespace) && placement_of(&decision) == Some(&key.name);
        if !is_own {
            for cluster in clusters_of(&decision) {
                *counts.entry(cluster.to_owned()).or_insert(0) += 1;
            }
        }
    }
    counts
}

fn placement_of(decision: &PlacementDecision) -> Option<&String> {
    decision.metadata.labels.as_ref()?.get(label::PLACEMENT)
}

pub fn clusters_of(decision: &PlacementDecision) -> impl Iterator<Item = &str> {
    decision.status.iter().flat_map(|s| &s.decisions).map(|d| d.cluster_name.as_str())
}

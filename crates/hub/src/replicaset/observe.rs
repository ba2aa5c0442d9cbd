//! A set, the clusters its placements select, and the works it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::cluster::label as cluster_label;
use api::work::{ManifestWork, ManifestWorkReplicaSet, label};
use controller::Key;

use super::decide;
use crate::Context;

pub struct Observed {
    pub set: Arc<ManifestWorkReplicaSet>,
    /// By name; none if a placement has no decisions at all.
    pub placements: BTreeMap<String, Option<Selected>>,
    /// By cluster.
    pub works: BTreeMap<String, Arc<ManifestWork>>,
    /// Works of this set under other names, of an earlier maker.
    pub strays: Vec<Arc<ManifestWork>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selected {
    /// By decision group, in their order.
    pub groups: BTreeMap<usize, Vec<String>>,
}

impl Selected {
    pub fn clusters(&self) -> impl Iterator<Item = &String> {
        self.groups.values().flatten()
    }
}

pub fn observe(ctx: &Context, key: &Key) -> Option<Observed> {
    let set = ctx.caches.replica_sets.get(key)?;
    let placements = set.spec.placement_refs.iter().map(|r| (r.name.clone(), selected(ctx, &key.namespace, &r.name))).collect();
    let wanted = decide::label_value(&set);
    let name = decide::work_name(&set);
    let (mut works, mut strays) = (BTreeMap::new(), Vec::new());
    for work in ctx.caches.works.list() {
        if set_label(&work) != Some(wanted.as_str()) {
            continue;
        }
        if work.metadata.name.as_ref() == Some(&name) {
            works.insert(work.metadata.namespace.clone().unwrap_or_default(), work);
        } else {
            strays.push(work);
        }
    }
    Some(Observed { set, placements, works, strays })
}

pub fn set_label(work: &ManifestWork) -> Option<&str> {
    work.metadata.labels.as_ref()?.get(label::REPLICA_SET).map(String::as_str)
}

fn selected(ctx: &Context, namespace: &str, placement: &str) -> Option<Selected> {
    let mut found: Option<Selected> = None;
    for decision in ctx.caches.decisions.list_in(namespace) {
        let labels = decision.metadata.labels.as_ref();
        if labels.and_then(|l| l.get(cluster_label::PLACEMENT)).map(String::as_str) != Some(placement) {
            continue;
        }
        let index = labels.and_then(|l| l.get(cluster_label::DECISION_GROUP_INDEX)).and_then(|i| i.parse().ok()).unwrap_or(0);
        let group = found.get_or_insert_default().groups.entry(index).or_default();
        group.extend(decision.status.iter().flat_map(|s| &s.decisions).map(|d| d.cluster_name.clone()));
    }
    found
}

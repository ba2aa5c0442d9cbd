//! A cluster and, if it is being deleted, what is left of it.

use std::sync::Arc;

use api::addon::ManagedClusterAddOn;
use api::cluster::{ManagedCluster, annotation};
use controller::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;

use crate::Context;
use crate::error::{Doing, Error};

pub struct Observed {
    pub cluster: Arc<ManagedCluster>,
    pub addons: Vec<Left>,
    pub works: Vec<Left>,
}

/// An object that has to go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// 0 to 100; unmarked and unreadable ones count as lowest.
    pub priority: i16,
    pub name: String,
    pub is_going: bool,
}

pub async fn observe(ctx: &Context, key: &Key) -> Result<Option<Observed>, Error> {
    let Some(cluster) = ctx.caches.clusters.get(key) else { return Ok(None) };
    if cluster.metadata.deletion_timestamp.is_none() {
        return Ok(Some(Observed { cluster, addons: Vec::new(), works: Vec::new() }));
    }
    let addons = ctx.namespaced::<ManagedClusterAddOn>(&key.name).list(&ListParams::default()).await;
    let addons = addons.doing(|| format!("list the add-ons of {key}"))?;
    let works = ctx.namespaced::<api::work::ManifestWork>(&key.name).list_metadata(&ListParams::default()).await;
    let works = works.doing(|| format!("list the works of {key}"))?;
    Ok(Some(Observed {
        cluster,
        addons: addons.items.iter().map(|a| left(&a.metadata)).collect(),
        works: works.items.iter().map(|w| left(&w.metadata)).collect(),
    }))
}

fn left(meta: &ObjectMeta) -> Left {
    let priority = meta.annotations.as_ref().and_then(|a| a.get(annotation::CLEANUP_PRIORITY)).and_then(|p| p.parse().ok());
    Left {
        priority: priority.filter(|p| (0..=100).contains(p)).unwrap_or(-1),
        name: meta.name.clone().unwrap_or_default(),
        is_going: meta.deletion_timestamp.is_some(),
    }
}

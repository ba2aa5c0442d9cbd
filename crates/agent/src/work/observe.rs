//! Reading what a decision about one work looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::work::{Live, Mapping, ObjectId, Observed};
use api::work::{AppliedManifestWork, ManifestWork};
use apimachinery::gvk::GroupVersionKind;
use controller::Key;
use futures::{StreamExt, stream};
use kube::api::{DynamicObject, GetParams};
use kube::core::Request;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::{LOCAL_TIMEOUT, Works, executor, mapper};
use crate::feed::Lean;
use crate::refusal::words;

/// Objects that are read at once.
const READS: usize = 8;

pub struct Seen {
    pub applied: Option<Arc<AppliedManifestWork>>,
    mappings: BTreeMap<GroupVersionKind, Mapping>,
    live: BTreeMap<ObjectId, Live>,
    denied: BTreeMap<usize, String>,
    now: jiff::Timestamp,
}

impl Seen {
    /// Returns an object as it was before anything was applied.
    pub fn live(&self, id: &ObjectId) -> Option<&Value> {
        self.live.get(id).and_then(Live::object)
    }

    pub fn observed<'a>(&'a self, works: &'a Works, work: &'a ManifestWork) -> Observed<'a> {
        Observed {
            settings: &works.settings,
            work,
            applied: self.applied.as_deref(),
            mappings: &self.mappings,
            live: &self.live,
            denied: &self.denied,
            now: self.now,
        }
    }
}

pub async fn observe(works: &Works, work: &ManifestWork) -> Seen {
    let applied_name = ::work::applied_name(&works.settings.hub_hash, &work.name_any());
    let applied = works.applied.get(&Key::cluster_scoped(applied_name));
    let mut seen = Seen { applied, mappings: BTreeMap::new(), live: BTreeMap::new(), denied: BTreeMap::new(), now: works.clock.now() };
    // Before there is an AppliedManifestWork nothing is applied, so there is nothing to look at.
    if seen.applied.is_none() {
        return seen;
    }
    let mut wanted = BTreeSet::new();
    if work.metadata.deletion_timestamp.is_none() {
        for manifest in &work.spec.workload.manifests {
            let gvk = kind_of(&manifest.0);
            if let Ok(Some(mapping)) = works.mapper.mapping(&gvk).await {
                wanted.extend(id_of(&manifest.0, &gvk, &mapping));
                seen.mappings.insert(gvk, mapping);
            }
        }
        seen.denied = executor::denied(works, work, &seen.mappings).await;
    }
    let left = seen.applied.iter().filter_map(|a| a.status.as_ref()).flat_map(|s| &s.applied_resources).map(ObjectId::of_meta);
    wanted.extend(left.filter(|id| !id.resource.is_empty()));
    seen.live = read(works, wanted).await;
    seen
}

/// Reads objects, some at once; what no watch told of since it was read is not read again.
pub async fn read(works: &Works, ids: BTreeSet<ObjectId>) -> BTreeMap<ObjectId, Live> {
    let reads = ids.into_iter().map(|id| async move {
        let live = match works.watches.kept(&id) {
            Some(kept) => kept.map_or(Live::Missing, Live::Present),
            None => {
                let mark = works.watches.mark(&id);
                let live = read_one(&works.local, &id).await;
                match &live {
                    Live::Missing => works.watches.keep(&id, mark, None),
                    Live::Present(object) => works.watches.keep(&id, mark, Some(object)),
                    Live::Unreadable(_) => {}
                }
                live
            }
        };
        (id, live)
    });
    stream::iter(reads).buffer_unordered(READS).collect().await
}

async fn read_one(local: &Client, id: &ObjectId) -> Live {
    let request = match Request::new(api(local, id, "").resource_url()).get(&id.name, &GetParams::default()) {
        Ok(request) => request,
        Err(error) => return Live::Unreadable(error.to_string()),
    };
    match tokio::time::timeout(LOCAL_TIMEOUT, local.request::<Lean>(request)).await {
        // It, or the kind itself, is gone.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Live::Missing,
        Ok(Ok(object)) => Live::Present(object.0),
        Ok(Err(error)) => Live::Unreadable(words(&error)),
        Err(_) => Live::Unreadable(format!("no answer within {} s", LOCAL_TIMEOUT.as_secs())),
    }
}

/// Returns the API of an object's kind in its namespace.
pub fn api(local: &Client, id: &ObjectId, kind: &str) -> Api<DynamicObject> {
    let resource = mapper::api_resource(id, kind);
    if id.namespace.is_empty() {
        Api::all_with(local.clone(), &resource)
    } else {
        Api::namespaced_with(local.clone(), &id.namespace, &resource)
    }
}

fn kind_of(manifest: &Value) -> GroupVersionKind {
    let text = |field: &str| manifest[field].as_str().unwrap_or_default();
    GroupVersionKind::from_api_version(text("apiVersion"), text("kind"))
}

fn id_of(manifest: &Value, gvk: &GroupVersionKind, mapping: &Mapping) -> Option<ObjectId> {
    let text = |field: &str| manifest["metadata"][field].as_str().unwrap_or_default().to_owned();
    let namespace = if mapping.is_namespaced { text("namespace") } else { String::new() };
    let is_complete = !text("name").is_empty() && mapping.is_namespaced != namespace.is_empty();
    is_complete.then(|| ObjectId {
        group: gvk.group.clone(),
        version: gvk.version.clone(),
        resource: mapping.resource.clone(),
        namespace,
        name: text("name"),
    })
}

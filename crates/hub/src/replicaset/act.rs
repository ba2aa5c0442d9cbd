//! Writes works. One cluster that refuses its work does not keep the others from theirs.

use api::work::{ManifestWork, ManifestWorkReplicaSet, finalizer};
use futures::{FutureExt, StreamExt};
use kube::api::PostParams;
use serde_json::json;

use super::decide::{self, Plan};
use super::observe::Observed;
use crate::Context;
use crate::context::MANAGER;
use crate::error::{Doing, Error, gone_is_fine};
use crate::write;

/// Works written at once for one set.
const WRITES_MAX: usize = 16;
const ERRORS_SHOWN_MAX: usize = 5;

pub async fn act(ctx: &Context, seen: &Observed, plan: &Plan) -> Result<(), Error> {
    let set = &*seen.set;
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    if plan.add_finalizer
        && let Some(finalizers) = write::with_finalizer(set, finalizer::REPLICA_SET)
    {
        // Before the first work: none may be left behind. The change comes back through the cache.
        write::merge(&ctx.namespaced(namespace), set, json!({"metadata": {"finalizers": finalizers}})).await?;
        return Ok(());
    }
    let creations = plan.create.iter().map(|(cluster, placement)| Write::Create(cluster, placement));
    let updates = plan.update.iter().filter_map(|(cluster, placement)| Some(Write::Update(cluster, placement, seen.works.get(cluster)?)));
    let deletions = plan.delete.iter().map(|cluster| Write::Delete(cluster));
    let strays = seen.strays.iter().filter(|w| w.metadata.deletion_timestamp.is_none()).map(|w| Write::DeleteStray(w));
    let writes: Vec<_> = creations.chain(updates).chain(deletions).chain(strays).map(|write| one(ctx, set, write).boxed()).collect();
    let errors: Vec<Error> = futures::stream::iter(writes)
        .buffer_unordered(WRITES_MAX)
        .filter_map(async |result| result.err().filter(|e| !e.is_conflict()))
        .collect()
        .await;
    if !errors.is_empty() {
        let shown = errors.iter().take(ERRORS_SHOWN_MAX).map(Error::full).collect::<Vec<_>>().join("; ");
        return Err(Error::Several(format!("{} works could not be written: {shown}", errors.len())));
    }
    if plan.remove_finalizer
        && let Some(finalizers) = write::without_finalizer(set, finalizer::REPLICA_SET)
    {
        let done = write::merge(&ctx.namespaced(namespace), set, json!({"metadata": {"finalizers": finalizers}})).await;
        gone_is_fine(done)?;
    }
    Ok(())
}

enum Write<'a> {
    Create(&'a str, &'a str),
    Update(&'a str, &'a str, &'a ManifestWork),
    Delete(&'a str),
    DeleteStray(&'a ManifestWork),
}

async fn one(ctx: &Context, set: &ManifestWorkReplicaSet, write: Write<'_>) -> Result<(), Error> {
    let name = decide::work_name(set);
    match write {
        Write::Create(cluster, placement) => {
            let mut work = ManifestWork::new(&name, set.spec.manifest_work_template.clone());
            work.metadata.labels = Some(decide::labels(set, placement));
            work.metadata.annotations = Some(decide::annotations(set));
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            let works = ctx.namespaced::<ManifestWork>(cluster);
            works.create(&params, &work).await.map(|_| ()).doing(|| format!("create ManifestWork {cluster}/{name}"))
        }
        // Replaced as a whole: what the template no longer says must go.
        Write::Update(cluster, placement, seen) => {
            let mut work = seen.clone();
            work.spec = set.spec.manifest_work_template.clone();
            work.metadata.labels.get_or_insert_default().extend(decide::labels(set, placement));
            work.metadata.annotations.get_or_insert_default().extend(decide::annotations(set));
            work.metadata.managed_fields = None;
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            let works = ctx.namespaced::<ManifestWork>(cluster);
            works.replace(&name, &params, &work).await.map(|_| ()).doing(|| format!("update ManifestWork {cluster}/{name}"))
        }
        Write::Delete(cluster) => write::delete(&ctx.namespaced::<ManifestWork>(cluster), &name).await,
        Write::DeleteStray(work) => {
            let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
            write::delete(&ctx.namespaced::<ManifestWork>(namespace), work.metadata.name.as_deref().unwrap_or_default()).await
        }
    }
}

//! Kinds of Argo CD that the hub serves and does not act on: ApplicationSets and the rules of AppProjects.
//!
//! They are accepted, since manifests of a fleet hold them, and each says on itself that nothing happens: an
//! ApplicationSet by a condition in Argo CD's shape, an AppProject, whose status has no conditions, by an annotation that
//! names the fields, and by an event when these change. Whoever writes one is warned at once (`admission/unacted.rs`).
//! Invariant: an ApplicationSet that another controller tells about is that controller's, and left alone.
//!
//! Watched: ApplicationSets and AppProjects.

mod act;
pub mod decide;

use std::sync::Arc;

use controller::{Controller, Key, Next};

use crate::Context;
use crate::error::{Error, settle};

const WORKERS: usize = 1;

pub fn start(ctx: &Arc<Context>) {
    let caches = &ctx.caches;
    let sets = Controller::<Key>::new("applicationsets", &ctx.runtime).watches(&caches.application_sets, |change| vec![change.key.clone()]);
    let projects = Controller::<Key>::new("appprojects", &ctx.runtime).watches(&caches.projects, |change| vec![change.key.clone()]);
    let (for_sets, for_projects) = (ctx.clone(), ctx.clone());
    sets.run(WORKERS, move |key| {
        let ctx = for_sets.clone();
        async move { settle(reconcile_set(&ctx, &key).await) }
    });
    projects.run(WORKERS, move |key| {
        let ctx = for_projects.clone();
        async move { settle(reconcile_project(&ctx, &key).await) }
    });
}

async fn reconcile_set(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let Some(set) = ctx.caches.application_sets.get(key) else { return Ok(Next::OnChange) };
    if let Some(conditions) = decide::conditions(&set, ctx.now()) {
        act::say_conditions(ctx, &set, conditions).await?;
    }
    Ok(Next::OnChange)
}

async fn reconcile_project(ctx: &Context, key: &Key) -> Result<Next, Error> {
    let Some(project) = ctx.caches.projects.get(key) else { return Ok(Next::OnChange) };
    if let Some(note) = decide::note(&project) {
        act::say_note(ctx, &project, note).await?;
    }
    Ok(Next::OnChange)
}

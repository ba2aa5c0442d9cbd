//! Writes what is said.

use api::argo::{AppProject, ApplicationSet, annotation, set_condition};
use serde_json::{Value, json};

use super::decide::Note;
use crate::Context;
use crate::error::{Error, gone_is_fine};
use crate::events::{self, Told};
use crate::write;

pub async fn say_conditions(ctx: &Context, set: &ApplicationSet, conditions: Vec<Value>) -> Result<(), Error> {
    let (namespace, name) = place(&set.metadata);
    let sets = ctx.namespaced::<ApplicationSet>(namespace);
    gone_is_fine(write::merge_status(&sets, set, json!({"conditions": conditions})).await)?;
    tracing::info!(namespace, set = name, "ApplicationSet is not acted on");
    Ok(())
}

pub async fn say_note(ctx: &Context, project: &AppProject, note: Note) -> Result<(), Error> {
    let (namespace, name) = place(&project.metadata);
    let projects = ctx.namespaced::<AppProject>(namespace);
    let patch = json!({"metadata": {"annotations": {annotation::NOT_ACTED_ON: note.annotation}}});
    gone_is_fine(write::merge(&projects, project, patch).await)?;
    if let Some(text) = note.text {
        tracing::info!(namespace, project = name, fields = note.annotation, "fields of an AppProject are not acted on");
        events::tell(ctx, project, Told { type_: events::WARNING, reason: set_condition::NOT_ACTED_ON, action: "Accept", note: text })
            .await;
    }
    Ok(())
}

fn place(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> (&str, &str) {
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

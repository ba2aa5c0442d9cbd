//! Does what was planned: server-side apply, replace, delete. Makes no choices.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use gitops::{Action, FIELD_MANAGER, Group, Key, Live, Outcomes, Propagation};
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::watches::Watches;
use crate::refusal;
use crate::served::{Kind, Served};

/// Objects of a kind applied at once.
const CONCURRENCY: usize = 8;
/// A definition that was just applied is served within this; it is looked for at growing intervals.
const KIND_WAIT: Duration = Duration::from_secs(3);
const KIND_STEP: Duration = Duration::from_millis(50);

pub(super) struct Actor<'a> {
    client: &'a Client,
    served: &'a Served,
    watches: &'a Watches,
    /// What was applied, as it was then.
    pub applied: Mutex<Vec<(Key, Live)>>,
}

impl<'a> Actor<'a> {
    pub fn new(client: &'a Client, served: &'a Served, watches: &'a Watches) -> Self {
        Self { client, served, watches, applied: Mutex::default() }
    }

    /// Runs groups one after the other; after a failure in a required one the rest is not tried.
    pub async fn run(&self, groups: &[Group]) -> Outcomes {
        let mut outcomes = Outcomes::new();
        for (g, group) in groups.iter().enumerate() {
            let mut actions: Vec<BoxFuture<'_, _>> = Vec::new();
            for (a, action) in group.actions.iter().enumerate() {
                actions.push(async move { ((g, a), self.act(action).await) }.boxed());
            }
            let done: Vec<_> = futures::stream::iter(actions).buffer_unordered(CONCURRENCY).collect().await;
            let has_failed = done.iter().any(|(_, outcome)| outcome.is_err());
            outcomes.extend(done);
            if group.actions.iter().any(|a| a.key().kind == "CustomResourceDefinition") {
                self.served.forget_missing();
            }
            if has_failed && group.is_required {
                break;
            }
        }
        outcomes
    }

    async fn act(&self, action: &Action) -> Result<String, String> {
        match action {
            Action::Apply { key, version, object } => {
                let kind = self.kind(action, version).await?;
                let api = kind.api(self.client, &key.namespace);
                let params =
                    PatchParams { dry_run: false, force: true, field_manager: Some(FIELD_MANAGER.to_owned()), field_validation: None };
                let applied = api
                    .patch(&key.name, &params, &Patch::Apply(object))
                    .await
                    .map_err(|e| refusal::of_object(&key.group, &key.kind, &e))?;
                let live = self.note(&applied);
                self.applied.lock().push((key.clone(), live));
                Ok(format!("{} serverside-applied", named(&kind, &key.name)))
            }
            Action::Replace { key, version, object } => {
                let kind = self.kind(action, version).await?;
                let api = kind.api(self.client, &key.namespace);
                let live = api.get_opt(&key.name).await.map_err(|e| refusal::words(&e))?;
                let mut object = object.clone();
                if let Some(live) = &live {
                    object["metadata"]["resourceVersion"] = json!(live.metadata.resource_version);
                }
                let wanted = serde_json::from_value(object).map_err(|e| e.to_string())?;
                let params = PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) };
                let done = match live {
                    Some(_) => api.replace(&key.name, &params, &wanted).await,
                    None => api.create(&params, &wanted).await,
                };
                let _ = self.note(&done.map_err(|e| refusal::of_object(&key.group, &key.kind, &e))?);
                Ok(format!("{} replaced", named(&kind, &key.name)))
            }
            Action::Delete { key, version, uid, propagation, release } => {
                let kind = self.kind(action, version).await?;
                let api = kind.api(self.client, &key.namespace);
                if *release {
                    self.release(&api, &key.name).await?;
                }
                let params = DeleteParams {
                    propagation_policy: Some(match propagation {
                        Propagation::Foreground => PropagationPolicy::Foreground,
                        Propagation::Background => PropagationPolicy::Background,
                        Propagation::Orphan => PropagationPolicy::Orphan,
                    }),
                    // Never another object of the same name.
                    preconditions: Some(Preconditions { uid: Some(uid.clone()), resource_version: None }),
                    ..DeleteParams::default()
                };
                match api.delete(&key.name, &params).await {
                    Ok(done) => {
                        match done.left() {
                            // Something still holds it.
                            Some(going) => drop(self.note(&going)),
                            None => self.watches.note_gone(key, uid),
                        }
                        Ok("pruned".to_owned())
                    }
                    // Gone, or already another one.
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok("pruned".to_owned()),
                    Err(error) => Err(refusal::words(&error)),
                }
            }
        }
    }

    /// Takes Argo CD's hook finalizer off a hook that is to go.
    async fn release(&self, api: &kube::Api<kube::api::DynamicObject>, name: &str) -> Result<(), String> {
        let Some(mut object) = api.get_opt(name).await.map_err(|e| refusal::words(&e))? else { return Ok(()) };
        if let Some(finalizers) = &mut object.metadata.finalizers {
            finalizers.retain(|f| f != kinds::health::HOOK_FINALIZER);
        }
        api.replace(name, &PostParams::default(), &object).await.map(drop).map_err(|e| refusal::words(&e))
    }

    /// Returns how a kind is served, waiting a little for one whose definition was just applied.
    async fn kind(&self, action: &Action, version: &str) -> Result<Arc<Kind>, String> {
        let key = action.key();
        let (mut waited, mut step) = (Duration::ZERO, KIND_STEP);
        loop {
            match self.served.kind(&key.group, version, &key.kind).await {
                Ok(Some(kind)) => return Ok(kind),
                Ok(None) if waited < KIND_WAIT => {
                    self.served.forget_missing();
                    tokio::time::sleep(step).await;
                    waited += step;
                    step *= 2;
                }
                Ok(None) => return Err(format!("the cluster does not serve kind {} of {}/{version}", key.kind, key.group)),
                Err(error) => return Err(refusal::words(&error)),
            }
        }
    }

    fn note(&self, object: &kube::api::DynamicObject) -> Live {
        self.watches.note(&serde_json::to_value(object).unwrap_or(Value::Null))
    }
}

fn named(kind: &Kind, name: &str) -> String {
    let group = if kind.resource.group.is_empty() { String::new() } else { format!(".{}", kind.resource.group) };
    format!("{}{group}/{name}", kind.resource.kind.to_lowercase())
}

//! Plans to API writes.

use std::collections::BTreeMap;

use ::work::{Apply, Change, Outcome, Release, ReleasePlan};
use api::work::{AppliedManifestWork, AppliedManifestWorkSpec, ManifestWork, finalizer};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::observe::{self, Seen};
use super::{Error, LOCAL_TIMEOUT, Works, named};
use crate::refusal;

const FIELD_MANAGER: &str = "work-agent";

/// What came of the applies of a work.
#[derive(Default)]
pub struct Done {
    pub outcomes: BTreeMap<usize, Outcome>,
    /// The first failure that is the world's, not the manifest's: it is tried again soon.
    retry: Option<String>,
    prune: Option<Error>,
}

impl Done {
    /// The error that makes the queue try again with growing delay.
    pub fn error(self) -> Result<(), Error> {
        if let Some(error) = self.prune {
            return Err(error);
        }
        match self.retry {
            None => Ok(()),
            Some(message) => {
                Err(Error::Local { doing: "apply", object: "a manifest".into(), source: kube::Error::Service(message.into()) })
            }
        }
    }
}

pub async fn apply(works: &Works, _seen: &Seen, applies: &[Apply], prune: &ReleasePlan) -> Done {
    let mut done = Done::default();
    let mut all_applied = true;
    for apply in applies {
        if !apply.id.resource.is_empty() {
            works.watches.watch(&apply.id);
        }
        match &apply.change {
            Change::Keep { .. } => {}
            Change::Refuse { .. } | Change::Wait { .. } => all_applied = false,
            Change::Create { .. } | Change::Apply { .. } => match sent(works, apply).await {
                Ok(object) => {
                    if let Change::Apply { why, .. } = &apply.change {
                        tracing::info!(object = %apply.id, why, "applied");
                    }
                    done.outcomes.insert(apply.ordinal, Outcome::Done(Some(object)));
                }
                Err(error) => {
                    all_applied = false;
                    let message = refusal::of_object(&apply.id.group, &apply.kind, &error);
                    tracing::warn!(object = %apply.id, error = message, "not applied");
                    if is_worth_retrying(&error) {
                        done.retry.get_or_insert(format!("{}: {message}", apply.id));
                    }
                    done.outcomes.insert(apply.ordinal, Outcome::Failed(message));
                }
            },
        }
    }
    // What left the spec goes only when what is in it stands.
    if all_applied {
        done.prune = release(works, prune).await.err();
    }
    done
}

async fn sent(works: &Works, apply: &Apply) -> Result<Value, kube::Error> {
    let sent = send(works, apply).await;
    works.watches.touch(&apply.id);
    sent
}

async fn send(works: &Works, apply: &Apply) -> Result<Value, kube::Error> {
    let api = observe::api(&works.local, &apply.id, &apply.kind);
    let sent = async {
        match &apply.change {
            Change::Create { object } => {
                let object: DynamicObject = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
                let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
                match api.create(&params, &object).await {
                    // Somebody was faster: CreateOnly leaves it.
                    Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => api.get(&apply.id.name).await,
                    other => other,
                }
            }
            Change::Apply { object, field_manager, force, .. } => {
                let params = PatchParams { force: *force, field_manager: Some(field_manager.clone()), ..PatchParams::default() };
                api.patch(&apply.id.name, &params, &Patch::Apply(object)).await
            }
            Change::Keep { .. } | Change::Refuse { .. } | Change::Wait { .. } => unreachable!("only changes are sent"),
        }
    };
    let mut object = tokio::time::timeout(LOCAL_TIMEOUT, sent)
        .await
        .map_err(|_| kube::Error::Service(format!("no answer within {} s", LOCAL_TIMEOUT.as_secs()).into()))??;
    object.metadata.managed_fields = None;
    serde_json::to_value(object).map_err(kube::Error::SerdeError)
}

/// Whether the same request may succeed later without anybody's doing.
fn is_worth_retrying(error: &kube::Error) -> bool {
    match error {
        // A namespace or kind that another manifest or work brings is such a case too.
        kube::Error::Api(status) => status.code >= 500 || matches!(status.code, 404 | 409 | 429),
        _ => true,
    }
}

/// Carries out the release of objects.
pub async fn release(works: &Works, plan: &ReleasePlan) -> Result<(), Error> {
    let mut first_error = None;
    for step in &plan.steps {
        let (id, released) = match step {
            Release::Forget { .. } | Release::Wait { .. } => continue,
            Release::Delete { id, uid } => {
                let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: None };
                let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
                tracing::info!(object = %id, "deleted");
                (id, observe::api(&works.local, id, "").delete(&id.name, &params).await.map(drop))
            }
            Release::Disown { id, owner_uid, why } => {
                tracing::info!(object = %id, why, "let go");
                (id, disown(works, id, owner_uid).await)
            }
        };
        works.watches.touch(id);
        match released {
            Ok(()) => {}
            // Gone, or another object has its name now.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(source) => {
                first_error.get_or_insert(Error::Local { doing: "release", object: id.to_string(), source });
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Takes our owner reference off; refused by the server if the object changed meanwhile.
async fn disown(works: &Works, id: &::work::ObjectId, owner_uid: &str) -> Result<(), kube::Error> {
    let api = observe::api(&works.local, id, "");
    let Some(object) = api.get_opt(&id.name).await? else { return Ok(()) };
    let owners: Vec<_> = object.owner_references().iter().filter(|owner| owner.uid != owner_uid).collect();
    let patch = json!({"metadata": {"resourceVersion": object.resource_version(), "ownerReferences": owners}});
    api.patch(&id.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

pub async fn add_finalizer(works: &Works, work: &ManifestWork) -> Result<(), Error> {
    let mut finalizers = work.finalizers().to_vec();
    finalizers.push(finalizer::MANIFEST_WORK.to_owned());
    set_finalizers(works, work, &finalizers).await
}

async fn set_finalizers(works: &Works, work: &ManifestWork, finalizers: &[String]) -> Result<(), Error> {
    let api: Api<ManifestWork> = Api::namespaced(works.hub.clone(), &works.cluster_name);
    let patch = json!({"metadata": {"resourceVersion": work.resource_version(), "finalizers": finalizers}});
    match api.patch(&work.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Error::Hub { doing: "set the finalizers", work: work.name_any(), source }),
    }
}

pub async fn create_applied(works: &Works, work: &ManifestWork, name: &str) -> Result<(), Error> {
    let spec = AppliedManifestWorkSpec {
        hub_hash: works.settings.hub_hash.clone(),
        agent_id: works.settings.agent_id.clone(),
        manifest_work_name: work.name_any(),
    };
    let mut applied = AppliedManifestWork::new(name, spec);
    applied.metadata.finalizers = Some(vec![finalizer::APPLIED_MANIFEST_WORK.to_owned()]);
    let api: Api<AppliedManifestWork> = Api::all(works.local.clone());
    match api.create(&PostParams::default(), &applied).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        Err(source) => Err(Error::Local { doing: "create", object: named(&applied), source }),
    }
}

pub async fn cancel_eviction(works: &Works, applied: Option<&AppliedManifestWork>) -> Result<(), Error> {
    let Some(applied) = applied else { return Ok(()) };
    set_applied_status(works, applied, json!({"evictionStartTime": null})).await
}

/// Merges into the status of an AppliedManifestWork.
pub async fn set_applied_status(works: &Works, applied: &AppliedManifestWork, status: Value) -> Result<(), Error> {
    let api: Api<AppliedManifestWork> = Api::all(works.local.clone());
    let patch = json!({"metadata": {"uid": applied.uid()}, "status": status});
    match api.patch_status(&applied.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Error::Local { doing: "write the status of", object: named(applied), source }),
    }
}

/// Everything is released: the AppliedManifestWork goes, then the work may.
pub async fn finish(works: &Works, work: &ManifestWork, applied: Option<&AppliedManifestWork>) -> Result<(), Error> {
    if let Some(applied) = applied {
        drop_applied(works, applied).await?;
    }
    let rest: Vec<String> = work.finalizers().iter().filter(|f| *f != finalizer::MANIFEST_WORK).cloned().collect();
    tracing::info!(work = %work.name_any(), "work removed");
    set_finalizers(works, work, &rest).await
}

/// Deletes an AppliedManifestWork and takes our finalizer off.
pub async fn drop_applied(works: &Works, applied: &AppliedManifestWork) -> Result<(), Error> {
    let api: Api<AppliedManifestWork> = Api::all(works.local.clone());
    let name = applied.name_any();
    let rest: Vec<&String> = applied.finalizers().iter().filter(|f| *f != finalizer::APPLIED_MANIFEST_WORK).collect();
    let patch = json!({"metadata": {"uid": applied.uid(), "finalizers": rest}});
    let deleted = async {
        api.delete(&name, &DeleteParams::background()).await?;
        api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    };
    match deleted.await {
        Ok(()) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Error::Local { doing: "delete", object: named(applied), source }),
    }
}

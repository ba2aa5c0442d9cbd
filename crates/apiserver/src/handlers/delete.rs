//! `delete` and `deletecollection`.
//!
//! As apiserver `registry/generic/registry/store.go Delete`: an object with finalizers or a grace
//! period is marked, and removed by whoever takes away the last reason to keep it.

use apimachinery::schema::{self, Touched};
use apimachinery::status::Status;
use http::Response;
use serde_json::{Value, json};
use store::{Entry, Expect};

use super::commit::is_released;
use super::update::{ATTEMPTS, changed};
use super::{Call, Stored};
use crate::admission::Operation;
use crate::strategy;
use crate::{Body, Inner, codec, meta};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// `metav1.DeleteOptions`, from the body or the query.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    grace_period_seconds: Option<i64>,
    propagation: Option<Propagation>,
    uid: Option<String>,
    revision: Option<String>,
    is_dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// What became of an object.
enum Outcome {
    /// Its last state, and its uid.
    Removed(Entry, String),
    Marked(Entry),
    /// Somebody else changed it: look again.
    Changed,
}

impl DeleteOptions {
    fn of(call: &Call) -> Result<Self, Status> {
        let body = match call.body.len() {
            0 => Value::Null,
            _ => codec::parse_body(&call.headers, &call.body, None)?.value,
        };
        check_body(&body)?;
        let query = &call.info.query;
        let text = |field: &str| body[field].as_str().map(str::to_owned).or_else(|| query.get(field).map(str::to_owned));
        let orphans = body["orphanDependents"].as_bool().or_else(|| query.get("orphanDependents").map(|v| v == "true"));
        let propagation = match (text("propagationPolicy").as_deref(), orphans) {
            (None | Some(""), Some(true)) => Some(Propagation::Orphan),
            (None | Some(""), Some(false)) => Some(Propagation::Background),
            (None | Some(""), None) => None,
            (Some("Background"), _) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) => Some(Propagation::Orphan),
            (Some(other), _) => {
                return Err(Status::new(
                    422,
                    "Invalid",
                    format!(
                        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\""
                    ),
                ));
            }
        };
        let grace = match (&body["gracePeriodSeconds"], query.get("gracePeriodSeconds")) {
            (Value::Number(seconds), _) => seconds.as_i64(),
            (_, Some(seconds)) => Some(seconds.parse().map_err(|_| Status::bad_request("gracePeriodSeconds is not a number"))?),
            _ => None,
        };
        let is_dry_run = call.is_dry_run()? || body["dryRun"].as_array().is_some_and(|d| d.iter().any(|v| v == "All"));
        Ok(Self {
            grace_period_seconds: grace,
            propagation,
            uid: body["preconditions"]["uid"].as_str().map(str::to_owned),
            revision: body["preconditions"]["resourceVersion"].as_str().map(str::to_owned),
            is_dry_run,
        })
    }

    fn check(&self, call: &Call, object: &Value) -> Result<(), Status> {
        let refuse = |what: &str, want: &str, have: &str| {
            call.conflict(&format!("Precondition failed: {what} in precondition: {want}, {what} in object meta: {have}"))
        };
        let (uid, revision) = (meta::text(object, "uid"), meta::text(object, "resourceVersion"));
        if let Some(want) = self.uid.as_deref().filter(|w| *w != uid) {
            return Err(refuse("UID", want, uid));
        }
        if let Some(want) = self.revision.as_deref().filter(|w| *w != revision) {
            return Err(refuse("ResourceVersion", want, revision));
        }
        Ok(())
    }
}

impl Inner {
    pub(crate) async fn delete(&self, call: &Call) -> Result<Response<Body>, Status> {
        let options = DeleteOptions::of(call)?;
        match self.delete_named(call, &options).await? {
            Outcome::Removed(entry, _) if returns_object(call) => self.answer_entry(call, 200, &entry),
            Outcome::Removed(_, uid) => {
                let details = json!({
                    "name": call.path.name, "group": call.resource.gvr.group, "kind": call.resource.gvr.resource, "uid": uid,
                });
                let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
                if call.resource.gvr.group.is_empty()
                    && let Some(details) = status["details"].as_object_mut()
                {
                    details.remove("group");
                }
                Ok(self.finish(call, crate::http::json_value(200, &status)))
            }
            Outcome::Marked(entry) => self.answer_entry(call, 200, &entry),
            Outcome::Changed => Err(changed(call)),
        }
    }

    pub(crate) async fn delete_collection(&self, call: &Call) -> Result<Response<Body>, Status> {
        let options = DeleteOptions::of(call)?;
        let filter = call.filter()?;
        let listed = self.listed(call, &filter)?;
        let mut items = Vec::new();
        for entry in &listed.entries {
            let object = self.value_of(&call.resource, entry)?;
            let path = crate::request::ResourcePath {
                name: meta::name(&object).to_owned(),
                namespace: meta::text(&object, "namespace").to_owned(),
                ..call.path.clone()
            };
            let one = call.step(call.info.clone(), path, call.body.clone());
            // Who takes the name of a listed object meanwhile was not listed.
            let listed_uid = meta::text(&object, "uid");
            let pinned = DeleteOptions { uid: options.uid.clone().or_else(|| Some(listed_uid.to_owned())), ..options.clone() };
            match self.delete_named(&one, &pinned).await {
                Ok(Outcome::Changed) => return Err(changed(&one)),
                Ok(Outcome::Removed(..) | Outcome::Marked(_)) => items.push(object),
                Err(gone) if gone.code == 404 => {}
                Err(_) if self.load(&one).is_ok_and(|now| meta::text(&now.value, "uid") != listed_uid) => {}
                Err(error) => return Err(error),
            }
        }
        let metadata = json!({"resourceVersion": self.options.store.revision().to_string()});
        let list = json!({"kind": call.resource.list_kind(), "apiVersion": call.resource.gvk().api_version(), "metadata": metadata, "items": items});
        Ok(self.finish(call, crate::http::json_value(200, &list)))
    }

    async fn delete_named(&self, call: &Call, options: &DeleteOptions) -> Result<Outcome, Status> {
        for _ in 0..ATTEMPTS {
            let old = self.load(call)?;
            options.check(call, &old.value)?;
            self.review(call, Operation::Delete, &call.path.name, None, Some(&old.value)).await?;
            match self.delete_stored(call, options, &old).await? {
                Outcome::Changed => {}
                done => return Ok(done),
            }
        }
        Ok(Outcome::Changed)
    }

    async fn delete_stored(&self, call: &Call, options: &DeleteOptions, old: &Stored) -> Result<Outcome, Status> {
        let object = self.mark(call, options, &old.value);
        let uid = || meta::text(&old.value, "uid").to_owned();
        if options.is_dry_run {
            return Ok(Outcome::Removed(old.entry.clone(), uid()));
        }
        let expect = Expect::Revision(old.entry.revision);
        if is_released(call, &object) {
            // as BeforeDelete upstream: what is not deleted gracefully goes as it was, unmarked.
            let last = if strategy::is_deleted_gracefully(&call.resource) { &object } else { &old.value };
            let removed = self.remove(call, last, old.managers(), expect).await?;
            return Ok(removed.map_or(Outcome::Changed, |entry| Outcome::Removed(entry, uid())));
        }
        if meta::is_same(&object, &old.value, &Touched::by(&object, &old.value)) {
            return Ok(Outcome::Marked(old.entry.clone()));
        }
        Ok(self.put(call, &object, old.managers(), expect).await?.map_or(Outcome::Changed, Outcome::Marked))
    }

    /// Returns the object marked for deletion, with the finalizers that the propagation asks for.
    fn mark(&self, call: &Call, options: &DeleteOptions, old: &Value) -> Value {
        let mut object = old.clone();
        let mut finalizers: Vec<String> = meta::finalizers(old).into_iter().map(str::to_owned).collect();
        if let Some(policy) = options.propagation {
            finalizers.retain(|f| f != ORPHAN && f != FOREGROUND);
            match policy {
                Propagation::Background => {}
                Propagation::Foreground => finalizers.push(FOREGROUND.into()),
                Propagation::Orphan => finalizers.push(ORPHAN.into()),
            }
        }
        let grace = strategy::grace_period_seconds(&call.resource, old, options.grace_period_seconds);
        let metadata = meta::of(&mut object);
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".into(), json!(finalizers));
        }
        let now = self.now();
        let marked_grace = old["metadata"]["deletionGracePeriodSeconds"].as_i64();
        if !meta::is_terminating(old) || marked_grace.is_some_and(|marked| grace < marked) {
            // The time by which it should be gone, as BeforeDelete upstream.
            let at = now + jiff::SignedDuration::from_secs(grace);
            metadata.insert("deletionTimestamp".into(), meta::time(at).into());
            metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
            if strategy::counts_generations(&call.resource) {
                let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
                metadata.insert("generation".into(), generation.into());
            }
        }
        if strategy::is_held(&call.resource, &object) {
            object["status"]["phase"] = json!("Terminating");
        }
        object
    }
}

/// A field of the wrong type would be an option that is not followed.
fn check_body(body: &Value) -> Result<(), Status> {
    let schema = builtin::definition("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    let causes = schema.filter(|_| !body.is_null()).map(|schema| schema::validate(schema, body, "")).unwrap_or_default();
    let Some(first) = causes.first() else { return Ok(()) };
    Err(Status::bad_request(format!("the body is not valid DeleteOptions: {}: {}", first.field, first.message)))
}

/// Kinds whose deletion answers with the object instead of a Status.
fn returns_object(call: &Call) -> bool {
    call.resource.gvr.group.is_empty()
        && matches!(
            call.resource.gvr.resource.as_str(),
            "pods"
                | "namespaces"
                | "serviceaccounts"
                | "services"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "replicationcontrollers"
                | "resourcequotas"
                | "podtemplates"
        )
}

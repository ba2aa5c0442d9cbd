//! `patch`: JSON patch, merge patch, strategic merge patch and server-side apply.

use apimachinery::status::Status;
use apimachinery::{apply, patch};
use http::{Response, header};
use serde_json::Value;

use super::commit::Ownership;
use super::update::{ATTEMPTS, changed, check_preconditions};
use super::{Call, FieldValidation, Stored};
use crate::strategy::Scope;
use crate::{Body, Inner, apart, codec, meta};

/// The four kinds of patch, by media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Kind {
    pub(crate) fn of(call: &Call) -> Result<Self, Status> {
        let header = call.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media = header.split(';').next().unwrap_or_default().trim();
        let kind = match media {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" if call.resource.is_builtin() => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        };
        kind.ok_or_else(|| {
            let strategic = if call.resource.is_builtin() { ", application/strategic-merge-patch+json" } else { "" };
            let known = format!("application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml{strategic}");
            let message = format!("the body of the request was in an unknown format - accepted media types include: {known}");
            Status::new(415, "UnsupportedMediaType", message)
        })
    }
}

impl Inner {
    pub(crate) async fn patch(&self, call: &Call, scope: Scope) -> Result<Response<Body>, Status> {
        match Kind::of(call)? {
            Kind::Apply => self.apply(call, scope).await,
            kind => self.patch_stored(call, kind, scope).await,
        }
    }

    async fn patch_stored(&self, call: &Call, kind: Kind, scope: Scope) -> Result<Response<Body>, Status> {
        let body = parse_patch(kind, &call.body)?;
        for _ in 0..ATTEMPTS {
            let old = self.load(call)?;
            let mut object = apply_patch(call, kind, &old, &body.value)?;
            check_kept(call, &object)?;
            self.check_fields(call, call.field_validation()?, &mut object, body.duplicates.clone())?;
            // A patch that names a revision means that one; the copied one is no demand.
            check_preconditions(call, &object, &old)?;
            if let Some(entry) = self.finish_update(call, &old, object, scope, Ownership::Update).await? {
                return self.answer_entry(call, 200, &entry);
            }
            call.warnings.lock().clear();
        }
        Err(changed(call))
    }

    async fn apply(&self, call: &Call, scope: Scope) -> Result<Response<Body>, Status> {
        let is_forced = call.info.query.is_true("force");
        if call.info.query.get("fieldManager").is_none_or(str::is_empty) {
            return Err(Status::bad_request(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        let mut config = self.read_config(call)?;
        let (manager, api_version) = (call.field_manager()?, call.resource.gvk().api_version());
        for _ in 0..ATTEMPTS {
            let writer = self.writer(call, &manager, &api_version);
            let schema = &call.resource.schema;
            match self.load(call) {
                Ok(old) => {
                    check_preconditions(call, &config, &old)?;
                    let object = apply::apply(schema, Some(old.live()), &config, &writer, is_forced);
                    let (object, managers) = object.map_err(|e| about(call, e))?;
                    if let Some(entry) = self.finish_update(call, &old, object, scope, Ownership::Settled(managers)).await? {
                        return self.answer_entry(call, 200, &entry);
                    }
                }
                Err(missing) if missing.code == 404 && scope == Scope::Main => {
                    if !meta::text(&config, "uid").is_empty() {
                        let uid = meta::text(&config, "uid");
                        return Err(call.conflict(&format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ")));
                    }
                    meta::of(&mut config).remove("resourceVersion");
                    let object = apply::apply(schema, None, &config, &writer, is_forced);
                    let (object, managers) = object.map_err(|e| about(call, e))?;
                    match self.create_object(call, object, Ownership::Settled(managers)).await {
                        Err(exists) if exists.reason == "AlreadyExists" => {}
                        other => return other,
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(changed(call))
    }

    /// Reads an apply configuration: YAML or JSON of the call's kind and name.
    fn read_config(&self, call: &Call) -> Result<Value, Status> {
        let parsed = codec::parse_yaml(&call.body).map_err(|e| Status::bad_request(format!("error decoding YAML: {e}")))?;
        let mut config = parsed.value;
        let gvk = call.resource.gvk();
        let (api_version, kind) = (config["apiVersion"].as_str().unwrap_or_default(), config["kind"].as_str().unwrap_or_default());
        if api_version != gvk.api_version() || kind != gvk.kind {
            return Err(Status::bad_request(format!(
                "incorrect version specified in apply patch. Specified patch version: {api_version} {kind}, expected: {} {}",
                gvk.api_version(),
                gvk.kind
            )));
        }
        if config["metadata"].get("managedFields").is_some_and(|m| !m.is_null() && *m != serde_json::json!([])) {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        match meta::name(&config) {
            "" => {
                meta::of(&mut config).insert("name".into(), call.path.name.clone().into());
            }
            name if name != call.path.name => {
                let path = &call.path.name;
                return Err(Status::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({path})")));
            }
            _ => {}
        }
        if call.resource.namespaced {
            let namespace = meta::text(&config, "namespace");
            if !namespace.is_empty() && namespace != call.path.namespace {
                let path = &call.path.namespace;
                return Err(Status::bad_request(format!(
                    "the namespace of the provided object does not match the namespace sent on the request: {namespace:?} is not {path:?}"
                )));
            }
            meta::of(&mut config).insert("namespace".into(), call.path.namespace.clone().into());
        }
        // Unknown fields in a configuration are refused even where other writes only warn:
        // they would be owned but not stored. As apply upstream, unless the client ignores them.
        let validation = match call.field_validation()? {
            FieldValidation::Ignore => FieldValidation::Ignore,
            FieldValidation::Warn | FieldValidation::Strict => FieldValidation::Strict,
        };
        self.check_fields(call, validation, &mut config, parsed.duplicates)?;
        Ok(config)
    }
}

/// Names the object in a refusal of the pure part.
fn about(call: &Call, status: Status) -> Status {
    let resource = &call.resource.gvr;
    status.about(&resource.group, &resource.resource, &call.path.name)
}

fn parse_patch(kind: Kind, body: &[u8]) -> Result<codec::Parsed, Status> {
    let parsed = codec::parse_json(body).map_err(|e| Status::bad_request(format!("error decoding patch: {}", e)))?;
    let is_right = if kind == Kind::Json { parsed.value.is_array() } else { parsed.value.is_object() };
    if !is_right {
        let want = if kind == Kind::Json { "an array of operations" } else { "an object" };
        return Err(Status::bad_request(format!("error decoding patch: the body must be {want}")));
    }
    Ok(parsed)
}

fn apply_patch(call: &Call, kind: Kind, old: &Stored, body: &Value) -> Result<Value, Status> {
    match kind {
        Kind::Json if addresses_managers(body) => patch::json(&apart::together(old.value.clone(), old.managers()), body),
        Kind::Json => patch::json(&old.value, body),
        // These can but replace `managedFields`, for which those that are there need not be there.
        Kind::Merge => Ok(patch::merge(old.value.clone(), body)),
        Kind::Strategic => patch::strategic(&call.resource.schema, old.value.clone(), body),
        Kind::Apply => Err(Status::internal("an apply configuration is not a patch of stored bytes")),
    }
}

/// Says whether an operation of a JSON patch looks at or into `managedFields`.
fn addresses_managers(operations: &Value) -> bool {
    let concerns = |pointer: &str| matches!(pointer, "" | "/metadata") || pointer.starts_with("/metadata/managedFields");
    let pointers = operations.as_array().into_iter().flatten().flat_map(|operation| [&operation["path"], &operation["from"]]);
    pointers.filter_map(Value::as_str).any(concerns)
}

/// A patch cannot turn an object into another one.
fn check_kept(call: &Call, object: &Value) -> Result<(), Status> {
    let gvk = call.resource.gvk();
    if object["apiVersion"] != gvk.api_version() || object["kind"] != gvk.kind {
        return Err(Status::bad_request(format!("a patch may not change apiVersion or kind: expected {} {}", gvk.api_version(), gvk.kind)));
    }
    if meta::name(object) != call.path.name {
        let path = &call.path.name;
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({path})",
            meta::name(object)
        )));
    }
    Ok(())
}

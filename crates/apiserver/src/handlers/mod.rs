//! One handler a verb, for every kind.
//!
//! A [`Call`] is an authenticated, authorized request to a resource of the table. Reads answer from
//! the store's memory; writes go through [`commit`]: prepare, default, admit, validate, own, store.

pub mod commit;
pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod patch;
pub mod subresource;
pub mod update;
pub mod watch;

use std::sync::Arc;

use apimachinery::apply::Live;
use apimachinery::status::{Cause, Status};
use bytes::Bytes;
use http::{HeaderMap, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use store::Entry;

use crate::negotiate::{Accepted, Form};
use crate::registry::Resource;
use crate::request::{RequestInfo, ResourcePath};
use crate::user::UserInfo;
use crate::{Body, Inner, apart, codec, convert, http as answers, keys, table};

/// An authenticated and authorized request to a resource of the table.
pub struct Call {
    pub info: RequestInfo,
    pub path: ResourcePath,
    pub resource: Arc<Resource>,
    pub user: UserInfo,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub accepted: Accepted,
    /// Sent as `Warning` headers.
    pub warnings: Mutex<Vec<String>>,
}

/// An object in the store.
pub struct Stored {
    pub entry: Entry,
    /// In the version of the call, without `managedFields`.
    pub value: Value,
    /// The text of its `managedFields`, empty without.
    managers: Bytes,
}

impl Stored {
    pub fn managers(&self) -> &str {
        std::str::from_utf8(&self.managers).unwrap_or_default()
    }

    pub fn live(&self) -> Live<'_> {
        Live { object: &self.value, managers: self.managers() }
    }
}

/// What a client says about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl Call {
    /// Returns a call by the same user about another object or part, as a step of this one.
    pub(crate) fn step(&self, info: RequestInfo, path: ResourcePath, body: Bytes) -> Self {
        Self {
            info,
            path,
            resource: self.resource.clone(),
            user: self.user.clone(),
            headers: self.headers.clone(),
            body,
            accepted: self.accepted,
            warnings: Mutex::default(),
        }
    }

    /// Returns the namespace an object of the call is in; empty for cluster-scoped resources.
    pub fn namespace(&self) -> &str {
        if self.resource.namespaced { &self.path.namespace } else { "" }
    }

    pub fn key(&self, name: &str) -> Arc<str> {
        keys::object(&self.resource.storage_group, &self.resource.gvr.resource, self.namespace(), name)
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.lock().push(text.into());
    }

    /// Returns whether nothing is to be stored.
    pub fn is_dry_run(&self) -> Result<bool, Status> {
        match self.info.query.get("dryRun") {
            None | Some("") => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Status::bad_request(format!("invalid dryRun {other:?}: the supported value is \"All\""))),
        }
    }

    pub fn field_validation(&self) -> Result<FieldValidation, Status> {
        match self.info.query.get("fieldValidation") {
            None | Some("" | "Warn") => Ok(FieldValidation::Warn),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some(other) => Err(Status::bad_request(format!(
                "invalid fieldValidation {other:?}: supported values are \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }

    /// Returns who owns the fields of this write: the `fieldManager` parameter, else the client's program.
    pub fn field_manager(&self) -> Result<String, Status> {
        if let Some(manager) = self.info.query.get("fieldManager").filter(|m| !m.is_empty()) {
            if manager.len() > 128 {
                return Err(Status::bad_request("fieldManager: Too long: may not be more than 128 bytes"));
            }
            return Ok(manager.to_owned());
        }
        let agent = self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("unknown");
        let program = agent.split('/').next().unwrap_or("unknown");
        Ok(program.chars().take(128).collect())
    }

    pub fn not_found(&self) -> Status {
        Status::not_found(&self.resource.gvr.group, &self.resource.gvr.resource, &self.path.name)
    }

    pub fn conflict(&self, why: &str) -> Status {
        Status::conflict(&self.resource.gvr.group, &self.resource.gvr.resource, &self.path.name, why)
    }
}

impl Inner {
    /// Returns the stored object that the call names.
    pub(crate) fn load(&self, call: &Call) -> Result<Stored, Status> {
        let entry = self.options.store.get(&call.key(&call.path.name), None).map_err(store_error)?;
        let entry = entry.ok_or_else(|| call.not_found())?;
        let (value, managers) = apart::decode(&entry.value)?;
        let value = if call.resource.is_storage_version() { value } else { convert::from_storage(&call.resource, value) };
        Ok(Stored { entry, value, managers })
    }

    /// Returns an entry's object in the version of `resource`.
    pub(crate) fn value_of(&self, resource: &Resource, entry: &Entry) -> Result<Value, Status> {
        let value = codec::decode(&entry.value)?;
        Ok(if resource.is_storage_version() { value } else { convert::from_storage(resource, value) })
    }

    /// Answers with a stored object.
    pub(crate) fn answer_entry(&self, call: &Call, code: u16, entry: &Entry) -> Result<Response<Body>, Status> {
        if call.accepted == Accepted::JSON && call.resource.is_storage_version() {
            return Ok(self.finish(call, answers::json(code, entry.value.clone())));
        }
        self.answer_value(call, code, self.value_of(&call.resource, entry)?)
    }

    /// Answers with an object in the version of the call.
    pub(crate) fn answer_value(&self, call: &Call, code: u16, value: Value) -> Result<Response<Body>, Status> {
        let shown = match call.accepted.form {
            Form::Object => value,
            Form::Metadata => partial_metadata(&value),
            Form::Table => {
                let revision = value["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
                let include = table::Include::parse(call.info.query.get("includeObject"))?;
                table::render(&call.resource, std::slice::from_ref(&value), &json!({"resourceVersion": revision}), include, self.now())
            }
        };
        Ok(self.finish(call, encode_answer(call.accepted, code, &shown)))
    }

    /// Adds the headers that every answer of the call carries.
    pub(crate) fn finish(&self, call: &Call, mut response: Response<Body>) -> Response<Body> {
        let warnings = call.warnings.lock();
        if !warnings.is_empty() {
            answers::warn(&mut response, &warnings);
        }
        if let Some(deprecation) = &call.resource.deprecation {
            answers::warn(&mut response, std::slice::from_ref(deprecation));
        }
        response
    }
}

pub(crate) fn encode_answer(accepted: Accepted, code: u16, value: &Value) -> Response<Body> {
    if accepted.yaml {
        return answers::respond(code, "application/yaml", answers::full(apimachinery::yaml::to_string(value)));
    }
    if accepted.pretty {
        return answers::json(code, serde_json::to_vec_pretty(value).expect("a JSON value can be written"));
    }
    answers::json_value(code, value)
}

/// Returns kind `PartialObjectMetadata` with the object's metadata.
pub(crate) fn partial_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// Returns the refusal for a failed store operation.
pub(crate) fn store_error(error: store::Error) -> Status {
    match error {
        store::Error::Compacted(asked, oldest) => Status::gone(format!("too old resource version: {asked} ({oldest})")),
        store::Error::Future(asked, newest) => {
            let mut status = Status::new(504, "Timeout", format!("Too large resource version: {asked}, current: {newest}"));
            status.retry_after_seconds = Some(1);
            // What client-go's reflectors recognise it by.
            let message = "Too large resource version".to_owned();
            status.causes = vec![Cause { reason: "ResourceVersionTooLarge", message, field: String::new() }];
            status
        }
        store::Error::Unwritable(why) => {
            let mut status = Status::new(503, "ServiceUnavailable", format!("the store cannot be written, nothing was changed: {why}"));
            status.retry_after_seconds = Some(5);
            status
        }
        store::Error::Closed => {
            let mut status = Status::new(503, "ServiceUnavailable", "the server is stopping, its store is closed; try again");
            status.retry_after_seconds = Some(1);
            status
        }
        other => Status::internal(other),
    }
}

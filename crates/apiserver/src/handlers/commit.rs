//! From a client's object to a stored one: the steps every write shares, in order.
//!
//! 1. read: media type, kind, unknown and duplicate fields
//! 2. prepare: metadata and what the kind's strategy resets
//! 3. default
//! 4. admit
//! 5. validate
//! 6. own: managedFields
//! 7. store

use std::borrow::Cow;

use apimachinery::apply;
use apimachinery::schema::{self, Touched};
use apimachinery::status::{Cause, Status};
use serde_json::Value;
use store::{Change, Durability, Entry, Expect, Write};

use super::{Call, FieldValidation, Stored, store_error};
use crate::admission::{Attributes, Operation};
use crate::strategy::{self, Scope};
use crate::{Inner, apart, codec, convert, meta};

/// The largest object, as etcd's default request limit that clients know.
const OBJECT_BYTES_MAX: usize = 1536 * 1024;
/// The deepest object, managedFields included: lists and watch events around it stay within the 128 levels
/// that JSON readers such as ours allow.
const OBJECT_DEPTH_MAX: usize = 120;

/// How a write was asked for; decides how field ownership is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Fields that changed are the manager's.
    Update,
    /// Server-side apply wrote `managedFields`: their text.
    Settled(String),
}

impl Inner {
    /// Parses the body as an object of the call's kind.
    pub(crate) fn read_object(&self, call: &Call) -> Result<Value, Status> {
        let gvk = call.resource.gvk();
        let validation = call.field_validation()?;
        let parsed = self.parse_body(call)?;
        let mut object = parsed.value;
        let Some(fields) = object.as_object_mut() else {
            return Err(Status::bad_request(format!("the body must be an object of kind {}, it is not a JSON object", gvk.kind)));
        };
        // Clients may leave out what the path says already.
        fields.entry("apiVersion").or_insert_with(|| gvk.api_version().into());
        fields.entry("kind").or_insert_with(|| gvk.kind.clone().into());
        let (api_version, kind) = (fields["apiVersion"].as_str().unwrap_or_default(), fields["kind"].as_str().unwrap_or_default());
        if api_version != gvk.api_version() || kind != gvk.kind {
            return Err(Status::bad_request(format!(
                "{kind} in version {api_version:?} cannot be handled as a {}: expected apiVersion {:?} and kind {:?}",
                gvk.kind,
                gvk.api_version(),
                gvk.kind
            )));
        }
        if fields.get("metadata").is_some_and(|m| !m.is_object() && !m.is_null()) {
            return Err(Status::bad_request(format!(
                "the {} in the body is invalid: metadata: Invalid value: must be an object",
                gvk.kind
            )));
        }
        self.check_fields(call, validation, &mut object, parsed.duplicates)?;
        Ok(object)
    }

    /// Drops unknown fields; says so, or refuses, as the client asked.
    pub(crate) fn check_fields(
        &self,
        call: &Call,
        validation: FieldValidation,
        object: &mut Value,
        duplicates: Vec<String>,
    ) -> Result<(), Status> {
        let unknown = schema::prune(&call.resource.schema, object);
        let mut faults: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        faults.extend(duplicates);
        match validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => faults.into_iter().for_each(|fault| call.warn(fault)),
            FieldValidation::Strict if faults.is_empty() => {}
            FieldValidation::Strict => {
                return Err(Status::bad_request(format!(
                    "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                    call.resource.kind,
                    call.resource.gvr.version,
                    call.resource.kind,
                    faults.join(", ")
                )));
            }
        }
        Ok(())
    }

    fn parse_body(&self, call: &Call) -> Result<codec::Parsed, Status> {
        codec::parse_body(&call.headers, &call.body, Some(&call.resource.gvk()))
    }

    /// Fills in defaults of the schema and of the kind.
    pub(crate) fn default(&self, call: &Call, object: &mut Value, touched: &Touched) {
        if !call.resource.is_builtin() {
            return schema::default(&call.resource.schema, object);
        }
        schema::default_touched(&call.resource.schema, object, touched);
        builtin::default_touched(&call.resource.gvk(), object, touched);
    }

    /// Runs admission plugins that may change the object.
    pub(crate) async fn admit(&self, call: &Call, operation: Operation, object: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        for plugin in self.plugins(call) {
            let name = meta::name(object).to_owned();
            let attributes = attributes(call, operation, &name, old)?;
            plugin.admit(&attributes, object, &*self.rbac).await?;
        }
        Ok(())
    }

    /// Checks the object against metadata rules, schema, the kind's own rules and admission plugins.
    pub(crate) async fn validate(
        &self,
        call: &Call,
        operation: Operation,
        object: &Value,
        old: Option<&Value>,
        touched: &Touched,
    ) -> Result<(), Status> {
        let mut causes = Vec::new();
        if touched.has("metadata") {
            causes.extend(meta::validate(object, call.resource.namespaced));
        }
        if let Some(old) = old {
            causes.extend(meta::validate_update(object, old));
        } else {
            causes.extend(crate::names::validate(&call.resource, meta::name(object)));
        }
        if call.resource.is_builtin() {
            causes.extend(schema::validate_touched(&call.resource.schema, object, schema::Lists::MayRepeat, touched));
            causes.extend(builtin::validate_touched(&call.resource.gvk(), object, old, touched));
        } else {
            // The schema may have become another since the object was stored.
            causes.extend(schema::validate_with(&call.resource.schema, object, "", schema::Lists::Distinct));
        }
        if !causes.is_empty() {
            return Err(invalid(call, object, causes));
        }
        self.review(call, operation, meta::name(object), Some(object), old).await
    }

    /// Runs admission plugins that may only refuse.
    pub(crate) async fn review(
        &self,
        call: &Call,
        operation: Operation,
        name: &str,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        for plugin in self.plugins(call) {
            plugin.validate(&attributes(call, operation, name, old)?, object, &*self.rbac).await?;
        }
        Ok(())
    }

    fn plugins<'a>(&'a self, call: &'a Call) -> impl Iterator<Item = &'a dyn crate::admission::Admission> {
        let gvr = &call.resource.gvr;
        self.options.admission.iter().map(|p| &**p).filter(|p| p.handles(&gvr.group, &gvr.resource))
    }

    /// Stores an object; `expect` says what must be there. `Ok(None)` means that something else is.
    pub(crate) async fn put(&self, call: &Call, object: &Value, managers: &str, expect: Expect) -> Result<Option<Entry>, Status> {
        let name = meta::name(object);
        // `managedFields` stand in the metadata of the object.
        let depth = codec::depth(object).max(2 + apart::depth(managers));
        if depth > OBJECT_DEPTH_MAX {
            let kind = &call.resource.kind;
            let message = format!(
                "{kind} {name:?} is nested too deep: {depth} levels with its managedFields, the limit is {OBJECT_DEPTH_MAX}; flatten it"
            );
            return Err(Status::bad_request(message));
        }
        let stored;
        let template = if call.resource.is_storage_version() {
            codec::encode(object, managers)
        } else {
            stored = convert::to_storage(&call.resource, object.clone());
            codec::encode(&stored, managers)
        };
        if template.bytes.len() > OBJECT_BYTES_MAX {
            let (size, kind) = (template.bytes.len(), &call.resource.kind);
            let message =
                format!("{kind} {name:?} is too large: {size} bytes, the limit is {OBJECT_BYTES_MAX}; split it or move data out of it");
            return Err(Status::new(413, "RequestEntityTooLarge", message));
        }
        self.write(Write { key: call.key(name), expect, change: Change::Put(template), durability: self.durability(call, name) }).await
    }

    /// Removes an object, telling watchers of its last state.
    pub(crate) async fn remove(&self, call: &Call, object: &Value, managers: &str, expect: Expect) -> Result<Option<Entry>, Status> {
        let last = if call.resource.is_storage_version() {
            codec::encode(object, managers)
        } else {
            codec::encode(&convert::to_storage(&call.resource, object.clone()), managers)
        };
        let key = call.key(meta::name(object));
        self.write(Write { key, expect, change: Change::Delete(last), durability: Durability::Durable }).await
    }

    async fn write(&self, write: Write) -> Result<Option<Entry>, Status> {
        match self.options.store.write(write).await {
            Ok(entry) => Ok(Some(entry)),
            Err(store::Error::Unexpected(_)) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }

    fn durability(&self, call: &Call, name: &str) -> Durability {
        let resource = call.resource.gvr.group_resource();
        let is_lazy = self.options.lazy.iter().any(|(r, n)| *r == resource && n == name);
        if is_lazy { Durability::Lazy } else { Durability::Durable }
    }

    /// Completes an update of a stored object and stores it. `Ok(None)` means that the object changed
    /// meanwhile: look again.
    pub(crate) async fn finish_update(
        &self,
        call: &Call,
        old: &Stored,
        mut object: Value,
        scope: Scope,
        ownership: Ownership,
    ) -> Result<Option<Entry>, Status> {
        apart::drop_known(&mut object, old.managers());
        meta::begin_update(&mut object, &old.value);
        strategy::begin_update(&call.resource, scope, &mut object, &old.value);
        if call.resource.is_builtin() && scope == Scope::Main {
            builtin::prepare_update(&call.resource.gvk(), &mut object, &old.value);
        }
        let touched = Touched::by(&object, &old.value);
        self.default(call, &mut object, &touched);
        self.admit(call, Operation::Update, &mut object, Some(&old.value)).await?;
        let touched = Touched::by(&object, &old.value);
        if strategy::is_new_generation(&call.resource, &object, &old.value, &touched) {
            let generation = old.value["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            meta::of(&mut object).insert("generation".into(), generation.into());
        }
        self.validate(call, Operation::Update, &object, Some(&old.value), &touched).await?;
        let managers = self.own(call, Some(old), &mut object, &ownership)?;
        let is_dry_run = call.is_dry_run()?;
        let removes = meta::is_terminating(&object) && is_released(call, &object);
        if !removes && meta::is_same(&object, &old.value, &touched) && apply::is_same_but_times(&managers, old.managers()) {
            return Ok(Some(old.entry.clone()));
        }
        if is_dry_run {
            let revision = old.value["metadata"]["resourceVersion"].clone();
            meta::of(&mut object).insert("resourceVersion".into(), revision);
            let value = convert::to_storage(&call.resource, apart::together(object, &managers)).to_string().into();
            return Ok(Some(Entry { value, ..old.entry.clone() }));
        }
        let expect = Expect::Revision(old.entry.revision);
        if removes { self.remove(call, &object, &managers, expect).await } else { self.put(call, &object, &managers, expect).await }
    }

    /// Returns the text of the object's `managedFields` after the write.
    pub(crate) fn own<'a>(
        &self,
        call: &Call,
        old: Option<&Stored>,
        object: &mut Value,
        ownership: &'a Ownership,
    ) -> Result<Cow<'a, str>, Status> {
        if let Ownership::Settled(managers) = ownership {
            return Ok(Cow::Borrowed(managers));
        }
        let (manager, api_version) = (call.field_manager()?, call.resource.gvk().api_version());
        let writer = self.writer(call, &manager, &api_version);
        Ok(Cow::Owned(apply::update(&call.resource.schema, old.map(Stored::live), object, &writer)))
    }

    /// Returns who writes, what and when, for field ownership.
    pub(crate) fn writer<'a>(&self, call: &'a Call, manager: &'a str, api_version: &'a str) -> apply::Writer<'a> {
        let scope = match (call.path.subresource.as_str(), call.resource.status_subresource) {
            ("status", _) => apply::Scope::OnlyStatus,
            ("", true) => apply::Scope::AllButStatus,
            _ => apply::Scope::Everything,
        };
        apply::Writer { manager, subresource: &call.path.subresource, api_version, now: self.now(), scope }
    }
}

/// Returns whether nothing holds a terminating object any longer.
pub(crate) fn is_released(call: &Call, object: &Value) -> bool {
    let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    meta::finalizers(object).is_empty() && !strategy::is_held(&call.resource, object) && grace == 0
}

pub(crate) fn invalid(call: &Call, object: &Value, causes: Vec<Cause>) -> Status {
    Status::invalid(&call.resource.gvr.group, &call.resource.kind, meta::name(object), causes)
}

fn attributes<'a>(call: &'a Call, operation: Operation, name: &'a str, old: Option<&'a Value>) -> Result<Attributes<'a>, Status> {
    Ok(Attributes {
        request: &call.info,
        resource: &call.resource,
        user: &call.user,
        operation,
        name,
        namespace: call.namespace(),
        subresource: &call.path.subresource,
        old,
        dry_run: call.is_dry_run()?,
        warnings: &call.warnings,
    })
}

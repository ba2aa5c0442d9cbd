//! `create`

use apimachinery::schema::Touched;
use apimachinery::status::{Cause, Status};
use http::Response;
use serde_json::Value;
use store::Expect;

use super::Call;
use crate::admission::Operation;
use crate::{Body, Inner, apart, meta, strategy};

/// How many names are tried for a generateName, as RetryGenerateName upstream.
const GENERATED_NAMES: usize = 8;
/// The longest prefix that leaves room for the suffix.
const GENERATE_PREFIX_BYTES: usize = 58;

impl Inner {
    pub(crate) async fn create(&self, call: &Call) -> Result<Response<Body>, Status> {
        let object = self.read_object(call)?;
        self.create_object(call, object, Ownership::Update).await
    }

    /// Creates an object that was read already.
    pub(crate) async fn create_object(&self, call: &Call, mut object: Value, ownership: Ownership) -> Result<Response<Body>, Status> {
        check_identity(call, &object)?;
        meta::begin_create(&mut object, call.namespace(), self.options.entropy.uid(), self.now());
        strategy::begin_create(&call.resource, &mut object);
        let prefix: String = meta::text(&object, "generateName").chars().take(GENERATE_PREFIX_BYTES).collect();
        let is_generated = meta::name(&object).is_empty() && !prefix.is_empty();
        if meta::name(&object).is_empty() && !is_generated {
            return Err(super::commit::invalid(call, &object, vec![Cause::required("metadata.name", "name or generateName is required")]));
        }
        if !is_generated {
            let name = meta::name(&object).to_owned();
            let created = self.create_named(call, object, &ownership).await?;
            return created.ok_or_else(|| already_exists(call, &name));
        }
        for _ in 0..GENERATED_NAMES {
            let mut attempt = object.clone();
            meta::of(&mut attempt).insert("name".into(), format!("{prefix}{}", self.options.entropy.name_suffix()).into());
            if let Some(response) = self.create_named(call, attempt, &ownership).await? {
                return Ok(response);
            }
        }
        Err(already_exists(call, ""))
    }

    async fn create_named(&self, call: &Call, mut object: Value, ownership: &Ownership) -> Result<Option<Response<Body>>, Status> {
        self.fill_in(call, &mut object);
        self.default(call, &mut object, &Touched::All);
        self.admit(call, Operation::Create, &mut object, None).await?;
        self.validate(call, Operation::Create, &object, None, &Touched::All).await?;
        let managers = self.own(call, None, &mut object, ownership)?;
        if call.is_dry_run()? {
            let is_there = self.options.store.get(&call.key(meta::name(&object)), None).map_err(super::store_error)?.is_some();
            return if is_there { Ok(None) } else { self.answer_value(call, 201, apart::together(object, &managers)).map(Some) };
        }
        match self.put(call, &object, &managers, Expect::Absent).await? {
            Some(entry) => self.answer_entry(call, 201, &entry).map(Some),
            None => Ok(None),
        }
    }

    /// Sets what only the server knows at creation.
    fn fill_in(&self, call: &Call, object: &mut Value) {
        if call.resource.is_builtin() {
            builtin::prepare_create(&call.resource.gvk(), object);
        }
        match (call.resource.gvr.group.as_str(), call.resource.gvr.resource.as_str()) {
            // as certificates strategy PrepareForCreate: the requester is who asks, whatever the body says.
            ("certificates.k8s.io", "certificatesigningrequests") => {
                let mut spec = object["spec"].take();
                spec["username"] = call.user.username.clone().into();
                spec["uid"] = call.user.uid.clone().into();
                spec["groups"] = call.user.groups.clone().into();
                spec["extra"] = serde_json::to_value(&call.user.extra).unwrap_or_default();
                object["spec"] = spec;
            }
            // as core namespace strategy: every namespace carries its name as a label.
            ("", "namespaces") => {
                let name = meta::name(object).to_owned();
                let labels = meta::of(object).entry("labels").or_insert_with(|| serde_json::json!({}));
                labels["kubernetes.io/metadata.name"] = name.into();
            }
            _ => {}
        }
    }
}

fn already_exists(call: &Call, name: &str) -> Status {
    Status::already_exists(&call.resource.gvr.group, &call.resource.gvr.resource, name)
}

pub(crate) use super::commit::Ownership;

/// The path, where it names something, must agree with the body.
fn check_identity(call: &Call, object: &Value) -> Result<(), Status> {
    let namespace = meta::text(object, "namespace");
    if call.resource.namespaced {
        if call.path.namespace.is_empty() {
            return Err(Status::bad_request("an empty namespace may not be set during creation"));
        }
        if !namespace.is_empty() && namespace != call.path.namespace {
            return Err(Status::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request: {namespace:?} is not {:?}",
                call.path.namespace
            )));
        }
    }
    if !meta::text(object, "resourceVersion").is_empty() {
        return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
    }
    Ok(())
}

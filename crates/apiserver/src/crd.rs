//! CustomResourceDefinitions become rows of the table.
//!
//! As apiextensions-apiserver: names are accepted unless another definition of the group has them,
//! an accepted definition is established and served, a deleted one takes its objects with it.
//! Existing definitions are loaded before the server answers its first request.

mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::schema;
use apimachinery::status::Status;
use async_trait::async_trait;
use controller::{Controller, Next};
use serde_json::{Value, json};
use store::{Change, Durability, Expect, Range, Write};

use crate::admission::{Admission, Attributes, Authorize};
use crate::{ApiServer, Inner, codec, keys, meta};

const GROUP: &str = "apiextensions.k8s.io";
const RESOURCE: &str = "customresourcedefinitions";
/// Held while objects of the definition remain.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Inner {
    /// Serves the definitions that were accepted before the server started.
    pub(crate) fn load_crds(&self) {
        for crd in self.stored_crds() {
            if condition(&crd, "Established") == Some("True") {
                self.serve_crd(&crd);
            }
        }
    }

    pub(crate) fn stored_crds(&self) -> Vec<Value> {
        let prefix = keys::resource_prefix(GROUP, RESOURCE);
        let Ok(page) = self.options.store.range(Range { prefix: &prefix, ..Range::default() }) else { return Vec::new() };
        page.entries.iter().filter_map(|e| serde_json::from_slice(&e.value).ok()).collect()
    }

    fn serve_crd(&self, crd: &Value) {
        match rows::of(crd) {
            Ok(rows) => self.registry.set_crd(meta::name(crd), &rows),
            Err(reason) => tracing::warn!(crd = meta::name(crd), %reason, "definition is not served"),
        }
    }
}

/// Starts to follow definitions.
pub(crate) fn start(server: &ApiServer) {
    let runtime = server.runtime().clone();
    let controller = Controller::<Name>::new("crd", &runtime);
    let queue = controller.clone();
    server.inner.options.store.subscribe(Box::new(move |events| {
        for event in events {
            if let Some(parts) = keys::parts(&event.entry.key)
                && (parts.group, parts.resource) == (GROUP, RESOURCE)
            {
                queue.add(Name(parts.name.into()));
            }
        }
    }));
    for crd in server.inner.stored_crds() {
        controller.add(Name(meta::name(&crd).into()));
    }
    let weak = Arc::downgrade(&server.inner);
    controller.run(1, move |name: Name| {
        let inner = weak.upgrade();
        async move {
            match inner {
                Some(inner) => inner.reconcile_crd(&name.0).await,
                None => Ok(Next::OnChange),
            }
        }
    });
}

/// Name of a definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name(String);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Inner {
    async fn reconcile_crd(&self, name: &str) -> Result<Next, Status> {
        let key = keys::object(GROUP, RESOURCE, "", name);
        let Some(entry) = self.options.store.get(&key, None).map_err(crate::handlers::store_error)? else {
            self.registry.set_crd(name, &[]);
            return Ok(Next::OnChange);
        };
        let crd = codec::decode(&entry.value)?;
        let wanted = if meta::is_terminating(&crd) {
            let remaining = self.delete_custom_objects(&crd).await?;
            if remaining > 0 {
                return Ok(Next::After(std::time::Duration::from_millis(200)));
            }
            self.registry.set_crd(name, &[]);
            released(&crd)
        } else {
            let others: Vec<Value> = self.stored_crds().into_iter().filter(|o| meta::name(o) != name).collect();
            accepted(&crd, &others, &meta::time(self.now()))
        };
        if condition(&wanted, "Established") == Some("True") && !meta::is_terminating(&wanted) {
            self.serve_crd(&wanted);
        }
        if wanted == crd {
            return Ok(Next::OnChange);
        }
        let change = if meta::is_terminating(&wanted) && meta::finalizers(&wanted).is_empty() {
            Change::Delete(codec::encode(&wanted, ""))
        } else {
            Change::Put(codec::encode(&wanted, ""))
        };
        let write = Write { key, expect: Expect::Revision(entry.revision), change, durability: Durability::Durable };
        match self.options.store.write(write).await {
            // A change in between queues the name again.
            Ok(_) | Err(store::Error::Unexpected(_)) => Ok(Next::OnChange),
            Err(error) => Err(crate::handlers::store_error(error)),
        }
    }

    /// Deletes what the definition defines; returns how many objects remain (their finalizers hold them).
    async fn delete_custom_objects(&self, crd: &Value) -> Result<usize, Status> {
        let (group, plural) = (text(&crd["spec"], "group"), text(&crd["spec"]["names"], "plural"));
        let prefix = keys::resource_prefix(group, plural);
        let page = self.options.store.range(Range { prefix: &prefix, ..Range::default() }).map_err(crate::handlers::store_error)?;
        let now = meta::time(self.now());
        let mut remaining = 0;
        for entry in page.entries {
            let mut object = codec::decode(&entry.value)?;
            let is_held = !meta::finalizers(&object).is_empty();
            let change = if is_held {
                remaining += 1;
                if meta::is_terminating(&object) {
                    continue;
                }
                meta::of(&mut object).insert("deletionTimestamp".into(), now.clone().into());
                meta::of(&mut object).insert("deletionGracePeriodSeconds".into(), 0.into());
                Change::Put(codec::encode(&object, ""))
            } else {
                Change::Delete(codec::encode(&object, ""))
            };
            let write = Write { key: entry.key.clone(), expect: Expect::Revision(entry.revision), change, durability: Durability::Durable };
            match self.options.store.write(write).await {
                Ok(_) => {}
                Err(store::Error::Unexpected(_)) => remaining += 1,
                Err(error) => return Err(crate::handlers::store_error(error)),
            }
        }
        Ok(remaining)
    }
}

/// Returns the definition with its conditions and accepted names as they should be.
fn accepted(crd: &Value, others: &[Value], now: &str) -> Value {
    let mut wanted = crd.clone();
    let names = &crd["spec"]["names"];
    let group = text(&crd["spec"], "group");
    let taken = others.iter().filter(|o| text(&o["spec"], "group") == group).find_map(|other| {
        let theirs = other["status"].get("acceptedNames").unwrap_or(&Value::Null);
        let all = |n: &Value| -> Vec<String> {
            let single = ["plural", "singular"].iter().filter_map(|f| n[*f].as_str().map(str::to_owned));
            single
                .chain(n["shortNames"].as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)))
                .filter(|s| !s.is_empty())
                .collect()
        };
        let theirs_all = all(theirs);
        let clash = all(names).into_iter().find(|n| theirs_all.contains(n));
        clash.or_else(|| (names["kind"] == theirs["kind"]).then(|| text(names, "kind").to_owned()))
    });
    let schema_fault = rows::of(crd).err();
    let (is_accepted, reason, message) = match &taken {
        Some(name) => (false, "NamesConflict", format!("{name:?} is already in use")),
        None => (true, "NoConflicts", "no conflicts found".to_owned()),
    };
    set_condition(&mut wanted, "NamesAccepted", is_accepted, reason, &message, now);
    match (&taken, schema_fault) {
        (Some(_), _) if condition(crd, "Established") != Some("True") => {
            set_condition(&mut wanted, "Established", false, "NotAccepted", "not all names are accepted", now);
        }
        (None, Some(fault)) => set_condition(&mut wanted, "Established", false, "InvalidSchema", &fault, now),
        _ => set_condition(&mut wanted, "Established", true, "InitialNamesAccepted", "the initial names have been accepted", now),
    }
    if is_accepted {
        wanted["status"]["acceptedNames"] = names.clone();
    } else if wanted["status"].get("acceptedNames").is_none() {
        wanted["status"]["acceptedNames"] = json!({"plural": "", "kind": ""});
    }
    let storage = versions(crd).find(|v| v["storage"] == json!(true)).map(|v| text(v, "name").to_owned()).unwrap_or_default();
    let mut stored: Vec<String> =
        crd["status"]["storedVersions"].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect();
    if !storage.is_empty() && !stored.contains(&storage) {
        stored.push(storage);
    }
    wanted["status"]["storedVersions"] = json!(stored);
    let mut finalizers: Vec<String> = meta::finalizers(crd).into_iter().map(str::to_owned).collect();
    if !finalizers.iter().any(|f| f == CLEANUP) {
        finalizers.push(CLEANUP.into());
        meta::of(&mut wanted).insert("finalizers".into(), json!(finalizers));
    }
    wanted
}

/// Returns the definition without our hold on it.
fn released(crd: &Value) -> Value {
    let mut wanted = crd.clone();
    let rest: Vec<&str> = meta::finalizers(crd).into_iter().filter(|f| *f != CLEANUP).collect();
    if rest.is_empty() {
        meta::of(&mut wanted).remove("finalizers");
    } else {
        meta::of(&mut wanted).insert("finalizers".into(), json!(rest));
    }
    wanted
}

fn versions(crd: &Value) -> impl Iterator<Item = &Value> {
    crd["spec"]["versions"].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn condition<'a>(crd: &'a Value, ty: &str) -> Option<&'a str> {
    crd["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == ty)?["status"].as_str()
}

fn set_condition(crd: &mut Value, ty: &str, status: bool, reason: &str, message: &str, now: &str) {
    let status = if status { "True" } else { "False" };
    let mut conditions = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let mut wanted = json!({"type": ty, "status": status, "reason": reason, "message": message, "lastTransitionTime": now});
    match conditions.iter_mut().find(|c| c["type"] == ty) {
        Some(existing) => {
            if existing["status"] == status {
                wanted["lastTransitionTime"] = existing["lastTransitionTime"].clone();
            }
            *existing = wanted;
        }
        None => conditions.push(wanted),
    }
    if !crd["status"].is_object() {
        crd["status"] = json!({});
    }
    crd["status"]["conditions"] = Value::Array(conditions);
}

/// Checks definitions before they are stored.
pub(crate) struct CheckDefinition;

#[async_trait]
impl Admission for CheckDefinition {
    fn handles(&self, group: &str, resource: &str) -> bool {
        (group, resource) == (GROUP, RESOURCE)
    }

    async fn admit(&self, attributes: &Attributes<'_>, object: &mut Value, _authorize: &dyn Authorize) -> Result<(), Status> {
        if attributes.subresource.is_empty() && attributes.old.is_none() {
            meta::of(object).insert("finalizers".into(), json!([CLEANUP]));
        }
        Ok(())
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, _authorize: &dyn Authorize) -> Result<(), Status> {
        let Some(crd) = object.filter(|_| attributes.subresource.is_empty()) else { return Ok(()) };
        let causes = faults(crd, attributes.old);
        if causes.is_empty() { Ok(()) } else { Err(Status::invalid(GROUP, "CustomResourceDefinition", meta::name(crd), causes)) }
    }
}

/// Returns what is wrong with a definition.
fn faults(crd: &Value, old: Option<&Value>) -> Vec<apimachinery::status::Cause> {
    use apimachinery::status::Cause;
    let mut causes = Vec::new();
    let spec = &crd["spec"];
    let (group, plural) = (text(spec, "group"), text(&spec["names"], "plural"));
    let want = format!("{plural}.{group}");
    if meta::name(crd) != want {
        let why = format!("must be spec.names.plural+\".\"+spec.group: {want:?}");
        causes.push(Cause::invalid("metadata.name", &crd["metadata"]["name"], &why));
    }
    match text(spec, "scope") {
        "Namespaced" | "Cluster" => {}
        "" => causes.push(Cause::required("spec.scope", "must be Cluster or Namespaced")),
        _ => causes.push(Cause::not_supported("spec.scope", &spec["scope"], &["Cluster", "Namespaced"])),
    }
    let storage = versions(crd).filter(|v| v["storage"] == json!(true)).count();
    if storage != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &json!(versions(crd).map(|v| text(v, "name")).collect::<Vec<_>>()),
            "must have exactly one version marked as storage version",
        ));
    }
    let mut seen = BTreeMap::new();
    for (i, version) in versions(crd).enumerate() {
        if seen.insert(text(version, "name"), i).is_some() {
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                message: format!("Duplicate value: {:?}", text(version, "name")),
                field: format!("spec.versions[{i}].name"),
            });
        }
        let path = format!("spec.versions[{i}].schema.openAPIV3Schema");
        match version["schema"].get("openAPIV3Schema") {
            Some(openapi) => causes.extend(schema::structural(openapi, &path)),
            None => causes.push(Cause::required(path, "schemas are required")),
        }
    }
    if let Some(old) = old {
        for field in ["scope", "group"] {
            if old["spec"][field] != spec[field] && condition(old, "Established") == Some("True") {
                causes.push(Cause::invalid(format!("spec.{field}"), &spec[field], "field is immutable"));
            }
        }
        let names: Vec<&str> = versions(crd).map(|v| text(v, "name")).collect();
        for stored in crd["status"]["storedVersions"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !names.contains(&stored) {
                causes.push(Cause::invalid(
                    "status.storedVersions",
                    &json!(stored),
                    "missing from spec.versions; it must remain there until no object is stored in it",
                ));
            }
        }
    }
    causes
}

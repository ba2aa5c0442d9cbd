//! Server-side apply: whose fields are whose.
//!
//! Every write goes through here. A create, update or patch that is no apply ([`update`]) makes its manager the
//! owner of what it changed and takes that from all others. An [`apply`] states all its manager wants: it merges,
//! refuses to overwrite what others own (unless forced), and takes out what the manager no longer states and
//! nobody else owns. The schema says what is owned separately: list keys, sets, atomic lists and maps.
//!
//! Behaviour follows structured-merge-diff (`merge/update.go`, `typed/`) and apimachinery's `managedfields`.
//! Deliberately not here: conversion between versions (every entry is read by the given schema), validation, and
//! immutable fields, which the API server restores after either call.
//!
//! Invariant: a member of an entry is a field of the object or was set to an empty value; entries are canonical,
//! so an apply that changes nothing returns its input.

mod compare;
mod conflict;
mod fieldset;
mod last_applied;
mod managers;
mod merge;
mod shape;

use std::borrow::Cow;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use compare::{Comparison, compare};
pub use fieldset::FieldSet;
pub use managers::{Entry, Managers, Operation, UPDATE_MANAGERS_MAX};
pub use shape::fieldset_of;

use crate::schema::{Schema, drop_nulls};
use crate::status::Status;

/// Owner of what an object had before its first apply, when no write was recorded.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Who writes, through what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// `fieldManager`, or the first part of the user agent.
    pub manager: &'a str,
    /// Empty for the main resource.
    pub subresource: &'a str,
    /// Of the request.
    pub api_version: &'a str,
    pub now: Timestamp,
    pub scope: Scope,
}

/// Fields the endpoint cannot write, so that nobody owns them through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Everything,
    /// The main endpoint of a kind with a status subresource.
    AllButStatus,
    /// The status subresource.
    OnlyStatus,
}

/// Fields of an object's identity, never owned.
static NEVER_OWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    let mut set = FieldSet::default();
    for field in ["f:apiVersion", "f:kind", "f:metadata"] {
        set.insert_path(&[field]);
    }
    for field in
        ["clusterName", "creationTimestamp", "generation", "managedFields", "name", "namespace", "resourceVersion", "selfLink", "uid"]
    {
        set.insert_path(&["f:metadata", &format!("f:{field}")]);
    }
    set
});

/// Returns `new` with its `managedFields` after a write that is no apply; `old` is `None` for a create.
///
/// Managers stated in `new` are taken if they can be read; otherwise those of `old` are. A single empty entry
/// forgets all, `[]` forgets nothing.
pub fn update(schema: &Schema, old: Option<&Value>, mut new: Value, writer: &Writer) -> Value {
    let mut managers = stated_managers(schema, old, &new, writer);
    let nothing = json!({});
    let changed = writer.scope.within(compare(schema, old.unwrap_or(&nothing), &new));
    let taken = changed.added.union(&changed.modified);
    for entry in &mut managers.entries {
        entry.fields = std::mem::take(&mut entry.fields).difference(&taken).difference(&changed.removed);
    }
    let fields = taken.difference(&NEVER_OWNED);
    if !fields.is_empty() {
        managers.join(writer.entry(Operation::Update, fields));
    }
    managers.write_to(&mut new);
    new
}

/// Returns `live` with `config` applied, or the 409 that names the owners of what it would overwrite.
/// `live` is `None` when the object is not there yet.
pub fn apply(schema: &Schema, live: Option<&Value>, config: &Value, writer: &Writer, force: bool) -> Result<Value, Status> {
    check_config(schema, config, writer)?;
    let config = writer.scope.of_config(config);
    let nothing = json!({});
    let known = live.map_or_else(Managers::default, |live| Managers::of(schema, live).unwrap_or_default());
    let mut managers = known.clone();
    let live_bare = without_managers(live.unwrap_or(&nothing));
    if live.is_some() && managers.entries.is_empty() {
        let fields = compare(schema, &nothing, &live_bare).added.difference(&NEVER_OWNED);
        let before = Writer { manager: BEFORE_FIRST_APPLY, subresource: "", ..*writer };
        managers.join(before.entry(Operation::Update, fields));
    }

    // 1. Lay the configuration over the object.
    let merged = merge::merge(Some(schema), &live_bare, &config);
    let fields = writer.scope.of_fields(fieldset_of(schema, &config));
    // 2. Take out what the manager stated last time and does not now, unless others own it.
    let mut own = writer.entry(Operation::Apply, fields);
    let stated_before = managers.entries.iter().position(|entry| entry.is_same_owner(&own)).map(|index| managers.entries.remove(index));
    let last_fields = stated_before.as_ref().map(|entry| entry.fields.clone()).unwrap_or_default();
    let mut object = take_out(schema, merged, &last_fields, &own.fields, &managers);
    // 3. What changes now is the manager's; others lose it, which they may refuse.
    let changed = writer.scope.within(compare(schema, &live_bare, &object));
    let taken = changed.added.union(&changed.modified);
    let conflicts: Vec<(&Entry, FieldSet)> =
        managers.entries.iter().map(|entry| (entry, entry.fields.intersection(&taken))).filter(|(_, fields)| !fields.is_empty()).collect();
    if !force && !conflicts.is_empty() && !is_kubectls_own(schema, &live_bare, writer, &conflicts) {
        return Err(conflict::conflict(conflicts));
    }
    for entry in &mut managers.entries {
        entry.fields = std::mem::take(&mut entry.fields).difference(&taken).difference(&changed.removed);
    }
    own.fields = own.fields.difference(&NEVER_OWNED);
    managers.entries.push(own);
    if writer.manager == last_applied::MANAGER && writer.scope != Scope::OnlyStatus {
        last_applied::refresh(&mut object, &config);
    }
    // 4. What an apply cannot set is the object's, and a `null` has done its work.
    keep_system_fields(&mut object, &live_bare);
    drop_nulls(schema, &mut object);
    // 5. Times move only when something else does, so that applying twice writes once.
    if object == *live_bare {
        for entry in &mut managers.entries {
            if let Some(same) = known
                .entries
                .iter()
                .find(|known| known.is_same_owner(entry) && known.fields == entry.fields && known.api_version == entry.api_version)
            {
                entry.time.clone_from(&same.time);
            }
        }
    }
    managers.write_to(&mut object);
    Ok(object)
}

/// Returns `merged` without what `last` states, `own` does not and nobody else owns.
fn take_out(schema: &Schema, merged: Value, last: &FieldSet, own: &FieldSet, others: &Managers) -> Value {
    let schema = Some(schema);
    if last.clone().difference(own).is_empty() {
        return merged;
    }
    let named = |set: &FieldSet| merge::with_named_fields(schema, set);
    let fields_of = |value: &Value| schema.map(|schema| named(&fieldset_of(schema, value))).unwrap_or_default();
    let last = named(last);
    let owned = others.entries.iter().fold(own.clone(), |owned, entry| owned.union(&entry.fields));
    let all = fields_of(&merged);
    // Without all the manager stated last; then with what is owned put back; then with what nobody ever stated
    // put back, as structured-merge-diff `prune`, `addBackOwnedItems`, `addBackDanglingItems`.
    let bare = merge::remove(schema, merged.clone(), &last);
    let unowned = all.clone().difference(&fields_of(&bare).union(&named(&owned)));
    let with_owned = merge::remove(schema, merged.clone(), &unowned);
    let gone = all.difference(&fields_of(&with_owned)).intersection(&last);
    merge::remove(schema, merged, &gone)
}

fn check_config(schema: &Schema, config: &Value, writer: &Writer) -> Result<(), Status> {
    if !config.is_object() {
        return Err(Status::bad_request("an apply patch must be an object"));
    }
    if writer.manager.is_empty() {
        return Err(Status::bad_request(
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    }
    let metadata = &config["metadata"];
    if metadata["managedFields"].as_array().is_some_and(|list| !list.is_empty()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let api_version = config["apiVersion"].as_str().unwrap_or_default();
    if api_version != writer.api_version {
        return Err(Status::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {api_version}, expected: {}",
            writer.api_version
        )));
    }
    let faults = shape::faults(schema, config);
    let text = match faults.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let (namespace, name) = (metadata["namespace"].as_str().unwrap_or_default(), metadata["name"].as_str().unwrap_or_default());
    let kind = config["kind"].as_str().unwrap_or_default();
    Err(Status::bad_request(format!("failed to create typed patch object ({namespace}/{name}; {api_version}, Kind={kind}): {text}")))
}

/// Restores the metadata only the server writes. `uid` and `resourceVersion` stay as applied: they are preconditions.
fn keep_system_fields(object: &mut Value, live: &Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for name in ["creationTimestamp", "generation", "managedFields", "selfLink"] {
        match live.get("metadata").and_then(|metadata| metadata.get(name)) {
            Some(known) => metadata.insert(name.to_owned(), known.clone()),
            None => metadata.remove(name),
        };
    }
}

fn stated_managers(schema: &Schema, old: Option<&Value>, new: &Value, writer: &Writer) -> Managers {
    let of_old = || old.and_then(|old| Managers::of(schema, old).ok()).unwrap_or_default();
    if !writer.subresource.is_empty() {
        return of_old();
    }
    if Managers::is_reset(new) {
        return Managers::default();
    }
    match Managers::of(schema, new) {
        Ok(stated) if !stated.entries.is_empty() => stated,
        Ok(_) | Err(_) => of_old(),
    }
}

/// Says whether all conflicts are with what kubectl itself once applied from the client's side.
fn is_kubectls_own(schema: &Schema, live: &Value, writer: &Writer, conflicts: &[(&Entry, FieldSet)]) -> bool {
    writer.manager == last_applied::MANAGER
        && last_applied::fields(schema, live)
            .is_some_and(|own| conflicts.iter().all(|(_, fields)| fields.clone().difference(&own).is_empty()))
}

fn without_managers(object: &Value) -> Cow<'_, Value> {
    if object.get("metadata").and_then(|metadata| metadata.get("managedFields")).is_none() {
        return Cow::Borrowed(object);
    }
    let mut bare = object.clone();
    if let Some(metadata) = bare.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Cow::Owned(bare)
}

impl Writer<'_> {
    fn entry(&self, operation: Operation, fields: FieldSet) -> Entry {
        Entry {
            manager: self.manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: Some(Timestamp::from_second(self.now.as_second()).unwrap_or(self.now).to_string()),
            fields,
        }
    }
}

impl Scope {
    fn within(self, changed: Comparison) -> Comparison {
        match self {
            Scope::Everything => changed,
            Scope::AllButStatus | Scope::OnlyStatus => Comparison {
                removed: self.of_fields(changed.removed),
                modified: self.of_fields(changed.modified),
                added: self.of_fields(changed.added),
            },
        }
    }

    fn of_fields(self, mut fields: FieldSet) -> FieldSet {
        match self {
            Scope::Everything => {}
            Scope::AllButStatus => fields.nodes.retain(|element, _| &**element != "f:status"),
            Scope::OnlyStatus => fields.nodes.retain(|element, _| &**element == "f:status"),
        }
        fields
    }

    /// Returns what of an applied configuration reaches the object.
    fn of_config(self, config: &Value) -> Cow<'_, Value> {
        match (self, config) {
            (Scope::AllButStatus, Value::Object(object)) if object.contains_key("status") => {
                let mut object = object.clone();
                object.remove("status");
                Cow::Owned(Value::Object(object))
            }
            (Scope::OnlyStatus, Value::Object(object)) => {
                let metadata = |name: &str| config["metadata"].get(name).map(|value| (name.to_owned(), value.clone()));
                let mut kept = object.clone();
                kept.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "status"));
                let identity: serde_json::Map<String, Value> =
                    ["name", "namespace", "resourceVersion", "uid"].into_iter().filter_map(metadata).collect();
                kept.insert("metadata".to_owned(), Value::Object(identity));
                Cow::Owned(Value::Object(kept))
            }
            (Scope::Everything | Scope::AllButStatus | Scope::OnlyStatus, _) => Cow::Borrowed(config),
        }
    }
}

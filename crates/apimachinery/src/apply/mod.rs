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
//! Objects come and go without their `managedFields`, which are text beside them: of other managers' entries a write
//! mostly reads no more than that they do not concern it.
//!
//! Invariant: a member of an entry is a field of the object or was set to an empty value; entries are canonical,
//! so an apply that changes nothing returns its input.

mod compare;
mod conflict;
mod fieldset;
mod holders;
mod last_applied;
mod managers;
mod merge;
mod nodes;
mod shape;

use std::borrow::Cow;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use compare::{Comparison, compare};
pub use fieldset::FieldSet;
use holders::{Holder, Holders};
pub use holders::{UPDATE_MANAGERS_MAX, is_same_but_times};
pub use managers::{Entry, Managers, Operation};
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

/// An object that is there, without its `managedFields`.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    pub object: &'a Value,
    /// The text of its `managedFields`, as written here; empty if it has none.
    pub managers: &'a str,
}

/// Returns the text of `managedFields` after a write that is no apply, empty if there are none; `old` is `None` for a create.
///
/// Managers stated in `new` are taken out of it and used if they can be read; otherwise those of `old` are. A single
/// empty entry forgets all, `[]` forgets nothing.
pub fn update(schema: &Schema, old: Option<Live>, new: &mut Value, writer: &Writer) -> String {
    let stated = take_managers(new);
    let nothing = Value::Null;
    let (known, old) = old.map_or(("", &nothing), |old| (old.managers, old.object));
    let changed = compare_within(schema, old, new, writer.scope);
    let taken = changed.added.union(&changed.modified);
    let stated = stated.and_then(|stated| stated_managers(schema, known, stated, writer));
    if stated.is_none() && taken.is_empty() && changed.removed.is_empty() {
        return known.to_owned();
    }
    let mut managers = stated.unwrap_or_else(|| Holders::read(known));
    for holder in &mut managers.0 {
        holder.lose(schema, &taken);
        holder.lose(schema, &changed.removed);
    }
    let fields = taken.difference(&NEVER_OWNED);
    if !fields.is_empty() {
        managers.join(schema, writer.holder(Operation::Update, fields));
    }
    managers.write(schema)
}

/// Returns `live` with `config` applied and the text of its `managedFields`, or the 409 that names the owners of what it would
/// overwrite. `live` is `None` when the object is not there yet.
pub fn apply(schema: &Schema, live: Option<Live>, config: &Value, writer: &Writer, force: bool) -> Result<(Value, String), Status> {
    check_config(schema, config, writer)?;
    let config = writer.scope.of_config(config);
    let nothing = json!({});
    let (known, live_bare) = live.map_or(("", &nothing), |live| (live.managers, live.object));
    let mut managers = Holders::read(known);
    if live.is_some() && managers.0.is_empty() {
        let fields = compare(schema, &nothing, live_bare).added.difference(&NEVER_OWNED);
        let before = Writer { manager: BEFORE_FIRST_APPLY, subresource: "", ..*writer };
        managers.join(schema, before.holder(Operation::Update, fields));
    }

    // 1. Lay the configuration over the object.
    let merged = merge::merge(Some(schema), live_bare, &config);
    let own_fields = writer.scope.of_fields(fieldset_of(schema, &config));
    // 2. Take out what the manager stated last time and does not now, unless others own it.
    let mut own = writer.holder(Operation::Apply, FieldSet::default());
    let stated_before = managers.0.iter().position(|holder| holder.is_same_owner(&own)).map(|index| managers.0.remove(index));
    let last_fields = stated_before.map(|mut holder| std::mem::take(holder.fields(schema))).unwrap_or_default();
    let mut object = take_out(schema, merged, last_fields, &own_fields, &mut managers);
    // 3. What changes now is the manager's; others lose it, which they may refuse.
    let changed = compare_within(schema, live_bare, &object, writer.scope);
    let taken = changed.added.union(&changed.modified);
    if !force {
        let conflicts = managers.0.iter_mut().map(|holder| (holder.common(schema, &taken), holder));
        let conflicts: Vec<(&Holder<'_>, FieldSet)> =
            conflicts.filter(|(fields, _)| !fields.is_empty()).map(|(fields, holder)| (holder as &_, fields)).collect();
        if !conflicts.is_empty() && !is_kubectls_own(schema, live_bare, writer, &conflicts) {
            return Err(conflict::conflict(conflicts));
        }
    }
    for holder in &mut managers.0 {
        holder.lose(schema, &taken);
        holder.lose(schema, &changed.removed);
    }
    *own.fields(schema) = own_fields.difference(&NEVER_OWNED);
    managers.0.push(own);
    if writer.manager == last_applied::MANAGER && writer.scope != Scope::OnlyStatus {
        last_applied::refresh(&mut object, &config);
    }
    // 4. What an apply cannot set is the object's, and a `null` has done its work.
    keep_system_fields(&mut object, live_bare);
    drop_nulls(schema, &mut object);
    // 5. Times move only when something else does, so that applying twice writes once.
    if object == *live_bare {
        managers.keep_times(schema, &mut Holders::read(known));
    }
    Ok((object, managers.write(schema)))
}

/// Returns `merged` without what `last` states, `own` does not and nobody else owns.
fn take_out(schema: &Schema, merged: Value, last: FieldSet, own: &FieldSet, others: &mut Holders) -> Value {
    if last.is_within(own) {
        return merged;
    }
    let owned = others.0.iter_mut().fold(own.clone(), |owned, holder| owned.union(holder.fields(schema)));
    let schema = Some(schema);
    let named = |set: &FieldSet| merge::with_named_fields(schema, set);
    let fields_of = |value: &Value| schema.map(|schema| named(&fieldset_of(schema, value))).unwrap_or_default();
    let last = named(&last);
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

/// Takes `managedFields` out of an object.
fn take_managers(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

/// Returns the entries that a client states instead of the known ones.
fn stated_managers<'a>(schema: &Schema, known: &str, stated: Value, writer: &Writer) -> Option<Holders<'a>> {
    // Known are entries as JSON, so they are compared as that.
    let text = stated.to_string();
    if !writer.subresource.is_empty() || text == known {
        return None;
    }
    let object = json!({"metadata": {"managedFields": stated}});
    if Managers::is_reset(&object) {
        return Some(Holders::default());
    }
    Holders::stated(schema, &object).ok().filter(|stated| !stated.0.is_empty())
}

/// Says whether all conflicts are with what kubectl itself once applied from the client's side.
fn is_kubectls_own(schema: &Schema, live: &Value, writer: &Writer, conflicts: &[(&Holder<'_>, FieldSet)]) -> bool {
    writer.manager == last_applied::MANAGER
        && last_applied::fields(schema, live)
            .is_some_and(|own| conflicts.iter().all(|(_, fields)| fields.clone().difference(&own).is_empty()))
}

impl<'a> Writer<'a> {
    fn holder(&self, operation: Operation, fields: FieldSet) -> Holder<'a> {
        let time = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now).to_string();
        Holder::new(self.manager, operation, self.api_version, self.subresource, time, fields)
    }
}

/// Returns the differences in what a write may change.
fn compare_within(schema: &Schema, old: &Value, new: &Value, scope: Scope) -> Comparison {
    compare::compare_fields(schema, old, new, |field| match scope {
        Scope::Everything => true,
        Scope::AllButStatus => field != "status",
        Scope::OnlyStatus => field == "status",
    })
}

impl Scope {
    fn of_fields(self, mut fields: FieldSet) -> FieldSet {
        match self {
            Scope::Everything => {}
            Scope::AllButStatus => fields.nodes.retain(|element, _| element != "f:status"),
            Scope::OnlyStatus => fields.nodes.retain(|element, _| element == "f:status"),
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

//! What to do with one manifest.

use api::work::{
    AppliedManifestWork, FIELD_MANAGER_DEFAULT, IgnoreField, IgnoreFieldsCondition, UpdateStrategy, UpdateStrategyType, annotation,
};
use apimachinery::gvk::GroupVersionKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::path::Path;
use crate::{Live, ObjectId, Observed, config, drift};

/// One manifest and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Apply {
    /// Index of the manifest in the spec.
    pub ordinal: usize,
    pub kind: String,
    /// Without resource and namespace if the kind is not known.
    pub id: ObjectId,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Nothing to send, and why.
    Keep { why: String },
    /// Create it, if it is still missing.
    Create { object: Value },
    /// Server-side apply.
    Apply { object: Value, field_manager: String, force: bool, why: String },
    /// It cannot be applied as it is; the message is for the user.
    Refuse { reason: Refusal, message: String },
    /// It can be applied later.
    Wait { why: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Kind, name or namespace are missing or unknown to the cluster.
    IncompleteMeta,
    /// The executor may not.
    Denied,
    /// `ignoreFields` cannot be read.
    IgnoreFields,
    /// The object could not be read.
    Unreadable,
}

/// Returns the hash of a manifest that applied objects carry.
pub fn manifest_hash(manifest: &Value) -> String {
    let digest = Sha256::digest(manifest.to_string());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decides about one manifest; `applied` will own the object.
pub(crate) fn decide(seen: &Observed<'_>, applied: &AppliedManifestWork, ordinal: usize, manifest: &Value) -> Apply {
    let kind = manifest["kind"].as_str().unwrap_or_default().to_owned();
    let (id, change) = match identify(seen, manifest) {
        (id, Err(message)) => (id, refuse(Refusal::IncompleteMeta, message)),
        (id, Ok(())) => {
            let change = match seen.denied.get(&ordinal) {
                Some(why) => refuse(Refusal::Denied, why.clone()),
                None => change(seen, applied, manifest, &id),
            };
            (id, change)
        }
    };
    Apply { ordinal, kind, id, change }
}

/// Returns which object a manifest means, or what is missing to say so.
pub(crate) fn identify(seen: &Observed<'_>, manifest: &Value) -> (ObjectId, Result<(), String>) {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let gvk = GroupVersionKind::from_api_version(&text("/apiVersion"), &text("/kind"));
    let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
    let mut id = ObjectId { group: gvk.group.clone(), version: gvk.version.clone(), resource: String::new(), namespace, name };
    let fields = [(gvk.version.is_empty(), "apiVersion"), (gvk.kind.is_empty(), "kind"), (id.name.is_empty(), "metadata.name")];
    if let Some((_, field)) = fields.into_iter().find(|(is_missing, _)| *is_missing) {
        return (id, Err(format!("{field} is missing")));
    }
    let Some(mapping) = seen.mappings.get(&gvk) else {
        let problem = format!("the cluster does not serve {gvk}: install its CustomResourceDefinition or correct apiVersion and kind");
        return (id, Err(problem));
    };
    id.resource.clone_from(&mapping.resource);
    if !mapping.is_namespaced {
        id.namespace.clear();
    } else if id.namespace.is_empty() {
        return (id, Err(format!("metadata.namespace is missing: {} is namespaced", gvk.kind)));
    }
    (id, Ok(()))
}

fn change(seen: &Observed<'_>, applied: &AppliedManifestWork, manifest: &Value, id: &ObjectId) -> Change {
    let spec = &seen.work.spec;
    let strategy = config::option_for(spec, id).and_then(|option| option.update_strategy.clone()).unwrap_or_default();
    let owner = (!config::is_orphaned(spec, id)).then(|| owner_reference(applied));
    let live = match seen.live.get(id) {
        Some(Live::Unreadable(why)) => return refuse(Refusal::Unreadable, why.clone()),
        Some(Live::Present(object)) => Some(object),
        Some(Live::Missing) | None => None,
    };
    if let Some(object) = live
        && !object["metadata"]["deletionTimestamp"].is_null()
        && strategy.type_ != UpdateStrategyType::ReadOnly
    {
        return Change::Wait { why: "the object on the cluster is being deleted".into() };
    }
    match strategy.type_ {
        UpdateStrategyType::ReadOnly => keep("the strategy is ReadOnly"),
        UpdateStrategyType::CreateOnly => create_only(manifest, live, owner.as_ref()),
        UpdateStrategyType::Update => apply(manifest, live, owner.as_ref(), &UpdateStrategy::default(), true),
        UpdateStrategyType::ServerSideApply => {
            let force = strategy.server_side_apply.as_ref().is_some_and(|c| c.force);
            apply(manifest, live, owner.as_ref(), &strategy, force)
        }
    }
}

fn create_only(manifest: &Value, live: Option<&Value>, owner: Option<&Value>) -> Change {
    match (live, owner) {
        (None, owner) => Change::Create { object: with_owners(drift::wishes(manifest), None, owner) },
        (Some(live), Some(owner)) if !has_owner(live, owner) => {
            let identity = json!({
                "apiVersion": manifest["apiVersion"],
                "kind": manifest["kind"],
                "metadata": {"name": live["metadata"]["name"], "namespace": live["metadata"]["namespace"]},
            });
            Change::Apply {
                object: with_owners(drop_nulls(identity), Some(live), Some(owner)),
                field_manager: FIELD_MANAGER_DEFAULT.into(),
                force: false,
                why: "it exists, and this work will own it".into(),
            }
        }
        (Some(_), _) => keep("the strategy is CreateOnly, and it exists"),
    }
}

fn apply(manifest: &Value, live: Option<&Value>, owner: Option<&Value>, strategy: &UpdateStrategy, force: bool) -> Change {
    let hash = manifest_hash(manifest);
    let known_hash = live.and_then(|live| live["metadata"]["annotations"][annotation::CONFIG_SPEC_HASH].as_str());
    let is_unchanged = known_hash == Some(hash.as_str());
    let config = strategy.server_side_apply.clone().unwrap_or_default();
    let mut object = with_owners(drift::wishes(manifest), live, owner);
    if let Some(live) = live {
        for ignored in &config.ignore_fields {
            if let Err(message) = leave_to_spoke(&mut object, live, ignored, is_unchanged) {
                return refuse(Refusal::IgnoreFields, message);
            }
        }
    }
    object["metadata"]["annotations"][annotation::CONFIG_SPEC_HASH] = hash.into();
    let why = match live {
        None => "it is missing".to_owned(),
        Some(_) if !is_unchanged => "the manifest is new or changed".to_owned(),
        Some(live) => match drift::first_difference(&object, live) {
            None => return keep("it is as the manifest says"),
            Some(path) => format!("{path} on the cluster differs from the manifest"),
        },
    };
    Change::Apply { object, field_manager: config.field_manager.unwrap_or_else(|| FIELD_MANAGER_DEFAULT.into()), force, why }
}

/// Gives ignored fields the value that they have on the cluster. They are not left out: a field that only we
/// own would vanish then.
fn leave_to_spoke(object: &mut Value, live: &Value, ignored: &IgnoreField, is_unchanged: bool) -> Result<(), String> {
    match ignored.condition {
        IgnoreFieldsCondition::OnSpokePresent => {}
        // The manifest's new value wins; what others do to it afterwards stays.
        IgnoreFieldsCondition::OnSpokeChange if is_unchanged => {}
        IgnoreFieldsCondition::OnSpokeChange => return Ok(()),
    }
    let mut paths = Vec::new();
    for text in ignored.json_paths.iter().chain(&ignored.jq_path_expressions) {
        paths.push(Path::parse(text)?);
    }
    for text in &ignored.json_pointers {
        paths.push(Path::parse_pointer(text)?);
    }
    for pointer in paths.iter().flat_map(|path| path.pointers(object)).collect::<Vec<_>>() {
        match (live.pointer(&pointer), object.pointer_mut(&pointer)) {
            (Some(value), Some(place)) => *place = value.clone(),
            (None, _) => drift::remove(object, &pointer),
            (Some(_), None) => {}
        }
    }
    Ok(())
}

/// The reference that makes an AppliedManifestWork the owner of what it applied.
fn owner_reference(applied: &AppliedManifestWork) -> Value {
    json!({
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "AppliedManifestWork",
        "name": applied.metadata.name,
        "uid": applied.metadata.uid.clone().unwrap_or_default(),
    })
}

/// Adds the owners to what is applied. Works share a field manager, so one that named itself alone would take the other
/// works' references off, and they in turn its own: those on the cluster are named again.
fn with_owners(mut object: Value, live: Option<&Value>, owner: Option<&Value>) -> Value {
    let live = live.and_then(|live| live["metadata"]["ownerReferences"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let is_ours = |candidate: &&Value| owner.is_some_and(|owner| candidate["uid"] == owner["uid"]);
    let others = live.iter().filter(|o| is_applied_work(o) && !is_ours(o));
    let added: Vec<Value> = others.chain(owner).cloned().collect();
    if !added.is_empty() {
        let metadata = &mut object["metadata"];
        let mut owners = metadata["ownerReferences"].as_array().cloned().unwrap_or_default();
        owners.retain(|owner| !added.iter().any(|other| other["uid"] == owner["uid"]));
        owners.extend(added);
        metadata["ownerReferences"] = owners.into();
    }
    object
}

fn is_applied_work(owner: &Value) -> bool {
    let api_version = owner["apiVersion"].as_str().unwrap_or_default();
    owner["kind"] == "AppliedManifestWork" && api_version.starts_with("work.open-cluster-management.io/")
}

fn has_owner(live: &Value, owner: &Value) -> bool {
    let owners = live["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|o| o["uid"] == owner["uid"]))
}

fn drop_nulls(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
    object
}

fn keep(why: &str) -> Change {
    Change::Keep { why: why.into() }
}

fn refuse(reason: Refusal, message: String) -> Change {
    Change::Refuse { reason, message }
}

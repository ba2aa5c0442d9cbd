//! Names that refer to objects follow those objects' new names.
//!
//! As `filters/nameref`: a name is looked up among the names objects had before, of the kind the field means, in reach of
//! the referrer; prefixes and suffixes they share decide between several. More than one that is left is an error, never
//! a guess.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fieldpath::{self, Make};
use super::fields::{FieldSpec, NameReference, selects};
use super::resource::{Affixes, Gvk, Id, Resource};
use super::set::Set;

/// Longest name of an object in Kubernetes.
const NAME_BYTES_MAX: usize = 253;

/// Updates all references.
pub(crate) fn update(set: &mut Set, references: &[NameReference]) -> Result<(), String> {
    if let Some(long) = set.resources.iter().find(|resource| resource.name().len() > NAME_BYTES_MAX) {
        let (kind, bytes) = (long.kind(), long.name().len());
        return Err(format!("the name of a {kind} has {bytes} bytes; Kubernetes takes {NAME_BYTES_MAX}"));
    }
    let targets = Targets::new(&set.resources);
    for at in 0..set.resources.len() {
        let first = set.resources[at].original_id().gvk;
        let fields = references.iter().flat_map(|reference| reference.field_specs.iter().map(move |spec| (reference, spec)));
        let fields: Vec<_> = fields.filter(|(_, spec)| spec.selects(&first)).collect();
        if fields.is_empty() {
            continue;
        }
        let now = set.resources[at].gvk();
        let mut object = std::mem::take(&mut set.resources[at].object);
        let referrer = Referrer::new(&targets, at, &object);
        for (reference, spec) in fields {
            // The field is that of the kind the object has now.
            let spec = FieldSpec { group: now.group.clone(), version: now.version.clone(), kind: now.kind.clone(), ..spec.clone() };
            let lookup = Lookup { referrer: &referrer, reference, path: &spec.path };
            let outcome = fieldpath::apply(&mut object, &spec, Make::Nothing, &mut |value| lookup.set(value));
            outcome.map_err(|what| format!("{}: {what}", targets.all[at].id))?;
        }
        set.resources[at].object = object;
    }
    Ok(())
}

/// What must be known of an object to refer to it.
struct Target {
    id: Id,
    scope: String,
    first_scope: String,
    previous: Vec<Id>,
    affixes: Affixes,
}

struct Targets {
    all: Vec<Target>,
    by_previous_name: BTreeMap<String, Vec<usize>>,
}

impl Targets {
    fn new(resources: &[Resource]) -> Self {
        let mut by_previous_name: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let mut all = Vec::with_capacity(resources.len());
        for (at, resource) in resources.iter().enumerate() {
            let id = resource.id();
            all.push(Target {
                scope: id.scope().to_owned(),
                first_scope: resource.original_id().scope().to_owned(),
                previous: resource.previous_ids().collect(),
                affixes: resource.affixes.clone(),
                id,
            });
            for previous in &resource.previous {
                by_previous_name.entry(previous.name.clone()).or_default().insert(at);
            }
        }
        Self { all, by_previous_name: by_previous_name.into_iter().map(|(name, places)| (name, places.into_iter().collect())).collect() }
    }
}

/// The object whose references are updated.
struct Referrer<'a> {
    targets: &'a Targets,
    at: usize,
    /// The kind its `roleRef` names.
    role: Option<(String, String)>,
    /// Namespaces of the accounts a RoleBinding names.
    account_namespaces: BTreeSet<String>,
}

impl<'a> Referrer<'a> {
    fn new(targets: &'a Targets, at: usize, object: &Value) -> Self {
        let role = &object["roleRef"];
        let text = |field: &str| role[field].as_str().map(str::to_owned);
        let subjects = object["subjects"].as_array().filter(|_| object["kind"] == "RoleBinding");
        let accounts = subjects.into_iter().flatten().filter(|subject| subject["kind"] == "ServiceAccount");
        Self {
            targets,
            at,
            role: text("apiGroup").zip(text("kind")),
            account_namespaces: accounts.filter_map(|subject| subject["namespace"].as_str().map(str::to_owned)).collect(),
        }
    }

    fn own(&self) -> &Target {
        &self.targets.all[self.at]
    }

    /// Returns whether objects like the referrer can mean the target at all.
    fn reaches(&self, target: &Target) -> bool {
        self.own().id.is_cluster_scoped()
            || target.id.is_cluster_scoped()
            || target.scope == self.own().scope
            || self.account_namespaces.contains(&target.id.namespace)
    }

    /// Accounts are named from other namespaces as well.
    fn is_near(&self, target: &Target) -> bool {
        self.own().id.is_cluster_scoped()
            || target.id.is_cluster_scoped()
            || target.id.gvk.kind == "ServiceAccount"
            || target.scope == self.own().scope
    }
}

struct Lookup<'a> {
    referrer: &'a Referrer<'a>,
    reference: &'a NameReference,
    path: &'a str,
}

impl Lookup<'_> {
    fn set(&self, value: &mut Value) -> Result<(), String> {
        match value {
            Value::Null => Ok(()),
            Value::Object(_) => self.set_map(value),
            Value::Array(items) => items.iter_mut().try_for_each(|item| match item {
                Value::Null => Ok(()),
                Value::Object(_) => self.set_map(item),
                Value::Array(_) => Err("a list in a list names nothing".to_owned()),
                plain => self.set_plain(plain),
            }),
            plain => self.set_plain(plain),
        }
    }

    fn set_plain(&self, value: &mut Value) -> Result<(), String> {
        let name = match &*value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if let Some(target) = self.find(&name, |_| true, false)?
            && target.id.name != name
        {
            *value = Value::String(target.id.name.clone());
        }
        Ok(())
    }

    /// A map names by `name` and `namespace`, and gets both.
    fn set_map(&self, value: &mut Value) -> Result<(), String> {
        let Some(name) = value.get("name").map(|name| name.as_str().unwrap_or_default().to_owned()) else {
            return Err("there is no name in it".to_owned());
        };
        let namespace = value.get("namespace").and_then(Value::as_str).map(str::to_owned);
        let target = match &namespace {
            None => self.find(&name, |_| true, true)?,
            Some(namespace) => {
                let reachable = || self.referrer.targets.all.iter().filter(|target| self.referrer.reaches(target));
                if reachable().any(|target| target.first_scope == *namespace) {
                    self.find(&name, |target| target.first_scope == *namespace, true)?
                } else {
                    self.find(&name, |target| target.scope == *namespace, true)?
                }
            }
        };
        let Some(target) = target else { return Ok(()) };
        if target.id.name == name && target.id.namespace.is_empty() {
            return Ok(());
        }
        value["name"] = Value::String(target.id.name.clone());
        if !target.id.namespace.is_empty() {
            value["namespace"] = Value::String(target.id.namespace.clone());
        }
        Ok(())
    }

    fn find(&self, name: &str, admits: impl Fn(&Target) -> bool, namespaces_count: bool) -> Result<Option<&Target>, String> {
        let Some(places) = self.referrer.targets.by_previous_name.get(name) else { return Ok(None) };
        let targets = places.iter().map(|at| &self.referrer.targets.all[*at]);
        let mut found: Vec<&Target> = targets
            .filter(|target| self.referrer.reaches(target) && admits(target))
            .filter(|target| target.previous.iter().any(|id| self.is_of_kind(&id.gvk)))
            .filter(|target| self.is_the_role(target))
            .filter(|target| self.referrer.is_near(target))
            .collect();
        if found.len() > 1 {
            let own = &self.referrer.own().affixes;
            found.retain(|target| target.affixes.end_as(own, true));
            if found.len() > 1 {
                found.retain(|target| target.affixes.end_as(own, false));
            }
        }
        let Some(first) = found.first().copied() else { return Ok(None) };
        let is_same = |other: &&Target| other.id.name == first.id.name && (!namespaces_count || other.id.namespace == first.id.namespace);
        if found.iter().all(is_same) {
            return Ok(Some(first));
        }
        let names: Vec<String> = found.iter().map(|target| target.id.to_string()).collect();
        Err(format!("{name:?} could mean any of {}", names.join(", ")))
    }

    fn is_of_kind(&self, gvk: &Gvk) -> bool {
        selects(&self.reference.group, &self.reference.version, &self.reference.kind, gvk)
    }

    fn is_the_role(&self, target: &Target) -> bool {
        match &self.referrer.role {
            Some((group, kind)) if self.path.ends_with("roleRef/name") => {
                target.previous.iter().any(|id| selects(group, "", kind, &id.gvk))
            }
            _ => true,
        }
    }
}

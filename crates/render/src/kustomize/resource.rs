//! An object on its way through the overlays: what it is now, and the names it had.
//!
//! References and patches name an object by any name it ever had, so each change of name keeps the one before.

use std::collections::BTreeSet;

use apimachinery::gvk::split_api_version;
use serde_json::{Map, Value};

use super::schema;

/// Group, version and kind; empty parts of a selector mean any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Gvk {
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl Gvk {
    pub fn of(object: &Value) -> Self {
        let (group, version) = split_api_version(object["apiVersion"].as_str().unwrap_or_default());
        Self { group: group.to_owned(), version: version.to_owned(), kind: object["kind"].as_str().unwrap_or_default().to_owned() }
    }
}

/// What tells an object from all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub gvk: Gvk,
    pub name: String,
    /// As written; see [`Id::scope`].
    pub namespace: String,
}

/// The scope of objects that are in no namespace.
pub(crate) const NO_NAMESPACE: &str = "_non_namespaceable_";

impl Id {
    pub fn of(object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { gvk: Gvk::of(object), name: text("name"), namespace: text("namespace") }
    }

    /// Returns the namespace that counts: none and `default` are one, and cluster-scoped kinds are in none.
    pub fn scope(&self) -> &str {
        if self.namespace == NO_NAMESPACE || schema::is_cluster_scoped(&self.gvk) {
            NO_NAMESPACE
        } else if self.namespace.is_empty() {
            "default"
        } else {
            &self.namespace
        }
    }

    pub fn is_cluster_scoped(&self) -> bool {
        self.scope() == NO_NAMESPACE
    }

    /// Returns whether both mean the same object.
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name && self.gvk == other.gvk && self.scope() == other.scope()
    }

    /// Returns the id with the scope in place of the namespace, to be compared as a whole.
    pub fn scoped(&self) -> Self {
        Self { namespace: self.scope().to_owned(), ..self.clone() }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.gvk.kind, self.name)?;
        if self.namespace.is_empty() || self.is_cluster_scoped() { Ok(()) } else { write!(f, " in namespace {:?}", self.namespace) }
    }
}

/// How a generated object meets one that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behavior {
    #[default]
    Create,
    Replace,
    Merge,
}

/// Prefixes and suffixes a name was given, first to last: they tell the overlays it went through.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Affixes {
    pub prefixes: Vec<String>,
    pub suffixes: Vec<String>,
}

impl Affixes {
    /// Returns whether both went through the same overlays in the end; leniently, none counts as any.
    pub fn end_as(&self, other: &Self, is_lenient: bool) -> bool {
        let same = |a: &[String], b: &[String]| (is_lenient && (a.is_empty() || b.is_empty())) || ends_alike(a, b);
        same(&self.prefixes, &other.prefixes) && same(&self.suffixes, &other.suffixes)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    pub object: Value,
    /// Where it stands, for who has to mend it.
    pub file: String,
    pub line: usize,
    /// Names, namespaces (as scopes) and kinds it had, oldest first.
    pub previous: Vec<Id>,
    pub affixes: Affixes,
    pub behavior: Behavior,
    pub needs_hash: bool,
    /// Vars that read a field of it.
    pub vars: Vec<String>,
    /// Paths of fields left empty, which go with the first patch; a null that is written out stays.
    pub empty_fields: BTreeSet<String>,
    /// A replacement made a field of it, whose type Kustomize leaves open.
    pub has_open_types: bool,
    /// One of them looks like a number or boolean: the next merge makes it text.
    pub has_open_numbers: bool,
}

impl Resource {
    pub fn new(object: Value, file: &str, line: usize) -> Self {
        Self {
            object,
            file: file.to_owned(),
            line,
            previous: Vec::new(),
            affixes: Affixes::default(),
            behavior: Behavior::Create,
            needs_hash: false,
            vars: Vec::new(),
            empty_fields: BTreeSet::new(),
            has_open_types: false,
            has_open_numbers: false,
        }
    }

    pub fn gvk(&self) -> Gvk {
        Gvk::of(&self.object)
    }

    pub fn id(&self) -> Id {
        Id::of(&self.object)
    }

    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub fn namespace(&self) -> &str {
        self.object["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    pub fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    /// Returns the name it had first.
    pub fn original_id(&self) -> Id {
        self.previous.first().map_or_else(|| self.id(), |id| self.as_now(id))
    }

    /// Returns the names it had, oldest first, without the one it has.
    pub fn previous_ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.previous.iter().map(|id| self.as_now(id))
    }

    pub fn has_id(&self, matches: impl Fn(&Id) -> bool) -> bool {
        self.previous_ids().any(|id| matches(&id)) || matches(&self.id())
    }

    /// Keeps the name it has before it gets another.
    pub fn remember(&mut self) {
        let id = self.id();
        self.previous.push(id.scoped());
    }

    pub fn set_metadata(&mut self, field: &str, text: &str) {
        if let Some(metadata) = self.metadata_mut() {
            if text.is_empty() {
                metadata.remove(field);
            } else {
                metadata.insert(field.to_owned(), Value::String(text.to_owned()));
            }
        }
    }

    pub fn metadata_mut(&mut self) -> Option<&mut Map<String, Value>> {
        let fields = self.object.as_object_mut()?;
        let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        metadata.as_object_mut()
    }

    /// A version changed by a patch counts for the names it had before as well.
    fn as_now(&self, id: &Id) -> Id {
        let now = self.gvk();
        Id { gvk: Gvk { group: now.group, version: now.version, kind: id.gvk.kind.clone() }, ..id.clone() }
    }
}

fn ends_alike(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}

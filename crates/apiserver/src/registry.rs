//! The table of served resources.
//!
//! A built-in kind is a row compiled in; a CRD version is a row added at run time. Every handler
//! is driven by a row: there is no handler per kind. Readers take an immutable snapshot.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use apimachinery::gvk::{GroupVersionKind, GroupVersionResource};
use apimachinery::schema::Schema;
use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// One served resource in one version.
#[derive(Clone, Debug)]
pub struct Resource {
    pub gvr: GroupVersionResource,
    pub kind: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Discovery's verbs; an unlisted one answers 405.
    pub verbs: Vec<&'static str>,
    pub schema: Arc<Schema>,
    pub status_subresource: bool,
    pub scale: Option<ScalePaths>,
    /// Other subresources: name, kind of the body, verbs (`approval`, `token`, `log`, ...).
    pub subresources: Vec<Subresource>,
    pub columns: Vec<Column>,
    /// The version objects are stored in.
    pub storage_version: String,
    /// The group objects are stored under; differs from the row's for `events.k8s.io`.
    pub storage_group: String,
    pub origin: Origin,
    pub selectable_fields: Vec<String>,
    /// A warning sent with every answer, for deprecated versions.
    pub deprecation: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    pub name: String,
    /// Group, version and kind of the body, where it differs from the parent.
    pub body: GroupVersionKind,
    pub verbs: Vec<&'static str>,
}

/// Where `scale` reads and writes, as dotted paths (`.spec.replicas`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    pub spec_replicas: String,
    pub status_replicas: String,
    pub label_selector: Option<String>,
}

/// One column of `kubectl get`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub ty: String,
    pub format: String,
    pub description: String,
    /// 0 is always shown; more is `-o wide` only.
    pub priority: i32,
    /// JSONPath into the object (`.spec.replicas`), or a named function (`fn:pod-ready`) of `table`.
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Builtin,
    /// Name of the CustomResourceDefinition.
    Crd(String),
}

/// Returns the rows of all built-in kinds; every server of the process has these very ones.
pub fn builtins() -> impl Iterator<Item = Arc<Resource>> {
    static ROWS: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| builtin::resources().iter().map(from_builtin).map(Arc::new).collect());
    ROWS.iter().cloned()
}

/// Returns the row of a built-in kind.
pub fn from_builtin(builtin: &builtin::BuiltinResource) -> Resource {
    let row = builtin.row;
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    Resource {
        gvr: GroupVersionResource { group: row.group.into(), version: row.version.into(), resource: row.resource.into() },
        kind: row.kind.into(),
        singular: row.singular.into(),
        short_names: owned(row.short_names),
        categories: owned(row.categories),
        namespaced: row.namespaced,
        verbs: row.verbs.to_vec(),
        schema: builtin.schema.clone(),
        status_subresource: row.status_subresource,
        scale: row.scale.map(|s| ScalePaths {
            spec_replicas: s.spec_replicas.into(),
            status_replicas: s.status_replicas.into(),
            label_selector: s.label_selector.map(str::to_owned),
        }),
        subresources: row
            .subresources
            .iter()
            .map(|s| Subresource {
                name: s.name.into(),
                body: GroupVersionKind { group: s.body.0.into(), version: s.body.1.into(), kind: s.body.2.into() },
                verbs: s.verbs.to_vec(),
            })
            .collect(),
        columns: row
            .columns
            .iter()
            .map(|c| Column {
                name: c.name.into(),
                ty: c.ty.into(),
                format: c.format.into(),
                description: String::new(),
                priority: c.priority,
                path: c.path.into(),
            })
            .collect(),
        storage_version: row.storage_version.into(),
        storage_group: row.storage_group.into(),
        origin: Origin::Builtin,
        selectable_fields: owned(row.selectable_fields),
        deprecation: row.deprecation.map(str::to_owned),
    }
}

impl Resource {
    fn path(&self) -> (&str, &str, &str) {
        (&self.gvr.group, &self.gvr.version, &self.gvr.resource)
    }

    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind { group: self.gvr.group.clone(), version: self.gvr.version.clone(), kind: self.kind.clone() }
    }

    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// Returns whether objects are stored in this very version, so that stored bytes are the answer.
    pub fn is_storage_version(&self) -> bool {
        self.gvr.version == self.storage_version && self.gvr.group == self.storage_group
    }

    pub fn is_builtin(&self) -> bool {
        self.origin == Origin::Builtin
    }
}

/// An immutable view of the table.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// By group, version and resource.
    rows: Vec<Arc<Resource>>,
    /// Raised by every change; discovery and OpenAPI caches are keyed by it.
    pub generation: u64,
}

impl Snapshot {
    pub fn get(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Resource>> {
        let found = self.rows.binary_search_by(|row| row.path().cmp(&(group, version, resource)));
        found.ok().map(|index| &self.rows[index])
    }

    /// Returns every row, by group, version and resource.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.iter()
    }

    /// Returns the rows of one group and resource, one a version.
    pub fn versions<'a>(&'a self, group: &'a str, resource: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.iter().filter(move |r| r.gvr.group == group && r.gvr.resource == resource)
    }

    pub fn by_kind(&self, gvk: &GroupVersionKind) -> Option<&Arc<Resource>> {
        self.iter().find(|r| r.gvr.group == gvk.group && r.gvr.version == gvk.version && r.kind == gvk.kind)
    }
}

/// The table, replaced as a whole by each change.
#[derive(Debug, Default)]
pub struct Registry {
    current: ArcSwap<Snapshot>,
    changing: Mutex<()>,
}

impl Registry {
    pub fn new(resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let registry = Self::default();
        registry.change(|rows| rows.extend(resources));
        registry
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces all rows that come from the named CRD; none removes it.
    pub fn set_crd(&self, crd: &str, resources: &[Arc<Resource>]) {
        let is_of_crd = |row: &Arc<Resource>| matches!(&row.origin, Origin::Crd(name) if name == crd);
        self.change(|rows| {
            rows.retain(|row| !is_of_crd(row));
            rows.extend(resources.iter().cloned());
        });
    }

    /// Changes the table; what changes nothing leaves its generation.
    fn change(&self, edit: impl FnOnce(&mut Vec<Arc<Resource>>)) {
        let _guard = self.changing.lock();
        let before = self.current.load_full();
        let mut rows: Vec<Arc<Resource>> = before.iter().cloned().collect();
        edit(&mut rows);
        // Of two rows of one path the later counts.
        let by_path: BTreeMap<_, _> = rows.into_iter().map(|r| (r.gvr.clone(), r)).collect();
        let mut rows: Vec<Arc<Resource>> = by_path.into_values().collect();
        rows.sort_by(|a, b| a.path().cmp(&b.path()));
        if rows.len() == before.rows.len() && rows.iter().zip(&before.rows).all(|(row, known)| Arc::ptr_eq(row, known)) {
            return;
        }
        self.current.store(Arc::new(Snapshot { rows, generation: before.generation + 1 }));
    }
}

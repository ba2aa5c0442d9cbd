//! The served kinds with their schemas, built once and shared.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use apimachinery::schema::Schema;

use crate::row::BuiltinResource;
use crate::{blob, resolve, rows};

struct Table {
    schemas: BTreeMap<&'static str, Arc<Schema>>,
    /// By kind: every write looks its schema up more than once, so a look-up allocates nothing.
    kinds: HashMap<String, Vec<Kind>>,
    resources: Vec<BuiltinResource>,
}

/// One group and version of a kind.
struct Kind {
    group: String,
    version: String,
    definition: &'static str,
    schema: Arc<Schema>,
}

impl Table {
    fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        self.kinds.get(kind)?.iter().find(|k| k.group == group && k.version == version)
    }
}

static TABLE: LazyLock<Table> = LazyLock::new(build);

/// Returns the served kinds, one a version.
pub fn resources() -> &'static [BuiltinResource] {
    &TABLE.resources
}

/// Returns the served kind of a group, version and kind.
pub fn find(group: &str, version: &str, kind: &str) -> Option<&'static BuiltinResource> {
    TABLE.resources.iter().find(|r| r.row.group == group && r.row.version == version && r.row.kind == kind)
}

/// Returns the schema of a definition by its upstream name, as
/// `io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions`.
pub fn definition(name: &str) -> Option<&'static Arc<Schema>> {
    TABLE.schemas.get(name)
}

/// Returns the name of the definition of a kind, lists and bodies of subresources included.
/// `DeleteOptions` is in every group.
pub fn definition_of(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    if kind == "DeleteOptions" {
        return Some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    }
    TABLE.kind(group, version, kind).map(|k| k.definition)
}

/// Returns the schema of a kind, lists and bodies of subresources included.
pub fn schema_of(group: &str, version: &str, kind: &str) -> Option<&'static Arc<Schema>> {
    match TABLE.kind(group, version, kind) {
        Some(found) => Some(&found.schema),
        None => definition_of(group, version, kind).and_then(definition),
    }
}

/// Versions that are the same as another: kind, group and version that is defined, group and version served.
const SAME: &[(&str, [&str; 2], [&str; 2])] = &[
    // What `kubectl auth whoami` before 1.28 asks.
    ("SelfSubjectReview", ["authentication.k8s.io", "v1"], ["authentication.k8s.io", "v1beta1"]),
];

fn build() -> Table {
    let definitions = blob::definitions();
    let resolved = resolve::resolve(&definitions);
    let mut table = Table { schemas: BTreeMap::new(), kinds: HashMap::new(), resources: Vec::new() };
    for (definition, schema) in definitions.into_iter().zip(resolved) {
        // Leaked once: names live as long as the table, which is never dropped.
        let name: &'static str = definition.name.leak();
        if let Some([group, version, kind]) = definition.gvk {
            table.kinds.entry(kind).or_default().push(Kind { group, version, definition: name, schema: schema.clone() });
        }
        table.schemas.insert(name, schema);
    }
    for (kind, [group, version], [served_group, served_version]) in SAME {
        let found = table.kind(group, version, kind).expect("the kinds of SAME are defined");
        let (definition, schema) = (found.definition, found.schema.clone());
        let same = Kind { group: (*served_group).to_owned(), version: (*served_version).to_owned(), definition, schema };
        table.kinds.entry((*kind).to_owned()).or_default().push(same);
    }
    for row in rows::all() {
        let found = table.kind(row.group, row.version, row.kind).expect("a test goes through every row");
        let (definition, schema) = (found.definition, found.schema.clone());
        table.resources.push(BuiltinResource { row, schema, definition });
    }
    table
}

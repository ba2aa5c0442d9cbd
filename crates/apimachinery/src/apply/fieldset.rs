//! Sets of fields, as `managedFields[].fieldsV1` writes them.
//!
//! A set is a tree of path elements: `f:name` a field, `k:{"name":"a"}` an element of a map list, `v:"a"` an
//! element of a set, `i:0` a place in a list. An element is kept as its canonical text, so that a set and its
//! JSON are the same tree. A container and what is below it are members apart from each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Nesting a set read from outside may have.
const DEPTH_MAX: usize = 128;

/// Paths within an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub(super) nodes: BTreeMap<Box<str>, Node>,
}

/// What stands at one path element. Nodes that are neither members nor lead to one are never kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub is_member: bool,
    pub below: FieldSet,
}

impl Node {
    pub fn member() -> Self {
        Self { is_member: true, below: FieldSet::default() }
    }

    pub fn is_empty(&self) -> bool {
        !self.is_member && self.below.is_empty()
    }
}

impl FieldSet {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns how many paths are members.
    pub fn len(&self) -> usize {
        self.nodes.values().map(|node| usize::from(node.is_member) + node.below.len()).sum()
    }

    pub(super) fn insert(&mut self, element: Box<str>, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(element, node);
        }
    }

    /// Adds the path of `elements`; the empty path is no field.
    pub fn insert_path(&mut self, elements: &[&str]) {
        if let Some((first, rest)) = elements.split_first() {
            let node = self.nodes.entry((*first).into()).or_default();
            match rest {
                [] => node.is_member = true,
                rest => node.below.insert_path(rest),
            }
        }
    }

    /// Says whether the path of `elements` (`["f:spec", "f:replicas"]`) is a member.
    pub fn contains(&self, elements: &[&str]) -> bool {
        match elements {
            [] => false,
            [last] => self.nodes.get(*last).is_some_and(|node| node.is_member),
            [first, rest @ ..] => self.nodes.get(*first).is_some_and(|node| node.below.contains(rest)),
        }
    }

    pub fn union(mut self, other: &FieldSet) -> FieldSet {
        for (element, node) in &other.nodes {
            match self.nodes.get_mut(element) {
                None => {
                    self.nodes.insert(element.clone(), node.clone());
                }
                Some(own) => {
                    own.is_member |= node.is_member;
                    own.below = std::mem::take(&mut own.below).union(&node.below);
                }
            }
        }
        self
    }

    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let mut both = FieldSet::default();
        for (element, node) in &self.nodes {
            if let Some(theirs) = other.nodes.get(element) {
                let is_member = node.is_member && theirs.is_member;
                both.insert(element.clone(), Node { is_member, below: node.below.intersection(&theirs.below) });
            }
        }
        both
    }

    /// Returns the members that are none of `other`; what is below one of those stays.
    pub fn difference(mut self, other: &FieldSet) -> FieldSet {
        if !other.is_empty() {
            self.nodes.retain(|element, node| {
                if let Some(theirs) = other.nodes.get(element) {
                    node.is_member &= !theirs.is_member;
                    node.below = std::mem::take(&mut node.below).difference(&theirs.below);
                }
                !node.is_empty()
            });
        }
        self
    }

    /// Returns the members, as messages write them (`.spec.containers[name="a"].image`).
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, paths: &mut Vec<String>) {
        for (element, node) in &self.nodes {
            let path = format!("{prefix}{}", shown(element));
            if node.is_member {
                paths.push(path.clone());
            }
            node.below.collect(&path, paths);
        }
    }

    /// Reads `fieldsV1`.
    pub fn from_fields_v1(fields: &Value) -> Result<FieldSet, String> {
        let Value::Object(object) = fields else { return Err(format!("fieldsV1 must be an object, not {fields}")) };
        read(object, 0)
    }

    /// Writes `fieldsV1`.
    pub fn into_fields_v1(self) -> Value {
        Value::Object(write(self, false))
    }
}

fn read(object: &Map<String, Value>, depth: usize) -> Result<FieldSet, String> {
    if depth > DEPTH_MAX {
        return Err(format!("fieldsV1 must not be nested deeper than {DEPTH_MAX} levels"));
    }
    let mut set = FieldSet::default();
    for (key, value) in object.iter().filter(|(key, _)| *key != ".") {
        let Value::Object(below) = value else { return Err(format!("fieldsV1: {key} must hold an object, not {value}")) };
        let node = Node { is_member: below.is_empty() || below.contains_key("."), below: read(below, depth + 1)? };
        set.insert(canonical(key)?, node);
    }
    Ok(set)
}

fn write(set: FieldSet, is_member: bool) -> Map<String, Value> {
    let dot = (is_member && !set.is_empty()).then(|| (".".to_owned(), Value::Object(Map::new())));
    let below = set.nodes.into_iter().map(|(element, node)| (element.into_string(), Value::Object(write(node.below, node.is_member))));
    dot.into_iter().chain(below).collect()
}

/// Returns the one spelling of a path element.
fn canonical(element: &str) -> Result<Box<str>, String> {
    let json = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| format!("fieldsV1: {element}: {error}"));
    match element.split_once(':') {
        Some(("f", _)) => Ok(element.into()),
        Some(("v", text)) => Ok(format!("v:{}", json(text)?).into()),
        Some(("k", text)) => match json(text)? {
            Value::Object(keys) => Ok(format!("k:{}", Value::Object(keys)).into()),
            other => Err(format!("fieldsV1: {element}: keys must be an object, not {other}")),
        },
        Some(("i", text)) => match text.parse::<u64>() {
            Ok(index) => Ok(format!("i:{index}").into()),
            Err(error) => Err(format!("fieldsV1: {element}: {error}")),
        },
        Some(_) | None => Err(format!("fieldsV1: unknown path element {element:?}")),
    }
}

/// Returns a path element as messages write it.
pub(super) fn shown(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("i", index)) => format!("[{index}]"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let mut text = String::from("[");
            for (index, (name, value)) in keys.iter().enumerate() {
                let separator = if index == 0 { "" } else { "," };
                let _ = write!(text, "{separator}{name}={value}");
            }
            text.push(']');
            text
        }
        Some(_) | None => element.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::FieldSet;

    fn set(fields: Value) -> FieldSet {
        FieldSet::from_fields_v1(&fields).unwrap()
    }

    #[test]
    fn fields_v1_survives_a_round_trip_in_canonical_form() {
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:ports": {"k:{\"port\": 80, \"name\":\"a\"}": {".": {}, "f:port": {}}, "i:3": {}}}});
        let parsed = set(fields);
        assert_eq!(
            parsed.paths(),
            [
                ".metadata.finalizers[=\"x\"]",
                ".metadata.labels",
                ".metadata.labels.a",
                ".spec.ports[3]",
                ".spec.ports[name=\"a\",port=80]",
                ".spec.ports[name=\"a\",port=80].port"
            ]
        );
        assert_eq!(parsed.len(), 6);
        assert_eq!(set(parsed.clone().into_fields_v1()), parsed);
        assert!(parsed.into_fields_v1()["f:spec"]["f:ports"].get("k:{\"name\":\"a\",\"port\":80}").is_some());
    }

    #[test]
    fn malformed_sets_are_refused() {
        for fields in [json!([]), json!({"f:a": 1}), json!({"x:a": {}}), json!({"k:[]": {}}), json!({"v:": {}}), json!({"i:-1": {}})] {
            assert!(FieldSet::from_fields_v1(&fields).is_err(), "{fields}");
        }
    }

    #[test]
    fn algebra_works_on_members_not_on_subtrees() {
        let a = set(json!({"f:a": {".": {}, "f:x": {}, "f:y": {}}, "f:b": {}}));
        let b = set(json!({"f:a": {".": {}, "f:x": {}}, "f:c": {}}));
        assert_eq!(a.clone().difference(&b), set(json!({"f:a": {"f:y": {}}, "f:b": {}})));
        assert_eq!(a.intersection(&b), set(json!({"f:a": {".": {}, "f:x": {}}})));
        assert_eq!(a.clone().union(&b), set(json!({"f:a": {".": {}, "f:x": {}, "f:y": {}}, "f:b": {}, "f:c": {}})));
        assert!(a.clone().difference(&a).is_empty());
        assert!(a.contains(&["f:a", "f:y"]) && !b.contains(&["f:a", "f:y"]));
    }
}

//! Sets of fields, as `managedFields[].fieldsV1` writes them.
//!
//! A set is a tree of path elements: `f:name` a field, `k:{"name":"a"}` an element of a map list, `v:"a"` an
//! element of a set, `i:0` a place in a list. An element is kept as its canonical text, so that a set and its
//! JSON are the same tree. A container and what is below it are members apart from each other.

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::nodes::Nodes;

/// Nesting a set read from outside may have.
const DEPTH_MAX: usize = 128;

/// Paths within an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub(super) nodes: Nodes,
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
        self.nodes.iter().map(|(_, node)| usize::from(node.is_member) + node.below.len()).sum()
    }

    pub(super) fn insert(&mut self, element: Box<str>, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(element, node);
        }
    }

    /// Adds the path of `elements`; the empty path is no field.
    pub fn insert_path(&mut self, elements: &[&str]) {
        if let Some((first, rest)) = elements.split_first() {
            let mut node = self.nodes.remove(first).unwrap_or_default();
            match rest {
                [] => node.is_member = true,
                rest => node.below.insert_path(rest),
            }
            self.nodes.insert((*first).into(), node);
        }
    }

    /// Says whether the path of `elements` (`["f:spec", "f:replicas"]`) is a member.
    pub fn contains(&self, elements: &[&str]) -> bool {
        match elements {
            [] => false,
            [last] => self.nodes.get(last).is_some_and(|node| node.is_member),
            [first, rest @ ..] => self.nodes.get(first).is_some_and(|node| node.below.contains(rest)),
        }
    }

    pub fn union(mut self, other: &FieldSet) -> FieldSet {
        for (element, node) in other.nodes.iter() {
            match self.nodes.get_mut(element) {
                None => {
                    self.nodes.insert(element.into(), node.clone());
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
        for (element, node) in self.nodes.iter() {
            if let Some(theirs) = other.nodes.get(element) {
                let is_member = node.is_member && theirs.is_member;
                both.insert(element.into(), Node { is_member, below: node.below.intersection(&theirs.below) });
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

    /// Says whether all members are members of `other` as well.
    pub fn is_within(&self, other: &FieldSet) -> bool {
        self.nodes.iter().all(|(element, node)| {
            let theirs = other.nodes.get(element);
            let is_member = theirs.is_some_and(|theirs| theirs.is_member);
            (is_member || !node.is_member) && (node.below.is_empty() || theirs.is_some_and(|theirs| node.below.is_within(&theirs.below)))
        })
    }

    /// Returns the members, as messages write them (`.spec.containers[name="a"].image`).
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, paths: &mut Vec<String>) {
        for (element, node) in self.nodes.iter() {
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

    /// Reads the text of `fieldsV1` as [`FieldSet::write`] writes it.
    pub fn from_text(text: &str) -> Result<FieldSet, serde_json::Error> {
        Read.deserialize(&mut serde_json::Deserializer::from_str(text)).map(|node| node.below)
    }

    /// Says whether a member of this set stands in the text of another, be it on the way to its members.
    pub fn touches(&self, text: &str) -> bool {
        let mut is_touched = false;
        let touch = Touch { set: self, is_touched: &mut is_touched };
        // What cannot be read counts as touched: whoever reads it whole will see.
        !self.is_empty() && (touch.deserialize(&mut serde_json::Deserializer::from_str(text)).is_err() || is_touched)
    }

    /// Writes the text of `fieldsV1`.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_node(false, out);
    }

    fn write_node(&self, is_member: bool, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut is_first = true;
        // Sorted, as a dot comes before all letters.
        if is_member && !self.is_empty() {
            out.extend_from_slice(b"\".\":{}");
            is_first = false;
        }
        for (element, node) in self.nodes.iter() {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            serde_json::to_writer(&mut *out, element).expect("writing text to memory cannot fail");
            out.push(b':');
            node.below.write_node(node.is_member, out);
        }
        out.push(b'}');
    }
}

/// Reads one node of a text.
struct Read;

impl<'de> DeserializeSeed<'de> for Read {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Read {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut node = Node::default();
        while let Some(element) = map.next_key::<Box<str>>()? {
            let below = map.next_value_seed(Read)?;
            if &*element == "." {
                node.is_member = true;
            } else {
                node.below.insert(element, below);
            }
        }
        node.is_member |= node.below.is_empty();
        Ok(node)
    }
}

/// Follows a text only where a set leads.
struct Touch<'a> {
    set: &'a FieldSet,
    is_touched: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for Touch<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Touch<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(Lookup(self.set))? {
            match found {
                Some(node) if !node.is_member && !*self.is_touched => {
                    map.next_value_seed(Touch { set: &node.below, is_touched: &mut *self.is_touched })?
                }
                found => {
                    *self.is_touched |= found.is_some();
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads an element as what a set has there.
struct Lookup<'a>(&'a FieldSet);

impl<'a, 'de> DeserializeSeed<'de> for Lookup<'a> {
    type Value = Option<&'a Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a, 'de> Visitor<'de> for Lookup<'a> {
    type Value = Option<&'a Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path element")
    }

    fn visit_str<E>(self, element: &str) -> Result<Self::Value, E> {
        Ok(self.0.nodes.get(element))
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

    fn written(set: &FieldSet) -> String {
        let mut out = Vec::new();
        set.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_set_touches_a_text_where_its_members_stand() {
        let text = r#"{"f:spec":{"f:ports":{".":{},"k:{\"name\":\"a\"}":{".":{},"f:port":{}}},"f:replicas":{}}}"#;
        let check = |fields: Value, expected: bool| assert_eq!(set(fields.clone()).touches(text), expected, "{fields}");
        check(json!({}), false);
        check(json!({"f:spec": {"f:image": {}}, "f:status": {}}), false);
        check(json!({"f:spec": {"f:replicas": {"f:deeper": {}}}}), false);
        check(json!({"f:spec": {"f:replicas": {}}}), true);
        check(json!({"f:spec": {"f:ports": {"k:{\"name\":\"a\"}": {"f:port": {}}}}}), true);
        check(json!({"f:spec": {"f:ports": {"k:{\"name\":\"b\"}": {"f:port": {}}}}}), false);
        // On the way to what the text has: a list that is owned as a whole now.
        check(json!({"f:spec": {}}), true);
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
        let text = written(&parsed);
        assert_eq!(FieldSet::from_text(&text).unwrap(), parsed);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((set(value.clone()), value.to_string()), (parsed, text));
        assert!(value["f:spec"]["f:ports"].get("k:{\"name\":\"a\",\"port\":80}").is_some());
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

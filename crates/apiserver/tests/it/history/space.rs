//! The small world that clients fight over: two kinds, two namespaces, four names.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub const NAMESPACES: [&str; 2] = ["left", "right"];
pub const NAMES: [&str; 4] = ["a", "b", "c", "d"];
pub const HOLD: &str = "history.example/hold";

/// ConfigMaps have neither generation nor status, Gadgets have both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    Gadget,
}

pub const KINDS: [Kind; 2] = [Kind::ConfigMap, Kind::Gadget];

impl Kind {
    /// Returns where the values are in an object.
    pub fn values(self) -> &'static str {
        match self {
            Kind::ConfigMap => "/data",
            Kind::Gadget => "/spec/values",
        }
    }

    pub fn prefix(self) -> &'static str {
        match self {
            Kind::ConfigMap => "/core/configmaps/",
            Kind::Gadget => "/history.example/gadgets/",
        }
    }

    /// Returns the URL of a collection or of an object.
    pub fn url(self, namespace: Option<&str>, name: Option<&str>) -> String {
        let (group, plural) = match self {
            Kind::ConfigMap => ("/api/v1", "configmaps"),
            Kind::Gadget => ("/apis/history.example/v1", "gadgets"),
        };
        let namespace = namespace.map(|n| format!("/namespaces/{n}")).unwrap_or_default();
        let name = name.map(|n| format!("/{n}")).unwrap_or_default();
        format!("{group}{namespace}/{plural}{name}")
    }

    /// Returns an object with these contents.
    pub fn object(self, key: &Key, labels: &Texts, values: &Texts) -> Value {
        let metadata = json!({"namespace": key.namespace, "name": key.name, "labels": labels});
        match self {
            Kind::ConfigMap => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": values}),
            Kind::Gadget => {
                json!({"apiVersion": "history.example/v1", "kind": "Gadget", "metadata": metadata, "spec": {"values": values}})
            }
        }
    }

    pub fn counts_generations(self) -> bool {
        self == Kind::Gadget
    }
}

/// Labels or values.
pub type Texts = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn url(&self) -> String {
        self.kind.url(Some(&self.namespace), Some(&self.name))
    }

    /// Takes a key of the store apart, if it is of a kind that we look at.
    pub fn of_store(key: &str) -> Option<Key> {
        let kind = KINDS.into_iter().find(|kind| key.starts_with(kind.prefix()))?;
        let (namespace, name) = key[kind.prefix().len()..].split_once('/')?;
        Some(Key { kind, namespace: namespace.into(), name: name.into() })
    }

    /// Returns whether clients of the test write it.
    pub fn is_contested(&self) -> bool {
        NAMESPACES.contains(&self.namespace.as_str()) && NAMES.contains(&self.name.as_str())
    }
}

/// What a list or watch is about.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub selector: Option<Selector>,
}

#[derive(Clone, Debug)]
pub enum Selector {
    Is(&'static str, &'static str),
    IsNot(&'static str, &'static str),
    In(&'static str, Vec<&'static str>),
    Exists(&'static str),
    Both(Box<Selector>, Box<Selector>),
}

impl Selector {
    pub fn text(&self) -> String {
        match self {
            Selector::Is(key, value) => format!("{key}={value}"),
            Selector::IsNot(key, value) => format!("{key}!={value}"),
            Selector::In(key, values) => format!("{key} in ({})", values.join(",")),
            Selector::Exists(key) => (*key).to_owned(),
            Selector::Both(a, b) => format!("{},{}", a.text(), b.text()),
        }
    }

    pub fn matches(&self, labels: &Texts) -> bool {
        let has = |key: &str, value: &str| labels.get(key).is_some_and(|v| v == value);
        match self {
            Selector::Is(key, value) => has(key, value),
            Selector::IsNot(key, value) => !has(key, value),
            Selector::In(key, values) => values.iter().any(|value| has(key, value)),
            Selector::Exists(key) => labels.contains_key(*key),
            Selector::Both(a, b) => a.matches(labels) && b.matches(labels),
        }
    }
}

impl Filter {
    pub fn query(&self) -> String {
        let mut query = String::new();
        if let Some(selector) = &self.selector {
            query += &format!("&labelSelector={}", selector.text().replace(' ', "%20").replace('=', "%3D").replace('!', "%21"));
        }
        if let Some(name) = &self.name {
            query += &format!("&fieldSelector=metadata.name%3D{name}");
        }
        query
    }

    pub fn admits_key(&self, key: &Key) -> bool {
        self.namespace.as_ref().is_none_or(|n| *n == key.namespace) && self.name.as_ref().is_none_or(|n| *n == key.name)
    }

    pub fn admits(&self, key: &Key, labels: &Texts) -> bool {
        self.admits_key(key) && self.selector.as_ref().is_none_or(|s| s.matches(labels))
    }
}

/// Returns the definition of Gadgets.
pub fn definition() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let part = json!({"type": "object", "properties": {"values": texts}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.history.example"},
        "spec": {"group": "history.example", "scope": "Namespaced", "names": {"kind": "Gadget", "plural": "gadgets"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": part, "status": part}}},
        }]},
    })
}

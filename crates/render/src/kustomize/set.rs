//! The objects of a kustomization, in order, each once.

use std::collections::BTreeSet;

use apimachinery::selector::LabelSelector;
use regex::Regex;
use serde_json::Value;

use super::resource::{Behavior, Id, Resource};
use super::spec::Selector;

/// Objects by their order; no two have the same id.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub resources: Vec<Resource>,
    /// What all objects together may weigh.
    pub bytes_max: usize,
}

/// Returns about how much memory a value takes.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 8 + text.len(),
        Value::Array(items) => 8 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 8 + fields.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>(),
    }
}

impl Set {
    pub fn new(bytes_max: usize) -> Self {
        Self { resources: Vec::new(), bytes_max }
    }

    /// Refuses objects that weigh too much, `more` bytes added to each.
    pub fn check(&self, more: usize) -> Result<(), String> {
        let bytes = self.resources.iter().map(|resource| more.saturating_add(weight(&resource.object)));
        if bytes.fold(0, usize::saturating_add) > self.bytes_max {
            return Err(format!("the objects would exceed {} bytes; split the Application", self.bytes_max));
        }
        Ok(())
    }

    /// Returns the ids of all objects, for [`Set::append`].
    pub fn ids(&self) -> BTreeSet<Id> {
        self.resources.iter().map(|resource| resource.id().scoped()).collect()
    }

    /// Refuses two objects of one id.
    pub fn distinct(&self) -> Result<(), String> {
        let mut known = BTreeSet::new();
        match self.resources.iter().find(|resource| !known.insert(resource.id().scoped())) {
            Some(twice) => Err(format!("{} would be there twice", twice.id())),
            None => Ok(()),
        }
    }

    /// Adds objects that must be new; `known` are the ids of those that are there.
    pub fn append(&mut self, added: Vec<Resource>, known: &mut BTreeSet<Id>) -> Result<(), String> {
        for resource in added {
            let id = resource.id();
            if !known.insert(id.scoped()) {
                let other = self.resources.iter().find(|other| other.id().is(&id)).map(|other| other.file.clone()).unwrap_or_default();
                return Err(format!("{id} is there already, from {other}"));
            }
            self.resources.push(resource);
        }
        Ok(())
    }

    /// Adds a generated object, or merges it into the one of its name, as its behavior says.
    pub fn absorb(&mut self, mut added: Resource) -> Result<(), String> {
        let id = added.id();
        let found: Vec<usize> = self.with_id(|other| other.is(&id));
        match (found.as_slice(), added.behavior) {
            ([], Behavior::Create) => {
                self.resources.push(added);
                Ok(())
            }
            ([], Behavior::Merge | Behavior::Replace) => Err(format!("behavior: {id} is not there to be merged or replaced")),
            ([_], Behavior::Create) => Err(format!("behavior: {id} is there already; say merge or replace")),
            ([at], behavior) => {
                let old = &self.resources[*at];
                inherit(&mut added, old);
                if behavior == Behavior::Merge {
                    for field in ["data", "binaryData"] {
                        merge_texts(&mut added.object, &old.object, field);
                    }
                }
                self.resources[*at] = added;
                Ok(())
            }
            (more, _) => Err(format!("behavior: {id} means {} objects", more.len())),
        }
    }

    /// Returns the places of objects that have or had an id like this.
    pub fn with_id(&self, matches: impl Fn(&Id) -> bool) -> Vec<usize> {
        (0..self.resources.len()).filter(|at| self.resources[*at].has_id(&matches)).collect()
    }

    /// Returns the places of the objects a selector means: by what they were called first, or are called now.
    pub fn select(&self, selector: &Selector) -> Result<Vec<usize>, String> {
        let by = Patterns::new(selector)?;
        let mut found = Vec::new();
        for (at, resource) in self.resources.iter().enumerate() {
            let (now, first) = (resource.id(), resource.original_id());
            if (by.namespace.takes(first.scope()) || by.namespace.takes(now.scope()))
                && (by.name.takes(&first.name) || by.name.takes(&now.name))
                && by.group.takes(&now.gvk.group)
                && by.version.takes(&now.gvk.version)
                && by.kind.takes(&now.gvk.kind)
                && by.labels.takes(&resource.object, "labels")
                && by.annotations.takes(&resource.object, "annotations")
            {
                found.push(at);
            }
        }
        Ok(found)
    }
}

/// Takes over what a generated object keeps of the one it replaces.
fn inherit(added: &mut Resource, old: &Resource) {
    for field in ["labels", "annotations"] {
        let mut texts = old.object["metadata"][field].as_object().cloned().unwrap_or_default();
        texts.extend(added.object["metadata"][field].as_object().cloned().unwrap_or_default());
        if let Some(metadata) = added.metadata_mut().filter(|_| !texts.is_empty()) {
            metadata.insert(field.to_owned(), Value::Object(texts));
        }
    }
    added.set_metadata("name", old.name());
    added.set_metadata("namespace", old.namespace());
    added.previous = old.previous.clone();
    added.affixes = old.affixes.clone();
    added.behavior = old.behavior;
    added.needs_hash &= old.needs_hash;
    added.vars = old.vars.clone();
}

fn merge_texts(added: &mut Value, old: &Value, field: &str) {
    let mut texts = old[field].as_object().cloned().unwrap_or_default();
    texts.extend(added[field].as_object().cloned().unwrap_or_default());
    if let Some(fields) = added.as_object_mut().filter(|_| !texts.is_empty()) {
        fields.insert(field.to_owned(), Value::Object(texts));
    }
}

/// A selector, ready to be asked.
struct Patterns {
    group: Pattern,
    version: Pattern,
    kind: Pattern,
    name: Pattern,
    namespace: Pattern,
    labels: Labels,
    annotations: Labels,
}

impl Patterns {
    fn new(selector: &Selector) -> Result<Self, String> {
        Ok(Self {
            group: Pattern::new("group", &selector.group)?,
            version: Pattern::new("version", &selector.version)?,
            kind: Pattern::new("kind", &selector.kind)?,
            name: Pattern::new("name", &selector.name)?,
            namespace: Pattern::new("namespace", &selector.namespace)?,
            labels: Labels::new("labelSelector", &selector.label_selector)?,
            annotations: Labels::new("annotationSelector", &selector.annotation_selector)?,
        })
    }
}

/// A regular expression for the whole text; empty takes all.
struct Pattern(Option<Regex>);

impl Pattern {
    fn new(field: &str, pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() {
            return Ok(Self(None));
        }
        let regex = Regex::new(&format!("^(?:{pattern})$"));
        regex.map(|regex| Self(Some(regex))).map_err(|_| format!("{field}: {pattern:?} is not a regular expression"))
    }

    fn takes(&self, text: &str) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

/// A selector over the labels or the annotations of an object; empty takes all.
pub(crate) struct Labels(Option<LabelSelector>);

impl Labels {
    pub fn new(field: &str, text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        LabelSelector::parse(text).map(|selector| Self(Some(selector))).map_err(|error| format!("{field}: {error}"))
    }

    pub fn takes(&self, object: &Value, field: &str) -> bool {
        self.0.as_ref().is_none_or(|selector| selector.matches(&object["metadata"][field]))
    }
}

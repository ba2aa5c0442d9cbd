//! Definitions to resolved schemas.
//!
//! A definition becomes one node that all its users share; equal leaves and lists are shared too, so
//! that all kinds together take about a megabyte. A definition inside itself (JSON schemas of a CRD)
//! becomes "any value".
//!
//! Of OpenAPI's defaults only those count here that change an object. Upstream's others (`""`, `0`,
//! `{}`, on required fields) say how Go writes an unset field, and would hide that it is missing.

use std::collections::HashMap;
use std::sync::Arc;

use apimachinery::schema::{Additional, ListType, PatchStrategy, Rules, Schema, Type};
use serde_json::Value;

use crate::model::{Definition, Facts, Shape};

/// `format` of a Kubernetes quantity: a string or a number.
pub(crate) const QUANTITY: &str = "quantity";

/// Returns the schema of each definition, in the same order.
pub fn resolve(definitions: &[Definition]) -> Vec<Arc<Schema>> {
    let mut resolver = Resolver { definitions, done: vec![State::New; definitions.len()], shared: HashMap::new() };
    (0..definitions.len()).map(|index| resolver.definition(index)).collect()
}

struct Resolver<'a> {
    definitions: &'a [Definition],
    done: Vec<State>,
    /// Nodes that are not definitions, by what makes them equal.
    shared: HashMap<String, Arc<Schema>>,
}

#[derive(Clone)]
enum State {
    New,
    Under,
    Done(Arc<Schema>),
}

impl Resolver<'_> {
    fn definition(&mut self, index: usize) -> Arc<Schema> {
        match &self.done[index] {
            State::Done(schema) => return schema.clone(),
            State::Under => return Arc::new(Schema::any()),
            State::New => {}
        }
        self.done[index] = State::Under;
        let definition = &self.definitions[index];
        let mut schema = self.shape(&definition.shape);
        for field in &definition.fields {
            let node = self.node(&field.shape, &field.facts);
            schema.properties.insert(field.name.as_str().into(), node);
            if field.required {
                schema.required.push(field.name.as_str().into());
            }
        }
        schema.atomic_map = definition.atomic_map;
        let schema = Arc::new(schema);
        self.done[index] = State::Done(schema.clone());
        schema
    }

    /// Returns the node of a field, an element or a map value.
    fn node(&mut self, shape: &Shape, facts: &Facts) -> Arc<Schema> {
        let facts = Facts { numbers: Vec::new(), pointer: false, default: facts.default.clone().filter(counts), ..facts.clone() };
        if let (Shape::Ref(index), true) = (shape, facts.is_empty()) {
            return self.definition(*index as usize);
        }
        let key = format!("{shape:?} {facts:?}");
        if let Some(known) = self.shared.get(&key) {
            return known.clone();
        }
        let mut schema = match shape {
            Shape::Ref(index) => Schema::clone(&self.definition(*index as usize)),
            _ => self.shape(shape),
        };
        schema.list_type = match facts.list.as_str() {
            "set" => ListType::Set,
            "map" => ListType::Map,
            _ => ListType::Atomic,
        };
        schema.list_map_keys = facts.keys.iter().map(|key| key.as_str().into()).collect();
        schema.atomic_map |= facts.map == "atomic";
        schema.patch_merge_key = (!facts.merge_key.is_empty()).then(|| facts.merge_key.as_str().into());
        let strategies = || facts.patch.split(',');
        schema.patch_strategy =
            PatchStrategy { merge: strategies().any(|s| s == "merge"), retain_keys: strategies().any(|s| s == "retainKeys") };
        schema.default = facts.default;
        let schema = Arc::new(schema);
        self.shared.insert(key, schema.clone());
        schema
    }

    fn shape(&mut self, shape: &Shape) -> Schema {
        let of = |ty| Schema { ty, ..Schema::default() };
        match shape {
            Shape::Any => Schema::any(),
            Shape::Object => Schema { preserve_unknown: true, additional: Additional::Any, ..of(Type::Object) },
            Shape::Record => of(Type::Object),
            Shape::Boolean => of(Type::Boolean),
            Shape::Number => of(Type::Number),
            Shape::Integer(format) => Schema { rules: rules(format), ..of(Type::Integer) },
            Shape::String(format) => Schema { rules: rules(format), ..of(Type::String) },
            Shape::IntOrString => Schema { int_or_string: true, ..of(Type::Any) },
            Shape::Quantity => Schema { int_or_string: true, rules: rules(QUANTITY), ..of(Type::Any) },
            Shape::List(items) => Schema { items: Some(self.node(items, &Facts::default())), ..of(Type::Array) },
            Shape::Map(values) => Schema { additional: Additional::Of(self.node(values, &Facts::default())), ..of(Type::Object) },
            Shape::Ref(index) => Schema::clone(&self.definition(*index as usize)),
        }
    }
}

fn rules(format: &str) -> Option<Box<Rules>> {
    (!format.is_empty()).then(|| Box::new(Rules { format: Some(format.into()), ..Rules::default() }))
}

fn counts(default: &Value) -> bool {
    match default {
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(flag) => *flag,
        Value::Object(fields) => !fields.is_empty(),
        Value::Null | Value::Array(_) => false,
    }
}

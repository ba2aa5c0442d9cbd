//! The table that drives decoding and encoding: each message's fields by number.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::json;

use crate::blob;
use crate::model::{self, Definition, Facts, Shape};

/// One message, at the index of its definition.
pub struct Message {
    pub name: Box<str>,
    pub entries: Entries,
}

/// Fields and inlined messages by number.
pub type Entries = Vec<(u32, Entry)>;

pub enum Entry {
    Field(Field),
    /// A message whose fields JSON has in the message around it.
    Inline(Entries),
}

pub struct Field {
    pub name: Box<str>,
    pub kind: Kind,
    /// A scalar zero on the wire is a value.
    pub keeps_zero: bool,
    /// A message that Go writes always; empty it is an absence.
    pub by_value: bool,
}

pub enum Kind {
    Text,
    /// Base64 in JSON.
    Bytes,
    Boolean,
    Int32,
    Int64,
    Double,
    Message(u32),
    List(Box<Kind>),
    Map(Box<Kind>),
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// JSON text in a message (RawExtension, FieldsV1, JSON).
    Raw,
    /// A list of strings that is a message, as values of maps have to be.
    TextList,
    SchemaOrArray,
    SchemaOrBool,
    SchemaOrTextList,
}

pub struct Table {
    pub messages: Vec<Message>,
    indexes: HashMap<Box<str>, u32>,
    /// The message of a JSON schema.
    pub schema: u32,
}

static TABLE: LazyLock<Table> = LazyLock::new(build);

pub fn table() -> &'static Table {
    &TABLE
}

impl Table {
    /// Returns the message of a group, version and kind.
    pub fn message_of(&self, group: &str, version: &str, kind: &str) -> Option<&Message> {
        let index = self.indexes.get(crate::definition_of(group, version, kind)?)?;
        Some(self.message(*index))
    }

    pub fn message(&self, index: u32) -> &Message {
        &self.messages[index as usize]
    }
}

fn build() -> Table {
    let definitions = blob::definitions();
    let messages = definitions.iter().map(|definition| message(definition, &definitions)).collect();
    let indexes: HashMap<Box<str>, u32> = definitions.iter().zip(0..).map(|(d, index)| (d.name.as_str().into(), index)).collect();
    let schema = indexes["io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"];
    Table { messages, indexes, schema }
}

fn message(definition: &Definition, definitions: &[Definition]) -> Message {
    let mut entries = Entries::new();
    for field in &definition.fields {
        if let Some((last, inlined)) = field.facts.numbers.split_last() {
            let mut place = &mut entries;
            for number in inlined {
                place = inline(place, *number);
            }
            place.push((*last, Entry::Field(entry(field, definitions))));
        }
    }
    sort(&mut entries);
    Message { name: definition.name.as_str().into(), entries }
}

fn inline(entries: &mut Entries, number: u32) -> &mut Entries {
    let at = entries.iter().position(|(n, entry)| *n == number && matches!(entry, Entry::Inline(_)));
    let at = at.unwrap_or_else(|| {
        entries.push((number, Entry::Inline(Entries::new())));
        entries.len() - 1
    });
    match &mut entries[at].1 {
        Entry::Inline(inner) => inner,
        Entry::Field(_) => unreachable!("found or pushed as an inlined message"),
    }
}

fn sort(entries: &mut Entries) {
    entries.sort_by_key(|(number, _)| *number);
    entries.shrink_to_fit();
    for (_, entry) in entries {
        if let Entry::Inline(inner) = entry {
            sort(inner);
        }
    }
}

fn entry(field: &model::Field, definitions: &[Definition]) -> Field {
    let Facts { default, pointer, .. } = &field.facts;
    let by_value = *default == Some(json!({}));
    // A default that is the zero says that Go always writes the field; another one fills in a zero.
    let written = default.as_ref().is_some_and(|d| {
        !by_value && *d != json!(true) && d.as_str().unwrap_or_default().is_empty() && d.as_i64().unwrap_or_default() == 0
    });
    Field {
        name: field.name.as_str().into(),
        kind: kind(&field.shape, definitions),
        // Go leaves out the zero of an optional field, and of no other.
        keeps_zero: *pointer || field.required || written,
        by_value,
    }
}

fn kind(shape: &Shape, definitions: &[Definition]) -> Kind {
    match shape {
        Shape::Boolean => Kind::Boolean,
        Shape::Number => Kind::Double,
        Shape::Integer(format) if format == "int32" => Kind::Int32,
        Shape::Integer(_) => Kind::Int64,
        Shape::String(format) if format == "byte" => Kind::Bytes,
        Shape::String(_) => Kind::Text,
        Shape::IntOrString => Kind::IntOrString,
        Shape::Quantity => Kind::Quantity,
        Shape::List(items) => Kind::List(Box::new(kind(items, definitions))),
        Shape::Map(values) => Kind::Map(Box::new(match kind(values, definitions) {
            Kind::List(_) => Kind::TextList,
            other => other,
        })),
        // Inline objects without a definition are raw JSON.
        Shape::Any | Shape::Object | Shape::Record => Kind::Raw,
        Shape::Ref(index) => {
            let definition = &definitions[*index as usize];
            match definition.name.rsplit('.').next().unwrap_or_default() {
                "Time" => Kind::Time,
                "MicroTime" => Kind::MicroTime,
                "RawExtension" | "FieldsV1" | "JSON" => Kind::Raw,
                "JSONSchemaPropsOrArray" => Kind::SchemaOrArray,
                "JSONSchemaPropsOrBool" => Kind::SchemaOrBool,
                "JSONSchemaPropsOrStringArray" => Kind::SchemaOrTextList,
                _ => match &definition.shape {
                    Shape::Record | Shape::Object => Kind::Message(*index),
                    alias => kind(alias, definitions),
                },
            }
        }
    }
}

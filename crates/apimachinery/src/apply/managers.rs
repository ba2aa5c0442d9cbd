//! `metadata.managedFields` as clients state it: who owns which fields, since when.
//!
//! One entry per manager, operation and subresource; per `apiVersion` too for updates, as upstream's
//! `fieldmanager`. How entries are kept, changed and written: [`super::holders`].

use serde_json::Value;

use super::fieldset::{FieldSet, Node};
use super::shape::{field, items};
use crate::schema::{ListType, Schema, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
    /// RFC 3339, whole seconds.
    pub time: Option<String>,
    pub fields: FieldSet,
}

impl Entry {
    fn is_same_owner(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// All entries of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Managers {
    pub entries: Vec<Entry>,
}

impl Managers {
    /// Reads `metadata.managedFields` of `object`; an object without has no managers.
    pub fn of(schema: &Schema, object: &Value) -> Result<Managers, String> {
        let mut managers = Managers::default();
        let list = match object.get("metadata").and_then(|metadata| metadata.get("managedFields")) {
            None | Some(Value::Null) => return Ok(managers),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(format!("metadata.managedFields must be a list, not {other}")),
        };
        for (index, value) in list.iter().enumerate() {
            let mut entry = read(value).map_err(|why| format!("metadata.managedFields[{index}]: {why}"))?;
            follow_schema(Some(schema), &mut entry.fields);
            managers.join(entry);
        }
        Ok(managers)
    }

    /// Says whether `object` asks for its managers to be forgotten: exactly one empty entry.
    pub fn is_reset(object: &Value) -> bool {
        let list = object.get("metadata").and_then(|metadata| metadata.get("managedFields")).and_then(Value::as_array);
        list.is_some_and(|list| matches!(list.as_slice(), [Value::Object(entry)] if entry.is_empty()))
    }

    /// Adds `entry`, to the same owner's if there is one, which takes its time.
    fn join(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|known| known.is_same_owner(&entry)) {
            Some(known) => {
                known.fields = std::mem::take(&mut known.fields).union(&entry.fields);
                known.time = entry.time;
            }
            None => self.entries.push(entry),
        }
    }
}

fn read(value: &Value) -> Result<Entry, String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let operation = match text("operation").as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        other => return Err(format!("operation: Invalid value: {other:?}: must be `Apply` or `Update`")),
    };
    let fields_type = text("fieldsType");
    if !matches!(fields_type.as_str(), "FieldsV1" | "") {
        return Err(format!("fieldsType: Invalid value: {fields_type:?}: must be `FieldsV1`"));
    }
    let fields = match value.get("fieldsV1") {
        None | Some(Value::Null) => FieldSet::default(),
        Some(fields) => FieldSet::from_fields_v1(fields)?,
    };
    let time = value.get("time").and_then(Value::as_str).map(str::to_owned);
    Ok(Entry { manager: text("manager"), operation, api_version: text("apiVersion"), subresource: text("subresource"), time, fields })
}

/// Makes whole again what the schema has come to own as a whole since the entry was written.
pub(super) fn follow_schema(schema: Option<&Schema>, set: &mut FieldSet) {
    let Some(schema) = schema else { return };
    for (element, node) in set.nodes.iter_mut() {
        if node.below.is_empty() {
            continue;
        }
        let child = match element.strip_prefix("f:") {
            Some(name) => field(Some(schema), name),
            None => items(Some(schema)),
        };
        let Some(child) = child else { continue };
        if child.atomic_map || (child.ty == Type::Array && child.list_type == ListType::Atomic) {
            *node = Node::member();
        } else {
            follow_schema(Some(child), &mut node.below);
        }
    }
}

//! `metadata.managedFields`: who owns which fields, since when.
//!
//! One entry per manager, operation and subresource; per `apiVersion` too for updates, as upstream's
//! `fieldmanager`. Entries are written sorted: applies first, then by time, manager, version, subresource.

use serde_json::{Map, Value, json};

use super::fieldset::{FieldSet, Node};
use super::shape::{field, items};
use crate::schema::{ListType, Schema, Type};

/// Update entries an object keeps apart; the oldest beyond are merged, as upstream.
pub const UPDATE_MANAGERS_MAX: usize = 10;
/// Who owns what the merged entries owned.
const OLD_UPDATES_MANAGER: &str = "ancient-changes";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
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
    /// Says whether both entries are of the same owner.
    pub fn is_same_owner(&self, other: &Entry) -> bool {
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
    pub fn join(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|known| known.is_same_owner(&entry)) {
            Some(known) => {
                known.fields = std::mem::take(&mut known.fields).union(&entry.fields);
                known.time = entry.time;
            }
            None => self.entries.push(entry),
        }
    }

    /// Writes the entries into `object`, sorted, without empty ones.
    pub fn write_to(mut self, object: &mut Value) {
        self.entries.retain(|entry| !entry.fields.is_empty());
        self.merge_oldest();
        let key = |entry: &Entry| {
            (entry.operation, entry.time.clone(), entry.manager.clone(), entry.api_version.clone(), entry.subresource.clone())
        };
        if self.entries.len() > 1 {
            self.entries.sort_by_cached_key(key);
        }
        let Some(metadata) = object.as_object_mut().map(|object| object.entry("metadata").or_insert_with(|| json!({}))) else { return };
        let Some(metadata) = metadata.as_object_mut() else { return };
        if self.entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), self.entries.into_iter().map(written).collect());
        }
    }

    /// Merges the oldest updates of a version into one until no more than [`UPDATE_MANAGERS_MAX`] are left.
    fn merge_oldest(&mut self) {
        let updates = self.entries.iter().filter(|entry| entry.operation == Operation::Update).count();
        let mut surplus = updates.saturating_sub(UPDATE_MANAGERS_MAX);
        if surplus == 0 {
            return;
        }
        let (mut updates, mut kept): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.entries).into_iter().partition(|entry| entry.operation == Operation::Update);
        updates.sort_by(|a, b| (&a.time, &a.manager).cmp(&(&b.time, &b.manager)));
        let mut oldest: Vec<Entry> = Vec::new();
        for entry in updates {
            match oldest.iter_mut().find(|first| first.api_version == entry.api_version) {
                Some(first) if surplus > 0 => {
                    first.manager = OLD_UPDATES_MANAGER.to_owned();
                    first.subresource = String::new();
                    first.fields = std::mem::take(&mut first.fields).union(&entry.fields);
                    first.time = entry.time;
                    surplus -= 1;
                }
                None if surplus > 0 => oldest.push(entry),
                Some(_) | None => kept.push(entry),
            }
        }
        kept.extend(oldest);
        self.entries = kept;
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

fn written(entry: Entry) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, text: &str| {
        if !text.is_empty() {
            object.insert(name.to_owned(), Value::String(text.to_owned()));
        }
    };
    put("apiVersion", &entry.api_version);
    put("fieldsType", "FieldsV1");
    put("manager", &entry.manager);
    put("operation", entry.operation.name());
    put("subresource", &entry.subresource);
    put("time", entry.time.as_deref().unwrap_or(""));
    object.insert("fieldsV1".to_owned(), entry.fields.into_fields_v1());
    Value::Object(object)
}

/// Makes whole again what the schema has come to own as a whole since the entry was written.
fn follow_schema(schema: Option<&Schema>, set: &mut FieldSet) {
    let Some(schema) = schema else { return };
    for (element, node) in &mut set.nodes {
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

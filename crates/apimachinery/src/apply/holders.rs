//! The entries of `managedFields` while a write works on them: read and written as text.
//!
//! An entry that a write does not concern stays the text it was. Entries are written sorted: applies first,
//! then by time, manager, version, subresource.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fieldset::FieldSet;
use super::managers::{Managers, Operation, follow_schema};
use crate::schema::Schema;

/// Update entries an object keeps apart; the oldest beyond are merged, as upstream.
pub const UPDATE_MANAGERS_MAX: usize = 10;
/// Who owns what the merged entries owned.
const OLD_UPDATES_MANAGER: &str = "ancient-changes";

/// One entry.
#[derive(Clone, Debug)]
pub struct Holder<'a> {
    pub manager: Cow<'a, str>,
    pub operation: Operation,
    pub api_version: Cow<'a, str>,
    pub subresource: Cow<'a, str>,
    /// RFC 3339, whole seconds.
    pub time: Option<Cow<'a, str>>,
    fields: Fields<'a>,
}

#[derive(Clone, Debug)]
enum Fields<'a> {
    /// As written by us before, hence canonical.
    Text(&'a str),
    Set(FieldSet),
}

/// All entries of an object.
#[derive(Clone, Debug, Default)]
pub struct Holders<'a>(pub Vec<Holder<'a>>);

impl<'a> Holder<'a> {
    pub fn new(manager: &'a str, operation: Operation, api_version: &'a str, subresource: &'a str, time: String, fields: FieldSet) -> Self {
        Self {
            manager: manager.into(),
            operation,
            api_version: api_version.into(),
            subresource: subresource.into(),
            time: Some(time.into()),
            fields: Fields::Set(fields),
        }
    }

    /// Says whether both entries are of the same owner.
    pub fn is_same_owner(&self, other: &Holder<'_>) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// Returns the fields, read if they were not yet.
    pub fn fields(&mut self, schema: &Schema) -> &mut FieldSet {
        if let Fields::Text(text) = self.fields {
            let mut set = FieldSet::from_text(text).unwrap_or_default();
            follow_schema(Some(schema), &mut set);
            self.fields = Fields::Set(set);
        }
        match &mut self.fields {
            Fields::Set(set) => set,
            Fields::Text(_) => unreachable!("was read above"),
        }
    }

    /// Says whether a member of `fields` may be one of this entry's, be it with something below it.
    fn is_touched_by(&self, fields: &FieldSet) -> bool {
        match &self.fields {
            Fields::Text(text) => fields.touches(text),
            Fields::Set(_) => !fields.is_empty(),
        }
    }

    /// Takes fields from the entry.
    pub fn lose(&mut self, schema: &Schema, fields: &FieldSet) {
        if self.is_touched_by(fields) {
            let set = self.fields(schema);
            *set = std::mem::take(set).difference(fields);
        }
    }

    /// Returns which of `fields` the entry has.
    pub fn common(&mut self, schema: &Schema, fields: &FieldSet) -> FieldSet {
        if self.is_touched_by(fields) { self.fields(schema).intersection(fields) } else { FieldSet::default() }
    }

    /// Says whether both entries hold the same fields.
    fn holds_same(&mut self, schema: &Schema, other: &mut Holder<'_>) -> bool {
        match (&self.fields, &other.fields) {
            (Fields::Text(own), Fields::Text(others)) => own == others,
            _ => self.fields(schema) == other.fields(schema),
        }
    }

    fn is_empty(&self) -> bool {
        match &self.fields {
            Fields::Text(text) => *text == "{}",
            Fields::Set(set) => set.is_empty(),
        }
    }
}

impl<'a> Holders<'a> {
    /// Reads the entries of a text this module wrote; an empty text has none.
    pub fn read(text: &'a str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        let entries: Vec<Written<'a>> = serde_json::from_str(text).unwrap_or_default();
        Self(entries.into_iter().filter_map(Written::read).collect())
    }

    /// Reads the entries that a client states.
    pub fn stated(schema: &Schema, object: &Value) -> Result<Self, String> {
        let entries = Managers::of(schema, object)?.entries.into_iter().map(|entry| Holder {
            manager: entry.manager.into(),
            operation: entry.operation,
            api_version: entry.api_version.into(),
            subresource: entry.subresource.into(),
            time: entry.time.map(Into::into),
            fields: Fields::Set(entry.fields),
        });
        Ok(Self(entries.collect()))
    }

    /// Adds an entry, to the same owner's if there is one, which takes its time.
    pub fn join(&mut self, schema: &Schema, mut holder: Holder<'a>) {
        match self.0.iter_mut().find(|known| known.is_same_owner(&holder)) {
            Some(known) => {
                let fields = known.fields(schema);
                *fields = std::mem::take(fields).union(holder.fields(schema));
                known.time = holder.time;
            }
            None => self.0.push(holder),
        }
    }

    /// Takes the times of entries that are as they were in `before`.
    pub fn keep_times(&mut self, schema: &Schema, before: &mut Holders<'a>) {
        for holder in &mut self.0 {
            let known = before.0.iter_mut().find(|known| known.is_same_owner(holder) && known.api_version == holder.api_version);
            if let Some(known) = known
                && known.holds_same(schema, holder)
            {
                holder.time.clone_from(&known.time);
            }
        }
    }

    /// Writes the entries, sorted, without empty ones; an empty text if there are none.
    pub fn write(mut self, schema: &Schema) -> String {
        self.0.retain(|holder| !holder.is_empty());
        self.merge_oldest(schema);
        self.0.sort_by(|a, b| a.order().cmp(&b.order()));
        if self.0.is_empty() {
            return String::new();
        }
        let known: usize = self.0.iter().map(|holder| if let Fields::Text(text) = holder.fields { text.len() } else { 256 }).sum();
        let mut out = Vec::with_capacity(known + 192 * self.0.len());
        for (index, holder) in self.0.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            holder.write(&mut out);
        }
        out.push(b']');
        String::from_utf8(out).expect("JSON is text")
    }

    /// Merges the oldest updates of a version into one until no more than [`UPDATE_MANAGERS_MAX`] are left.
    fn merge_oldest(&mut self, schema: &Schema) {
        let updates = self.0.iter().filter(|holder| holder.operation == Operation::Update).count();
        let mut surplus = updates.saturating_sub(UPDATE_MANAGERS_MAX);
        if surplus == 0 {
            return;
        }
        let (mut updates, mut kept): (Vec<Holder>, Vec<Holder>) =
            std::mem::take(&mut self.0).into_iter().partition(|holder| holder.operation == Operation::Update);
        updates.sort_by(|a, b| (&a.time, &a.manager).cmp(&(&b.time, &b.manager)));
        let mut oldest: Vec<Holder> = Vec::new();
        for mut holder in updates {
            match oldest.iter_mut().find(|first| first.api_version == holder.api_version) {
                Some(first) if surplus > 0 => {
                    first.manager = OLD_UPDATES_MANAGER.into();
                    first.subresource = "".into();
                    let fields = first.fields(schema);
                    *fields = std::mem::take(fields).union(holder.fields(schema));
                    first.time = holder.time;
                    surplus -= 1;
                }
                None if surplus > 0 => oldest.push(holder),
                Some(_) | None => kept.push(holder),
            }
        }
        kept.extend(oldest);
        self.0 = kept;
    }
}

impl Holder<'_> {
    fn order(&self) -> (Operation, Option<&str>, &str, &str, &str) {
        (self.operation, self.time.as_deref(), &self.manager, &self.api_version, &self.subresource)
    }

    /// Writes the entry with its names sorted.
    fn write(&self, out: &mut Vec<u8>) {
        if !self.api_version.is_empty() {
            out.extend_from_slice(b"{\"apiVersion\":");
            write_text(&self.api_version, out);
            out.push(b',');
        } else {
            out.push(b'{');
        }
        out.extend_from_slice(b"\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
        match &self.fields {
            Fields::Text(text) => out.extend_from_slice(text.as_bytes()),
            Fields::Set(set) => set.write(out),
        }
        for (name, text) in [
            ("manager", &*self.manager),
            ("operation", self.operation.name()),
            ("subresource", &*self.subresource),
            ("time", self.time.as_deref().unwrap_or("")),
        ] {
            if !text.is_empty() {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                write_text(text, out);
            }
        }
        out.push(b'}');
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing text to memory cannot fail");
}

/// An entry as [`Holders::write`] writes it.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default, rename = "apiVersion")]
    api_version: Cow<'a, str>,
    #[serde(borrow, rename = "fieldsV1")]
    fields: &'a RawValue,
    #[serde(borrow, default)]
    manager: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow, default)]
    subresource: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
}

impl<'a> Written<'a> {
    fn read(self) -> Option<Holder<'a>> {
        let operation = [Operation::Apply, Operation::Update].into_iter().find(|known| known.name() == self.operation)?;
        Some(Holder {
            manager: self.manager,
            operation,
            api_version: self.api_version,
            subresource: self.subresource,
            time: self.time,
            fields: Fields::Text(self.fields.get()),
        })
    }
}

/// Says whether two texts differ in times at most.
pub fn is_same_but_times(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (a, b) = (Holders::read(a).0, Holders::read(b).0);
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| {
            (&a.manager, a.operation, &a.api_version, &a.subresource) == (&b.manager, b.operation, &b.api_version, &b.subresource)
                && matches!((&a.fields, &b.fields), (Fields::Text(a), Fields::Text(b)) if a == b)
        })
}

//! JSON values to protobuf.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::special::Unknown;
use super::table::{Entries, Entry, Kind, Message, Table, table};
use super::wire::{self, FIXED64};
use super::{DEPTH_MAX, Error, MAGIC};

/// Returns the body of an object. A field without a number is refused, never dropped: answer such an
/// object as JSON.
pub fn encode(object: &Value) -> Result<Vec<u8>, Error> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut unknown = Unknown { api_version: text("apiVersion"), kind: text("kind"), ..Unknown::default() };
    let (group, version) = unknown.group_version();
    let message = table()
        .message_of(group, version, unknown.kind)
        .ok_or_else(|| Error::UnknownKind { api_version: unknown.api_version.to_owned(), kind: unknown.kind.to_owned() })?;
    let encoder = Encoder { table: table() };
    let mut raw = Vec::new();
    encoder.object(message, object, &mut raw, 0)?;
    unknown.raw = &raw;
    let mut body = MAGIC.to_vec();
    unknown.write(&mut body);
    Ok(body)
}

struct Encoder {
    table: &'static Table,
}

/// The field being written.
#[derive(Clone, Copy)]
struct At<'a> {
    message: &'a str,
    field: &'a str,
    number: u32,
    depth: usize,
}

impl At<'_> {
    fn wants(&self, what: &str, value: &Value) -> Error {
        Error::field(self.message, self.field, format!("{value} is not {what}"))
    }
}

impl Encoder {
    fn object(&self, message: &Message, value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let Value::Object(object) = value else {
            return Err(Error::field(&message.name, "?", format!("{value} is not an object")));
        };
        let mut written = Vec::with_capacity(object.len());
        self.entries(message, &message.entries, object, out, depth, &mut written)?;
        let is_known = |name: &str| written.contains(&name) || ["apiVersion", "kind"].contains(&name);
        match object.iter().find(|(name, value)| !value.is_null() && !is_known(name)) {
            Some((name, _)) => Err(Error::field(&message.name, name, "the field has no protobuf number")),
            None => Ok(()),
        }
    }

    fn entries<'a>(
        &self,
        message: &Message,
        entries: &'a Entries,
        object: &Map<String, Value>,
        out: &mut Vec<u8>,
        depth: usize,
        written: &mut Vec<&'a str>,
    ) -> Result<(), Error> {
        for (number, entry) in entries {
            match entry {
                Entry::Inline(inner) => {
                    let mut bytes = Vec::new();
                    self.entries(message, inner, object, &mut bytes, depth, written)?;
                    if !bytes.is_empty() {
                        wire::put_bytes(out, *number, &bytes);
                    }
                }
                Entry::Field(field) => match object.get(&*field.name) {
                    None | Some(Value::Null) => {}
                    Some(value) => {
                        written.push(&field.name);
                        let at = At { message: &message.name, field: &field.name, number: *number, depth: depth + 1 };
                        self.value(&field.kind, value, out, at)?;
                    }
                },
            }
        }
        Ok(())
    }

    fn value(&self, kind: &Kind, value: &Value, out: &mut Vec<u8>, at: At<'_>) -> Result<(), Error> {
        match kind {
            Kind::Boolean => wire::put_number(out, at.number, i64::from(value.as_bool().ok_or_else(|| at.wants("a boolean", value))?)),
            Kind::Int32 | Kind::Int64 => wire::put_number(out, at.number, value.as_i64().ok_or_else(|| at.wants("a whole number", value))?),
            Kind::Double => {
                wire::put_key(out, at.number, FIXED64);
                out.extend_from_slice(&value.as_f64().ok_or_else(|| at.wants("a number", value))?.to_le_bytes());
            }
            Kind::List(items) => {
                for item in value.as_array().ok_or_else(|| at.wants("a list", value))? {
                    self.value(items, item, out, at)?;
                }
            }
            Kind::Map(values) => {
                for (key, value) in value.as_object().ok_or_else(|| at.wants("an object", value))? {
                    let mut entry = Vec::new();
                    wire::put_bytes(&mut entry, 1, key.as_bytes());
                    if !value.is_null() {
                        self.value(values, value, &mut entry, At { number: 2, ..at })?;
                    }
                    wire::put_bytes(out, at.number, &entry);
                }
            }
            _ => {
                let mut bytes = Vec::new();
                self.delimited(kind, value, &mut bytes, at)?;
                wire::put_bytes(out, at.number, &bytes);
            }
        }
        Ok(())
    }

    /// Writes what stands after key and length.
    fn delimited(&self, kind: &Kind, value: &Value, out: &mut Vec<u8>, at: At<'_>) -> Result<(), Error> {
        let text = || value.as_str().ok_or_else(|| at.wants("a string", value));
        match kind {
            Kind::Text => out.extend_from_slice(text()?.as_bytes()),
            Kind::Bytes => out.extend(STANDARD.decode(text()?).map_err(|_| at.wants("base64", value))?),
            Kind::Message(index) => self.object(self.table.message(*index), value, out, at.depth)?,
            Kind::Time | Kind::MicroTime => {
                if !value.is_null() {
                    let time: Timestamp = text()?.parse().map_err(|_| at.wants("an RFC 3339 time", value))?;
                    let nanos = if matches!(kind, Kind::Time) { 0 } else { time.subsec_nanosecond() / 1000 * 1000 };
                    wire::put_number(out, 1, time.as_second() - i64::from(time.subsec_nanosecond() < 0));
                    wire::put_number(out, 2, i64::from(if nanos < 0 { nanos + 1_000_000_000 } else { nanos }));
                }
            }
            Kind::Quantity => match value {
                Value::Number(number) => wire::put_bytes(out, 1, number.to_string().as_bytes()),
                _ => wire::put_bytes(out, 1, text()?.as_bytes()),
            },
            Kind::IntOrString => {
                let int = value.as_i64();
                let string = if int.is_some() { "" } else { text()? };
                wire::put_number(out, 1, i64::from(int.is_none()));
                wire::put_number(out, 2, int.unwrap_or_default());
                wire::put_bytes(out, 3, string.as_bytes());
            }
            Kind::Raw => wire::put_bytes(out, 1, value.to_string().as_bytes()),
            Kind::TextList => self.value(&Kind::List(Box::new(Kind::Text)), value, out, At { number: 1, ..at })?,
            Kind::SchemaOrArray => match value {
                Value::Array(_) => {
                    self.value(&Kind::List(Box::new(Kind::Message(self.table.schema))), value, out, At { number: 2, ..at })?
                }
                _ => self.value(&Kind::Message(self.table.schema), value, out, At { number: 1, ..at })?,
            },
            Kind::SchemaOrBool => match value {
                Value::Bool(allows) => wire::put_number(out, 1, i64::from(*allows)),
                _ => {
                    // Whoever gives a schema allows what it describes.
                    wire::put_number(out, 1, 1);
                    self.value(&Kind::Message(self.table.schema), value, out, At { number: 2, ..at })?;
                }
            },
            Kind::SchemaOrTextList => match value {
                Value::Array(_) => self.value(&Kind::List(Box::new(Kind::Text)), value, out, At { number: 2, ..at })?,
                _ => self.value(&Kind::Message(self.table.schema), value, out, At { number: 1, ..at })?,
            },
            Kind::List(_) | Kind::Map(_) | Kind::Boolean | Kind::Int32 | Kind::Int64 | Kind::Double => {
                return Err(at.wants("something protobuf can nest here", value));
            }
        }
        Ok(())
    }
}

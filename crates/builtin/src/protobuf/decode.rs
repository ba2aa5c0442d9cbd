//! Protobuf to JSON values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};

use super::special::{self, IntOrText, Unknown};
use super::table::{Entries, Entry, Field, Kind, Table, table};
use super::wire::{BYTES, FIXED64, Flaw, Reader, VARINT};
use super::{DEPTH_MAX, Error, MAGIC, VALUES_MAX};

/// Returns the object of a body, with its apiVersion and kind.
pub fn decode(body: &[u8]) -> Result<Value, Error> {
    let bytes = body.strip_prefix(MAGIC).ok_or(Error::NotProtobuf)?;
    let unknown = Unknown::read(bytes).map_err(|flaw| Error::field("runtime", "Unknown", flaw))?;
    if unknown.content_type == "application/json" {
        return serde_json::from_slice(unknown.raw).map_err(|e| Error::field("Unknown", "raw", e.to_string()));
    }
    let (group, version) = unknown.group_version();
    let message = table()
        .message_of(group, version, unknown.kind)
        .ok_or_else(|| Error::UnknownKind { api_version: unknown.api_version.to_owned(), kind: unknown.kind.to_owned() })?;
    let mut object = Map::new();
    let mut decoder = Decoder { table: table(), values_left: VALUES_MAX };
    decoder.entries(&message.entries, unknown.raw, &mut object, At { message: &message.name, depth: 0 })?;
    object.insert("apiVersion".into(), unknown.api_version.into());
    object.insert("kind".into(), unknown.kind.into());
    Ok(Value::Object(object))
}

struct Decoder {
    table: &'static Table,
    values_left: usize,
}

#[derive(Clone, Copy)]
struct At<'a> {
    message: &'a str,
    depth: usize,
}

impl Decoder {
    fn entries(&mut self, entries: &Entries, bytes: &[u8], into: &mut Map<String, Value>, at: At<'_>) -> Result<(), Error> {
        if at.depth > DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let deeper = At { depth: at.depth + 1, ..at };
        let mut reader = Reader::new(bytes);
        let flaw = |flaw: Flaw| Error::field(at.message, "?", flaw);
        while let Some((number, wire)) = reader.key().map_err(flaw)? {
            match entries.binary_search_by_key(&number, |(n, _)| *n).map(|index| &entries[index].1) {
                Ok(Entry::Field(field)) => self.field(field, wire, &mut reader, into, deeper)?,
                Ok(Entry::Inline(inner)) if wire == BYTES => self.entries(inner, reader.bytes().map_err(flaw)?, into, deeper)?,
                // A later version's field, or one that is not known here.
                Ok(Entry::Inline(_)) | Err(_) => reader.skip(wire).map_err(flaw)?,
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, wire: u8, reader: &mut Reader<'_>, into: &mut Map<String, Value>, at: At<'_>) -> Result<(), Error> {
        let at_field = |flaw: Flaw| Error::field(at.message, &field.name, flaw);
        match &field.kind {
            Kind::List(items) => {
                let Value::Array(list) = into.entry(&*field.name).or_insert_with(|| json!([])) else { return Ok(()) };
                if wire == BYTES && matches!(**items, Kind::Boolean | Kind::Int32 | Kind::Int64 | Kind::Double) {
                    let mut packed = Reader::new(reader.bytes().map_err(at_field)?);
                    let wire = if matches!(**items, Kind::Double) { FIXED64 } else { VARINT };
                    while !packed.is_empty() {
                        list.push(self.value(field, items, wire, &mut packed, at)?.unwrap_or_default());
                    }
                } else {
                    list.push(self.value(field, items, wire, reader, at)?.unwrap_or_default());
                }
            }
            Kind::Map(values) => {
                let entry = reader.bytes().map_err(at_field)?;
                let (key, value) = self.map_entry(field, values, entry, at)?;
                if let Value::Object(map) = into.entry(&*field.name).or_insert_with(|| json!({})) {
                    map.insert(key, value);
                }
            }
            Kind::Message(index) => {
                self.count()?;
                let message = self.table.message(*index);
                let bytes = expect(wire, BYTES).and_then(|()| reader.bytes()).map_err(at_field)?;
                // Said twice, a message is merged.
                let mut object = match into.remove(&*field.name) {
                    Some(Value::Object(before)) => before,
                    _ => Map::new(),
                };
                self.entries(&message.entries, bytes, &mut object, At { message: &message.name, ..at })?;
                if !(object.is_empty() && field.by_value) {
                    into.insert(field.name.to_string(), Value::Object(object));
                }
            }
            scalar => match self.value(field, scalar, wire, reader, at)? {
                Some(value) if field.keeps_zero || !is_zero(scalar, &value) => drop(into.insert(field.name.to_string(), value)),
                _ => drop(into.remove(&*field.name)),
            },
        }
        Ok(())
    }

    fn map_entry(&mut self, field: &Field, values: &Kind, bytes: &[u8], at: At<'_>) -> Result<(String, Value), Error> {
        let at_field = |flaw: Flaw| Error::field(at.message, &field.name, flaw);
        let (mut key, mut value) = (String::new(), None);
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.key().map_err(at_field)? {
            match (number, wire) {
                (1, BYTES) => key = reader.bytes().and_then(special::text).map_err(at_field)?.to_owned(),
                (2, _) => value = self.value(field, values, wire, &mut reader, at)?,
                _ => reader.skip(wire).map_err(at_field)?,
            }
        }
        let value = match value {
            Some(value) => value,
            // Protobuf leaves out a value that is zero.
            None => match values {
                Kind::Text | Kind::Bytes => json!(""),
                Kind::Message(_) => json!({}),
                Kind::TextList => json!([]),
                Kind::Quantity => json!("0"),
                Kind::Boolean => json!(false),
                Kind::Int32 | Kind::Int64 | Kind::Double => json!(0),
                _ => Value::Null,
            },
        };
        Ok((key, value))
    }

    /// Returns one value, or nothing for a time or a JSON text that is absent.
    fn value(&mut self, field: &Field, kind: &Kind, wire: u8, reader: &mut Reader<'_>, at: At<'_>) -> Result<Option<Value>, Error> {
        self.count()?;
        let at_field = |flaw: Flaw| Error::field(at.message, &field.name, flaw);
        match kind {
            Kind::Boolean => number(wire, reader).map(|n| Some(json!(n != 0))).map_err(at_field),
            Kind::Int32 => number(wire, reader).map(|n| Some(json!(n as i32))).map_err(at_field),
            Kind::Int64 => number(wire, reader).map(|n| Some(json!(n))).map_err(at_field),
            Kind::Double => {
                let bits = expect(wire, FIXED64).and_then(|()| reader.fixed64()).map_err(at_field)?;
                let number = Number::from_f64(f64::from_le_bytes(bits)).ok_or_else(|| at_field("the number is not finite"))?;
                Ok(Some(Value::Number(number)))
            }
            _ => {
                let bytes = expect(wire, BYTES).and_then(|()| reader.bytes()).map_err(at_field)?;
                self.delimited(field, kind, bytes, at)
            }
        }
    }

    fn delimited(&mut self, field: &Field, kind: &Kind, bytes: &[u8], at: At<'_>) -> Result<Option<Value>, Error> {
        let at_field = |flaw: Flaw| Error::field(at.message, &field.name, flaw);
        Ok(Some(match kind {
            Kind::Text => json!(special::text(bytes).map_err(at_field)?),
            Kind::Bytes => json!(STANDARD.encode(bytes)),
            Kind::Message(index) => {
                let message = self.table.message(*index);
                let mut object = Map::new();
                self.entries(&message.entries, bytes, &mut object, At { message: &message.name, ..at })?;
                Value::Object(object)
            }
            Kind::Time => match special::timestamp(bytes).map_err(at_field)? {
                Some(time) => json!(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
                None => return Ok(None),
            },
            Kind::MicroTime => match special::timestamp(bytes).map_err(at_field)? {
                Some(time) => json!(time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()),
                None => return Ok(None),
            },
            Kind::Quantity => match special::only_bytes(bytes).and_then(special::text).map_err(at_field)? {
                "" => json!("0"),
                text => json!(text),
            },
            Kind::IntOrString => match special::int_or_text(bytes).map_err(at_field)? {
                IntOrText::Int(int) => json!(int),
                IntOrText::Text(text) => json!(text),
            },
            Kind::Raw => match special::only_bytes(bytes).map_err(at_field)? {
                [] => return Ok(None),
                raw => serde_json::from_slice(raw).map_err(|e| Error::field(at.message, &field.name, format!("not JSON: {e}")))?,
            },
            Kind::TextList => Value::Array(self.texts(field, 1, bytes, at)?),
            Kind::SchemaOrArray | Kind::SchemaOrBool | Kind::SchemaOrTextList => return self.schema_or(field, kind, bytes, at),
            Kind::List(_) | Kind::Map(_) | Kind::Boolean | Kind::Int32 | Kind::Int64 | Kind::Double => {
                return Err(at_field("a list inside a list has no protobuf form"));
            }
        }))
    }

    fn schema_or(&mut self, field: &Field, kind: &Kind, bytes: &[u8], at: At<'_>) -> Result<Option<Value>, Error> {
        let at_field = |flaw: Flaw| Error::field(at.message, &field.name, flaw);
        let schema_kind = Kind::Message(self.table.schema);
        let schema_number = if matches!(kind, Kind::SchemaOrBool) { 2 } else { 1 };
        let (mut schema, mut schemas, mut allows) = (None, Vec::new(), false);
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.key().map_err(at_field)? {
            match (number, kind) {
                (n, _) if n == schema_number => schema = self.value(field, &schema_kind, wire, &mut reader, at)?,
                (1, Kind::SchemaOrBool) => allows = self::number(wire, &mut reader).map_err(at_field)? != 0,
                (2, Kind::SchemaOrArray) => schemas.extend(self.value(field, &schema_kind, wire, &mut reader, at)?),
                _ => reader.skip(wire).map_err(at_field)?,
            }
        }
        Ok(match kind {
            Kind::SchemaOrBool => Some(schema.unwrap_or(Value::Bool(allows))),
            Kind::SchemaOrTextList => match self.texts(field, 2, bytes, at)? {
                texts if texts.is_empty() => schema,
                texts => Some(Value::Array(texts)),
            },
            _ if schemas.is_empty() => schema,
            _ => Some(Value::Array(schemas)),
        })
    }

    /// Returns the strings of one repeated field.
    fn texts(&mut self, field: &Field, wanted: u32, bytes: &[u8], at: At<'_>) -> Result<Vec<Value>, Error> {
        let mut texts = Vec::new();
        special::for_each(bytes, |number, wire, reader| {
            match (number, wire) {
                (n, BYTES) if n == wanted => texts.push(json!(special::text(reader.bytes()?)?)),
                _ => reader.skip(wire)?,
            }
            Ok(())
        })
        .map_err(|flaw| Error::field(at.message, &field.name, flaw))?;
        for _ in &texts {
            self.count()?;
        }
        Ok(texts)
    }

    fn count(&mut self) -> Result<(), Error> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Error::TooMany)?;
        Ok(())
    }
}

fn expect(wire: u8, expected: u8) -> Result<(), Flaw> {
    if wire == expected { Ok(()) } else { Err("the wire type is not that of the field") }
}

fn number(wire: u8, reader: &mut Reader<'_>) -> Result<i64, Flaw> {
    expect(wire, VARINT)?;
    reader.varint().map(u64::cast_signed)
}

/// Whether a value is the zero of a plain field. Other kinds have no zero: what is there was meant.
fn is_zero(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Boolean => *value == json!(false),
        Kind::Text | Kind::Bytes => *value == json!(""),
        Kind::Int32 | Kind::Int64 => *value == json!(0),
        Kind::Double => value.as_f64() == Some(0.0),
        _ => false,
    }
}

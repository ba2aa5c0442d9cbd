//! A stored object and its `managedFields`, taken apart.
//!
//! Half of an object's bytes say who owns its fields. A write reads little of that and changes less, so it stays the
//! text it is stored as; where that is not wanted, [`together`] makes an object whole.

use std::borrow::Cow;
use std::fmt;

use apimachinery::status::Status;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::{codec, meta};

const MANAGERS: &str = "managedFields";

/// Reads a stored object without its `managedFields`, and their text: empty if there are none.
pub fn decode(bytes: &Bytes) -> Result<(Value, Bytes), Status> {
    let mut managers = None;
    // A text is read faster than bytes of which each string must be proved to be one.
    let read = std::str::from_utf8(bytes).ok().and_then(|text| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = Object { part: Part::Whole, managers: &mut managers }.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok().map(|()| object)
    });
    match (read, managers) {
        (Some(object), Some(managers)) => Ok((Value::Object(object), bytes.slice_ref(managers.get().as_bytes()))),
        (Some(object), None) => Ok((Value::Object(object), Bytes::new())),
        // Whatever it is, it is no object with metadata.
        (None, _) => codec::decode(bytes).map(|value| (value, Bytes::new())),
    }
}

/// Returns the text of a stored object's metadata; what follows it is not looked at.
pub fn metadata(bytes: &[u8]) -> Option<&str> {
    let mut found = None;
    // Ends with an error where the metadata ends.
    let _ = Head { found: &mut found }.deserialize(&mut serde_json::Deserializer::from_slice(bytes));
    found.map(RawValue::get)
}

/// Returns an object's metadata alone: the bytes of a `PartialObjectMetadata`.
pub fn partial(bytes: &[u8]) -> Bytes {
    let metadata = metadata(bytes).unwrap_or("null");
    let mut out = Vec::with_capacity(metadata.len() + 80);
    out.extend_from_slice(b"{\"apiVersion\":\"meta.k8s.io/v1\",\"kind\":\"PartialObjectMetadata\",\"metadata\":");
    out.extend_from_slice(metadata.as_bytes());
    out.push(b'}');
    out.into()
}

/// Returns the object with its `managedFields`.
pub fn together(mut object: Value, managers: &str) -> Value {
    if let Ok(managers) = serde_json::from_str(managers) {
        meta::of(&mut object).insert(MANAGERS.to_owned(), managers);
    }
    object
}

/// Takes `managedFields` out of an object that states what is known anyway.
pub fn drop_known(object: &mut Value, known: &str) {
    let stated = object["metadata"].get(MANAGERS).map(Value::to_string);
    if stated.as_deref() == Some(known) {
        meta::of(object).remove(MANAGERS);
    }
}

/// Returns how many arrays and objects are around the innermost value of a JSON text.
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = after_string(rest),
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Returns what follows the string that has begun.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        if rest[at] == b'"' {
            return &rest[at + 1..];
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Metadata,
}

/// Reads an object, or its metadata.
struct Object<'s, 'de> {
    part: Part,
    managers: &'s mut Option<&'de RawValue>,
}

impl<'de> DeserializeSeed<'de> for Object<'_, 'de> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = match (self.part, name.as_str()) {
                (Part::Whole, "metadata") => {
                    Value::Object(map.next_value_seed(Object { part: Part::Metadata, managers: &mut *self.managers })?)
                }
                (Part::Metadata, MANAGERS) => {
                    *self.managers = Some(map.next_value()?);
                    continue;
                }
                _ => map.next_value()?,
            };
            object.insert(name, value);
        }
        Ok(object)
    }
}

/// Reads an object up to its metadata.
struct Head<'s, 'de> {
    found: &'s mut Option<&'de RawValue>,
}

impl<'de> DeserializeSeed<'de> for Head<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Head<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == "metadata" {
                *self.found = Some(map.next_value()?);
                return Err(A::Error::custom("the rest is not read"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_taken_apart_comes_together() {
        for object in [
            json!({"kind": "X", "metadata": {"managedFields": [{"fieldsV1": {"f:a": {"k:{\"a\":\"b\"}": {}}}}], "name": "a"}, "spec": {"a": [1, "\u{e9}"]}}),
            json!({"metadata": {"name": "a"}, "spec": {"metadata": {"managedFields": 1}}}),
            json!({"metadata": null}),
            json!({}),
        ] {
            let bytes = Bytes::from(object.to_string());
            let (bare, managers) = decode(&bytes).expect("JSON");
            let text = std::str::from_utf8(&managers).expect("text");
            assert_eq!(bare["metadata"].get(MANAGERS), None);
            assert_eq!(object["metadata"].get(MANAGERS).map(ToString::to_string).unwrap_or_default(), text);
            assert_eq!(together(bare.clone(), text), object);
            assert_eq!(codec::encode(&bare, text).bytes, codec::encode(&object, "").bytes);
        }
    }

    #[test]
    fn metadata_is_found_wherever_it_stands() {
        let check = |object: &str, expected: Option<&str>| assert_eq!(metadata(object.as_bytes()), expected, "{object}");
        check(r#"{"data":{"metadata":1},"metadata":{"name":"a"},"spec":"#, Some(r#"{"name":"a"}"#));
        check(r#"{"spec":{}}"#, None);
        let object = json!({"apiVersion": "v1", "kind": "X", "metadata": {"labels": {"a": "b"}, "name": "a"}, "spec": 1});
        assert_eq!(partial(object.to_string().as_bytes()), crate::handlers::partial_metadata(&object).to_string());
    }

    #[test]
    fn depth_is_that_of_the_value() {
        for text in ["1", "[]", "{\"a\":[{\"]\":{}}]}", "[\"[[\\\"[[\",{}]"] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(depth(text), codec::depth(&value), "{text}");
        }
    }
}

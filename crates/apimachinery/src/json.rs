//! JSON request bodies: read once, noticing keys that stand twice.
//!
//! `serde_json` keeps the last of equal keys and says nothing; strict field validation must name them
//! (`duplicate field "spec.replicas"`).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::schema::Path;

/// Duplicate fields named at most.
const DUPLICATES_MAX: usize = 100;

/// A body, and the paths of fields that stood in it more than once (the last counts).
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    pub value: Value,
    pub duplicates: Vec<String>,
}

/// Reads one JSON value; nesting is limited to `serde_json`'s 128 levels.
pub fn read(bytes: &[u8]) -> Result<Body, serde_json::Error> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Node { path: &Path::root(""), duplicates: &mut duplicates }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Body { value, duplicates })
}

struct Node<'a> {
    path: &'a Path<'a>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom(format!("unsupported number {value}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(Node { path: &self.path.index(list.len()), duplicates: self.duplicates })? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Node { path: &self.path.field(&key), duplicates: self.duplicates })?;
            match object.entry(key) {
                serde_json::map::Entry::Vacant(vacant) => {
                    vacant.insert(value);
                }
                serde_json::map::Entry::Occupied(mut known) => {
                    if self.duplicates.len() >= DUPLICATES_MAX {
                        return Err(A::Error::custom(format!("more than {DUPLICATES_MAX} duplicate fields")));
                    }
                    self.duplicates.push(self.path.field(known.key()).to_string());
                    known.insert(value);
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::read;

    #[test]
    fn fields_that_stand_twice_are_named_and_the_last_counts() {
        let body = read(br#"{"a": 1, "s": {"l": [{"x": 1, "x": 2}], "y": null}, "a": [true, 1.5, "t"]}"#).unwrap();
        assert_eq!(body.value, json!({"a": [true, 1.5, "t"], "s": {"l": [{"x": 2}], "y": null}}));
        assert_eq!(body.duplicates, ["s.l[0].x", "a"]);
    }

    #[test]
    fn all_else_is_read_as_serde_json_does() {
        for text in ["null", "18446744073709551615", "-1", "1e3", "\"\\u00e9\"", "[]", "{}", "{\"a\": {\"b\": [1, 2.25]}}"] {
            assert_eq!(read(text.as_bytes()).unwrap().value, serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in ["", "{", "{} x", "{'a': 1}", deep.as_str()] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}

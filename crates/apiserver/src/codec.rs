//! Bytes to values and back.
//!
//! Stored objects are canonical JSON (sorted keys) with a gap where the store writes the revision.

use apimachinery::gvk::GroupVersionKind;
use apimachinery::status::Status;
use apimachinery::yaml::{self, DuplicateKeys};
use http::HeaderMap;
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use store::Template;

/// Writes an object as it is stored: `metadata.resourceVersion` is left for the store to fill in.
pub fn encode(object: &Value) -> Template {
    let mut out = Vec::with_capacity(2048);
    let mut revision_at = None;
    let Some(fields) = object.as_object() else {
        return Template { bytes: object.to_string().into_bytes(), revision_at };
    };
    out.push(b'{');
    for (i, (name, value)) in fields.iter().enumerate() {
        comma(&mut out, i);
        write_json(&mut out, name);
        out.push(b':');
        match value {
            Value::Object(metadata) if name == "metadata" => revision_at = Some(encode_metadata(&mut out, metadata)),
            other => write_json(&mut out, other),
        }
    }
    out.push(b'}');
    Template { bytes: out, revision_at }
}

/// Writes metadata in key order; returns where the revision goes.
fn encode_metadata(out: &mut Vec<u8>, metadata: &Map<String, Value>) -> usize {
    const FIELD: &str = "resourceVersion";
    let mut at = None;
    let mut written = 0;
    out.push(b'{');
    let mut gap = |out: &mut Vec<u8>, written: &mut usize| {
        comma(out, *written);
        *written += 1;
        out.extend_from_slice(b"\"resourceVersion\":\"");
        at = Some(out.len());
        out.push(b'"');
    };
    let mut is_written = false;
    for (name, value) in metadata.iter().filter(|(name, _)| *name != FIELD) {
        if !is_written && name.as_str() > FIELD {
            gap(out, &mut written);
            is_written = true;
        }
        comma(out, written);
        written += 1;
        write_json(out, name);
        out.push(b':');
        write_json(out, value);
    }
    if !is_written {
        gap(out, &mut written);
    }
    out.push(b'}');
    at.unwrap_or_default()
}

fn comma(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("writing a JSON value to memory cannot fail");
}

/// Reads stored bytes.
pub fn decode(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes).map_err(|e| Status::internal(format!("a stored object is not JSON: {e}")))
}

/// Parses a request body by its media type; `expected` names the kind that protobuf carries without saying.
pub fn parse_body(headers: &HeaderMap, body: &[u8], expected: Option<&GroupVersionKind>) -> Result<Parsed, Status> {
    let header = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let media = header.split(';').next().unwrap_or_default().trim();
    match media {
        "" | "application/json" | "application/merge-patch+json" | "application/json-patch+json" | "application/strategic-merge-patch+json" => {
            parse_json(body).map_err(|e| Status::bad_request(format!("the body is not valid JSON: {e}; remedy: send one JSON object")))
        }
        "application/yaml" | "application/apply-patch+yaml" => {
            let text = std::str::from_utf8(body).map_err(|_| Status::bad_request("the body is not UTF-8"))?;
            let value = yaml::from_str(text, DuplicateKeys::LastWins).map_err(|e| Status::bad_request(format!("the body is not valid YAML: {e}")))?;
            Ok(Parsed { value, duplicates: Vec::new() })
        }
        "application/vnd.kubernetes.protobuf" => {
            let value = builtin::protobuf::decode(body).map_err(|e| match expected {
                Some(gvk) => Status::bad_request(format!("the body is not a valid protobuf {}: {e}", gvk.kind)),
                None => Status::bad_request(format!("the body is not valid protobuf: {e}")),
            })?;
            Ok(Parsed { value, duplicates: Vec::new() })
        }
        other => Err(Status::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format ({other}) - accepted media types include: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf"
            ),
        )),
    }
}

/// A parsed request body and the fields it names twice.
pub struct Parsed {
    pub value: Value,
    pub duplicates: Vec<String>,
}

/// Parses JSON, noting fields named twice (the last wins).
pub fn parse_json(bytes: &[u8]) -> Result<Parsed, serde_json::Error> {
    let mut duplicates = Vec::new();
    let mut path = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { path: &mut path, duplicates: &mut duplicates }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Parsed { value, duplicates })
}

enum Step {
    Field(String),
    Index(usize),
}

struct Seed<'a> {
    path: &'a mut Vec<Step>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            self.path.push(Step::Index(items.len()));
            let item = access.next_element_seed(Seed { path: self.path, duplicates: self.duplicates })?;
            self.path.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            self.path.push(Step::Field(name));
            let value = access.next_value_seed(Seed { path: self.path, duplicates: self.duplicates })?;
            if let Some(Step::Field(name)) = self.path.last()
                && fields.contains_key(name)
            {
                self.duplicates.push(dotted(self.path));
            }
            if let Some(Step::Field(name)) = self.path.pop() {
                fields.insert(name, value);
            }
        }
        Ok(Value::Object(fields))
    }
}

fn dotted(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Field(name) if out.is_empty() => out.push_str(name),
            Step::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Step::Index(i) => out.push_str(&format!("[{i}]")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_revision_goes_where_sorted_keys_put_it() {
        for object in [
            json!({"kind": "X", "metadata": {"name": "a", "uid": "u", "resourceVersion": "7"}, "spec": {}}),
            json!({"metadata": {"name": "a"}}),
            json!({"metadata": {}}),
            json!({"metadata": {"uid": "u"}}),
        ] {
            let template = encode(&object);
            let at = template.revision_at.expect("a gap");
            let mut bytes = template.bytes.clone();
            bytes.splice(at..at, b"42".iter().copied());
            let mut want = object.clone();
            want["metadata"]["resourceVersion"] = json!("42");
            assert_eq!(String::from_utf8(bytes).expect("text"), want.to_string());
        }
    }

    #[test]
    fn a_field_named_twice_is_noted_with_its_path() {
        let parsed = parse_json(br#"{"a":1,"b":{"c":[{"d":1,"d":2}]},"a":3}"#).expect("JSON");
        assert_eq!(parsed.duplicates, ["b.c[0].d", "a"]);
        assert_eq!(parsed.value, json!({"a": 3, "b": {"c": [{"d": 2}]}}));
    }
}

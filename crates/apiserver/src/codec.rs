//! Bytes to values and back.
//!
//! Stored objects are canonical JSON (sorted keys) with a gap where the store writes the revision.

use apimachinery::gvk::GroupVersionKind;
use apimachinery::json;
use apimachinery::status::Status;
use apimachinery::yaml::{self, DuplicateKeys};
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};
use store::Template;

/// Nesting at which `serde_json` gives up.
const JSON_DEPTH_MAX: usize = 128;

/// Writes an object as it is stored: `metadata.resourceVersion` is left for the store to fill in. `managers` is the
/// text of its `managedFields`; empty if it has none, or has them in it.
pub fn encode(object: &Value, managers: &str) -> Template {
    let mut out = Vec::with_capacity(2048 + managers.len());
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
            Value::Object(metadata) if name == "metadata" => revision_at = Some(encode_metadata(&mut out, metadata, managers)),
            other => write_json(&mut out, other),
        }
    }
    out.push(b'}');
    Template { bytes: out, revision_at }
}

/// Writes metadata in key order; returns where the revision goes.
fn encode_metadata(out: &mut Vec<u8>, metadata: &Map<String, Value>, managers: &str) -> usize {
    const REVISION: &str = "resourceVersion";
    const EMPTY: &str = "\"\"";
    let mut inserted = [("managedFields", managers), (REVISION, EMPTY)].into_iter().filter(|(_, text)| !text.is_empty()).peekable();
    let mut fields = metadata.iter().filter(|(name, _)| *name != REVISION).peekable();
    let mut revision_at = 0;
    for index in 0.. {
        let next = fields.peek().map(|(name, _)| name.as_str());
        let is_inserted = inserted.peek().is_some_and(|(name, _)| next.is_none_or(|next| *name < next));
        if next.is_none() && !is_inserted {
            break;
        }
        out.push(if index == 0 { b'{' } else { b',' });
        if is_inserted {
            let (name, text) = inserted.next().expect("was seen");
            write_json(out, name);
            out.push(b':');
            revision_at = out.len() + 1;
            out.extend_from_slice(text.as_bytes());
        } else if let Some((name, value)) = fields.next() {
            write_json(out, name);
            out.push(b':');
            write_json(out, value);
        }
    }
    out.push(b'}');
    // The revision is the last of what is inserted.
    revision_at
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
    let kind = expected.map_or("object", |gvk| gvk.kind.as_str());
    if body.is_empty() && expected.is_some() {
        return Err(Status::bad_request(format!("the body is empty: send the {kind}, as JSON, YAML or protobuf")));
    }
    match media {
        ""
        | "application/json"
        | "application/merge-patch+json"
        | "application/json-patch+json"
        | "application/strategic-merge-patch+json" => {
            parse_json(body).map_err(|e| Status::bad_request(format!("the body is not valid JSON for a {kind}: {}", e)))
        }
        "application/yaml" | "application/apply-patch+yaml" => {
            parse_yaml(body).map_err(|e| Status::bad_request(format!("the body is not valid YAML for a {kind}: {e}")))
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

/// A parsed request body and what is to be said of keys that stand twice.
pub struct Parsed {
    pub value: Value,
    pub duplicates: Vec<String>,
}

/// Parses YAML, noting the first key that stands twice. JSON, which most clients send as YAML, is read
/// as such, unless it is deeper than YAML may be.
pub fn parse_yaml(bytes: &[u8]) -> Result<Parsed, String> {
    if bytes.trim_ascii_start().starts_with(b"{")
        && let Ok(parsed) = parse_json(bytes)
        && depth(&parsed.value) <= yaml::DEPTH_MAX
    {
        return Ok(parsed);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    match yaml::from_str(text, DuplicateKeys::Refuse) {
        Ok(value) => Ok(Parsed { value, duplicates: Vec::new() }),
        Err(refused) => {
            let value = yaml::from_str(text, DuplicateKeys::LastWins).map_err(|e| e.to_string())?;
            Ok(Parsed { value, duplicates: vec![refused.to_string()] })
        }
    }
}

/// Parses JSON, noting fields named twice (the last wins); the refusal says why, and what is accepted.
pub fn parse_json(bytes: &[u8]) -> Result<Parsed, String> {
    match json::read(bytes) {
        Ok(body) => {
            Ok(Parsed { value: body.value, duplicates: body.duplicates.iter().map(|path| format!("duplicate field {path:?}")).collect() })
        }
        Err(error) if error.to_string().starts_with("recursion limit") => Err(format!(
            "it is nested too deep at line {} column {}: fewer than {JSON_DEPTH_MAX} levels are read",
            error.line(),
            error.column()
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns how many arrays and objects are around the innermost value.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
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
            let template = encode(&object, "");
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
        assert_eq!(parsed.duplicates, ["duplicate field \"b.c[0].d\"", "duplicate field \"a\""]);
        assert_eq!(parsed.value, json!({"a": 3, "b": {"c": [{"d": 2}]}}));
    }
}

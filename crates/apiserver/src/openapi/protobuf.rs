//! The version 2 document as protobuf: the only form kubectl before 1.31 asks `/openapi/v2` for.
//!
//! Messages and field numbers are those of gnostic's `openapiv2/OpenAPIv2.proto`, as far as
//! [`super::document::v2`] writes them: one table a message, with what JSON calls a field, its number
//! and how its value is written. Keywords that a table does not know are left out; a test holds the
//! tables against the documents we serve. Extensions are YAML texts, and JSON is YAML.

use serde_json::{Map, Value};

/// How the value of a keyword is written.
#[derive(Clone, Copy)]
enum As {
    Text,
    Texts,
    Flag,
    Count,
    Number,
    /// Any value, as YAML.
    Yaml,
    Yamls,
    /// A message of its own.
    Message(&'static Message),
    /// A list of messages.
    Messages(&'static Message),
    /// One text or a list of them, wrapped in a message.
    Types,
    /// One schema, wrapped in a message.
    Items,
    /// A schema or a boolean.
    SchemaOrFlag,
    /// Fields by name, each a name and a message with the given wrapping.
    Named(Wrap, &'static Message),
    Parameters,
}

/// Field numbers between an entry of a map and its message, outermost first.
type Wrap = &'static [u32];

/// A message: its fields, and the number of its `x-` extensions (0: it has none).
struct Message {
    fields: &'static [(&'static str, u32, As)],
    extensions: u32,
}

static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, As::Text),
        ("info", 2, As::Message(&INFO)),
        ("paths", 8, As::Named(&[], &PATH_ITEM)),
        ("definitions", 9, As::Named(&[], &SCHEMA)),
    ],
    extensions: 16,
};

static INFO: Message = Message { fields: &[("title", 1, As::Text), ("version", 2, As::Text), ("description", 3, As::Text)], extensions: 7 };

static PATH_ITEM: Message = Message {
    fields: &[
        ("get", 2, As::Message(&OPERATION)),
        ("put", 3, As::Message(&OPERATION)),
        ("post", 4, As::Message(&OPERATION)),
        ("delete", 5, As::Message(&OPERATION)),
        ("patch", 8, As::Message(&OPERATION)),
        ("parameters", 9, As::Parameters),
    ],
    extensions: 10,
};

static OPERATION: Message = Message {
    fields: &[
        ("description", 3, As::Text),
        ("operationId", 5, As::Text),
        ("produces", 6, As::Texts),
        ("consumes", 7, As::Texts),
        ("parameters", 8, As::Parameters),
        // A response code's entry holds a choice; 1 is a response.
        ("responses", 9, As::Named(&[1], &RESPONSE)),
    ],
    extensions: 13,
};

// The schema of a response is a choice too: `RESPONSE_SCHEMA` is its first.
static RESPONSE: Message = Message { fields: &[("description", 1, As::Text), ("schema", 2, As::Message(&RESPONSE_SCHEMA))], extensions: 5 };

/// Stands for a choice whose only field is the value itself.
static RESPONSE_SCHEMA: Message = Message { fields: &[("", 1, As::Message(&SCHEMA))], extensions: 0 };

static BODY_PARAMETER: Message = Message {
    fields: &[
        ("description", 1, As::Text),
        ("name", 2, As::Text),
        ("in", 3, As::Text),
        ("required", 4, As::Flag),
        ("schema", 5, As::Message(&SCHEMA)),
    ],
    extensions: 6,
};

static QUERY_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, As::Flag),
        ("in", 2, As::Text),
        ("description", 3, As::Text),
        ("name", 4, As::Text),
        ("type", 6, As::Text),
        ("format", 7, As::Text),
        ("uniqueItems", 20, As::Flag),
    ],
    extensions: 23,
};

static PATH_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, As::Flag),
        ("in", 2, As::Text),
        ("description", 3, As::Text),
        ("name", 4, As::Text),
        ("type", 5, As::Text),
        ("format", 6, As::Text),
        ("uniqueItems", 19, As::Flag),
    ],
    extensions: 22,
};

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, As::Text),
        ("format", 2, As::Text),
        ("title", 3, As::Text),
        ("description", 4, As::Text),
        ("default", 5, As::Yaml),
        ("multipleOf", 6, As::Number),
        ("maximum", 7, As::Number),
        ("exclusiveMaximum", 8, As::Flag),
        ("minimum", 9, As::Number),
        ("exclusiveMinimum", 10, As::Flag),
        ("maxLength", 11, As::Count),
        ("minLength", 12, As::Count),
        ("pattern", 13, As::Text),
        ("maxItems", 14, As::Count),
        ("minItems", 15, As::Count),
        ("uniqueItems", 16, As::Flag),
        ("maxProperties", 17, As::Count),
        ("minProperties", 18, As::Count),
        ("required", 19, As::Texts),
        ("enum", 20, As::Yamls),
        ("additionalProperties", 21, As::SchemaOrFlag),
        ("type", 22, As::Types),
        ("items", 23, As::Items),
        ("allOf", 24, As::Messages(&SCHEMA)),
        ("properties", 25, As::Named(&[], &SCHEMA)),
        ("example", 30, As::Yaml),
    ],
    extensions: 31,
};

/// Paths are the one map whose entries are its message's second field: extensions come first.
const PATHS: u32 = 8;
const YAML: u32 = 2;

/// Returns a version 2 document as a message.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, &DOCUMENT, document);
    out
}

fn message(out: &mut Vec<u8>, shape: &'static Message, value: &Value) {
    if let [("", number, As::Message(inner))] = shape.fields {
        return nested(out, *number, |out| message(out, inner, value));
    }
    let Some(fields) = value.as_object() else { return };
    for (name, number, how) in shape.fields {
        if let Some(value) = fields.get(*name) {
            field(out, *number, *how, value);
        }
    }
    if shape.extensions > 0 {
        for (name, value) in fields.iter().filter(|(name, _)| name.starts_with("x-")) {
            nested(out, shape.extensions, |out| {
                text(out, 1, name);
                nested(out, 2, |out| text(out, YAML, &value.to_string()));
            });
        }
    }
}

fn field(out: &mut Vec<u8>, number: u32, how: As, value: &Value) {
    match how {
        As::Text => text(out, number, value.as_str().unwrap_or_default()),
        As::Texts => each(value, |item| text(out, number, item.as_str().unwrap_or_default())),
        As::Flag => varint_field(out, number, u64::from(value == &Value::Bool(true))),
        As::Count => varint_field(out, number, value.as_u64().unwrap_or_default()),
        As::Number => {
            varint(out, u64::from(number) << 3 | 1);
            out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
        }
        As::Yaml => nested(out, number, |out| text(out, YAML, &value.to_string())),
        As::Yamls => each(value, |item| nested(out, number, |out| text(out, YAML, &item.to_string()))),
        As::Message(shape) => nested(out, number, |out| message(out, shape, value)),
        As::Messages(shape) => each(value, |item| nested(out, number, |out| message(out, shape, item))),
        As::Types => nested(out, number, |out| match value {
            Value::String(one) => text(out, 1, one),
            many => each(many, |item| text(out, 1, item.as_str().unwrap_or_default())),
        }),
        As::Items => nested(out, number, |out| nested(out, 1, |out| message(out, &SCHEMA, value))),
        As::SchemaOrFlag => nested(out, number, |out| match value {
            Value::Bool(flag) => varint_field(out, 2, u64::from(*flag)),
            schema => nested(out, 1, |out| message(out, &SCHEMA, schema)),
        }),
        As::Named(wrap, shape) => {
            let entry = if number == PATHS { 2 } else { 1 };
            nested(out, number, |out| named(out, entry, wrap, shape, value.as_object()));
        }
        As::Parameters => each(value, |item| nested(out, number, |out| parameter(out, item))),
    }
}

fn named(out: &mut Vec<u8>, entry: u32, wrap: Wrap, shape: &'static Message, entries: Option<&Map<String, Value>>) {
    for (name, value) in entries.into_iter().flatten() {
        nested(out, entry, |out| {
            text(out, 1, name);
            nested(out, 2, |out| wrapped(out, wrap, |out| message(out, shape, value)));
        });
    }
}

/// A choice in a choice: a body, or one of the parameters that are none.
fn parameter(out: &mut Vec<u8>, value: &Value) {
    let (wrap, shape): (Wrap, _) = match value["in"].as_str() {
        Some("body") => (&[1, 1], &BODY_PARAMETER),
        Some("path") => (&[1, 2, 4], &PATH_PARAMETER),
        _ => (&[1, 2, 3], &QUERY_PARAMETER),
    };
    wrapped(out, wrap, |out| message(out, shape, value));
}

fn wrapped(out: &mut Vec<u8>, wrap: Wrap, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    for number in wrap.iter().rev() {
        let mut outer = Vec::with_capacity(inner.len() + 8);
        bytes(&mut outer, *number, &inner);
        inner = outer;
    }
    out.extend_from_slice(&inner);
}

fn each(value: &Value, write: impl FnMut(&Value)) {
    value.as_array().into_iter().flatten().for_each(write);
}

fn nested(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(out, number, &inner);
}

fn text(out: &mut Vec<u8>, number: u32, text: &str) {
    bytes(out, number, text.as_bytes());
}

fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number) << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    varint(out, u64::from(number) << 3);
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the fields of a message, in order.
    fn fields(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            value
        }
        let mut out = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let taken = match key & 7 {
                0 => vec![varint(&mut bytes) as u8],
                1 => bytes.split_off(..8).expect("eight bytes").to_vec(),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    bytes.split_off(..length).expect("the message").to_vec()
                }
                other => panic!("wire type {other}"),
            };
            out.push(((key >> 3) as u32, taken));
        }
        out
    }

    fn at(bytes: &[u8], path: &[u32]) -> Vec<u8> {
        path.iter().fold(bytes.to_vec(), |bytes, number| fields(&bytes).into_iter().find(|(n, _)| n == number).expect("the field").1)
    }

    #[test]
    fn a_document_is_written_with_the_numbers_of_gnostic() {
        let document = json!({
            "swagger": "2.0",
            "paths": {"/api/v1/pods/{name}": {
                "get": {"x-kubernetes-action": "list", "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/Pod"}}}},
                "parameters": [{"name": "name", "in": "path", "type": "string"}, {"name": "body", "in": "body", "schema": {"type": "object"}}],
            }},
            "definitions": {"Pod": {"type": "object", "x-kubernetes-group-version-kind": [{"kind": "Pod"}], "properties": {
                "ports": {"type": "array", "items": {"type": "integer"}, "default": [1]},
                "labels": {"additionalProperties": {"type": "string"}},
            }}},
        });
        let bytes = encode(&document);
        assert_eq!(at(&bytes, &[1]), b"2.0");
        assert_eq!(at(&bytes, &[8, 2, 1]), b"/api/v1/pods/{name}");
        assert_eq!(at(&bytes, &[8, 2, 2, 2, 9, 1, 1]), b"200");
        assert_eq!(at(&bytes, &[8, 2, 2, 2, 9, 1, 2, 1, 2, 1, 1]), b"#/definitions/Pod");
        assert_eq!(at(&bytes, &[8, 2, 2, 2, 13, 2, 2]), b"\"list\"");
        assert_eq!(at(&bytes, &[8, 2, 2, 9, 1, 2, 4, 4]), b"name");
        let pod = at(&bytes, &[9, 1, 2]);
        assert_eq!(at(&pod, &[22, 1]), b"object");
        assert_eq!(at(&pod, &[31, 2, 2]), br#"[{"kind":"Pod"}]"#);
        assert_eq!(at(&pod, &[25, 1, 2, 21, 1, 22, 1]), b"string");
        let ports = fields(&at(&pod, &[25])).pop().expect("the last").1;
        assert_eq!(
            (at(&ports, &[1]), at(&ports, &[2, 5, 2]), at(&ports, &[2, 23, 1, 22, 1])),
            (b"ports".to_vec(), b"[1]".to_vec(), b"integer".to_vec())
        );
    }
}

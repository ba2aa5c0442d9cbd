//! Reading a schema from a CRD's `openAPIV3Schema`.
//!
//! Reading is lenient: what makes no difference to values (descriptions, examples) is skipped, what is
//! forbidden is for [`super::structural`] to refuse. Only what cannot be understood is an error.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Additional, LazyRegex, ListType, PatchStrategy, Path, Rules, Schema, Type};
use crate::status::Cause;

/// Nesting a schema may have.
const DEPTH_MAX: usize = 128;

/// Returns the schema an `openAPIV3Schema` value says.
pub fn parse(openapi: &Value) -> Result<Schema, Vec<Cause>> {
    let mut reader = Reader { causes: Vec::new() };
    let schema = reader.schema(openapi, &Path::root(""), 0);
    if reader.causes.is_empty() { Ok(schema) } else { Err(reader.causes) }
}

struct Reader {
    causes: Vec<Cause>,
}

impl Reader {
    fn schema(&mut self, value: &Value, path: &Path, depth: usize) -> Schema {
        let Some(object) = value.as_object() else {
            self.causes.push(Cause::invalid(path.to_string(), value, "must be a schema object"));
            return Schema::default();
        };
        if depth > DEPTH_MAX {
            self.causes.push(Cause::forbidden(path.to_string(), &format!("must not be nested deeper than {DEPTH_MAX} levels")));
            return Schema::default();
        }
        let flag = |name: &str| object.get(name) == Some(&Value::Bool(true));
        let mut schema = Schema {
            ty: self.ty(object, path),
            default: object.get("default").cloned(),
            nullable: flag("nullable"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            int_or_string: flag("x-kubernetes-int-or-string") || object.get("format").is_some_and(|f| f == "int-or-string"),
            embedded_resource: flag("x-kubernetes-embedded-resource"),
            atomic_map: object.get("x-kubernetes-map-type").is_some_and(|t| t == "atomic"),
            required: texts(object.get("required")),
            list_map_keys: texts(object.get("x-kubernetes-list-map-keys")),
            patch_merge_key: object.get("x-kubernetes-patch-merge-key").and_then(Value::as_str).map(Into::into),
            ..Schema::default()
        };
        if schema.int_or_string {
            schema.ty = Type::Any;
        }
        schema.list_type = match object.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map,
            Some(_) | None => ListType::Atomic,
        };
        for word in object.get("x-kubernetes-patch-strategy").and_then(Value::as_str).unwrap_or("").split(',') {
            match word {
                "merge" => schema.patch_strategy = PatchStrategy { merge: true, ..schema.patch_strategy },
                "retainKeys" => schema.patch_strategy = PatchStrategy { retain_keys: true, ..schema.patch_strategy },
                _ => {}
            }
        }
        if let Some(properties) = self.object_of(object, "properties", path) {
            let below = path.field("properties");
            for (name, field) in properties {
                schema.properties.insert(name.as_str().into(), Arc::new(self.schema(field, &below.field(name), depth + 1)));
            }
        }
        schema.additional = match object.get("additionalProperties") {
            None | Some(Value::Bool(false) | Value::Null) => Additional::No,
            Some(Value::Bool(true)) => Additional::Any,
            Some(values) => Additional::Of(Arc::new(self.schema(values, &path.field("additionalProperties"), depth + 1))),
        };
        if let Some(items) = object.get("items").filter(|items| !items.is_null()) {
            schema.items = Some(Arc::new(self.schema(items, &path.field("items"), depth + 1)));
        }
        schema.rules = self.rules(object, path, depth).map(Box::new);
        schema
    }

    fn ty(&mut self, object: &Map<String, Value>, path: &Path) -> Type {
        match object.get("type").map(|t| t.as_str()) {
            None | Some(Some("")) => Type::Any,
            Some(Some("object")) => Type::Object,
            Some(Some("array")) => Type::Array,
            Some(Some("string")) => Type::String,
            Some(Some("integer")) => Type::Integer,
            Some(Some("number")) => Type::Number,
            Some(Some("boolean")) => Type::Boolean,
            Some(_) => {
                let supported = ["array", "boolean", "integer", "number", "object", "string"];
                self.causes.push(Cause::not_supported(path.field("type").to_string(), &object["type"], &supported));
                Type::Any
            }
        }
    }

    fn rules(&mut self, object: &Map<String, Value>, path: &Path, depth: usize) -> Option<Rules> {
        let text = |name: &str| object.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(Box::from);
        let number = |name: &str| object.get(name).and_then(Value::as_f64);
        let count = |name: &str| object.get(name).and_then(|n| n.as_u64().or_else(|| n.as_f64().map(|n| n as u64)));
        let flag = |name: &str| object.get(name) == Some(&Value::Bool(true));
        let list = |name: &str| object.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let rules = Rules {
            format: text("format"),
            pattern: text("pattern"),
            regex: LazyRegex::default(),
            enumeration: list("enum"),
            minimum: number("minimum"),
            maximum: number("maximum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            unique_items: flag("uniqueItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            all_of: self.schemas(object, "allOf", path, depth),
            any_of: self.schemas(object, "anyOf", path, depth),
            one_of: self.schemas(object, "oneOf", path, depth),
            not: object.get("not").filter(|not| !not.is_null()).map(|not| self.schema(not, &path.field("not"), depth + 1)),
            cel: list("x-kubernetes-validations"),
        };
        (rules != Rules::default()).then_some(rules)
    }

    fn schemas(&mut self, object: &Map<String, Value>, name: &str, path: &Path, depth: usize) -> Vec<Schema> {
        let Some(list) = object.get(name).and_then(Value::as_array) else { return Vec::new() };
        let below = path.field(name);
        list.iter().enumerate().map(|(index, schema)| self.schema(schema, &below.index(index), depth + 1)).collect()
    }

    fn object_of<'v>(&mut self, object: &'v Map<String, Value>, name: &str, path: &Path) -> Option<&'v Map<String, Value>> {
        let value = object.get(name).filter(|v| !v.is_null())?;
        if !value.is_object() {
            self.causes.push(Cause::invalid(path.field(name).to_string(), value, "must be an object"));
        }
        value.as_object()
    }
}

fn texts(list: Option<&Value>) -> Vec<Box<str>> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
}

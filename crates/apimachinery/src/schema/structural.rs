//! Whether a CRD's schema is structural.
//!
//! The rules of <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>:
//! every node has a type, value rules never say more about shape than the node they stand in, and what makes
//! pruning or defaulting ambiguous is forbidden. Texts follow apiextensions' `schema/validation.go`.

use serde_json::{Map, Value};

use super::{Path, default, parse, pattern, prune, validate};
use crate::status::Cause;

/// What a node is to the schema around it.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Field,
    Item,
}

/// Returns why the `openAPIV3Schema` at `path` is not structural; empty when it is.
pub fn structural(openapi: &Value, path: &str) -> Vec<Cause> {
    let mut check = Check { causes: Vec::new() };
    let root = Path::root(path);
    check.node(openapi, &root, Level::Root);
    if openapi.get("type").is_some_and(|ty| ty != "object" && ty != "") {
        check.causes.push(Cause::invalid(root.field("type").to_string(), &openapi["type"], "must be object at the root"));
    }
    if check.causes.is_empty()
        && let Err(causes) = parse(openapi)
    {
        check.causes.extend(causes.into_iter().map(|cause| Cause { field: format!("{path}.{}", cause.field), ..cause }));
    }
    check.causes
}

struct Check {
    causes: Vec<Cause>,
}

impl Check {
    fn node(&mut self, value: &Value, path: &Path, level: Level) {
        let Some(node) = value.as_object() else {
            let text = if level == Level::Item { "items must be a schema object and not an array" } else { "must be a schema object" };
            return self.causes.push(Cause::forbidden(path.to_string(), text));
        };
        self.shape(node, path, level);
        self.extensions(node, path);
        self.values(node, path);
        if let Some(fields) = node.get("properties").and_then(Value::as_object) {
            let below = path.field("properties");
            for (name, field) in fields {
                self.node(field, &Path::root(&format!("{below}[{name}]")), Level::Field);
            }
            if level == Level::Root || is_true(node, "x-kubernetes-embedded-resource") {
                self.metadata(fields, &below);
            }
        }
        if let Some(values) = node.get("additionalProperties").filter(|values| values.is_object()) {
            self.node(values, &path.field("additionalProperties"), Level::Field);
        }
        if let Some(items) = node.get("items").filter(|items| !items.is_null()) {
            self.node(items, &path.field("items"), Level::Item);
        }
        self.junctors(node, node, path);
    }

    fn shape(&mut self, node: &Map<String, Value>, path: &Path, level: Level) {
        let ty = node.get("type").and_then(Value::as_str).unwrap_or("");
        let is_open = is_true(node, "x-kubernetes-int-or-string") || is_true(node, "x-kubernetes-preserve-unknown-fields");
        if ty.is_empty() && (!is_open || level == Level::Root) {
            let text = match level {
                Level::Root => "must not be empty at the root",
                Level::Field => "must not be empty for specified object fields",
                Level::Item => "must not be empty for specified array items",
            };
            self.causes.push(Cause::required(path.field("type").to_string(), text));
        }
        if node.contains_key("additionalProperties") {
            if node.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty()) {
                self.forbid(path, "additionalProperties", "additionalProperties and properties are mutual exclusive");
            }
            if node["additionalProperties"] == false {
                self.forbid(path, "additionalProperties", "additionalProperties cannot be set to false");
            }
            if level == Level::Root {
                self.forbid(path, "additionalProperties", "must not be used at the root");
            }
        }
        if ty == "array" && node.get("items").is_none_or(Value::is_null) {
            self.causes.push(Cause::required(path.field("items").to_string(), "must be specified"));
        }
        if is_true(node, "uniqueItems") {
            self.forbid(path, "uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
        }
        for name in ["$ref", "id", "$schema", "definitions", "dependencies", "patternProperties", "additionalItems"] {
            if node.get(name).is_some_and(|v| !v.is_null()) {
                self.forbid(path, name, &format!("{name} is not supported"));
            }
        }
        if level == Level::Root && is_true(node, "nullable") {
            self.forbid(path, "nullable", "nullable cannot be true at the root");
        }
    }

    fn extensions(&mut self, node: &Map<String, Value>, path: &Path) {
        let ty = node.get("type").and_then(Value::as_str).unwrap_or("");
        if node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            let field = path.field("x-kubernetes-preserve-unknown-fields").to_string();
            self.causes.push(Cause::invalid(field, &Value::Bool(false), "must be true or undefined"));
        }
        if is_true(node, "x-kubernetes-embedded-resource") && ty != "object" {
            self.bad_type(node, path, "must be object if x-kubernetes-embedded-resource is true");
        }
        if is_true(node, "x-kubernetes-int-or-string") && !ty.is_empty() {
            self.bad_type(node, path, "must be empty if x-kubernetes-int-or-string is true");
        }
        let map_type = node.get("x-kubernetes-map-type").and_then(Value::as_str);
        if let Some(map_type) = map_type {
            if ty != "object" {
                self.bad_type(node, path, "must be object if x-kubernetes-map-type is specified");
            }
            if !matches!(map_type, "atomic" | "granular") {
                let field = path.field("x-kubernetes-map-type").to_string();
                self.causes.push(Cause::not_supported(field, &map_type.into(), &["atomic", "granular"]));
            }
        }
        self.list_type(node, ty, path);
    }

    fn list_type(&mut self, node: &Map<String, Value>, ty: &str, path: &Path) {
        let list_type = node.get("x-kubernetes-list-type").and_then(Value::as_str);
        let keys: Vec<&str> =
            node.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let keys_field = path.field("x-kubernetes-list-map-keys").to_string();
        let type_field = path.field("x-kubernetes-list-type").to_string();
        match list_type {
            None | Some("atomic" | "set" | "map") => {}
            Some(other) => self.causes.push(Cause::not_supported(&type_field, &other.into(), &["atomic", "map", "set"])),
        }
        if list_type.is_some() && ty != "array" {
            self.bad_type(node, path, "must be array if x-kubernetes-list-type is specified");
        }
        if list_type != Some("map") {
            if !keys.is_empty() {
                let found = list_type.unwrap_or("").into();
                self.causes.push(Cause::invalid(type_field, &found, "must be map if x-kubernetes-list-map-keys is non-empty"));
            }
            return;
        }
        if keys.is_empty() {
            return self.causes.push(Cause::required(keys_field, "must not be empty if x-kubernetes-list-type is map"));
        }
        let items = node.get("items").and_then(Value::as_object);
        let item_type = items.and_then(|items| items.get("type")).unwrap_or(&Value::Null);
        if item_type != "object" {
            let field = path.field("items").field("type").to_string();
            return self.causes.push(Cause::invalid(field, item_type, "must be object if parent array's x-kubernetes-list-type is map"));
        }
        let required: Vec<&str> =
            items.and_then(|i| i.get("required")).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].contains(key) {
                self.causes.push(Cause::duplicate(format!("{keys_field}[{index}]"), &(*key).into()));
            }
            match items.and_then(|items| items.get("properties")).and_then(|fields| fields.get(*key)) {
                None => self.causes.push(Cause::invalid(
                    format!("{keys_field}[{index}]"),
                    &(*key).into(),
                    "entries must all be names of item properties",
                )),
                Some(field) => {
                    let at = format!("{}[{key}]", path.field("items").field("properties"));
                    if matches!(field.get("type").and_then(Value::as_str), Some("array" | "object")) {
                        self.causes.push(Cause::invalid(
                            format!("{at}.type"),
                            &field["type"],
                            "must be a scalar type if parent array's x-kubernetes-list-type is map",
                        ));
                    }
                    if !required.contains(key) && field.get("default").is_none() {
                        self.causes.push(Cause::required(
                            format!("{at}.default"),
                            "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
                        ));
                    }
                    if is_true_value(field, "nullable") {
                        self.causes.push(Cause::forbidden(
                            format!("{at}.nullable"),
                            "this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
                        ));
                    }
                }
            }
        }
    }

    /// Checks patterns and defaults.
    fn values(&mut self, node: &Map<String, Value>, path: &Path) {
        if let Some(text) = node.get("pattern").and_then(Value::as_str)
            && let Err(error) = pattern::compile(text)
        {
            let message = format!("must be a valid regular expression, but isn't: {error}");
            self.causes.push(Cause::invalid(path.field("pattern").to_string(), &text.into(), &message));
        }
        let Some(value) = node.get("default") else { return };
        let mut bare = node.clone();
        bare.remove("default");
        let Ok(schema) = parse(&Value::Object(bare)) else { return };
        let field = path.field("default").to_string();
        let mut pruned = value.clone();
        if schema.embedded_resource || !pruned.is_object() {
            prune(&schema, &mut pruned);
        } else if let Value::Object(object) = &pruned {
            // A default is no whole object: apiVersion, kind and metadata are unknown unless said.
            let mut inner = Value::Object(object.clone());
            prune(&schema, &mut inner);
            if let Value::Object(inner) = &mut inner
                && !schema.preserve_unknown
                && matches!(schema.additional, super::Additional::No)
            {
                inner.retain(|name, _| schema.properties.contains_key(name.as_str()));
            }
            pruned = inner;
        }
        if pruned != *value {
            self.causes.push(Cause::invalid(&field, value, "must not have unknown fields"));
        }
        let mut full = value.clone();
        default(&schema, &mut full);
        self.causes.extend(validate(&schema, &full, &field));
    }

    /// Refuses what a junctor must not say (rule 2) and what it says that the core does not (rule 3).
    fn junctors(&mut self, node: &Map<String, Value>, core: &Map<String, Value>, path: &Path) {
        for name in ["allOf", "anyOf", "oneOf"] {
            let below = path.field(name);
            for (index, alternative) in node.get(name).and_then(Value::as_array).into_iter().flatten().enumerate() {
                self.junctor(alternative, core, &below.index(index));
            }
        }
        if let Some(not) = node.get("not").filter(|not| !not.is_null()) {
            self.junctor(not, core, &path.field("not"));
        }
    }

    fn junctor(&mut self, value: &Value, core: &Map<String, Value>, path: &Path) {
        let Some(node) = value.as_object() else {
            return self.causes.push(Cause::forbidden(path.to_string(), "must be a schema object"));
        };
        // The one shape upstream lets say a type: anyOf integer or string of an int-or-string.
        let is_int_or_string = is_true(core, "x-kubernetes-int-or-string");
        for name in ["type", "default", "additionalProperties", "nullable", "title", "description"] {
            let is_said = node.get(name).is_some_and(|v| !matches!(v, Value::Null | Value::Bool(false)) && v != "");
            if is_said && !(name == "type" && is_int_or_string) {
                self.forbid(path, name, "must be empty to be structural");
            }
        }
        for name in node.keys().filter(|name| name.starts_with("x-kubernetes-") && *name != "x-kubernetes-validations") {
            self.forbid(path, name, "must be false to be structural");
        }
        if let Some(fields) = node.get("properties").and_then(Value::as_object) {
            for (name, field) in fields {
                let at = format!("{}[{name}]", path.field("properties"));
                match core.get("properties").and_then(|known| known.get(name)).and_then(Value::as_object) {
                    Some(known) => self.junctor(field, known, &Path::root(&at)),
                    None => self.causes.push(Cause::required(at.clone(), &format!("because it is defined in {at}"))),
                }
            }
        }
        if let Some(items) = node.get("items").filter(|items| !items.is_null()) {
            match core.get("items").and_then(Value::as_object) {
                Some(known) => self.junctor(items, known, &path.field("items")),
                None => {
                    let at = path.field("items").to_string();
                    self.causes.push(Cause::required(at.clone(), &format!("because it is defined in {at}")));
                }
            }
        }
        if let Some(text) = node.get("pattern").and_then(Value::as_str)
            && let Err(error) = pattern::compile(text)
        {
            let message = format!("must be a valid regular expression, but isn't: {error}");
            self.causes.push(Cause::invalid(path.field("pattern").to_string(), &text.into(), &message));
        }
        self.junctors(node, core, path);
    }

    /// Checks what a whole object may say of its `metadata`, `apiVersion` and `kind`.
    fn metadata(&mut self, fields: &Map<String, Value>, path: &Path) {
        for name in ["apiVersion", "kind"] {
            if fields.get(name).and_then(|f| f.get("type")).is_some_and(|ty| ty != "string") {
                self.causes.push(Cause::invalid(format!("{path}[{name}].type"), &fields[name]["type"], "must be string"));
            }
        }
        let Some(metadata) = fields.get("metadata").and_then(Value::as_object) else { return };
        if metadata.get("type").is_some_and(|ty| ty != "object") {
            self.causes.push(Cause::invalid(format!("{path}[metadata].type"), &metadata["type"], "must be object"));
        }
        let known = metadata.get("properties").and_then(Value::as_object);
        let has_other = known.is_some_and(|known| known.keys().any(|name| !matches!(name.as_str(), "name" | "generateName")));
        if has_other || metadata.contains_key("required") || metadata.contains_key("default") {
            self.causes.push(Cause::forbidden(
                format!("{path}[metadata]"),
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            ));
        }
    }

    fn forbid(&mut self, path: &Path, name: &str, text: &str) {
        self.causes.push(Cause::forbidden(path.field(name).to_string(), text));
    }

    fn bad_type(&mut self, node: &Map<String, Value>, path: &Path, text: &str) {
        let found = node.get("type").unwrap_or(&Value::Null);
        self.causes.push(Cause::invalid(path.field("type").to_string(), found, text));
    }
}

fn is_true(node: &Map<String, Value>, name: &str) -> bool {
    node.get(name) == Some(&Value::Bool(true))
}

fn is_true_value(node: &Value, name: &str) -> bool {
    node.get(name) == Some(&Value::Bool(true))
}

//! Whether a value is what its schema says, in Kubernetes' words.
//!
//! Texts follow kube-openapi's `validation/errors` and apiextensions' `validation.go`. Where upstream names
//! no field (logical junctors, ranges) we name it. Unknown fields are no concern here: [`super::prune`]
//! finds them. Nothing is allocated for a valid value.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use super::{Additional, ListType, Path, Rules, Schema, Touched, Type, format};
use crate::status::Cause;

/// Causes collected at most; the rest of a value that is wrong this often is not looked at.
const CAUSES_MAX: usize = 100;

/// Whether sets and maps among lists must have distinct elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// As custom resources.
    Distinct,
    /// As built-in kinds, where upstream tolerates them (`env`, container `ports`).
    MayRepeat,
}

/// Returns the fields of `value` that `schema` refuses; `path` is where `value` stands (`""`: an object).
pub fn validate(schema: &Schema, value: &Value, path: &str) -> Vec<Cause> {
    validate_with(schema, value, path, Lists::Distinct)
}

/// As [`validate`], with a choice about repeated list elements.
pub fn validate_with(schema: &Schema, value: &Value, path: &str, lists: Lists) -> Vec<Cause> {
    let mut check = Check { lists, causes: Vec::new() };
    check.value(schema, value, None, &Path::root(path));
    check.causes
}

/// Returns the fields an update from `old` to `value` gets wrong. What it leaves as it was is not looked at
/// again, so that a schema may become stricter than the objects there are ("ratcheting"). Elements of map lists
/// are recognised by their keys; those of other lists are only left alone with the whole list.
pub fn validate_update(schema: &Schema, value: &Value, old: &Value, path: &str, lists: Lists) -> Vec<Cause> {
    let mut check = Check { lists, causes: Vec::new() };
    check.value(schema, value, Some(old), &Path::root(path));
    check.causes
}

/// As [`validate_with`], of the fields of a whole object that a write touches.
pub fn validate_touched(schema: &Schema, object: &Value, lists: Lists, touched: &Touched) -> Vec<Cause> {
    let (Touched::Only(_), Value::Object(fields)) = (touched, object) else { return validate_with(schema, object, "", lists) };
    let mut check = Check { lists, causes: Vec::new() };
    let root = Path::root("");
    check.presence(schema, fields, &root);
    for (name, value) in fields.iter().filter(|(name, _)| touched.has(name)) {
        if let Some(field) = schema.field(name) {
            check.value(field, value, None, &root.field(name));
        }
    }
    if let Some(rules) = &schema.rules {
        check.rules(schema, rules, object, &root);
    }
    check.causes
}

struct Check {
    lists: Lists,
    causes: Vec<Cause>,
}

impl Check {
    fn value(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: &Path) {
        if self.causes.len() >= CAUSES_MAX || (value.is_null() && schema.nullable) || old == Some(value) {
            return;
        }
        if !has_type(schema, value) {
            let found = type_name(value);
            let text = format!("{path} in body must be of type {}: {found:?}", expected_type(schema));
            return self.causes.push(Cause::type_invalid(path.to_string(), found, &text));
        }
        match value {
            Value::Object(object) => self.object(schema, object, old, path),
            Value::Array(list) => self.list(schema, list, old, path),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        if let Some(rules) = &schema.rules {
            self.rules(schema, rules, value, path);
        }
    }

    fn presence(&mut self, schema: &Schema, object: &Map<String, Value>, path: &Path) {
        for name in &schema.required {
            if !object.contains_key(&**name) {
                self.causes.push(Cause::required(path.field(name).to_string(), ""));
            }
        }
        if schema.embedded_resource {
            self.embedded(object, path);
        }
    }

    fn object(&mut self, schema: &Schema, object: &Map<String, Value>, old: Option<&Value>, path: &Path) {
        self.presence(schema, object, path);
        if schema.properties.is_empty() && !matches!(schema.additional, Additional::Of(_)) {
            return;
        }
        for (name, value) in object {
            if let Some(field) = schema.field(name) {
                self.value(field, value, old.and_then(|old| old.get(name)), &path.field(name));
            }
        }
    }

    fn embedded(&mut self, object: &Map<String, Value>, path: &Path) {
        for name in ["apiVersion", "kind"] {
            if object.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
                self.causes.push(Cause::required(path.field(name).to_string(), "must not be empty"));
            }
        }
        if let Some(metadata) = object.get("metadata")
            && !metadata.is_object()
        {
            self.causes.push(Cause::invalid(path.field("metadata").to_string(), metadata, "must be an object"));
        }
    }

    fn list(&mut self, schema: &Schema, list: &[Value], old: Option<&Value>, path: &Path) {
        if let Some(items) = &schema.items {
            let known = old.and_then(Value::as_array).filter(|_| schema.list_type == ListType::Map);
            for (index, item) in list.iter().enumerate() {
                let twin = known.and_then(|known| {
                    let keys = keys_of(schema, item);
                    known.iter().find(|other| keys_of(schema, other) == keys)
                });
                self.value(items, item, twin, &path.index(index));
            }
        }
        if self.lists == Lists::MayRepeat || list.len() < 2 {
            return;
        }
        match schema.list_type {
            ListType::Atomic => {}
            ListType::Set => self.distinct(list, path, Value::clone),
            ListType::Map => self.distinct(list, path, |item| keys_of(schema, item)),
        }
    }

    fn distinct(&mut self, list: &[Value], path: &Path, identity: impl Fn(&Value) -> Value) {
        let mut seen = BTreeSet::new();
        for (index, item) in list.iter().enumerate() {
            let identity = identity(item);
            if !seen.insert(identity.to_string()) {
                self.causes.push(Cause::duplicate(path.index(index).to_string(), &identity));
            }
        }
    }

    fn rules(&mut self, schema: &Schema, rules: &Rules, value: &Value, path: &Path) {
        match value {
            Value::String(text) => self.text(rules, text, value, path),
            Value::Number(number) => self.number(schema, rules, number, value, path),
            Value::Array(list) => {
                if rules.min_items.is_some_and(|min| (list.len() as u64) < min) {
                    let text = format!("{path} in body should have at least {} items", rules.min_items.unwrap_or_default());
                    self.invalid(path, &Value::from(list.len()), &text);
                }
                if let Some(max) = rules.max_items.filter(|max| list.len() as u64 > *max) {
                    self.causes.push(Cause::too_many(path.to_string(), list.len(), max));
                }
                if rules.unique_items && has_duplicates(list) {
                    self.invalid(path, value, &format!("{path} in body shouldn't contain duplicates"));
                }
            }
            Value::Object(object) => {
                if rules.min_properties.is_some_and(|min| (object.len() as u64) < min) {
                    let text = format!("{path} in body should have at least {} properties", rules.min_properties.unwrap_or_default());
                    self.invalid(path, &Value::from(object.len()), &text);
                }
                if let Some(max) = rules.max_properties.filter(|max| object.len() as u64 > *max) {
                    self.causes.push(Cause::too_many(path.to_string(), object.len(), max));
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        if !rules.enumeration.is_empty() && !rules.enumeration.iter().any(|known| equal(known, value)) {
            let supported: Vec<String> =
                rules.enumeration.iter().map(|known| known.as_str().map_or_else(|| known.to_string(), str::to_owned)).collect();
            self.causes.push(Cause::not_supported(path.to_string(), value, &supported));
        }
        self.junctors(rules, value, path);
    }

    fn text(&mut self, rules: &Rules, text: &str, value: &Value, path: &Path) {
        if rules.max_length.is_some() || rules.min_length.is_some() {
            let length = text.chars().count() as u64;
            if let Some(max) = rules.max_length.filter(|max| length > *max) {
                self.causes.push(Cause::too_long(path.to_string(), max));
            }
            if let Some(min) = rules.min_length.filter(|min| length < *min) {
                self.invalid(path, value, &format!("{path} in body should be at least {min} chars long"));
            }
        }
        if let Some(pattern) = &rules.pattern
            && !rules.regex.is_match(pattern, text)
        {
            self.invalid(path, value, &format!("{path} in body should match '{pattern}'"));
        }
        if let Some(format) = &rules.format
            && !format::is_valid(format, text)
        {
            // Data is often secret; what it should be is more use than what it is.
            let message = match &**format {
                "byte" => format!("{path} in body must be of type byte: it is not base64"),
                _ => format!("{path} in body must be of type {format}: {text:?}"),
            };
            let text = if &**format == "byte" { "" } else { text };
            self.causes.push(Cause::type_invalid(path.to_string(), text, &message));
        }
    }

    fn number(&mut self, schema: &Schema, rules: &Rules, number: &Number, value: &Value, path: &Path) {
        if let Some(format) = rules.format.as_deref()
            && !fits(format, number)
        {
            let ty = if schema.ty == Type::Number { "number" } else { "integer" };
            self.invalid(path, value, &format!("Checked value must be of type {ty} with format {format} in {path}"));
        }
        let Some(found) = number.as_f64() else { return };
        if let Some(min) = rules.minimum {
            if rules.exclusive_minimum && found <= min {
                self.invalid(path, value, &format!("{path} in body should be greater than {min}"));
            } else if !rules.exclusive_minimum && found < min {
                self.invalid(path, value, &format!("{path} in body should be greater than or equal to {min}"));
            }
        }
        if let Some(max) = rules.maximum {
            if rules.exclusive_maximum && found >= max {
                self.invalid(path, value, &format!("{path} in body should be less than {max}"));
            } else if !rules.exclusive_maximum && found > max {
                self.invalid(path, value, &format!("{path} in body should be less than or equal to {max}"));
            }
        }
        if let Some(step) = rules.multiple_of.filter(|step| *step > 0.0)
            && (found / step).fract() != 0.0
        {
            self.invalid(path, value, &format!("{path} in body should be a multiple of {step}"));
        }
    }

    fn junctors(&mut self, rules: &Rules, value: &Value, path: &Path) {
        let name = || format!("{:?}", path.to_string());
        let empty = Value::String(String::new());
        if !rules.all_of.is_empty() {
            let before = self.causes.len();
            for schema in &rules.all_of {
                self.value(schema, value, None, path);
            }
            if self.causes.len() > before {
                self.invalid(path, &empty, &format!("{} must validate all the schemas (allOf)", name()));
            }
        }
        if !rules.any_of.is_empty() {
            let (valid, nearest) = self.alternatives(&rules.any_of, value, path);
            if valid == 0 {
                self.causes.extend(nearest);
                self.invalid(path, &empty, &format!("{} must validate at least one schema (anyOf)", name()));
            }
        }
        if !rules.one_of.is_empty() {
            let (valid, nearest) = self.alternatives(&rules.one_of, value, path);
            if valid != 1 {
                let found = if valid == 0 { "Found none valid".to_owned() } else { format!("Found {valid} valid alternatives") };
                self.causes.extend(nearest);
                self.invalid(path, &empty, &format!("{} must validate one and only one schema (oneOf). {found}", name()));
            }
        }
        if let Some(schema) = &rules.not {
            let mut inner = Check { lists: self.lists, causes: Vec::new() };
            inner.value(schema, value, None, path);
            if inner.causes.is_empty() {
                self.invalid(path, &empty, &format!("{} must not validate the schema (not)", name()));
            }
        }
    }

    /// Returns how many of `schemas` hold, and the causes of the one that failed least.
    fn alternatives(&self, schemas: &[Schema], value: &Value, path: &Path) -> (usize, Vec<Cause>) {
        let mut valid = 0;
        let mut nearest: Option<Vec<Cause>> = None;
        for schema in schemas {
            let mut inner = Check { lists: self.lists, causes: Vec::new() };
            inner.value(schema, value, None, path);
            if inner.causes.is_empty() {
                valid += 1;
            } else if nearest.as_ref().is_none_or(|best| inner.causes.len() < best.len()) {
                nearest = Some(inner.causes);
            }
        }
        (valid, if valid == 0 { nearest.unwrap_or_default() } else { Vec::new() })
    }

    fn invalid(&mut self, path: &Path, value: &Value, message: &str) {
        self.causes.push(Cause::invalid(path.to_string(), value, message));
    }
}

fn has_type(schema: &Schema, value: &Value) -> bool {
    if schema.int_or_string {
        return value.is_string() || value.as_number().is_some_and(is_integral);
    }
    match schema.ty {
        Type::Any => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Boolean => value.is_boolean(),
        Type::Number => value.is_number(),
        Type::Integer => value.as_number().is_some_and(is_integral),
    }
}

/// Says whether a number is an integer, also when written `1.0`.
fn is_integral(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
}

fn expected_type(schema: &Schema) -> &'static str {
    match schema.ty {
        _ if schema.int_or_string => "integer,string",
        Type::Object => "object",
        Type::Array => "array",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::Any => "any",
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Says whether `number` is within the range its format can hold.
fn fits(format: &str, number: &Number) -> bool {
    let within = |min: f64, max: f64| number.as_f64().is_some_and(|n| (min..=max).contains(&n));
    match format {
        "int32" => within(f64::from(i32::MIN), f64::from(i32::MAX)),
        "int64" => number.as_i64().is_some() || (number.is_f64() && within(-9_223_372_036_854_775_808.0, 9_223_372_036_854_774_784.0)),
        "uint32" => within(0.0, f64::from(u32::MAX)),
        "uint64" => number.as_u64().is_some() || (number.is_f64() && within(0.0, 18_446_744_073_709_549_568.0)),
        "float" | "float32" => within(f64::from(f32::MIN), f64::from(f32::MAX)),
        _ => true,
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn has_duplicates(list: &[Value]) -> bool {
    let mut seen = BTreeSet::new();
    !list.iter().all(|item| seen.insert(item.to_string()))
}

/// Returns the object of the list-map keys of `item`; an absent key has its default.
fn keys_of(schema: &Schema, item: &Value) -> Value {
    let default = |key: &str| schema.items.as_ref()?.properties.get(key)?.default.clone();
    let keys = schema.list_map_keys.iter().filter_map(|key| {
        let value = item.get(&**key).cloned().or_else(|| default(key))?;
        Some((key.to_string(), value))
    });
    Value::Object(keys.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Lists, validate_update};
    use crate::schema::parse;

    #[test]
    fn what_an_update_leaves_alone_is_not_judged_again() {
        let schema = parse(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string", "maxLength": 1}, "b": {"type": "string", "maxLength": 1},
            "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "properties": {
                "name": {"type": "string"}, "v": {"type": "integer", "maximum": 1}}}}}}}}))
        .unwrap();
        let old = json!({"spec": {"a": "long", "b": "x", "l": [{"name": "p", "v": 9}, {"name": "q", "v": 1}]}});
        let new = json!({"spec": {"a": "long", "b": "longer", "l": [{"name": "q", "v": 5}, {"name": "p", "v": 9}]}});
        let fields: Vec<String> = validate_update(&schema, &new, &old, "", Lists::Distinct).into_iter().map(|cause| cause.field).collect();
        assert_eq!(fields, ["spec.b", "spec.l[0].v"]);
    }
}

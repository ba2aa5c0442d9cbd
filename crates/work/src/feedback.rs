//! Status values that the hub asked for.

use api::work::{FeedbackRule, FeedbackRuleType, FeedbackValue, FieldValue, JsonPath, ValueType};
use serde_json::Value;

use crate::path::Path;

/// Longest value that is passed on as JSON.
const JSON_RAW_MAX: usize = 1024;

/// Returns the values that the rules find, and what went wrong with the others.
pub fn collect(rules: &[FeedbackRule], object: &Value) -> (Vec<FeedbackValue>, Vec<String>) {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for rule in rules {
        match rule.type_ {
            FeedbackRuleType::WellKnownStatus => match kinds::well_known_feedback(object) {
                None => errors.push(format!("{} has no well-known status", kinds::kind_of(object))),
                Some(found) => found.iter().for_each(|(name, value)| push(&mut values, &mut errors, name, value)),
            },
            FeedbackRuleType::JSONPaths => rule.json_paths.iter().for_each(|path| match look_up(path, object) {
                Ok(Some(value)) => push(&mut values, &mut errors, &path.name, value),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }),
        }
    }
    // Names are the keys of the list: the first rule wins.
    let mut seen = std::collections::BTreeSet::new();
    values.retain(|value: &FeedbackValue| seen.insert(value.name.clone()));
    (values, errors)
}

fn look_up<'a>(rule: &JsonPath, object: &'a Value) -> Result<Option<&'a Value>, String> {
    let version = object["apiVersion"].as_str().map(|v| apimachinery::gvk::split_api_version(v).1).unwrap_or_default();
    if !rule.version.is_empty() && rule.version != version {
        return Err(format!("{}: the object has version {version}, the rule is for {}", rule.name, rule.version));
    }
    // OCM's paths may leave out the braces and the first dot.
    let found = Path::parse(&rule.path).map_err(|e| format!("{}: {e}", rule.name))?.find(object);
    match found.as_slice() {
        [] => Ok(None),
        [value] => Ok(Some(value)),
        many => Err(format!("{}: the path {:?} finds {} values instead of one", rule.name, rule.path, many.len())),
    }
}

fn push(values: &mut Vec<FeedbackValue>, errors: &mut Vec<String>, name: &str, value: &Value) {
    let field_value = match value {
        Value::Null => return,
        Value::Bool(boolean) => FieldValue { type_: ValueType::Boolean, boolean: Some(*boolean), ..FieldValue::default() },
        Value::String(text) => FieldValue { type_: ValueType::String, string: Some(text.clone()), ..FieldValue::default() },
        Value::Number(number) => match number.as_i64() {
            Some(integer) => FieldValue { type_: ValueType::Integer, integer: Some(integer), ..FieldValue::default() },
            None => FieldValue { type_: ValueType::String, string: Some(number.to_string()), ..FieldValue::default() },
        },
        Value::Array(_) | Value::Object(_) => {
            let json = value.to_string();
            if json.len() > JSON_RAW_MAX {
                errors.push(format!("{name}: the value has {} bytes, more than {JSON_RAW_MAX}", json.len()));
                return;
            }
            FieldValue { type_: ValueType::JsonRaw, json_raw: Some(json), ..FieldValue::default() }
        }
    };
    values.push(FeedbackValue { name: name.to_owned(), field_value });
}

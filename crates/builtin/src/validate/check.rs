//! Collecting what is wrong.

use std::collections::BTreeSet;

use apimachinery::status::Cause;
use serde_json::{Value, json};

use crate::edit::{get, is_empty, items};

pub const IMMUTABLE: &str = "field is immutable";

/// Causes collected at most: an object wrong this often is wrong in one way.
const CAUSES_MAX: usize = 100;

#[derive(Default)]
pub struct Check {
    pub causes: Vec<Cause>,
}

impl Check {
    pub fn push(&mut self, cause: Cause) {
        if self.causes.len() < CAUSES_MAX {
            self.causes.push(cause);
        }
    }

    pub fn invalid(&mut self, path: impl Into<String>, value: &Value, message: &str) {
        self.push(Cause::invalid(path, value, message));
    }

    pub fn forbidden(&mut self, path: impl Into<String>, message: &str) {
        self.push(Cause::forbidden(path, message));
    }

    /// A field that must be there and say something.
    pub fn required(&mut self, path: impl Into<String>, value: &Value, message: &str) -> bool {
        let missing = is_empty(value);
        if missing {
            self.push(Cause::required(path, message));
        }
        !missing
    }

    /// A field that the schema requires: absent it is reported there, empty here.
    pub fn not_empty(&mut self, path: impl Into<String>, value: &Value) -> bool {
        !value.is_null() && self.required(path, value, "")
    }

    pub fn one_of(&mut self, path: impl Into<String>, value: &Value, known: &[&str]) {
        if value.as_str().is_some_and(|text| !known.contains(&text)) {
            self.push(Cause::not_supported(path, value, known));
        }
    }

    pub fn not_negative(&mut self, path: impl Into<String>, value: &Value) {
        if value.as_i64().is_some_and(|number| number < 0) {
            self.invalid(path, value, "must be greater than or equal to 0");
        }
    }

    pub fn port(&mut self, path: impl Into<String>, value: &Value) {
        if value.as_i64().is_some_and(|number| !(1..=65_535).contains(&number)) {
            self.invalid(path, value, "must be between 1 and 65535, inclusive");
        }
    }

    /// A name, by one of the rules of `apimachinery::names`.
    pub fn name(&mut self, path: impl Into<String> + Clone, value: &Value, rule: fn(&str) -> Vec<String>) {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            for wrong in rule(text) {
                self.invalid(path.clone(), value, &wrong);
            }
        }
    }

    /// Elements of a list whose field must differ.
    pub fn distinct(&mut self, path: &str, list: &[Value], field: &str) {
        let mut seen = BTreeSet::new();
        for (index, item) in list.iter().enumerate() {
            let value = get(item, &[field]);
            if value.as_str().is_some_and(|text| !text.is_empty() && !seen.insert(text.to_owned())) {
                self.push(Cause::duplicate(format!("{path}[{index}].{field}"), value));
            }
        }
    }

    pub fn immutable(&mut self, path: &str, new: &Value, old: &Value) {
        if new != old && !(is_empty(new) && is_empty(old)) {
            self.invalid(path, new, IMMUTABLE);
        }
    }

    /// A count or a percentage of pods.
    pub fn int_or_percent(&mut self, path: impl Into<String>, value: &Value) {
        let is_percent = |text: &str| text.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        match value {
            Value::String(text) if !is_percent(text) => {
                self.invalid(path, value, "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%', '93%')");
            }
            _ => self.not_negative(path, value),
        }
    }
}

/// Returns the elements of a list with their paths.
pub fn each<'a>(object: &'a Value, path: &str, field: &str) -> impl Iterator<Item = (String, &'a Value)> + use<'a> {
    let path = format!("{path}.{field}");
    items(object, &[field]).iter().enumerate().map(move |(index, item)| (format!("{path}[{index}]"), item))
}

/// Whether a count or percentage is none.
pub fn is_none(value: &Value) -> bool {
    [json!(0), json!("0%")].contains(value)
}

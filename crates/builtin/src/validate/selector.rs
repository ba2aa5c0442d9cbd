//! Label selectors: whether they are well formed, and whether labels match.

use apimachinery::names;
use serde_json::Value;

use super::check::{Check, each};
use crate::edit::{fields, get, is_empty, items, text};

pub fn well_formed(check: &mut Check, selector: &Value, path: &str) {
    for (key, value) in fields(selector, &["matchLabels"]).into_iter().flatten() {
        check.name(format!("{path}.matchLabels"), &Value::from(key.as_str()), names::qualified_name);
        check.name(format!("{path}.matchLabels"), value, names::label_value);
    }
    for (path, expression) in each(selector, path, "matchExpressions") {
        check.name(format!("{path}.key"), get(expression, &["key"]), names::qualified_name);
        let values = get(expression, &["values"]);
        match text(expression, &["operator"]) {
            "In" | "NotIn" => {
                check.required(format!("{path}.values"), values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !is_empty(values) => {
                check.forbidden(format!("{path}.values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Exists" | "DoesNotExist" => {}
            _ => check.invalid(format!("{path}.operator"), get(expression, &["operator"]), "not a valid selector operator"),
        }
    }
}

pub fn matches(selector: &Value, labels: &Value) -> bool {
    let of = |key: &str| get(labels, &[key]).as_str();
    fields(selector, &["matchLabels"]).into_iter().flatten().all(|(key, value)| of(key) == value.as_str())
        && items(selector, &["matchExpressions"]).iter().all(|expression| {
            let label = of(text(expression, &["key"]));
            let is_listed = label.is_some_and(|label| items(expression, &["values"]).iter().any(|value| value == label));
            match text(expression, &["operator"]) {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                // Reported where it stands.
                _ => true,
            }
        })
}

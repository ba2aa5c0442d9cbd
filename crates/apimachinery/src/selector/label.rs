//! What a label selector asks for.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::{InvalidSelector, parse};
use crate::names;

/// All of some requirements, or nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    matches_nothing: bool,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    /// Sorted.
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    /// Also of objects without the label.
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// Where labels are looked up: a map of them, or `metadata.labels` as a value.
pub trait Labels {
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for Map<String, Value> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
}

impl Labels for Value {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
}

impl LabelSelector {
    pub fn everything() -> Self {
        Self::default()
    }

    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), matches_nothing: true }
    }

    /// Reads `a=b,c!=d,e in (f,g),h,!i`; the empty string selects everything.
    pub fn parse(text: &str) -> Result<Self, InvalidSelector> {
        Ok(Self { requirements: parse::requirements(text)?, matches_nothing: false })
    }

    /// Reads a LabelSelector object: `{}` selects everything, `null` nothing.
    pub fn from_value(selector: &Value) -> Result<Self, InvalidSelector> {
        let Value::Object(object) = selector else {
            return if selector.is_null() {
                Ok(Self::nothing())
            } else {
                Err(InvalidSelector(format!("a label selector must be an object, not {selector}")))
            };
        };
        let mut requirements = Vec::new();
        if let Some(labels) = object.get("matchLabels").filter(|labels| !labels.is_null()) {
            let labels = labels.as_object().ok_or_else(|| InvalidSelector(format!("matchLabels must be an object, not {labels}")))?;
            for (key, value) in labels {
                let value = value.as_str().ok_or_else(|| InvalidSelector(format!("matchLabels.{key} must be a string, not {value}")))?;
                requirements.push(Requirement::new(key, Operator::In, vec![value.to_owned()])?);
            }
        }
        if let Some(list) = object.get("matchExpressions").filter(|list| !list.is_null()) {
            let list = list.as_array().ok_or_else(|| InvalidSelector(format!("matchExpressions must be a list, not {list}")))?;
            for expression in list {
                requirements.push(Requirement::from_value(expression)?);
            }
        }
        Ok(Self { requirements, matches_nothing: false })
    }

    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        !self.matches_nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Says whether any labels, also none, are selected.
    pub fn is_everything(&self) -> bool {
        !self.matches_nothing && self.requirements.is_empty()
    }

    pub fn is_nothing(&self) -> bool {
        self.matches_nothing
    }

    /// Returns a `key=value` every selected object has, for an index.
    pub fn exact(&self) -> Option<(&str, &str)> {
        self.requirements.iter().find_map(|requirement| match (requirement.operator, requirement.values.as_slice()) {
            (Operator::In, [value]) => Some((requirement.key.as_str(), value.as_str())),
            _ => None,
        })
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    /// Returns a requirement whose key and values can be labels.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, InvalidSelector> {
        check(key, "key", &names::qualified_name(key))?;
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return Err(invalid("values", &Value::Array(Vec::new()), "for 'in', 'notin' operators, values set can't be empty"));
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return Err(invalid("values", &values.clone().into(), "values set must be empty for exists and does not exist"));
            }
            Operator::GreaterThan | Operator::LessThan => {
                let [value] = values.as_slice() else {
                    return Err(invalid("values", &values.clone().into(), "for 'Gt', 'Lt' operators, exactly one value is required"));
                };
                if value.parse::<i64>().is_err() {
                    return Err(invalid("values[0]", &value.as_str().into(), "for 'Gt', 'Lt' operators, the value must be an integer"));
                }
            }
            Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist => {}
        }
        for (index, value) in values.iter().enumerate() {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                check(value, &format!("values[{index}][{key}]"), &wrong)?;
            }
        }
        values.sort();
        values.dedup();
        Ok(Self { key: key.to_owned(), operator, values })
    }

    fn from_value(expression: &Value) -> Result<Self, InvalidSelector> {
        let key = expression["key"].as_str().unwrap_or_default();
        let operator = match expression["operator"].as_str().unwrap_or_default() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => return Err(InvalidSelector(format!("{other:?} is not a valid label selector operator"))),
        };
        let mut values = Vec::new();
        for value in expression["values"].as_array().into_iter().flatten() {
            let text = value
                .as_str()
                .ok_or_else(|| InvalidSelector(format!("matchExpressions: a value of {key:?} must be a string, not {value}")))?;
            values.push(text.to_owned());
        }
        Self::new(key, operator, values)
    }

    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        let found = labels.label(&self.key);
        let is_listed = |value: &str| self.values.iter().any(|listed| listed == value);
        match self.operator {
            Operator::In => found.is_some_and(is_listed),
            Operator::NotIn => !found.is_some_and(is_listed),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let bound = self.values.first().and_then(|value| value.parse::<i64>().ok());
                match (found.and_then(|value| value.parse::<i64>().ok()), bound) {
                    (Some(value), Some(bound)) if self.operator == Operator::GreaterThan => value > bound,
                    (Some(value), Some(bound)) => value < bound,
                    _ => false,
                }
            }
        }
    }
}

fn check(value: &str, field: &str, wrong: &[String]) -> Result<(), InvalidSelector> {
    if wrong.is_empty() { Ok(()) } else { Err(invalid(field, &value.into(), &wrong.join("; "))) }
}

fn invalid(field: &str, value: &Value, why: &str) -> InvalidSelector {
    InvalidSelector(format!("{field}: Invalid value: {value}: {why}"))
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.requirements.iter().map(Requirement::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(f, "{key}={values}"),
            Operator::NotIn if self.values.len() == 1 => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{InvalidSelector, LabelSelector};

    #[track_caller]
    fn check(selector: &str, yes: &[serde_json::Value], no: &[serde_json::Value]) {
        let parsed = LabelSelector::parse(selector).unwrap();
        for labels in yes {
            assert!(parsed.matches(labels), "{selector} should match {labels}");
        }
        for labels in no {
            assert!(!parsed.matches(labels), "{selector} should not match {labels}");
        }
        assert_eq!(LabelSelector::parse(&parsed.to_string()).unwrap(), parsed);
    }

    #[test]
    fn strings_select() {
        check("", &[json!({})], &[]);
        check("a=b", &[json!({"a": "b"})], &[json!({"a": "c"}), json!({})]);
        check("a == b , c!=d", &[json!({"a": "b"}), json!({"a": "b", "c": "x"})], &[json!({"a": "b", "c": "d"})]);
        check("e in (f,g)", &[json!({"e": "f"}), json!({"e": "g"})], &[json!({"e": "h"}), json!({})]);
        check("e notin (f, g),h", &[json!({"h": ""}), json!({"e": "x", "h": "1"})], &[json!({"e": "f", "h": ""}), json!({})]);
        check("!i", &[json!({})], &[json!({"i": "x"})]);
        check("a=", &[json!({"a": ""})], &[json!({"a": "b"}), json!({})]);
        check("n>3,m<2", &[json!({"n": "4", "m": "1"})], &[json!({"n": "3", "m": "1"}), json!({"n": "x", "m": "1"})]);
        check("x.io/in in (in,notin)", &[json!({"x.io/in": "in"})], &[json!({"x.io/in": "x"})]);
        check("in", &[json!({"in": ""})], &[json!({})]);
    }

    #[test]
    fn bad_strings_say_why() {
        let error = |text: &str| LabelSelector::parse(text).unwrap_err().0;
        assert_eq!(error("a b"), "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
        assert_eq!(error("a,"), "found '', expected: identifier after ','");
        assert_eq!(error("a in x"), "unable to parse requirement: found 'x' expected: '('");
        assert_eq!(error("a in (x"), "unable to parse requirement: found '', expected: ',' or ')'");
        assert_eq!(error("!=a"), "found '!=', expected: !, identifier, or 'end of string'");
        assert!(error("a=-x").starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-x\": a valid label must be"));
        assert!(error("/a=x").starts_with("unable to parse requirement: key: Invalid value: \"/a\": prefix part must be non-empty"));
        assert_eq!(
            error("a>x"),
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"
        );
    }

    #[test]
    fn objects_select() {
        let read = |value| LabelSelector::from_value(&value);
        let selector =
            read(json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d"]}]})).unwrap();
        assert!(selector.matches(&json!({"a": "b"})) && !selector.matches(&json!({"a": "b", "c": "d"})));
        assert_eq!(selector.exact(), Some(("a", "b")));
        assert!(read(json!({})).unwrap().is_everything());
        assert!(!read(json!(null)).unwrap().matches(&json!({})));
        let error = read(json!({"matchExpressions": [{"key": "c", "operator": "Near"}]})).unwrap_err();
        assert_eq!(error, InvalidSelector("\"Near\" is not a valid label selector operator".into()));
        assert!(read(json!({"matchExpressions": [{"key": "c", "operator": "In", "values": []}]})).is_err());
    }
}

//! Which fields of an object a write touches.
//!
//! What it leaves as it is stored was defaulted and judged when it was stored. Only whole top-level fields are told
//! apart: what rules and defaults have to do with each other stands in one of them.

use serde_json::Value;

/// The top-level fields in which an object differs from the stored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// There is no stored one, or it does not count.
    All,
    Only(Vec<Box<str>>),
}

impl Touched {
    /// Compares an object with the stored one.
    pub fn by(object: &Value, old: &Value) -> Self {
        let (Value::Object(object), Value::Object(old)) = (object, old) else { return Self::All };
        let changed = object.iter().filter(|(name, value)| old.get(*name) != Some(value)).map(|(name, _)| name);
        let gone = old.keys().filter(|name| !object.contains_key(*name));
        Self::Only(changed.chain(gone).map(|name| name.as_str().into()).collect())
    }

    pub fn has(&self, field: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(fields) => fields.iter().any(|touched| **touched == *field),
        }
    }

    /// Says whether a field is touched for which `counts` holds.
    pub fn has_any(&self, counts: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::Only(fields) => fields.iter().any(|touched| counts(touched)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Touched;

    #[test]
    fn fields_that_differ_come_or_go_are_touched() {
        let touched = Touched::by(&json!({"a": 1, "b": {"c": 1}, "new": null}), &json!({"a": 1, "b": {"c": 2}, "gone": 1}));
        assert_eq!(["a", "b", "new", "gone"].map(|field| touched.has(field)), [false, true, true, true]);
        assert!(touched.has_any(|field| field == "gone") && !touched.has_any(|field| field == "a"));
        assert_eq!(Touched::by(&json!({"a": 1}), &json!({"a": 1})), Touched::Only(vec![]));
    }
}

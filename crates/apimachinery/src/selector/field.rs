//! Field selectors: `metadata.name=x,status.phase!=y`.

use std::fmt;

use serde_json::Value;

use super::InvalidSelector;

/// All of some comparisons of fields with texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    is_equal: bool,
}

impl FieldSelector {
    /// Reads a selector; which fields a kind knows is for the caller to check ([`FieldSelector::fields`]).
    pub fn parse(text: &str) -> Result<Self, InvalidSelector> {
        let mut terms = Vec::new();
        for part in split(text).into_iter().filter(|part| !part.is_empty()) {
            let cannot = || InvalidSelector(format!("invalid selector: '{text}'; can't understand '{part}'"));
            let (field, value, is_equal) = operator(part).ok_or_else(cannot)?;
            terms.push(Term { field: field.to_owned(), value: unescape(value).ok_or_else(cannot)?, is_equal });
        }
        Ok(Self { terms })
    }

    /// Says whether `object` is selected; a field it does not have is the empty text.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (text_at(object, &term.field) == term.value) == term.is_equal)
    }

    /// Returns the text `field` must equal, for an index or a direct read.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.is_equal && term.field == field).map(|term| term.value.as_str())
    }

    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|term| term.field.as_str())
    }

    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |text: &str| text.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
        let terms =
            self.terms.iter().map(|term| format!("{}{}{}", term.field, if term.is_equal { "=" } else { "!=" }, escape(&term.value)));
        f.write_str(&terms.collect::<Vec<_>>().join(","))
    }
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut is_escaped) = (Vec::new(), 0, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b',' => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn operator(part: &str) -> Option<(&str, &str, bool)> {
    for (index, _) in part.char_indices() {
        let (field, rest) = part.split_at(index);
        for (symbol, is_equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(symbol) {
                return Some((field, value, is_equal));
            }
        }
    }
    None
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push(rest.next().filter(|c| matches!(c, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// Returns the scalar at a dotted path, as text.
fn text_at(object: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(object, |value, name| value.get(name));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::FieldSelector;

    #[test]
    fn fields_select() {
        let object = json!({"metadata": {"name": "x"}, "status": {"phase": "a,b", "ready": true}, "spec": {"n": 1}});
        for (selector, expected) in [
            ("", true),
            ("metadata.name=x", true),
            ("metadata.name==x,spec.n=1", true),
            ("metadata.name!=x", false),
            (r"status.phase=a\,b", true),
            ("status.ready=true", true),
            ("status.none=", true),
            ("status.none!=", false),
        ] {
            let parsed = FieldSelector::parse(selector).unwrap();
            assert_eq!(parsed.matches(&object), expected, "{selector}");
            assert_eq!(FieldSelector::parse(&parsed.to_string()).unwrap(), parsed);
        }
        assert_eq!(FieldSelector::parse("metadata.name=x,a!=b").unwrap().exact("metadata.name"), Some("x"));
        assert_eq!(FieldSelector::parse("a!=b").unwrap().exact("a"), None);
        assert_eq!(FieldSelector::parse("a=b,nonsense").unwrap_err().0, "invalid selector: 'a=b,nonsense'; can't understand 'nonsense'");
    }
}

//! Paths into objects: kubectl's JSONPath, as far as feedback and ignored fields need it.
//!
//! Understood: `.a.b`, `$.a`, `{.a}`, `['a.b/c']`, `[0]`, `[-1]`, `[*]`, `[?(@.type=="X")]`. Anything else is refused
//! by name. JSON pointers (`/spec/replicas`) are read too, and jq paths that are plain field paths.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Field(String),
    Index(i64),
    All,
    /// Elements whose field has this text.
    Where {
        field: String,
        value: String,
    },
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.trim();
        let inner = inner.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(inner);
        let mut rest = inner.strip_prefix('$').unwrap_or(inner);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, tail) = if let Some(tail) = rest.strip_prefix('.') {
                field(tail)
            } else if let Some(tail) = rest.strip_prefix('[') {
                bracket(tail)
            } else if steps.is_empty() {
                field(rest)
            } else {
                Err(())
            }
            .map_err(|()| format!("the path {text:?} is not understood at {rest:?}"))?;
            steps.extend(step);
            rest = tail;
        }
        if steps.is_empty() { Err(format!("the path {text:?} names no field")) } else { Ok(Self(steps)) }
    }

    /// Reads a JSON pointer.
    pub fn parse_pointer(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or_else(|| format!("the JSON pointer {text:?} does not begin with a slash"))?;
        let step = |part: &str| match part.parse::<i64>() {
            Ok(index) => Step::Index(index),
            Err(_) => Step::Field(part.replace("~1", "/").replace("~0", "~")),
        };
        Ok(Self(rest.split('/').map(step).collect()))
    }

    /// Returns all values that the path names.
    pub fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![object];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.of(value)).collect();
        }
        found
    }

    /// Returns the JSON pointers of all places that the path names.
    pub fn pointers(&self, object: &Value) -> Vec<String> {
        let mut found = vec![(String::new(), object)];
        for step in &self.0 {
            found = found.into_iter().flat_map(|(pointer, value)| step.places(&pointer, value)).collect();
        }
        found.into_iter().map(|(pointer, _)| pointer).collect()
    }
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        self.places("", value).into_iter().map(|(_, value)| value).collect()
    }

    fn places<'a>(&self, pointer: &str, value: &'a Value) -> Vec<(String, &'a Value)> {
        let at = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        match (self, value) {
            (Step::Field(name), Value::Object(map)) => map.get(name).map(|v| (at(name), v)).into_iter().collect(),
            (Step::Index(index), Value::Array(list)) => {
                let index = if *index < 0 { list.len() as i64 + index } else { *index };
                usize::try_from(index).ok().and_then(|i| list.get(i).map(|v| (at(&i.to_string()), v))).into_iter().collect()
            }
            // A pointer cannot tell the field "0" from an index.
            (Step::Index(index), Value::Object(map)) => {
                map.get(&index.to_string()).map(|v| (at(&index.to_string()), v)).into_iter().collect()
            }
            (Step::All, Value::Array(list)) => list.iter().enumerate().map(|(i, v)| (at(&i.to_string()), v)).collect(),
            (Step::All, Value::Object(map)) => map.iter().map(|(name, v)| (at(name), v)).collect(),
            (Step::Where { field, value }, Value::Array(list)) => {
                let is_meant = |item: &Value| match item.get(field) {
                    Some(Value::String(text)) => text == value,
                    Some(other) => serde_json::from_str::<Value>(value).is_ok_and(|wanted| wanted == *other),
                    None => false,
                };
                list.iter().enumerate().filter(|(_, item)| is_meant(item)).map(|(i, v)| (at(&i.to_string()), v)).collect()
            }
            _ => Vec::new(),
        }
    }
}

type Parsed<'a> = Result<(Option<Step>, &'a str), ()>;

fn field(text: &str) -> Parsed<'_> {
    // `.[0]` is a dot before a bracket.
    if text.starts_with('[') {
        return Ok((None, text));
    }
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '.' | '[' => return finish(name, &text[at..]),
            '\\' => name.push(characters.next().ok_or(())?.1),
            c if c.is_ascii_alphanumeric() || "-_/".contains(c) => name.push(c),
            '*' if name.is_empty() => return Ok((Some(Step::All), &text[at + 1..])),
            _ => return Err(()),
        }
    }
    finish(name, "")
}

fn finish(name: String, rest: &str) -> Parsed<'_> {
    if name.is_empty() { Err(()) } else { Ok((Some(Step::Field(name)), rest)) }
}

fn bracket(text: &str) -> Parsed<'_> {
    let (inner, rest) = text.split_once(']').ok_or(())?;
    let inner = inner.trim();
    let step = if inner == "*" {
        Step::All
    } else if let Ok(index) = inner.parse() {
        Step::Index(index)
    } else if let Some(name) = quoted(inner) {
        Step::Field(name.to_owned())
    } else {
        let condition = inner.strip_prefix("?(").and_then(|t| t.strip_suffix(')')).ok_or(())?;
        let (left, right) = condition.split_once("==").ok_or(())?;
        let field = left.trim().strip_prefix("@.").ok_or(())?;
        let right = right.trim();
        Step::Where { field: field.to_owned(), value: quoted(right).unwrap_or(right).to_owned() }
    };
    Ok((Some(step), rest))
}

fn quoted(text: &str) -> Option<&str> {
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(path: &str, expect: &[&str]) {
        let object = json!({
            "spec": {"replicas": 2, "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]},
            "metadata": {"annotations": {"example.com/x": "y"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]}
        });
        let found: Vec<String> = Path::parse(path).unwrap().find(&object).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{path}");
    }

    #[test]
    fn paths_are_read_as_kubectl_reads_them() {
        check(".spec.replicas", &["2"]);
        check("{.spec.replicas}", &["2"]);
        check("$.spec.ports[1].port", &["2"]);
        check(".spec.ports[-1].name", &["\"b\""]);
        check(".spec.ports[*].port", &["1", "2"]);
        check(".metadata.annotations['example.com/x']", &["\"y\""]);
        check(r".metadata.annotations.example\.com/x", &["\"y\""]);
        check(r#".status.conditions[?(@.type=="Ready")].status"#, &["\"True\""]);
        check(".spec.missing.deep", &[]);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for path in ["", ".spec[?(@.a>1)]", ".spec..x", ".a | length", ".spec[0"] {
            assert!(Path::parse(path).unwrap_err().contains(&format!("{path:?}")), "{path}");
        }
        assert_eq!(Path::parse_pointer("/a/b~1c/0").unwrap().pointers(&json!({"a": {"b/c": [1]}})), ["/a/b~1c/0"]);
    }
}

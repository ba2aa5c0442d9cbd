//! JSONPath as kubectl speaks it.
//!
//! A template is text with paths in braces: `{.items[*].metadata.name}`, `{range .items[*]}{.a}{"\n"}{end}`,
//! `{.status.conditions[?(@.type=="Ready")].status}`. As client-go's `util/jsonpath`: no scripts, no regular
//! expressions; one comparison to a filter. Printer columns and feedback rules are a single plain path
//! (`.spec.replicas`). Maps are walked in the order of their keys.

mod eval;
mod parse;

use serde_json::Value;

/// A compiled template.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    parts: Vec<Part>,
}

/// A template or path that cannot be read, or a key that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonPathError(pub String);

/// What a template does with a key that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// `<key> is not found`
    Refuse,
    /// It is nothing.
    Skip,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Path),
    Range(Path, Vec<Part>),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Path {
    /// Starts at the whole object (`$`), not at the current one.
    is_absolute: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Wildcard,
    /// `..`: the value and all that is below it.
    Descend,
    Index(i64),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        by: Option<i64>,
    },
    /// All of the first path, then all of the second, ...
    Union(Vec<Path>),
    Filter(Filter),
}

#[derive(Clone, Debug, PartialEq)]
enum Filter {
    Exists(Path),
    Compare(Operand, Comparison, Operand),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Path),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Reads a template: text and paths in braces.
    pub fn parse(template: &str) -> Result<Self, JsonPathError> {
        parse::template(template).map(|parts| Self { parts })
    }

    /// Reads one path, with or without braces and leading dot: `{.spec.x}`, `.spec.x`, `spec.x`, `$.spec.x`.
    pub fn parse_path(path: &str) -> Result<Self, JsonPathError> {
        let inner = path.trim();
        let inner = inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(inner);
        parse::path(inner).map(|path| Self { parts: vec![Part::Path(path)] })
    }

    /// Returns the values all paths of the template lead to, in order; what is not there is skipped.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        eval::find(&self.parts, value)
    }

    /// Returns the first value, as a printer column shows.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.find(value).into_iter().next()
    }

    /// Returns the template filled in: values of one path are separated by spaces, objects and lists are JSON.
    pub fn render(&self, value: &Value, missing: Missing) -> Result<String, JsonPathError> {
        let mut out = String::new();
        eval::render(&self.parts, value, value, missing, &mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{JsonPath, Missing};

    fn store() -> Value {
        json!({
            "kind": "List",
            "items": [
                {"metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}}, "status": {"n": 1, "conditions": [{"type": "Ready", "status": "True"}, {"type": "Live", "status": "False"}]}},
                {"metadata": {"name": "b"}, "status": {"n": 2.5, "ok": true, "conditions": [{"type": "Ready", "status": "False"}]}},
                {"metadata": {"name": "c"}, "status": {"n": 3, "capacity": {"cpu": "4"}}},
            ],
        })
    }

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let path = JsonPath::parse(template).unwrap_or_else(|error| panic!("{template}: {error}"));
        assert_eq!(path.render(&store(), Missing::Skip).as_deref(), Ok(expected), "{template}");
    }

    #[test]
    fn templates_are_filled_in() {
        check("{.kind}", "List");
        check("{$.kind} {@.kind}", "List List");
        check("kind is {.kind}.", "kind is List.");
        check("{.items[*].metadata.name}", "a b c");
        check("{.items[0].metadata.name}", "a");
        check("{.items[-1].metadata.name}", "c");
        check("{.items[0:2].metadata.name}", "a b");
        check("{.items[1:].metadata.name}", "b c");
        check("{.items[:-1].metadata.name}", "a b");
        check("{.items[0:3:2].metadata.name}", "a c");
        check("{.items[0,2].metadata.name}", "a c");
        check("{.items[0]['metadata','status'].name}", "a");
        check("{.items[*]['metadata.name','status.n']}", "a b c 1 2.5 3");
        check("{range .items[*]}{.metadata.name}={.status.n}{\"\\n\"}{end}", "a=1\nb=2.5\nc=3\n");
        check("{range .items[*]}[{.metadata.name}{range .status.conditions[*]} {.type}{end}]{end}", "[a Ready Live][b Ready][c]");
        check("{.items[?(@.status.n>1)].metadata.name}", "b c");
        check("{.items[?(@.metadata.name=='b')].status.ok}", "true");
        check("{.items[?(@.metadata.name!=\"b\")].metadata.name}", "a c");
        check("{.items[?(@.status.ok)].metadata.name}", "b");
        check("{.items[?(@.status.ok==true)].metadata.name}", "b");
        check("{.items[*].status.conditions[?(@.type==\"Ready\")].status}", "True False");
        check("{..name}", "a b c");
        check("{..conditions[0].type}", "Ready Ready");
        check("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "x");
        check("{.items[0].metadata.labels['app\\.kubernetes\\.io/name']}", "x");
        check("{.items[0].metadata.labels[\"app\\.kubernetes\\.io/name\"]}", "x");
        check("{.items[2].status.capacity}", "{\"cpu\":\"4\"}");
        check("{.items[2].status.capacity.*}", "4");
        check("{.items[0].none}", "");
        check("{'text'}", "text");
    }

    #[test]
    fn single_paths_need_no_braces() {
        for path in [".spec.replicas", "spec.replicas", "{.spec.replicas}", "$.spec.replicas"] {
            assert_eq!(JsonPath::parse_path(path).unwrap().first(&json!({"spec": {"replicas": 3}})), Some(&json!(3)), "{path}");
        }
        assert_eq!(JsonPath::parse_path(".a.b").unwrap().first(&json!({})), None);
        let ready = JsonPath::parse_path(".status.conditions[?(@.type==\"Ready\")].status").unwrap();
        assert_eq!(ready.first(&store()["items"][0]), Some(&json!("True")));
    }

    #[test]
    fn missing_keys_are_refused_on_request() {
        let render = |template: &str| JsonPath::parse(template).unwrap().render(&store(), Missing::Refuse);
        assert_eq!(render("{.nope}").unwrap_err().0, "nope is not found");
        assert_eq!(render("{.items[7]}").unwrap_err().0, "array index out of bounds: index 7, length 3");
        assert!(render("{.items[*].metadata.name}").is_ok());
    }

    #[test]
    fn malformed_templates_say_why() {
        for (template, error) in [
            ("{.a", "unclosed action"),
            ("{.a[}", "unterminated array"),
            ("{range .a}{.b}", "not in range, nothing to end"),
            ("{end}", "not in range, nothing to end"),
            ("{.a[?(@.b==\"x\"]}", "unterminated filter"),
            ("{.a[x]}", "invalid array index x"),
            ("{\"x}", "unterminated quoted string"),
            ("{.a[0:1:0]}", "step must be > 0"),
        ] {
            assert_eq!(JsonPath::parse(template).unwrap_err().0, error, "{template}");
        }
    }
}

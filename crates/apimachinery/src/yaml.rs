//! YAML in and out, with the meaning Go gives it.
//!
//! Kubernetes reads YAML 1.1 through Go: `yes`, `on` are booleans, `0755` is octal, `1_000` a number, keys become
//! strings (`on:` is `"true"`), and of two equal keys the last counts. Reading follows that within budgets of
//! depth and size. Writing quotes whatever any reader, 1.1 or 1.2, could take for something else.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Options};

/// Nesting a document may have. The deepest known CRDs need about 45; a level costs up to 25 KB of stack.
pub const DEPTH_MAX: usize = 64;
/// Bytes of text read at once.
pub const BYTES_MAX: usize = 64 << 20;
/// Parser events of all documents of a text.
const EVENTS_MAX: usize = 8_000_000;
/// Events that aliases may repeat.
const REPEATED_MAX: usize = 100_000;

/// What two equal keys of one map mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// The last counts, as Go without strict validation.
    LastWins,
    /// The text is refused.
    Refuse,
}

/// Text that is no YAML, or beyond a budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error converting YAML to JSON: yaml: {text}")]
pub struct YamlError {
    text: String,
    /// The same without its place.
    what: String,
    line: Option<usize>,
}

impl YamlError {
    fn new(text: String) -> Self {
        Self { what: text.clone(), text, line: None }
    }

    fn of(error: serde_saphyr::Error) -> Self {
        let text = refusal(&error.to_string());
        let plain = error.without_snippet();
        let line = plain.location().and_then(|at| usize::try_from(at.line()).ok());
        let said = refusal(&plain.to_string());
        // The text ends with its own position.
        let what = said.split(" at line ").next().unwrap_or(&said).to_owned();
        Self { text, what, line }
    }

    /// Returns what is wrong, without where.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Returns the line it is at, if that is known; the first is 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

/// Reads one document; an empty one is `null`.
pub fn from_str(text: &str, duplicates: DuplicateKeys) -> Result<Value, YamlError> {
    let mut documents = from_str_many(text, duplicates)?;
    match documents.len() {
        0 => Ok(Value::Null),
        1 => Ok(documents.remove(0)),
        count => Err(YamlError::new(format!("one document is expected, not {count}"))),
    }
}

/// Reads all documents of `text` but the empty ones.
pub fn from_str_many(text: &str, duplicates: DuplicateKeys) -> Result<Vec<Value>, YamlError> {
    if text.len() > BYTES_MAX {
        return Err(YamlError::new(format!("the text has {} bytes, at most {BYTES_MAX} are read", text.len())));
    }
    let documents: Vec<Document> = serde_saphyr::from_multiple_with_options(text, options(duplicates, false)).map_err(YamlError::of)?;
    let mut values = Vec::with_capacity(documents.len());
    for Document(value, repeated) in documents {
        if let (Some(key), DuplicateKeys::Refuse) = (repeated, duplicates) {
            return Err(YamlError::new(format!("key {key:?} already set in map")));
        }
        if !value.is_null() {
            values.push(value);
        }
    }
    Ok(values)
}

/// Reads one document with YAML 1.2's booleans: `yes` and `on` are text, as keys too. So go-yaml v3 reads, and what is
/// built on it (kyaml, Kustomize). Equal keys are refused, and so are keys that are not text. A block of text that ends
/// with the document ends without a line break if the document does.
pub fn from_str_core(text: &str) -> Result<Value, YamlError> {
    let mut value = core(text)?;
    if !text.ends_with('\n') && text.contains(['|', '>']) {
        // What an end mark is part of, with a break the mark cannot have got from the text, is such a block.
        if let Ok(marked) = core(&format!("{text}{END_MARK}")) {
            drop_final_break(&mut value, &marked);
        }
    }
    Ok(value)
}

/// A character for private use.
const END_MARK: char = '\u{f8ff}';

fn drop_final_break(value: &mut Value, marked: &Value) {
    match (value, marked) {
        (Value::Object(fields), Value::Object(marked)) => {
            fields.iter_mut().for_each(|(name, value)| drop_final_break(value, marked.get(name).unwrap_or(&Value::Null)));
        }
        (Value::Array(items), Value::Array(marked)) => items.iter_mut().zip(marked).for_each(|(a, b)| drop_final_break(a, b)),
        (Value::String(text), Value::String(marked)) if marked.strip_suffix('\n').is_some_and(|m| m.ends_with(END_MARK)) => {
            text.truncate(text.strip_suffix('\n').unwrap_or(text).len());
        }
        _ => {}
    }
}

fn core(text: &str) -> Result<Value, YamlError> {
    if text.len() > BYTES_MAX {
        return Err(YamlError::new(format!("the text has {} bytes, at most {BYTES_MAX} are read", text.len())));
    }
    let options = options(DuplicateKeys::Refuse, true);
    let documents: Vec<CoreDocument> = serde_saphyr::from_multiple_with_options(text, options).map_err(YamlError::of)?;
    let mut values = documents.into_iter().map(|document| document.0).filter(|value| !value.is_null());
    let first = values.next().unwrap_or(Value::Null);
    match values.count() {
        0 => Ok(first),
        more => Err(YamlError::new(format!("one document is expected, not {}", more + 1))),
    }
}

/// Writes one document, keys sorted, with a newline at the end.
pub fn to_string(value: &Value) -> String {
    let options = serde_saphyr::ser_options! {
        compact_list_indent: true,
        // Folding long lines changes nothing but the reader's patience.
        folded_wrap_chars: usize::MAX,
    };
    let mut text = serde_saphyr::to_string_with_options(value, options).unwrap_or_else(|_| value.to_string());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn options(duplicates: DuplicateKeys, strict_booleans: bool) -> Options {
    let duplicate_keys = match duplicates {
        DuplicateKeys::LastWins => DuplicateKeyPolicy::LastWins,
        DuplicateKeys::Refuse => DuplicateKeyPolicy::Error,
    };
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: EVENTS_MAX,
            max_nodes: EVENTS_MAX,
            max_depth: DEPTH_MAX,
            max_documents: 100_000,
            max_total_scalar_bytes: BYTES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPEATED_MAX },
        duplicate_keys: duplicate_keys,
        legacy_octal_numbers: true,
        strict_booleans: strict_booleans,
    }
}

/// Returns the parser's first line, with the limit where one was hit.
fn refusal(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    // The parser has a limit of its own that very deep text meets first.
    if let Some(place) = line.strip_suffix("recursion limit exceeded") {
        return format!("{place}nested deeper than {DEPTH_MAX} levels");
    }
    let Some((place, breached)) = line.split_once("budget breached: ") else { return line.to_owned() };
    if breached.starts_with("Depth") {
        return format!("{place}nested deeper than {DEPTH_MAX} levels");
    }
    format!(
        "{place}more than is read of one text ({breached}); no more than {REPEATED_MAX} repeated by aliases, {EVENTS_MAX} values in all"
    )
}

/// A document, and a key that became equal to another one as a string.
struct Document(Value, Option<String>);

impl<'de> serde::Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut repeated = None;
        let value = Node { depth: 0, text_keys: false, repeated: &mut repeated }.deserialize(deserializer)?;
        Ok(Document(value, repeated))
    }
}

/// A document whose keys are text.
struct CoreDocument(Value);

impl<'de> serde::Deserialize<'de> for CoreDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node { depth: 0, text_keys: true, repeated: &mut None }.deserialize(deserializer).map(CoreDocument)
    }
}

struct Node<'r> {
    depth: usize,
    /// Keys that are not text are refused, not turned into it.
    text_keys: bool,
    repeated: &'r mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // JSON has no other name for a whole float: 1e3 is 1000.
        if value.fract() == 0.0 && value.abs() < 9e15 {
            return Ok((value as i64).into());
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom(format!("json: unsupported value: {value}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<Value, E> {
        // `!!binary`, which Go decodes into a string.
        String::from_utf8(value.to_vec()).map(Value::String).map_err(|_| E::custom("!!binary value contains invalid UTF-8"))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(Node { depth: self.depth + 1, text_keys: self.text_keys, repeated: self.repeated })? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key_seed(Node { depth: self.depth + 1, text_keys: self.text_keys, repeated: self.repeated })? {
            if self.text_keys && !key.is_string() {
                return Err(A::Error::custom(format!("the key {key} is not text; put it in quotes")));
            }
            let key = key_text(key).map_err(A::Error::custom)?;
            let value = map.next_value_seed(Node { depth: self.depth + 1, text_keys: self.text_keys, repeated: self.repeated })?;
            if object.insert(key.clone(), value).is_some() {
                self.repeated.get_or_insert(key);
            }
        }
        Ok(Value::Object(object))
    }
}

/// Returns a key as JSON can have it.
fn key_text(key: Value) -> Result<String, String> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(key.to_string()),
        Value::Null => Ok("null".to_owned()),
        Value::Array(_) | Value::Object(_) => Err(format!("unsupported map key: {key}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{DuplicateKeys, from_str, from_str_many, to_string};

    fn read(text: &str) -> Value {
        from_str(text, DuplicateKeys::LastWins).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn scalars_mean_what_go_reads() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("off", json!(false)),
            ("n", json!(false)),
            ("~", json!(null)),
            ("", json!(null)),
            ("\"yes\"", json!("yes")),
            ("0777", json!(511)),
            ("0o777", json!(511)),
            ("0x1F", json!(31)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            ("1.50", json!(1.5)),
            ("012a", json!("012a")),
            ("2001-01-01", json!("2001-01-01")),
            ("1:30", json!("1:30")),
            ("18446744073709551615", json!(18446744073709551615u64)),
            ("-5", json!(-5)),
            ("!!binary aGk=", json!("hi")),
            ("!!str 1", json!("1")),
            ("|\n  a\n  b\n", json!("a\nb\n")),
        ] {
            assert_eq!(read(&format!("a: {text}"))["a"], expected, "{text}");
        }
    }

    #[test]
    fn keys_become_strings_as_in_go() {
        assert_eq!(
            read("on: 1\n1: 2\n1.5: 3\nnull: 4\n'yes': 5\nx: 6\n"),
            json!({"true": 1, "1": 2, "1.5": 3, "null": 4, "yes": 5, "x": 6})
        );
        assert_eq!(read("y: 1"), json!({"true": 1}));
    }

    #[test]
    fn the_core_reader_knows_two_booleans_and_keys_of_text() {
        let read = |text: &str| super::from_str_core(text);
        assert_eq!(
            read("a: [yes, on, n, true, FALSE]\non: 1\ny: 0777").unwrap(),
            json!({"a": ["yes", "on", "n", true, false], "on": 1, "y": 511})
        );
        assert_eq!(read("# nothing").unwrap(), json!(null));
        assert_eq!(read("a: {b: |}\nc: |\n  x\n  y").ok(), None);
        assert_eq!(read("a: |\n  x\nc: |\n  x\n  y").unwrap(), json!({"a": "x\n", "c": "x\ny"}));
        assert_eq!(read("c: |\n  x\n  y\n").unwrap(), json!({"c": "x\ny\n"}));
        assert_eq!(read("c: [a > b, '|', 5]").unwrap(), json!({"c": ["a > b", "|", 5]}));
        assert_eq!(read("c: a|\nd: 5").unwrap(), json!({"c": "a|", "d": 5}));
        for text in ["1: a", "true: a", "a: 1\na: 2", "a: 1\n---\nb: 1"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts_unless_refused() {
        assert_eq!(read("a: 1\na: 2"), json!({"a": 2}));
        let error = from_str("a: 1\na: 2", DuplicateKeys::Refuse).unwrap_err().to_string();
        assert!(error.starts_with("error converting YAML to JSON: yaml: "), "{error}");
        assert!(error.contains("a"), "{error}");
        assert!(from_str("1: 1\n'1': 2", DuplicateKeys::Refuse).is_err());
    }

    #[test]
    fn anchors_and_merge_keys_are_expanded() {
        assert_eq!(read("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n"), json!({"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}));
    }

    #[test]
    fn documents_are_told_apart_and_empty_ones_skipped() {
        let many = from_str_many("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n", DuplicateKeys::LastWins).unwrap();
        assert_eq!(many, [json!({"a": 1}), json!({"b": 2})]);
        assert!(from_str("a: 1\n---\nb: 2", DuplicateKeys::LastWins).is_err());
        assert_eq!(read("{\"json\": [1, true]}"), json!({"json": [1, true]}));
    }

    #[test]
    fn bombs_and_nonsense_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let above = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{above}"); 10].join(", ")));
        }
        assert!(from_str(&bomb, DuplicateKeys::LastWins).is_err());
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(from_str(&deep(64), DuplicateKeys::LastWins).is_ok());
        let error = from_str(&deep(65), DuplicateKeys::LastWins).unwrap_err().to_string();
        assert!(error.contains("deeper than 64 levels"), "{error}");
        let error = from_str(&deep(100_000), DuplicateKeys::LastWins).unwrap_err().to_string();
        assert!(error.contains("deeper than 64 levels"), "{error}");
        for text in ["a: [1", "a: b: c", "a: 'x", "{[1]: 2}", "a: .nan"] {
            let error = from_str(text, DuplicateKeys::LastWins);
            assert!(error.is_err(), "{text}: {error:?}");
        }
    }

    #[test]
    fn what_any_reader_could_mistake_is_quoted() {
        let text = to_string(
            &json!({"a": "yes", "b": "0777", "c": "1_000", "d": "2001-01-01", "e": "12:30", "f": "null", "on": "plain", "l": [{"x": 1}], "t": "a\nb\n", "empty": {}, "none": null}),
        );
        for line in ["a: \"yes\"", "b: \"0777\"", "c: \"1_000\"", "e: \"12:30\"", "\"on\": plain", "empty: {}", "none: null"] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(text.contains("l:\n- x: 1\n"), "{text}");
        assert!(text.contains("t: |\n  a\n  b\n"), "{text}");
    }

    fn value() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            "[a-z]{0,4}",
            "[ -~]{0,12}",
            "(yes|no|on|y|null|~|0x1|0o7|1e3|1_0|-|\\?|=|<<|!!a|\\.inf|1:30)",
            "[a-c \n\t\"'#:é\u{85}]{0,12}"
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6f64).prop_filter("whole floats read as integers", |n| n.fract() != 0.0).prop_map(Value::from),
            word.clone().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(word.clone(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back(value in value()) {
            let text = to_string(&json!({"top": value.clone()}));
            prop_assert_eq!(&read(&text)["top"], &value, "{}", text);
        }
    }
}

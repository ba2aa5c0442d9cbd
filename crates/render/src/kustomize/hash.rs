//! The hash at the end of a generated object's name.
//!
//! As `api/hasher`: SHA-256 of the kind and content as compact JSON in Go's spelling; its first ten digits, with
//! those replaced that could form a word.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Returns the hash of a ConfigMap or Secret.
pub(crate) fn of(object: &Value) -> Result<String, String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let (extra, fields): (&str, &[&str]) = match kind {
        "ConfigMap" => ("binaryData", &["data"]),
        "Secret" => ("stringData", &["data", "type"]),
        other => return Err(format!("{other} has no content hash")),
    };
    let mut content = Map::new();
    content.insert("kind".to_owned(), Value::String(kind.to_owned()));
    // Upstream looks for a field called "metadata/name", so that the name never counts.
    content.insert("name".to_owned(), Value::String(String::new()));
    for field in fields {
        content.insert((*field).to_owned(), object.get(field).cloned().unwrap_or_else(|| Value::String(String::new())));
    }
    if let Some(map) = object.get(extra).filter(|value| value.is_object()) {
        content.insert(extra.to_owned(), map.clone());
    }
    let digest = Sha256::digest(go_json(&Value::Object(content)));
    let hex: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    Ok(hex.chars().map(harmless).collect())
}

fn harmless(digit: char) -> char {
    match digit {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    }
}

/// Go escapes what could end a script in HTML, and two line separators.
fn go_json(value: &Value) -> String {
    let text = value.to_string();
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn hashes_are_those_of_kubectl() {
        // From kubectl 1.35: an empty ConfigMap and one with data.
        let empty = json!({"kind": "ConfigMap", "metadata": {"name": "app"}});
        let full = json!({"kind": "ConfigMap", "metadata": {"name": "app"}, "data": {"a": "<b> & é\u{2028}"}});
        assert_eq!(super::of(&empty).unwrap(), "6ct58987ht");
        assert_eq!(super::of(&full).unwrap(), "2d8df2dm4c");
    }
}

//! What names, label keys and label values may look like, in upstream's words.
//!
//! Each function returns what is wrong, empty when nothing is; as apimachinery's
//! `util/validation/validation.go`.

pub const DNS1123_LABEL_MAX: usize = 63;
pub const DNS1123_SUBDOMAIN_MAX: usize = 253;
const QUALIFIED_NAME_MAX: usize = 63;
const LABEL_VALUE_MAX: usize = 63;
const DNS1035_LABEL_MAX: usize = 63;

const DNS1123_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS1123_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS1035_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Names of namespaces, containers, ports.
pub fn dns1123_label(name: &str) -> Vec<String> {
    let mut wrong = too_long(name, DNS1123_LABEL_MAX);
    if !is_label(name) {
        wrong.push(if is_subdomain(name) { "must not contain dots".to_owned() } else { DNS1123_LABEL.to_owned() });
    }
    wrong
}

/// Names of most objects.
pub fn dns1123_subdomain(name: &str) -> Vec<String> {
    let mut wrong = too_long(name, DNS1123_SUBDOMAIN_MAX);
    if !is_subdomain(name) {
        wrong.push(DNS1123_SUBDOMAIN.to_owned());
    }
    wrong
}

/// Names of Services.
pub fn dns1035_label(name: &str) -> Vec<String> {
    let mut wrong = too_long(name, DNS1035_LABEL_MAX);
    if !is_label(name) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        wrong.push(DNS1035_LABEL.to_owned());
    }
    wrong
}

/// Names that become one segment of a URL path (RBAC objects).
pub fn path_segment(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// Keys of labels and annotations, finalizers: `name` or `prefix/name`.
pub fn qualified_name(key: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut parts = key.split('/');
    let (first, second, more) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    let name = match (second, more) {
        (None, _) => first,
        (Some(name), None) => {
            if first.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(dns1123_subdomain(first).into_iter().map(|w| format!("prefix part {w}")));
            }
            name
        }
        (Some(_), Some(_)) => {
            return vec![format!(
                "a qualified name {QUALIFIED_NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > QUALIFIED_NAME_MAX {
        wrong.push(format!("name part must be no more than {QUALIFIED_NAME_MAX} bytes"));
    }
    if !is_qualified_part(name) {
        wrong.push(format!("name part {QUALIFIED_NAME}"));
    }
    wrong
}

/// Values of labels.
pub fn label_value(value: &str) -> Vec<String> {
    let mut wrong = too_long(value, LABEL_VALUE_MAX);
    if !value.is_empty() && !is_qualified_part(value) {
        wrong.push(LABEL_VALUE.to_owned());
    }
    wrong
}

fn too_long(text: &str, max: usize) -> Vec<String> {
    if text.len() > max { vec![format!("must be no more than {max} bytes")] } else { Vec::new() }
}

/// Says whether `text` is `[a-z0-9]([-a-z0-9]*[a-z0-9])?`.
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric) && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// Says whether `text` is `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`.
fn is_qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass_and_bad_names_say_why() {
        for (check, good, bad) in [
            (dns1123_label as fn(&str) -> Vec<String>, "a-1", "A"),
            (dns1123_label, "0", "a.b"),
            (dns1123_subdomain, "a.b-c.0", "a..b"),
            (dns1035_label, "a1", "1a"),
            (qualified_name, "x.io/Name_1.2", "x.io/"),
            (qualified_name, "n", "/n"),
            (qualified_name, "a/b", "a/b/c"),
            (label_value, "", "-a"),
            (label_value, "V1.2_x", "a b"),
            (path_segment, "system:admin", "a/b"),
        ] {
            assert_eq!(check(good), Vec::<String>::new(), "{good}");
            assert!(!check(bad).is_empty(), "{bad}");
        }
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(label_value(&"x".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(qualified_name("x.io/")[0], "name part must be non-empty");
    }
}

//! Regular expressions as Go reads them, on the `regex` crate.
//!
//! Both are RE2-like. What differs is small and common in CRDs: Go's `\d`, `\w`, `\s`, `\b` are ASCII,
//! `{` that opens no repetition is itself, and `[`, `&` inside a class are themselves.

use std::fmt;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

/// Compiled size a pattern may take; a larger one is refused like a malformed one.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A pattern compiled at its first use. All are equal: the text beside it is what identifies.
#[derive(Default)]
pub struct LazyRegex(OnceLock<Option<Regex>>);

impl LazyRegex {
    /// Returns whether `text` matches; a pattern that does not compile matches everything,
    /// because [`super::structural`] has refused it where it was written.
    pub fn is_match(&self, pattern: &str, text: &str) -> bool {
        self.0.get_or_init(|| compile(pattern).ok()).as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

impl Clone for LazyRegex {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl PartialEq for LazyRegex {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for LazyRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LazyRegex")
    }
}

/// Compiles a Go regular expression.
pub fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&from_go(pattern)).size_limit(COMPILED_BYTES_MAX).build()
}

fn from_go(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars();
    let mut in_class = false;
    let mut class_start = false;
    while let Some(c) = rest.next() {
        let at_class_start = std::mem::take(&mut class_start);
        match c {
            '\\' => match rest.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str(r"[\t\n\f\r ]"),
                Some('S') => out.push_str(r"[^\t\n\f\r ]"),
                Some('b') if !in_class => out.push_str(r"(?-u:\b)"),
                Some('B') if !in_class => out.push_str(r"(?-u:\B)"),
                Some('Q') if !in_class => {
                    let text = rest.as_str();
                    let (literal, after) = text.split_once(r"\E").unwrap_or((text, ""));
                    out.push_str(&regex::escape(literal));
                    rest = after.chars();
                }
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                class_start = true;
                out.push('[');
            }
            '[' if rest.as_str().starts_with(':') => out.push('['),
            '^' if at_class_start => {
                class_start = true;
                out.push('^');
            }
            ']' if in_class && at_class_start => out.push_str(r"\]"),
            ']' if in_class => {
                // The end of `[:alpha:]` is not the end of the class around it.
                // `[:]` is a class with a colon and has nothing between the two.
                let named = out.rfind("[:").filter(|_| out.ends_with(':')).and_then(|open| out.get(open + 2..out.len() - 1));
                in_class = named.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphabetic() || c == '^'));
                out.push(']');
            }
            '[' | '&' | '~' if in_class => out.extend(['\\', c]),
            '{' if !in_class && !opens_repetition(rest.as_str()) => out.push_str(r"\{"),
            _ => out.push(c),
        }
    }
    out
}

/// Says whether `rest`, which follows a `{`, is `n}`, `n,}` or `n,m}`.
fn opens_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else { return false };
    let (from, to) = inside.split_once(',').unwrap_or((inside, ""));
    !from.is_empty() && from.bytes().chain(to.bytes()).all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let regex = compile(pattern).unwrap();
        for text in yes {
            assert!(regex.is_match(text), "{pattern} should match {text}");
        }
        for text in no {
            assert!(!regex.is_match(text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn reads_patterns_as_go_does() {
        check(r"^\d+$", &["12"], &["٣", ""]);
        check(r"^{{.*}}$", &["{{x}}"], &["x"]);
        check(r"^a{2,3}$", &["aa"], &["a"]);
        check(r"^[[a&&b]+$", &["[a&b"], &["c"]);
        check(r"^[[:alpha:]_]+$", &["ab_"], &["1"]);
        check(r"^[^]x]$", &["a"], &["]", "x"]);
        check(r"^a[:]b$", &["a:b"], &["ab"]);
        check(r"^[\w.-]+\.io$", &["a.b-c.io"], &["é.io"]);
        check(r"^\Qa.b\E$", &["a.b"], &["axb"]);
        check(r"^(\/[a-z]+)*$", &["/a/b", ""], &["a"]);
        assert!(compile("(").is_err());
    }
}

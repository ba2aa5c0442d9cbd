//! Reading templates.

use serde_json::Value;

use super::{Comparison, Filter, JsonPathError, Operand, Part, Path, Step};

/// Nesting of ranges a template may have, and of filters a path may have.
const DEPTH_MAX: usize = 16;

type Result<T> = std::result::Result<T, JsonPathError>;

fn error<T>(text: impl Into<String>) -> Result<T> {
    Err(JsonPathError(text.into()))
}

pub fn template(text: &str) -> Result<Vec<Part>> {
    let mut open: Vec<(Option<Path>, Vec<Part>)> = vec![(None, Vec::new())];
    let mut rest = text;
    while !rest.is_empty() {
        let Some((before, after)) = rest.split_once('{') else {
            push(&mut open, Part::Text(rest.to_owned()));
            break;
        };
        if !before.is_empty() {
            push(&mut open, Part::Text(before.to_owned()));
        }
        let (action, after) = action(after)?;
        rest = after;
        actions(action.trim(), &mut open)?;
    }
    match open.pop() {
        Some((None, parts)) => Ok(parts),
        Some((Some(_), _)) | None => error("not in range, nothing to end"),
    }
}

fn push(open: &mut [(Option<Path>, Vec<Part>)], part: Part) {
    if let Some((_, parts)) = open.last_mut() {
        parts.push(part);
    }
}

/// Splits what is in braces from what follows them.
fn action(text: &str) -> Result<(&str, &str)> {
    let mut quote = None;
    let mut is_escaped = false;
    for (index, c) in text.char_indices() {
        match (c, quote) {
            _ if is_escaped => is_escaped = false,
            ('\\', _) => is_escaped = true,
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(c),
            ('}', None) => return Ok((&text[..index], &text[index + 1..])),
            _ => {}
        }
    }
    if quote.is_some() { error("unterminated quoted string") } else { error("unclosed action") }
}

/// Reads an action: a path, a quoted text, `range <path>`, `end`; several may follow each other.
fn actions(action: &str, open: &mut Vec<(Option<Path>, Vec<Part>)>) -> Result<()> {
    if let Some(rest) = action.strip_prefix("range").filter(|rest| rest.starts_with([' ', '\t', '.', '$', '@', '['])) {
        if open.len() > DEPTH_MAX {
            return error(format!("ranges are nested deeper than {DEPTH_MAX}"));
        }
        open.push((Some(path(rest.trim())?), Vec::new()));
        return Ok(());
    }
    if action == "end" {
        return match open.pop() {
            Some((Some(path), parts)) => {
                push(open, Part::Range(path, parts));
                Ok(())
            }
            Some((None, _)) | None => error("not in range, nothing to end"),
        };
    }
    if action.starts_with(['"', '\'']) {
        let (text, rest) = quoted(action)?;
        push(open, Part::Text(text));
        let rest = rest.trim_start();
        return if rest.is_empty() { Ok(()) } else { actions(rest, open) };
    }
    push(open, Part::Path(path(action)?));
    Ok(())
}

/// Reads one whole path.
pub fn path(text: &str) -> Result<Path> {
    let (path, rest) = steps(text, 0)?;
    if rest.is_empty() { Ok(path) } else { error(format!("unrecognized character in action: {rest}")) }
}

/// Reads a path up to what cannot be part of one.
fn steps(text: &str, depth: usize) -> Result<(Path, &str)> {
    let mut path = Path::default();
    let mut rest = text;
    if let Some(after) = rest.strip_prefix('$') {
        path.is_absolute = true;
        rest = after;
    } else if let Some(after) = rest.strip_prefix('@') {
        rest = after;
    }
    let mut is_first = true;
    loop {
        if let Some(after) = rest.strip_prefix("..") {
            path.steps.push(Step::Descend);
            rest = after;
            if !rest.starts_with('[') {
                rest = field(rest, &mut path)?;
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = if after.starts_with('[') { after } else { field(after, &mut path)? };
        } else if let Some(after) = rest.strip_prefix('[') {
            let (steps, after) = bracket(after, depth)?;
            path.steps.extend(steps);
            rest = after;
        } else if is_first && rest.starts_with(is_name) {
            rest = field(rest, &mut path)?;
        } else {
            return Ok((path, rest));
        }
        is_first = false;
    }
}

fn is_name(c: char) -> bool {
    !matches!(c, '.' | '[' | ']' | '(' | ')' | '{' | '}' | '=' | '!' | '<' | '>' | ',' | '"' | '\'' | '$' | '@' | '?') && !c.is_whitespace()
}

/// Reads a name after a dot, in which a backslash makes the next character ordinary.
fn field<'t>(text: &'t str, path: &mut Path) -> Result<&'t str> {
    let mut name = String::new();
    let mut is_escaped = false;
    let mut end = text.len();
    for (index, c) in text.char_indices() {
        if is_escaped {
            name.push(c);
            is_escaped = false;
        } else if c == '\\' {
            is_escaped = true;
        } else if is_name(c) {
            name.push(c);
        } else {
            end = index;
            break;
        }
    }
    match name.as_str() {
        // `{.}` is the value itself.
        "" => {}
        "*" => path.steps.push(Step::Wildcard),
        _ => path.steps.push(Step::Field(name)),
    }
    Ok(&text[end..])
}

/// Reads what follows `[`.
fn bracket(text: &str, depth: usize) -> Result<(Vec<Step>, &str)> {
    if let Some(after) = text.strip_prefix("?(") {
        if depth >= DEPTH_MAX {
            return error(format!("filters are nested deeper than {DEPTH_MAX}"));
        }
        let (filter, rest) = filter(after, depth + 1)?;
        let rest = rest.trim_start().strip_prefix(')').and_then(|rest| rest.trim_start().strip_prefix(']'));
        return match rest {
            Some(rest) => Ok((vec![Step::Filter(filter)], rest)),
            None => error("unterminated filter"),
        };
    }
    let mut parts: Vec<Path> = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let (steps, after) = element(rest)?;
        parts.push(Path { is_absolute: false, steps });
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
        } else if let Some(after) = rest.strip_prefix(']') {
            let single = if parts.len() == 1 { parts.pop() } else { None };
            return Ok((single.map_or_else(|| vec![Step::Union(parts)], |single| single.steps), after));
        } else {
            return error("unterminated array");
        }
    }
}

/// Reads one of a union: a number, a slice, a quoted key or path, `*`.
fn element(text: &str) -> Result<(Vec<Step>, &str)> {
    if text.starts_with(['"', '\'']) {
        let (raw, rest) = raw_quoted(text)?;
        return Ok((quoted_keys(raw), rest));
    }
    let Some(end) = text.find([',', ']']) else { return error("unterminated array") };
    let (word, rest) = (text[..end].trim(), &text[end..]);
    if word == "*" {
        return Ok((vec![Step::Wildcard], rest));
    }
    if let Some(name) = word.strip_prefix('.') {
        return Ok((quoted_keys(name), rest));
    }
    let number = |word: &str| -> Result<Option<i64>> {
        match word.trim() {
            "" => Ok(None),
            word => word.parse().map(Some).or_else(|_| error(format!("invalid array index {word}"))),
        }
    };
    let mut words = word.split(':');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(index), None, None, None) => match number(index)? {
            Some(index) => Ok((vec![Step::Index(index)], rest)),
            None => error("invalid array index "),
        },
        (Some(from), Some(to), by, None) => {
            let by = number(by.unwrap_or(""))?;
            if by.is_some_and(|by| by <= 0) {
                return error("step must be > 0");
            }
            Ok((vec![Step::Slice { from: number(from)?, to: number(to)?, by }], rest))
        }
        _ => error(format!("invalid array index {word}")),
    }
}

/// Reads the keys between quotes: `a.b` is two steps, as in kubectl, `a\.b` one.
fn quoted_keys(text: &str) -> Vec<Step> {
    let mut keys = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, keys.last_mut()) {
            ('.', _) => keys.push(String::new()),
            ('\\', Some(key)) => key.extend(chars.next()),
            (c, Some(key)) => key.push(c),
            (_, None) => {}
        }
    }
    keys.into_iter().filter(|key| !key.is_empty()).map(|key| if key == "*" { Step::Wildcard } else { Step::Field(key) }).collect()
}

fn filter(text: &str, depth: usize) -> Result<(Filter, &str)> {
    let (left, rest) = operand(text.trim_start(), depth)?;
    let rest = rest.trim_start();
    let symbols = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    for (symbol, comparison) in symbols {
        if let Some(after) = rest.strip_prefix(symbol) {
            let (right, rest) = operand(after.trim_start(), depth)?;
            return Ok((Filter::Compare(left, comparison, right), rest));
        }
    }
    match left {
        Operand::Path(path) => Ok((Filter::Exists(path), rest)),
        Operand::Literal(_) => error("a filter must compare, or name a path"),
    }
}

fn operand(text: &str, depth: usize) -> Result<(Operand, &str)> {
    if text.starts_with(['"', '\'']) {
        let (literal, rest) = quoted(text)?;
        return Ok((Operand::Literal(Value::String(literal)), rest));
    }
    if text.starts_with(['@', '$', '.', '[']) {
        let (path, rest) = steps(text, depth)?;
        return Ok((Operand::Path(path), rest));
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match serde_json::from_str::<Value>(word) {
        Ok(literal @ (Value::Bool(_) | Value::Number(_) | Value::Null)) => Ok((Operand::Literal(literal), rest)),
        Ok(_) | Err(_) => error(format!("unrecognized identifier {word}")),
    }
}

/// Splits `"..."` or `'...'` from what follows.
fn raw_quoted(text: &str) -> Result<(&str, &str)> {
    let quote = text.chars().next().unwrap_or('"');
    let mut is_escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return Ok((&text[1..index], &text[index + 1..])),
            _ => {}
        }
    }
    error("unterminated quoted string")
}

/// Reads a quoted text with Go's escapes.
fn quoted(text: &str) -> Result<(String, &str)> {
    let (raw, rest) = raw_quoted(text)?;
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    out.push(code.ok_or_else(|| JsonPathError(format!("invalid escape \\u{digits}")))?);
                }
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    Ok((out, rest))
}

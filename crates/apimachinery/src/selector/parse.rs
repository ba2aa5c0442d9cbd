//! Reading label selector strings.

use super::InvalidSelector;
use super::label::{Operator, Requirement};

const BINARY: &str = "in, notin, =, ==, !=, gt, lt";
const END: Token = Token { text: "", is_word: false };

/// A piece of a selector: a symbol, or a word. `in` and `notin` are words until an operator is expected.
#[derive(Clone, Copy, PartialEq)]
struct Token<'t> {
    text: &'t str,
    is_word: bool,
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
}

pub fn requirements(text: &str) -> Result<Vec<Requirement>, InvalidSelector> {
    let mut parser = Parser { tokens: tokens(text), next: 0 };
    let mut requirements = Vec::new();
    loop {
        let token = parser.peek();
        if token == END {
            return Ok(requirements);
        }
        if !token.is_word && token.text != "!" {
            return Err(InvalidSelector(format!("found '{}', expected: !, identifier, or 'end of string'", token.text)));
        }
        let requirement = parser.requirement().map_err(|error| InvalidSelector(format!("unable to parse requirement: {error}")))?;
        requirements.push(requirement);
        match parser.take() {
            END => return Ok(requirements),
            Token { text: ",", is_word: false } => {
                let next = parser.peek();
                if !next.is_word && next.text != "!" {
                    return Err(InvalidSelector(format!("found '{}', expected: identifier after ','", next.text)));
                }
            }
            other => return Err(InvalidSelector(format!("found '{}', expected: ',' or 'end of string'", other.text))),
        }
    }
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Token<'t> {
        self.tokens.get(self.next).copied().unwrap_or(END)
    }

    fn take(&mut self) -> Token<'t> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, InvalidSelector> {
        let mut key = self.take();
        let is_negated = key.text == "!" && !key.is_word;
        if is_negated {
            key = self.take();
        }
        if !key.is_word {
            return Err(InvalidSelector(format!("found '{}', expected: identifier", key.text)));
        }
        let next = self.peek();
        if is_negated || next == END || (next.text == "," && !next.is_word) {
            let operator = if is_negated { Operator::DoesNotExist } else { Operator::Exists };
            return Requirement::new(key.text, operator, Vec::new());
        }
        let symbol = self.take();
        let (operator, has_list) = match symbol.text {
            "=" | "==" => (Operator::In, false),
            "!=" => (Operator::NotIn, false),
            ">" => (Operator::GreaterThan, false),
            "<" => (Operator::LessThan, false),
            "in" => (Operator::In, true),
            "notin" => (Operator::NotIn, true),
            other => return Err(InvalidSelector(format!("found '{other}', expected: {BINARY}"))),
        };
        let values = if has_list { self.list()? } else { vec![self.value()?] };
        Requirement::new(key.text, operator, values)
    }

    /// Reads what follows `=`: a word, or nothing, which is the empty value.
    fn value(&mut self) -> Result<String, InvalidSelector> {
        match self.peek() {
            END | Token { text: ",", is_word: false } => Ok(String::new()),
            Token { text, is_word: true } => {
                self.next += 1;
                Ok(text.to_owned())
            }
            other => Err(InvalidSelector(format!("found '{}', expected: identifier", other.text))),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, InvalidSelector> {
        let open = self.take();
        if open.text != "(" || open.is_word {
            return Err(InvalidSelector(format!("found '{}' expected: '('", open.text)));
        }
        let mut values = Vec::new();
        let mut has_value = false;
        loop {
            let token = self.take();
            match token.text {
                text if token.is_word && !has_value => {
                    values.push(text.to_owned());
                    has_value = true;
                }
                "," if !token.is_word => {
                    if !has_value {
                        values.push(String::new());
                    }
                    has_value = false;
                }
                ")" if !token.is_word => {
                    if !has_value {
                        values.push(String::new());
                    }
                    return Ok(values);
                }
                other => return Err(InvalidSelector(format!("found '{other}', expected: ',' or ')'"))),
            }
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let is_symbol = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            c if c.is_whitespace() => {
                rest = &rest[c.len_utf8()..];
                continue;
            }
            '=' | '!' if rest[1..].starts_with('=') => 2,
            c if is_symbol(c) => 1,
            _ => rest.find(|c: char| c.is_whitespace() || is_symbol(c)).unwrap_or(rest.len()),
        };
        tokens.push(Token { text: &rest[..length], is_word: !is_symbol(first) });
        rest = &rest[length..];
    }
    tokens
}

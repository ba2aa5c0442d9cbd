//! How answers are written: for people in columns, for programs as JSON, YAML, CSV or names. Data go to standard output.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::table::{line, lines, render};

/// Nobody reads the answer any more: no mistake of anybody.
#[derive(Debug)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for Closed {}

/// Writes a line to standard output; fails as [`Closed`] when its reader is gone.
pub fn say(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    written(writeln!(std::io::stdout().lock(), "{text}"))
}

fn written(outcome: std::io::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.map_err(|error| anyhow::anyhow!("failed to write to standard output: {error}")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    /// The table with more columns.
    Wide,
    Json,
    Yaml,
    /// One `kind/name` a line.
    Name,
    Csv,
    Tree,
}

#[derive(Args, Clone, Debug)]
pub struct Output {
    /// How to write the answer.
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "table", value_enum)]
    pub format: Format,
    /// Leave the line of column names out.
    #[arg(long)]
    pub no_headers: bool,
}

/// One column of a table.
pub struct Column<T> {
    pub name: &'static str,
    pub is_wide: bool,
    pub value: fn(&T) -> String,
}

/// Makes a column of the plain table.
pub fn column<T>(name: &'static str, value: fn(&T) -> String) -> Column<T> {
    Column { name, is_wide: false, value }
}

/// Makes a column that only the wide table and CSV have.
pub fn wide<T>(name: &'static str, value: fn(&T) -> String) -> Column<T> {
    Column { name, is_wide: true, value }
}

/// What can be listed.
pub struct Listing<'a, T> {
    /// Plural, for people.
    pub what: &'a str,
    pub items: &'a [T],
    pub columns: Vec<Column<T>>,
    /// `kind/name`.
    pub name: fn(&T) -> String,
    /// Branches from the root to the item.
    pub branch: fn(&T) -> Vec<String>,
}

impl Output {
    pub fn list<T: Serialize>(&self, listing: &Listing<'_, T>) -> anyhow::Result<()> {
        let items = listing.items;
        match self.format {
            Format::Table | Format::Wide => {
                if items.is_empty() {
                    eprintln!("no {} found", listing.what);
                    return Ok(());
                }
                let columns: Vec<&Column<T>> = listing.columns.iter().filter(|c| !c.is_wide || self.format == Format::Wide).collect();
                let header: Vec<&str> = columns.iter().map(|c| c.name).collect();
                let rows: Vec<Vec<String>> = items.iter().map(|item| columns.iter().map(|c| cut(&(c.value)(item))).collect()).collect();
                print_table(&header, &rows, self.no_headers)?;
            }
            Format::Json => say!("{}", serde_json::to_string_pretty(items)?),
            Format::Yaml => say!("{}", apimachinery::yaml::to_string(&serde_json::to_value(items)?).trim_end()),
            Format::Name => {
                for item in items {
                    say!("{}", line(&(listing.name)(item)));
                }
            }
            Format::Csv => {
                if !self.no_headers {
                    say!("{}", listing.columns.iter().map(|c| csv(&c.name.to_lowercase())).collect::<Vec<_>>().join(","));
                }
                for item in items {
                    say!("{}", listing.columns.iter().map(|c| csv(&(c.value)(item))).collect::<Vec<_>>().join(","));
                }
            }
            Format::Tree => say!("{}", lines(&tree(items.iter().map(listing.branch)))),
        }
        Ok(())
    }

    /// Writes one thing; `text` is what people read.
    pub fn one<T: Serialize>(&self, item: &T, name: &str, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.format {
            Format::Json => say!("{}", serde_json::to_string_pretty(item)?),
            Format::Yaml => say!("{}", apimachinery::yaml::to_string(&serde_json::to_value(item)?).trim_end()),
            Format::Name => say!("{name}"),
            Format::Table | Format::Wide | Format::Tree => say!("{}", lines(text().trim_end())),
            Format::Csv => anyhow::bail!("-o csv is for lists: one {name} has no lines"),
        }
        Ok(())
    }
}

pub fn print_table(header: &[&str], rows: &[Vec<String>], no_headers: bool) -> anyhow::Result<()> {
    let text = render(header, rows);
    say!("{}", if no_headers { text.split_once('\n').map_or("", |(_, rows)| rows) } else { &text });
    Ok(())
}

/// A message on one line, cut to the terminal's patience.
fn cut(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    let flat = line(text);
    if std::io::stdout().is_terminal() && flat.chars().count() > CHARS_MAX {
        return flat.chars().take(CHARS_MAX - 1).chain(['…']).collect();
    }
    flat
}

fn csv(cell: &str) -> String {
    // A spreadsheet takes such a cell for a formula; what clusters say is not to be computed.
    let cell = cell.replace(|c: char| c.is_control() && c != '\n', " ");
    let cell = if cell.starts_with(['=', '+', '-', '@']) && cell.len() > 1 { format!("'{cell}") } else { cell };
    if cell.contains(['"', ',', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[derive(Default)]
struct Node(std::collections::BTreeMap<String, Node>);

/// Draws branches that begin alike as one tree.
pub fn tree(branches: impl Iterator<Item = Vec<String>>) -> String {
    fn draw(node: &Node, indent: &str, lines: &mut Vec<String>) {
        let count = node.0.len();
        for (at, (name, child)) in node.0.iter().enumerate() {
            let (fork, below) = if at + 1 == count { ("└── ", "    ") } else { ("├── ", "│   ") };
            lines.push(format!("{indent}{fork}{}", line(name)));
            draw(child, &format!("{indent}{below}"), lines);
        }
    }
    let mut root = Node::default();
    for branch in branches {
        let mut at = &mut root;
        for name in branch {
            at = at.0.entry(name).or_default();
        }
    }
    let mut lines = Vec::new();
    for (name, child) in &root.0 {
        lines.push(line(name));
        draw(child, "", &mut lines);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_alike_is_one_branch() {
        let branches = [["east", "a", "x"], ["east", "a", "y"], ["east", "b", "x"]].map(|b| b.map(str::to_owned).to_vec());
        assert_eq!(tree(branches.into_iter()), "east\n├── a\n│   ├── x\n│   └── y\n└── b\n    └── x");
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(
            (csv("a,b"), csv("\"q\""), csv("=1+1"), csv("-")),
            ("\"a,b\"".into(), "\"\"\"q\"\"\"".into(), "'=1+1".into(), "-".into())
        );
    }
}

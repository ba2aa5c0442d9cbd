//! The text of source files: every module says what it is, no file holds two ideas, nothing is left to be done,
//! and the pure layers are not async. Files of tests need no essay: the names of tests are sentences.

use std::fs;
use std::path::{Path, PathBuf};

/// A file above this is usually two ideas, or a table.
const LINES_MAX: usize = 800;

/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// Folders of a crate that hold code.
const FOLDERS: &[&str] = &["src", "tests", "build", "benches", "examples"];

/// What may not be committed. Spelled in halves, because this file is checked too.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("todo", "!(", "do it, or open an issue"),
    ("unimplemented", "!(", "do it, or answer with an error that says so"),
    ("dbg", "!(", "use tracing"),
];

const ASYNC: &[&str] = &["async fn", "async move", "async {", ".await"];

/// Checks the files of one crate.
pub fn check(root: &Path, folder: &Path, is_pure: bool) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for part in FOLDERS {
        rust_files(&folder.join(part), &mut files)?;
    }
    let mut findings = Vec::new();
    for file in files {
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let is_source = file.starts_with(folder.join("src"));
        findings.extend(check_text(&shown, &fs::read_to_string(&file)?, is_pure && is_source));
    }
    Ok(findings)
}

fn check_text(file: &str, text: &str, is_pure: bool) -> Vec<String> {
    let mut findings = Vec::new();
    if !is_test(file) && !opens_with_docs(text) {
        findings.push(format!("{file}: has no `//!`; say what the module does, what it does not, and what it keeps"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX && !LONG_FILES.iter().any(|(name, _)| *name == file) {
        findings.push(format!("{file}: has {lines} lines; split it, or give a reason in LONG_FILES of xtask/src/tidy/text.rs"));
    }
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        for (word, rest, remedy) in FORBIDDEN {
            if line.contains(&[*word, *rest].concat()) {
                findings.push(format!("{file}:{number}: {word} left behind; {remedy}"));
            }
        }
        let code = line.split("//").next().unwrap_or(line);
        if is_pure && let Some(word) = ASYNC.iter().find(|word| code.contains(**word)) {
            findings.push(format!("{file}:{number}: `{word}` in a pure layer; return a plan, a body carries it out"));
        }
    }
    findings
}

fn is_test(file: &str) -> bool {
    file.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Attributes for the whole file may come before its docs.
fn opens_with_docs(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!["));
    first.is_some_and(|line| line.starts_with("//!"))
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_the_line_and_the_remedy() {
        let check = |text: &str, is_pure, expect: &[&str]| {
            let findings = check_text("f.rs", text, is_pure);
            assert_eq!(findings.len(), expect.len(), "{findings:?}");
            for (finding, part) in findings.iter().zip(expect) {
                assert!(finding.contains(part), "{finding} should contain {part}");
            }
        };
        check("//! Docs.\nfn f() {}\n", true, &[]);
        check("#![allow(x)]\n\n//! Docs.\n", true, &[]);
        check("fn f() {}\n", false, &["f.rs: has no `//!`"]);
        check("", false, &["f.rs: has no `//!`"]);
        check(&format!("//! Docs.\n{}", "\n".repeat(800)), false, &["has 801 lines"]);
        check(&["//! Docs.\nfn f() { to", "do!() }"].concat(), false, &["f.rs:2: todo left behind"]);
        check("//! Docs.\nasync fn f() {}\n", true, &["f.rs:2: `async fn` in a pure layer"]);
        check("//! Docs.\nasync fn f() {}\n", false, &[]);
        check("//! Docs.\n// no async fn here\n", true, &[]);
    }
}

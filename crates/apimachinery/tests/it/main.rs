//! One binary for the tests that need more than a module: tables, public test data, properties.

#![allow(clippy::disallowed_methods, reason = "tests read files and measure time")]

use std::fs;
use std::path::{Path, PathBuf};

mod apply;
mod nonsense;
mod patch;
mod schema;
mod yaml;

/// Returns the public test data's folder `name`, if this machine has it.
fn testdata(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MUSTER_TESTDATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/testdata")), PathBuf::from);
    let folder = root.join(name);
    if !folder.is_dir() {
        println!("skipped: not present: {}", folder.display());
        return None;
    }
    Some(folder)
}

/// Returns the files below `folder`, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

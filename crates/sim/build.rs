//! Puts the files of the examples into the program: a fleet comes up from the binary alone.

use std::fmt::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: [&str; 2] = ["first", "retail"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut table = String::from("pub const FILES: &[(&str, &str, &str)] = &[\n");
    for example in EXAMPLES {
        let dir = root.join(example);
        println!("cargo::rerun-if-changed={}", dir.display());
        let mut files = Vec::new();
        find(&dir, &mut files);
        files.sort();
        for file in files {
            let path = file.strip_prefix(&dir).expect("below it").display().to_string();
            let file = file.canonicalize().expect("it is there");
            writeln!(table, "    ({example:?}, {path:?}, include_str!({:?})),", file.display().to_string()).expect("written");
        }
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("examples.rs"), table).expect("written");
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            find(&path, files);
        } else {
            files.push(path);
        }
    }
}

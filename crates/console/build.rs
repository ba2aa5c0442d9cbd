//! Embeds the built console (`web/dist/site`), if there is one: Cargo needs no Node.
//!
//! Every file is embedded as `make web` left it: `.br` and `.gz` beside what compresses, the file itself where it does
//! not. Without a build the table is empty, and the server says how to make one.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../web/dist");
    // The directory is in the repository and its content is not: always there, and changed by a build alone.
    println!("cargo::rerun-if-changed={}", root.display());
    let site = root.join("site");
    let mut files = Vec::new();
    collect(&site, &mut files);
    files.sort();
    let mut table = String::from("pub(super) static FILES: &[Embedded] = &[\n");
    for file in &files {
        let name = file.strip_prefix(&site).expect("below the site").to_string_lossy().replace('\\', "/");
        if name.ends_with(".br") || name.ends_with(".gz") {
            continue;
        }
        let beside = |extension: &str| PathBuf::from(format!("{}.{extension}", file.display()));
        let brotli = include(&beside("br"));
        let gzip = include(&beside("gz"));
        let plain = if gzip == "None" { include(file) } else { "None".into() };
        writeln!(table, "    Embedded {{ path: {:?}, plain: {plain}, gzip: {gzip}, brotli: {brotli} }},", format!("/{name}"))
            .expect("a string takes all");
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it")).join("files.rs");
    std::fs::write(&out, table).expect("the output directory can be written");
}

fn include(path: &Path) -> String {
    match path.canonicalize() {
        Ok(path) => format!("Some(include_bytes!({:?}))", path.display().to_string()),
        Err(_) => "None".into(),
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

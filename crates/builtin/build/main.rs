//! Generates the definitions of the built-in kinds.
//!
//! Structure and descriptions come from k8s-openapi's JSON schemas, facts that those lack from
//! `schema/*.yaml`. Writes two deflated JSON files: definitions, and descriptions apart from them.

#![allow(clippy::disallowed_methods, reason = "a build script reads and writes files")]

#[path = "../src/model.rs"]
mod model;
mod overlay;
mod roots;
mod shape;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::Serialize;

fn main() {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=schema");
    println!("cargo::rerun-if-changed=src/model.rs");
    let overlays = overlay::read(Path::new("schema"));
    let generated = roots::generate();
    let (definitions, descriptions) = shape::definitions(generated, overlays);
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    write(&Path::new(&out).join("definitions.z"), &definitions);
    write::<Vec<(String, BTreeMap<String, String>)>>(&Path::new(&out).join("descriptions.z"), &descriptions);
}

fn write<T: Serialize>(path: &Path, data: &T) {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    serde_json::to_writer(&mut encoder, data).expect("plain data serializes");
    encoder.flush().expect("a vector takes every byte");
    std::fs::write(path, encoder.finish().expect("a vector takes every byte")).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

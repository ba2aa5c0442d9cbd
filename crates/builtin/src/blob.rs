//! What the build script wrote: two deflated JSON texts inside the program.
//!
//! Neither is kept in memory: whoever needs one decodes it, takes what it needs and drops the rest.

use std::collections::BTreeMap;
use std::io::BufReader;

use flate2::bufread::DeflateDecoder;
use serde::de::DeserializeOwned;

use crate::model::Definition;

static DEFINITIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/definitions.z"));
static DESCRIPTIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.z"));

/// Returns all definitions by name; a `Shape::Ref` is an index into them.
pub fn definitions() -> Vec<Definition> {
    decode(DEFINITIONS)
}

/// Returns the texts of each definition, in the order of [`definitions`]; the empty key is its own.
pub fn descriptions() -> Vec<(String, BTreeMap<String, String>)> {
    decode(DESCRIPTIONS)
}

fn decode<T: DeserializeOwned>(blob: &'static [u8]) -> T {
    serde_json::from_reader(BufReader::new(DeflateDecoder::new(blob))).expect("the build script wrote it")
}

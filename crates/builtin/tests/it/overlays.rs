//! The overlay files are YAML a person can read.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

#[test]
fn overlays_are_yaml_with_one_scalar_a_field() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for file in std::fs::read_dir(folder).expect("readable") {
        let path = file.expect("readable").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let parsed: BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>> =
            serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for (definition, fields) in parsed.values().flatten() {
            for (field, facts) in fields {
                assert!(facts.is_number() || facts.is_string(), "{definition}.{field}: {facts}");
            }
        }
    }
}

//! Finding public test data.

use std::path::PathBuf;

use apimachinery::gvk::GroupVersionKind;
use serde_json::Value;

/// Returns a folder of the public test data, or says that the test is skipped.
pub fn testdata(folder: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("MUSTER_TESTDATA") {
        Some(root) => PathBuf::from(root),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata"),
    };
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} not present", path.display());
    None
}

pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub fn gvk_of(object: &Value) -> GroupVersionKind {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    GroupVersionKind::from_api_version(text("apiVersion"), text("kind"))
}

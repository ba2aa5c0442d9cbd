//! Finding public test data.

use std::path::PathBuf;

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

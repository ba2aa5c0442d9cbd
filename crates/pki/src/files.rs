//! Files that hold secrets.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::Error;

/// Writes a file that only its owner can read: whole or not at all, and on disk when this returns.
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), Error> {
    write(path, content, 0o600)
}

pub fn write_public(path: &Path, content: &[u8]) -> Result<(), Error> {
    write(path, content, 0o644)
}

pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { verb: "read", path: path.display().to_string(), source })
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let attempt = || {
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".new");
        let draft = directory.join(name);
        // A left-over draft may have other permissions.
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(directory)?.sync_all()
    };
    attempt().map_err(|source| Error::File { verb: "write", path: path.display().to_string(), source })
}

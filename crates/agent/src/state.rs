//! Where the agent keeps what must survive a restart but is no object of the cluster.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of our own, or memory only (then spools and caches begin anew at each start).
#[derive(Clone, Debug, Default)]
pub struct StateDir(Option<Arc<Path>>);

impl StateDir {
    /// Creates the directory if needed, readable by us alone.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(Self(Some(path.into())))
    }

    pub fn memory() -> Self {
        Self(None)
    }

    /// Returns the path of a file in it; `None` in memory.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.0.as_ref().map(|directory| directory.join(name))
    }
}

/// Replaces a file as a whole: a reader sees the old or the new content, also after a power loss.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let temporary = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    if let Some(directory) = path.parent() {
        std::fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

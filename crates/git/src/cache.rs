//! Packs on disk, up to a number of bytes; the ones not read for longest go first.
//!
//! A pack's name is the hash of what it is a pack of, so two writers write the same file. What cannot be read
//! back is removed and counts as absent: a cache is never the truth.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::CommitId;

/// A directory of packs; cheap to clone.
#[derive(Clone, Debug)]
pub struct PackCache {
    dir: PathBuf,
    bytes_max: u64,
}

impl PackCache {
    /// Returns the cache in `dir`, which is made when the first pack comes.
    pub fn new(dir: impl Into<PathBuf>, bytes_max: u64) -> Self {
        Self { dir: dir.into(), bytes_max }
    }

    fn file(&self, repo: &str, commit: &CommitId, path: &str) -> PathBuf {
        let mut hash = Sha256::new();
        // The first part changes with what a pack of a path holds: what was kept before is made again.
        for part in ["2", repo, commit.as_str(), path] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let name: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(format!("{name}.pack"))
    }

    /// Returns a pack's bytes, if they are there. Blocking.
    pub fn get(&self, repo: &str, commit: &CommitId, path: &str) -> Option<Bytes> {
        let file = self.file(repo, commit, path);
        let bytes = std::fs::read(&file).ok()?;
        // Marks it as read; a file system that refuses only makes eviction less exact.
        let _ = std::fs::File::options().append(true).open(&file).and_then(|f| f.set_modified(SystemTime::now()));
        Some(bytes.into())
    }

    /// Keeps a pack. Blocking.
    pub fn put(&self, repo: &str, commit: &CommitId, path: &str, bytes: &[u8]) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let mut temporary = tempfile::NamedTempFile::new_in(&self.dir)?;
        std::io::Write::write_all(&mut temporary, bytes)?;
        temporary.persist(self.file(repo, commit, path)).map_err(|e| e.error)?;
        self.evict()
    }

    /// Forgets a pack that proved to be damaged. Blocking.
    pub fn remove(&self, repo: &str, commit: &CommitId, path: &str) {
        let _ = std::fs::remove_file(self.file(repo, commit, path));
    }

    fn evict(&self) -> std::io::Result<()> {
        let mut files = packs_in(&self.dir)?;
        let mut bytes: u64 = files.iter().map(|(_, size, _)| size).sum();
        files.sort_by_key(|(read_at, ..)| *read_at);
        // The newest stays, even if it alone is over the limit: it is about to be used.
        files.pop();
        for (_, size, file) in files {
            if bytes <= self.bytes_max {
                break;
            }
            std::fs::remove_file(&file)?;
            bytes -= size;
        }
        Ok(())
    }
}

fn packs_in(dir: &Path) -> std::io::Result<Vec<(SystemTime, u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "pack")
            && let Ok(metadata) = entry.metadata()
        {
            files.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), entry.path()));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_not_read_for_longest_goes_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = PackCache::new(dir.path(), 250);
        let commit: CommitId = "0123456789abcdef0123456789abcdef01234567".parse().expect("a commit id");
        for (age, path) in [(300, "a"), (200, "b")] {
            cache.put("r", &commit, path, &[0; 100]).expect("kept");
            let file = std::fs::File::options().append(true).open(cache.file("r", &commit, path)).expect("there");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("set");
        }
        assert!(cache.get("r", &commit, "a").is_some());
        cache.put("r", &commit, "c", &[0; 100]).expect("kept");
        let has = |path| cache.get("r", &commit, path).is_some();
        assert_eq!((has("a"), has("b"), has("c")), (true, false, true));
        cache.remove("r", &commit, "a");
        assert!(!has("a"));
    }
}

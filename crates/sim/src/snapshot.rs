//! A simulated cluster's objects on disk: one file, rewritten whole.
//!
//! A simulated cluster lives in memory; its file is there so that the same clusters come back after Ctrl-C
//! or a kill. A database each would cost a thread and an fsync per write, times thousands of clusters; a
//! whole cluster is some hundred kilobytes of JSON, which deflates to a tenth and is written in a
//! millisecond, at most every twenty seconds and only if something but leases changed. What a kill loses is
//! seconds of what controllers and agent bring about again.
//! Revisions are not reused: a resumed cluster goes on [`REVISIONS_SKIPPED`] later.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use parking_lot::Mutex;
use store::{Entry, MemoryStore, Range, Retention, Revision, Store};

const MAGIC: &[u8] = b"muster-sim-cluster 1\n";
/// More than a cluster can write between two snapshots.
const REVISIONS_SKIPPED: Revision = 1_000_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to write the cluster's snapshot {path}")]
    Write { path: String, source: std::io::Error },
    #[error("failed to read the cluster's snapshot {path}: {reason}; remove the file to start the cluster empty")]
    Read { path: String, reason: String },
    #[error("failed to restart the cluster with what it had: {reason}")]
    Resume { reason: String },
}

/// A cluster's file, with all who save to it one after the other.
///
/// A saver of before a reboot may still be at it when one of after it begins: the file never goes back.
pub struct Snapshots {
    path: PathBuf,
    saved: Mutex<Revision>,
}

impl Snapshots {
    pub fn new(path: PathBuf) -> Self {
        Self { path, saved: Mutex::new(0) }
    }

    /// Writes all entries of a store, unless what is written is newer. Returns the revision that the file shows.
    pub fn save(&self, store: &dyn Store) -> Result<Revision, Error> {
        let mut saved = self.saved.lock();
        if store.revision() >= *saved {
            *saved = save(store, &self.path)?;
        }
        Ok(*saved)
    }

    pub fn load(&self) -> Result<MemoryStore, Error> {
        load(&self.path)
    }
}

/// Writes all entries of a store; the file is whole at any time. Returns the revision it shows.
fn save(store: &dyn Store, path: &Path) -> Result<Revision, Error> {
    let failed = |source| Error::Write { path: path.display().to_string(), source };
    let page = store.range(Range::default()).map_err(|e| failed(std::io::Error::other(e)))?;
    let draft = path.with_extension("new");
    let attempt = || -> std::io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file = File::create(&draft)?;
        file.write_all(MAGIC)?;
        let mut out = DeflateEncoder::new(file, Compression::fast());
        out.write_all(&page.revision.to_le_bytes())?;
        out.write_all(&(page.entries.len() as u64).to_le_bytes())?;
        for entry in &page.entries {
            out.write_all(&entry.revision.to_le_bytes())?;
            out.write_all(&entry.created.to_le_bytes())?;
            for part in [entry.key.as_bytes(), &entry.value] {
                out.write_all(&(part.len() as u32).to_le_bytes())?;
                out.write_all(part)?;
            }
        }
        // Not synced: a power loss may cost the newest snapshot, the rename keeps the one before.
        out.finish()?.flush()?;
        fs::rename(&draft, path)
    };
    attempt().map_err(failed)?;
    Ok(page.revision)
}

/// Reads a store; an empty one if there is no file yet.
fn load(path: &Path) -> Result<MemoryStore, Error> {
    let failed = |reason: String| Error::Read { path: path.display().to_string(), reason };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(MemoryStore::new(Retention::small())),
        Err(error) => return Err(failed(error.to_string())),
    };
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(|e| failed(e.to_string()))?;
    if magic != *MAGIC {
        return Err(failed("it is of another format".into()));
    }
    let (entries, revision) = read_entries(&mut DeflateDecoder::new(file)).map_err(|e| failed(e.to_string()))?;
    MemoryStore::resume(Retention::small(), entries, revision + REVISIONS_SKIPPED).map_err(|e| failed(e.to_string()))
}

/// Returns a store that goes on from what another holds, as after a restart.
pub fn resumed(store: &dyn Store) -> Result<MemoryStore, Error> {
    let failed = |reason: String| Error::Resume { reason };
    let page = store.range(Range::default()).map_err(|e| failed(e.to_string()))?;
    MemoryStore::resume(Retention::small(), page.entries, page.revision + REVISIONS_SKIPPED).map_err(|e| failed(e.to_string()))
}

fn read_entries(from: &mut impl Read) -> std::io::Result<(Vec<Entry>, Revision)> {
    fn number<const N: usize>(from: &mut impl Read) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        from.read_exact(&mut bytes)?;
        Ok(bytes)
    }
    fn part(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
        let length = u64::from(u32::from_le_bytes(number(from)?));
        let mut bytes = Vec::new();
        // Read as much as is there, so that a damaged length does not allocate gigabytes.
        if from.take(length).read_to_end(&mut bytes)? as u64 != length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }
    let revision = u64::from_le_bytes(number(from)?);
    let count = u64::from_le_bytes(number(from)?);
    let mut entries = Vec::new();
    for _ in 0..count {
        let (revision, created) = (u64::from_le_bytes(number(from)?), u64::from_le_bytes(number(from)?));
        let key = String::from_utf8(part(from)?).map_err(std::io::Error::other)?;
        entries.push(Entry { key: Arc::from(key), value: Bytes::from(part(from)?), revision, created });
    }
    Ok((entries, revision))
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Change, Durability, Expect, Template, Write as StoreWrite};

    fn put(key: &str, value: &str) -> StoreWrite {
        let template = Template { bytes: value.as_bytes().to_vec(), revision_at: None };
        StoreWrite { key: key.into(), expect: Expect::Anything, change: Change::Put(template), durability: Durability::Durable }
    }

    #[tokio::test]
    async fn a_cluster_comes_back_as_it_was_and_never_reuses_a_revision() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/objects");
        let before = load(&path).expect("an empty store");
        for (key, value) in [("/a", "1"), ("/b", "2"), ("/a", "3")] {
            before.write(put(key, value)).await.expect("written");
        }
        assert_eq!(save(&before, &path).expect("saved"), 3);
        before.write(put("/c", "lost")).await.expect("written");
        let after = load(&path).expect("loaded");
        assert_eq!(
            after.range(Range::default()).expect("a page").entries,
            before.range(Range { at: Some(3), ..Range::default() }).expect("a page").entries
        );
        assert!(after.revision() > before.revision());
        assert!(matches!(after.events_after("", 3), Err(store::Error::Compacted(..))));
        let written = after.write(put("/c", "4")).await.expect("written");
        assert!(written.revision > after.revision() - 1);
    }

    #[tokio::test]
    async fn a_saver_of_before_a_reboot_does_not_bring_the_past_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let snapshots = Snapshots::new(dir.path().join("objects"));
        let before = snapshots.load().expect("an empty store");
        before.write(put("/a", "1")).await.expect("written");
        let after = resumed(&before).expect("resumed");
        after.write(put("/b", "2")).await.expect("written");
        let shown = snapshots.save(&after).expect("saved");
        before.write(put("/late", "3")).await.expect("written");
        assert_eq!(snapshots.save(&before).expect("left as it is"), shown);
        let keys: Vec<_> = snapshots.load().expect("loaded").range(Range::default()).expect("a page").entries;
        assert_eq!(keys.iter().map(|entry| &*entry.key).collect::<Vec<_>>(), ["/a", "/b"]);
    }

    #[test]
    fn a_damaged_file_is_named_with_its_remedy() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("objects");
        std::fs::write(&path, b"muster-sim-cluster 1\n\x00garbage").expect("written");
        let error = load(&path).map(|_| ()).expect_err("refused").to_string();
        assert!(error.contains("objects") && error.contains("remove the file"), "{error}");
    }
}

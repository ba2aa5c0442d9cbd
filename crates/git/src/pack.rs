//! A pack: the files below a path at a commit, with those elsewhere they refer to, as immutable bytes.
//!
//! Format 1: `MSTRPACK`, a `u16` format number, a `u32` header length, the header as JSON (repository, commit,
//! path), then deflated entries sorted by path (`u8` kind, `u32` path length, path, `u32` content length, content),
//! and last the SHA-256 of everything before. Integers are little-endian. The same commit and path give the same
//! bytes, so a pack can be cached by anyone for ever.
//!
//! Links and submodules are named but not followed, and a file over the limit is named with its size:
//! who needs one says so with its name, the others do not notice.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{CommitId, Error};

const MAGIC: &[u8; 8] = b"MSTRPACK";
const FORMAT: u16 = 1;
const HASH_BYTES: usize = 32;
const HEADER_BYTES_MAX: usize = 16 << 10;

/// How much a pack may hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Larger files are left out and named.
    pub file_bytes_max: u64,
    /// All files together, inflated.
    pub bytes_max: u64,
    pub files_max: usize,
    /// Directories inside directories.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // An agent holds a pack in memory while it renders it: its peak is 64 MB in all.
        Self { file_bytes_max: 2 << 20, bytes_max: 16 << 20, files_max: 10_000, depth_max: 32 }
    }
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    File(Vec<u8>),
    Executable(Vec<u8>),
    /// A symbolic link and its target.
    Link(String),
    Submodule,
    /// A file over [`Limits::file_bytes_max`].
    Omitted {
        size: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    repo: String,
    commit: CommitId,
    path: String,
}

/// The files below a path at a commit, and those they refer to ([`crate::References`]); paths are relative to the repository's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    pub repo: String,
    pub commit: CommitId,
    pub path: String,
    pub entries: BTreeMap<String, Entry>,
}

impl Pack {
    /// Returns the pack's bytes.
    pub fn write(&self) -> Bytes {
        let header = Header { repo: self.repo.clone(), commit: self.commit.clone(), path: self.path.clone() };
        let header = serde_json::to_vec(&header).expect("a header of strings serializes");
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&length(header.len()));
        out.extend_from_slice(&header);
        let mut body = DeflateEncoder::new(out, Compression::default());
        for (path, entry) in &self.entries {
            write_entry(&mut body, path, entry).expect("writing to memory cannot fail");
        }
        let mut out = body.finish().expect("writing to memory cannot fail");
        let hash = Sha256::digest(&out);
        out.extend_from_slice(&hash);
        out.into()
    }

    /// Reads a pack, refusing damage, foreign formats and more than `limits` allow.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        let damaged = |what: &str| Error::Pack(what.to_owned());
        let content = bytes.len().checked_sub(HASH_BYTES).ok_or_else(|| damaged("it is cut short"))?;
        let (content, hash) = bytes.split_at(content);
        if Sha256::digest(content).as_slice() != hash {
            return Err(damaged("its checksum does not match; fetch it again"));
        }
        let mut rest = content;
        if take(&mut rest, 8) != Some(MAGIC) {
            return Err(damaged("it is not a pack"));
        }
        let format = take(&mut rest, 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        if format != Some(FORMAT) {
            return Err(Error::Pack(format!("its format is {format:?}, this version reads {FORMAT}; upgrade the agent")));
        }
        let header_length = read_length(&mut rest).filter(|l| *l <= HEADER_BYTES_MAX).ok_or_else(|| damaged("its header is too long"))?;
        let header = take(&mut rest, header_length).ok_or_else(|| damaged("it is cut short"))?;
        let header: Header = serde_json::from_slice(header).map_err(|e| Error::Pack(format!("its header: {e}")))?;
        // Names and lengths add to the content; twice the limit bounds them as well.
        let inflated_max = limits.bytes_max.saturating_mul(2).saturating_add(1 << 20);
        let mut body = Vec::new();
        let inflated = DeflateDecoder::new(rest).take(inflated_max + 1).read_to_end(&mut body);
        inflated.map_err(|e| Error::Pack(format!("its content: {e}")))?;
        if body.len() as u64 > inflated_max {
            return Err(Error::Pack(format!("it inflates to more than {inflated_max} bytes")));
        }
        let mut entries = BTreeMap::new();
        let mut rest = body.as_slice();
        while !rest.is_empty() {
            let (path, entry) = read_entry(&mut rest).ok_or_else(|| damaged("an entry is cut short"))?;
            if is_trick(&path) {
                return Err(Error::Pack(format!("it holds the path {path:?}")));
            }
            if entries.len() >= limits.files_max {
                return Err(Error::Pack(format!("it holds more than {} files", limits.files_max)));
            }
            entries.insert(path, entry);
        }
        Ok(Self { repo: header.repo, commit: header.commit, path: header.path, entries })
    }
}

/// Returns whether a path would lead elsewhere if somebody wrote it to disk.
fn is_trick(path: &str) -> bool {
    path.is_empty() || path.contains(['\\', '\0']) || path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("limits keep lengths far below 4 GiB").to_le_bytes()
}

fn write_entry(out: &mut impl Write, path: &str, entry: &Entry) -> std::io::Result<()> {
    let size;
    let (kind, content): (u8, &[u8]) = match entry {
        Entry::File(content) => (0, content),
        Entry::Executable(content) => (1, content),
        Entry::Link(target) => (2, target.as_bytes()),
        Entry::Submodule => (3, &[]),
        Entry::Omitted { size: bytes } => {
            size = bytes.to_le_bytes();
            (4, &size)
        }
    };
    out.write_all(&[kind])?;
    out.write_all(&length(path.len()))?;
    out.write_all(path.as_bytes())?;
    out.write_all(&length(content.len()))?;
    out.write_all(content)
}

fn read_entry(rest: &mut &[u8]) -> Option<(String, Entry)> {
    let kind = take(rest, 1)?[0];
    let path_length = read_length(rest)?;
    let path = String::from_utf8(take(rest, path_length)?.to_vec()).ok()?;
    let content_length = read_length(rest)?;
    let content = take(rest, content_length)?;
    let entry = match kind {
        0 => Entry::File(content.to_vec()),
        1 => Entry::Executable(content.to_vec()),
        2 => Entry::Link(String::from_utf8(content.to_vec()).ok()?),
        3 => Entry::Submodule,
        4 => Entry::Omitted { size: u64::from_le_bytes(content.try_into().ok()?) },
        _ => return None,
    };
    Some((path, entry))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn read_length(rest: &mut &[u8]) -> Option<usize> {
    let bytes: [u8; 4] = take(rest, 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack() -> Pack {
        let entries = BTreeMap::from([
            ("app/a.yaml".to_owned(), Entry::File(b"kind: A".repeat(100))),
            ("app/b.sh".to_owned(), Entry::Executable(b"#!".to_vec())),
            ("app/big.bin".to_owned(), Entry::Omitted { size: 1 << 40 }),
            ("app/link".to_owned(), Entry::Link("../x".into())),
            ("app/sub".to_owned(), Entry::Submodule),
        ]);
        let commit = "0123456789abcdef0123456789abcdef01234567".parse().expect("a commit id");
        Pack { repo: "https://git.example.com/r".into(), commit, path: "app".into(), entries }
    }

    #[test]
    fn a_pack_comes_back_as_it_was_and_is_the_same_each_time() {
        let bytes = pack().write();
        assert_eq!(Pack::read(&bytes, &Limits::default()), Ok(pack()));
        assert_eq!(bytes, pack().write());
    }

    #[test]
    fn any_flipped_bit_or_cut_is_noticed() {
        let bytes = pack().write();
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert!(Pack::read(&damaged, &Limits::default()).is_err(), "bit of byte {at}");
            assert!(Pack::read(&bytes[..at], &Limits::default()).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_pack_that_would_write_elsewhere_is_refused() {
        for path in ["../etc/passwd", "/etc/passwd", "a//b", "a/./b", "a\\b", ""] {
            let mut tricky = pack();
            tricky.entries.insert(path.to_owned(), Entry::File(Vec::new()));
            let refused = Pack::read(&tricky.write(), &Limits::default());
            assert!(matches!(&refused, Err(Error::Pack(why)) if why.contains("path")), "{path}: {refused:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_memory() {
        let mut bomb = pack();
        bomb.entries.insert("zeros".into(), Entry::File(vec![0; 8 << 20]));
        let limits = Limits { bytes_max: 1 << 20, ..Limits::default() };
        let bytes = bomb.write();
        assert!(bytes.len() < 100_000);
        assert!(matches!(Pack::read(&bytes, &limits), Err(Error::Pack(why)) if why.contains("inflates")));
    }
}

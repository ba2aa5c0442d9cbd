//! The spool on disk: one file of lines.
//!
//! First a header, then frames as they are sent, and a line for each acknowledgement. A line that was cut
//! by a crash was never sent and is dropped. A file that cannot be read is set aside; one that cannot be
//! written is removed, so that the next start draws a new incarnation instead of using sequences twice.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use api::report::{Up, decode};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::state::write_atomically;

const FORMAT: u32 = 1;
/// What was acknowledged may take this much of the file before it is written anew.
const WASTE_BYTES_MAX: u64 = 256 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    spool_format: u32,
    incarnation: String,
    acknowledged: u64,
    hub: Option<(String, u64)>,
}

#[derive(Serialize, Deserialize)]
struct Acknowledged {
    acknowledged: u64,
}

/// What a file holds.
pub struct Read {
    pub incarnation: String,
    pub acknowledged: u64,
    pub hub: Option<(String, u64)>,
    pub frames: Vec<Up>,
}

pub struct SpoolFile {
    path: PathBuf,
    /// `None` after a failure.
    file: Option<File>,
    bytes: u64,
    is_dirty: bool,
}

impl SpoolFile {
    /// Opens or creates the file; `None` if there is nothing readable in it.
    pub fn open(path: &Path) -> io::Result<(Self, Option<Read>)> {
        let content = match std::fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        // Only whole lines count.
        let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let read = read(&content[..whole]);
        if read.is_none() && !content.is_empty() {
            let aside = path.with_extension("unreadable");
            tracing::error!(path = %path.display(), aside = %aside.display(), "the report spool is unreadable and set aside; its reports are lost");
            std::fs::rename(path, aside)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let file = options.open(path)?;
        let bytes = if read.is_some() { whole as u64 } else { 0 };
        file.set_len(bytes)?;
        Ok((Self { path: path.to_owned(), file: Some(file), bytes, is_dirty: false }, read))
    }

    pub fn append(&mut self, line: &[u8]) {
        self.is_dirty = true;
        self.bytes += line.len() as u64;
        let written = self.file.as_mut().map(|file| file.write_all(line));
        if let Some(Err(error)) = written {
            self.give_up(&error);
        }
    }

    /// An acknowledgement that is lost in a crash only costs sending again.
    pub fn acknowledge(&mut self, sequence: u64) {
        if let Ok(mut line) = serde_json::to_vec(&Acknowledged { acknowledged: sequence }) {
            line.push(b'\n');
            self.append(&line);
        }
    }

    pub fn is_worth_rewriting(&self) -> bool {
        self.bytes > WASTE_BYTES_MAX
    }

    pub fn rewrite<'a>(
        &mut self,
        incarnation: &str,
        acknowledged: u64,
        hub: Option<&(String, u64)>,
        lines: impl Iterator<Item = &'a Bytes>,
    ) {
        let header = Header { spool_format: FORMAT, incarnation: incarnation.to_owned(), acknowledged, hub: hub.cloned() };
        let mut content = serde_json::to_vec(&header).unwrap_or_default();
        content.push(b'\n');
        lines.for_each(|line| content.extend_from_slice(line));
        let written = write_atomically(&self.path, &content).and_then(|()| OpenOptions::new().append(true).open(&self.path));
        match written {
            Ok(file) => {
                self.file = Some(file);
                self.bytes = content.len() as u64;
                self.is_dirty = false;
            }
            Err(error) => self.give_up(&error),
        }
    }

    /// Returns a handle to sync, if something was appended since the last one.
    pub fn take_unsynced(&mut self) -> Option<File> {
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        self.file.as_ref().and_then(|file| file.try_clone().ok())
    }

    fn give_up(&mut self, error: &io::Error) {
        tracing::error!(path = %self.path.display(), %error, "the report spool cannot be written: reports are kept in memory only; free some space");
        self.file = None;
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::error!(path = %self.path.display(), %error, "the report spool could not be removed");
        }
    }
}

fn read(content: &[u8]) -> Option<Read> {
    let mut lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let header: Header = serde_json::from_slice(lines.next()?).ok()?;
    if header.spool_format != FORMAT {
        return None;
    }
    let mut read = Read { incarnation: header.incarnation, acknowledged: header.acknowledged, hub: header.hub, frames: Vec::new() };
    for line in lines {
        if let Ok(Acknowledged { acknowledged }) = serde_json::from_slice(line) {
            read.acknowledged = read.acknowledged.max(acknowledged);
        } else {
            read.frames.push(decode(line).ok()?);
        }
    }
    Some(read)
}

//! One commit as watchers see it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use store::{Event, EventKind, Revision};

use super::filter::Fields;
use crate::apart;

/// A commit with what watchers derive from it, derived once.
pub struct WatchEvent {
    pub event: Arc<Event>,
    now: OnceLock<Fields>,
    before: OnceLock<Fields>,
    lines: [OnceLock<Bytes>; 3],
    metadata_lines: [OnceLock<Bytes>; 3],
    left: OnceLock<Bytes>,
}

/// What a watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Added,
    Modified,
    Deleted,
}

impl Told {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    fn slot(self) -> usize {
        match self {
            Self::Added => 0,
            Self::Modified => 1,
            Self::Deleted => 2,
        }
    }
}

impl WatchEvent {
    pub fn new(event: Arc<Event>) -> Self {
        Self {
            event,
            now: OnceLock::new(),
            before: OnceLock::new(),
            lines: Default::default(),
            metadata_lines: Default::default(),
            left: OnceLock::new(),
        }
    }

    pub fn revision(&self) -> Revision {
        self.event.entry.revision
    }

    /// Returns labels and fields of the object as it is now (for a deletion: as it was last).
    pub fn now(&self) -> &Fields {
        self.now.get_or_init(|| Fields::of(&self.event.entry.value))
    }

    /// Returns labels and fields of the object before, if there was one.
    pub fn before(&self) -> Option<&Fields> {
        let previous = self.event.previous.as_ref()?;
        Some(self.before.get_or_init(|| Fields::of(previous)))
    }

    /// Returns what kind of change this is to one who sees every object.
    pub fn told(&self) -> Told {
        match self.event.kind {
            EventKind::Created => Told::Added,
            EventKind::Updated => Told::Modified,
            EventKind::Deleted => Told::Deleted,
        }
    }

    /// Returns the object as a watcher is told of it. One whose selector the object has left is
    /// told of the object as it last was, with the revision of the change.
    pub fn object(&self, told: Told) -> Bytes {
        let has_left = told == Told::Deleted && self.event.kind != EventKind::Deleted;
        match (&self.event.previous, has_left) {
            (Some(previous), true) => self.left.get_or_init(|| restamp(previous, self.revision())).clone(),
            _ => self.event.entry.value.clone(),
        }
    }

    /// Returns the JSON line of the event, encoded once for all watchers.
    pub fn line(&self, told: Told) -> Bytes {
        self.lines[told.slot()].get_or_init(|| line(told.as_str(), &self.object(told))).clone()
    }

    /// Returns the JSON line of the event with the object's metadata alone, encoded once for all watchers.
    pub fn metadata_line(&self, told: Told) -> Bytes {
        self.metadata_lines[told.slot()].get_or_init(|| line(told.as_str(), &apart::partial(&self.object(told)))).clone()
    }
}

/// Returns the object with another resourceVersion.
fn restamp(object: &[u8], revision: Revision) -> Bytes {
    match serde_json::from_slice::<serde_json::Value>(object) {
        Ok(mut value) => {
            value["metadata"]["resourceVersion"] = revision.to_string().into();
            value.to_string().into()
        }
        Err(_) => Bytes::copy_from_slice(object),
    }
}

/// Returns `{"type":...,"object":...}` and a line end.
pub fn line(told: &str, object: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(object.len() + told.len() + 24);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(told.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
    out.into()
}

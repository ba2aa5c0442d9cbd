//! The files below a path at a commit, and those elsewhere that they refer to.

use std::collections::{BTreeMap, BTreeSet};

use gix::object::tree::EntryKind;

use crate::error::root_cause;
use crate::{CommitId, Entry, Error, Limits, References};

/// Which files, of which repository, as an error names them.
pub(crate) struct Place<'a> {
    pub url: &'a str,
    pub commit: &'a CommitId,
    pub path: &'a str,
}

impl Place<'_> {
    fn refused(&self, path: &str, why: impl Into<String>) -> Error {
        Error::Refused { repo: self.url.to_owned(), commit: self.commit.clone(), path: path.to_owned(), why: why.into() }
    }

    fn too_large(&self, limit: String) -> Error {
        Error::TooLarge { repo: self.url.to_owned(), commit: self.commit.clone(), path: self.path.to_owned(), limit }
    }

    fn disk(&self, error: &gix::Error) -> Error {
        Error::Disk { repo: self.url.to_owned(), cause: root_cause(error) }
    }
}

/// Returns a source path in its one spelling: no leading or trailing `/`, no `.`; `..` is refused.
pub(crate) fn normal_path(place: &Place<'_>) -> Result<String, Error> {
    let mut parts = Vec::new();
    for part in place.path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(place.refused(place.path, "a path must not lead out of the repository")),
            part if part.contains(['\0', '\\']) => return Err(place.refused(place.path, "it has a character no path has")),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Reads all files below the place's path, and those `references` names; names are relative to the repository's root.
pub(crate) fn files(
    repository: &gix::Repository,
    place: &Place<'_>,
    limits: &Limits,
    references: &References,
) -> Result<BTreeMap<String, Entry>, Error> {
    let id = gix::ObjectId::from_hex(place.commit.as_str().as_bytes()).map_err(|e| place.refused(place.path, e.to_string()))?;
    let root = repository.find_commit(id).and_then(|commit| commit.tree()).map_err(|e| place.disk(&e))?;
    let mut tree = root.clone();
    if !place.path.is_empty() {
        let no_such_path = || Error::Path { repo: place.url.to_owned(), commit: place.commit.clone(), path: place.path.to_owned() };
        let entry = tree.lookup_entry_by_path(place.path).map_err(|e| place.disk(&e))?.ok_or_else(no_such_path)?;
        if !entry.mode().is_tree() {
            return Err(place.refused(place.path, "it is a file; source.path must be a directory"));
        }
        tree = entry.object().and_then(|object| object.peel_to_tree()).map_err(|e| place.disk(&e))?;
    }
    let mut walk = Walk { repository, place, limits, files: BTreeMap::new(), bytes: 0 };
    walk.directory(&tree, place.path, 0)?;
    walk.referred(&root, references)?;
    Ok(walk.files)
}

struct Walk<'a> {
    repository: &'a gix::Repository,
    place: &'a Place<'a>,
    limits: &'a Limits,
    files: BTreeMap<String, Entry>,
    bytes: u64,
}

impl Walk<'_> {
    fn directory(&mut self, tree: &gix::Tree<'_>, prefix: &str, depth: usize) -> Result<(), Error> {
        if depth > self.limits.depth_max {
            return Err(self.place.too_large(format!("a depth of {} directories", self.limits.depth_max)));
        }
        for entry in tree.iter() {
            let entry = entry.map_err(|e| self.place.disk(&e))?;
            let name =
                std::str::from_utf8(entry.filename()).map_err(|_| self.place.refused(prefix, "it holds a name that is not UTF-8"))?;
            // Git itself makes no such names, but a hand-made tree can have them.
            if matches!(name, "" | "." | "..") || name.eq_ignore_ascii_case(".git") || name.contains(['/', '\\', '\0']) {
                return Err(self.place.refused(prefix, format!("it holds the name {name:?}")));
            }
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            match entry.mode().kind() {
                EntryKind::Tree => {
                    let below = self.repository.find_tree(entry.object_id()).map_err(|e| self.place.disk(&e))?;
                    self.directory(&below, &path, depth + 1)?;
                }
                kind => self.blob(path, kind, entry.object_id())?,
            }
        }
        Ok(())
    }

    /// Adds the files referred to, and what those refer to, until there is nothing new. What does not exist is left out.
    fn referred(&mut self, root: &gix::Tree<'_>, references: &References) -> Result<(), Error> {
        let mut tried = BTreeSet::new();
        loop {
            let content = |path: &str| match self.files.get(path) {
                Some(Entry::File(content) | Entry::Executable(content)) => Some(content.as_slice()),
                Some(Entry::Link(_) | Entry::Submodule | Entry::Omitted { .. }) => Some(&[][..]),
                None => None,
            };
            let named = references(self.place.url, self.place.path, &content);
            let new: Vec<String> = named.into_iter().filter(|path| tried.insert(path.clone())).collect();
            if new.is_empty() {
                return Ok(());
            }
            // A name that leads nowhere costs a look as well.
            if tried.len() > self.limits.files_max.saturating_mul(4) {
                return Err(self.place.too_large(format!("{} references to other files", self.limits.files_max.saturating_mul(4))));
            }
            for path in new {
                self.single(root, path)?;
            }
        }
    }

    /// Adds one file, if there is one.
    fn single(&mut self, root: &gix::Tree<'_>, path: String) -> Result<(), Error> {
        if path.split('/').any(|part| matches!(part, "" | "." | "..") || part.contains(['\\', '\0'])) || self.files.contains_key(&path) {
            return Ok(());
        }
        let entry = root.lookup_entry_by_path(&path).map_err(|e| self.place.disk(&e))?;
        let Some(entry) = entry else { return Ok(()) };
        self.blob(path, entry.mode().kind(), entry.object_id())
    }

    fn blob(&mut self, path: String, kind: EntryKind, id: gix::ObjectId) -> Result<(), Error> {
        match kind {
            EntryKind::Tree => Ok(()),
            EntryKind::Blob => self.file(path, id, Entry::File),
            EntryKind::BlobExecutable => self.file(path, id, Entry::Executable),
            EntryKind::Link => self.file(path, id, |target| Entry::Link(String::from_utf8_lossy(&target).into_owned())),
            EntryKind::Commit => self.insert(path, Entry::Submodule),
        }
    }

    fn file(&mut self, path: String, id: gix::ObjectId, entry: impl FnOnce(Vec<u8>) -> Entry) -> Result<(), Error> {
        // Looks at the size before the content: a repository may hold gigabytes beside its manifests.
        let size = self.repository.find_header(id).map_err(|e| self.place.disk(&e))?.size();
        if size > self.limits.file_bytes_max {
            return self.insert(path, Entry::Omitted { size });
        }
        self.bytes += size;
        if self.bytes > self.limits.bytes_max {
            return Err(self.place.too_large(format!("{} bytes in all", self.limits.bytes_max)));
        }
        let mut blob = self.repository.find_blob(id).map_err(|e| self.place.disk(&e))?;
        self.insert(path, entry(blob.take_data()))
    }

    fn insert(&mut self, path: String, entry: Entry) -> Result<(), Error> {
        if self.files.len() >= self.limits.files_max {
            return Err(self.place.too_large(format!("{} files", self.limits.files_max)));
        }
        self.files.insert(path, entry);
        Ok(())
    }
}

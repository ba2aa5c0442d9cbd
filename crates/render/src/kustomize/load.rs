//! Finds and reads the files of a kustomization, within its directory and within limits.

use super::path;
use super::spec::{self, Kustomization};
use crate::{File, Files, Limits, Problem};

/// Names a kustomization file may have.
pub(crate) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Reads files and counts what it reads.
pub(crate) struct Loader<'a> {
    files: &'a Files,
    limits: &'a Limits,
    bytes: usize,
    kustomizations: usize,
}

/// What a path of `resources` leads to.
pub(crate) enum Place {
    File(String),
    Directory(String),
}

impl<'a> Loader<'a> {
    pub fn new(files: &'a Files, limits: &'a Limits) -> Self {
        Self { files, limits, bytes: 0, kustomizations: 0 }
    }

    pub fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// Reads the kustomization of a directory; returns its file's path as well.
    pub fn kustomization(&mut self, dir: &str) -> Result<(String, Kustomization), Vec<Problem>> {
        self.kustomizations += 1;
        if self.kustomizations > self.limits.kustomizations_max {
            let limit = self.limits.kustomizations_max;
            return Err(vec![Problem::file(dir, 0, format!("more than {limit} kustomizations are read; split the Application"))]);
        }
        let present: Vec<String> = NAMES.iter().map(|name| path::child(dir, name)).filter(|file| self.files.contains_key(file)).collect();
        match present.as_slice() {
            [file] => {
                let text = self.text(file).map_err(|what| vec![Problem::file(file, 0, what)])?;
                spec::parse(file, &text).map(|found| (file.clone(), found))
            }
            [] => Err(vec![Problem::file(dir, 0, format!("there is no kustomization file; it must be one of {}", NAMES.join(", ")))]),
            [first, ..] => Err(vec![Problem::file(first, 0, "the directory has several kustomization files; keep one")]),
        }
    }

    /// Returns what an entry of a list of resources leads to.
    pub fn place(&self, dir: &str, entry: &str) -> Result<Place, String> {
        let found = path::join(dir, entry)?;
        if self.files.contains_key(&found) {
            self.within(dir, &found)?;
            return Ok(Place::File(found));
        }
        let below = path::child(&found, "");
        if found.is_empty() || self.files.range(below.clone()..).next().is_some_and(|(file, _)| file.starts_with(&below)) {
            return Ok(Place::Directory(found));
        }
        Err(format!("{entry:?} is neither a file nor a directory with a kustomization"))
    }

    /// Reads a file named by a kustomization as text.
    pub fn text_of(&mut self, dir: &str, entry: &str) -> Result<(String, String), String> {
        let file = self.file_of(dir, entry)?;
        self.text(&file).map(|text| (file, text))
    }

    /// Reads a file named by a kustomization.
    pub fn bytes_of(&mut self, dir: &str, entry: &str) -> Result<Vec<u8>, String> {
        let file = self.file_of(dir, entry)?;
        self.content(&file)
    }

    pub fn text(&mut self, file: &str) -> Result<String, String> {
        String::from_utf8(self.content(file)?).map_err(|_| format!("{file} is not UTF-8 text"))
    }

    fn file_of(&self, dir: &str, entry: &str) -> Result<String, String> {
        if entry.contains("://") {
            return Err(format!("{entry:?} is a URL; not supported: commit the file"));
        }
        let file = path::join(dir, entry)?;
        self.within(dir, &file)?;
        Ok(file)
    }

    /// As Kustomize, a kustomization reads files of its own directory only; what others may use is a base.
    fn within(&self, dir: &str, file: &str) -> Result<(), String> {
        if path::is_within(dir, file) {
            return Ok(());
        }
        Err(format!(
            "{file} is outside of {dir:?}; a kustomization reads files of its own directory, and others' through their kustomization"
        ))
    }

    fn content(&mut self, file: &str) -> Result<Vec<u8>, String> {
        let content = match self.files.get(file) {
            Some(File::Content(content)) => content.clone(),
            Some(File::Link(target)) => {
                return Err(format!("{file} is a symbolic link to {target:?}, which is not followed; put a file there"));
            }
            Some(File::Submodule) => return Err(format!("{file} is a submodule, which is not fetched")),
            Some(File::Omitted { size }) => return Err(format!("{file} is too large ({size} bytes); split it")),
            None => return Err(format!("there is no file {file}")),
        };
        self.bytes += content.len();
        if self.bytes > self.limits.manifest_bytes_max {
            let limit = self.limits.manifest_bytes_max;
            return Err(format!("{file}: the files read exceed {limit} bytes; split the Application"));
        }
        Ok(content)
    }
}

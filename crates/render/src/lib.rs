//! Files of a repository to Kubernetes objects, as an Application's source asks.
//!
//! Pure: files come in as bytes, objects or [`Problem`]s go out, each naming its file and line. The tools are
//! `directory` (plain YAML and JSON) and `kustomize`; a directory that needs Helm, Jsonnet or a plugin is refused by name.
//! Rules follow Argo CD's `reposerver/repository/repository.go`. Namespaces, tracking and duplicates are not decided
//! here: that needs a cluster's scopes and is `gitops`' work.

mod directory;
mod kustomize;
mod manifest;
mod tool;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use api::argo::SourceKustomize;

pub use kustomize::wanted;
pub use tool::{Tool, detect};

/// The files below a source's path, by path from the repository's root.
pub type Files = BTreeMap<String, File>;

/// What stands at a path of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    Content(Vec<u8>),
    /// A symbolic link; following it could lead out of the repository.
    Link(String),
    Submodule,
    /// A file too large to be delivered.
    Omitted {
        size: u64,
    },
}

/// What an Application's source says about rendering.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Directory in the repository, empty for its root.
    pub path: String,
    pub directory: Directory,
    /// Changes to the kustomization, if it is one.
    pub kustomize: Option<SourceKustomize>,
    /// URL of the repository, and the revision asked for: bases may be named by them.
    pub repo: String,
    pub revision: String,
    /// The tool the source names itself, by having its block; detected otherwise.
    pub tool: Option<Tool>,
}

/// Options of a directory source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    pub recurse: bool,
    /// Glob over paths relative to the source's directory; `*` also matches `/`, `{a,b}` are alternatives.
    pub include: String,
    /// As `include`; wins over it.
    pub exclude: String,
}

/// How much one source may render to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all manifest files together.
    pub manifest_bytes_max: usize,
    pub objects_max: usize,
    /// Values inside values of one object.
    pub depth_max: usize,
    /// Kustomizations read, each as often as it is a base.
    pub kustomizations_max: usize,
    /// Overlays on overlays.
    pub overlays_max: usize,
    /// Bytes of all objects together, at any time while they are changed.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Deeper YAML could exhaust a thread's stack while it is read; a CustomResourceDefinition with a pod in it has about 30.
        // 10 MiB as Argo CD's reposerver.max.combined.directory.manifests.size.
        Self {
            manifest_bytes_max: 10 << 20,
            objects_max: 5_000,
            depth_max: 64,
            kustomizations_max: 500,
            overlays_max: 32,
            output_bytes_max: 32 << 20,
        }
    }
}

/// An object and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub object: Value,
    pub file: String,
    /// Line its document begins at, from 1.
    pub line: usize,
}

/// Something wrong in the repository, for the person who can mend it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Empty if it is about the source as a whole.
    pub file: String,
    /// 0 if it is about the whole file.
    pub line: usize,
    pub message: String,
}

impl Problem {
    fn source(message: impl Into<String>) -> Self {
        Self { file: String::new(), line: 0, message: message.into() }
    }

    fn file(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", _) => f.write_str(&self.message),
            (file, 0) => write!(f, "{file}: {}", self.message),
            (file, line) => write!(f, "{file}:{line}: {}", self.message),
        }
    }
}

impl Source {
    /// Returns the directory a URL means if it is one of this repository at this revision.
    fn own(&self, remote: &kustomize::Remote) -> Result<String, String> {
        if self.repo.is_empty() || kustomize::normal(&self.repo) != remote.repository {
            return Err(format!(
                "{} is another repository; not supported: commit what it holds, or make it an Application of its own",
                remote.repository
            ));
        }
        let is_head = |revision: &str| revision.is_empty() || revision == "HEAD";
        if remote.revision != self.revision && !(is_head(&remote.revision) && is_head(&self.revision)) {
            let (wanted, own) = (&remote.revision, &self.revision);
            return Err(format!("it is this repository at {wanted:?}, not at {own:?}; not supported: use a relative path"));
        }
        Ok(remote.path.clone())
    }
}

/// Objects in the order of their files, and the tool that made them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    pub tool: Tool,
    pub manifests: Vec<Manifest>,
}

/// Renders a source, or says everything that is wrong with it.
pub fn render(files: &Files, source: &Source, limits: &Limits) -> Result<Rendered, Vec<Problem>> {
    match source.tool.unwrap_or_else(|| detect(files, &source.path)) {
        Tool::Directory => {
            let manifests = directory::render(files, source, limits)?;
            Ok(Rendered { tool: Tool::Directory, manifests })
        }
        Tool::Kustomize => {
            let manifests = kustomize::render(files, source, limits)?;
            Ok(Rendered { tool: Tool::Kustomize, manifests })
        }
        tool @ (Tool::Helm | Tool::Plugin) => Err(vec![Problem::source(tool::not_supported(tool, files, source))]),
    }
}

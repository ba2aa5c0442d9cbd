//! Which tool turns a directory into objects: the one the source names, else by the files in the directory.

use std::fmt;

use crate::{Files, Source, kustomize};

/// A way to render, named as `status.sourceType` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Directory,
    Helm,
    Kustomize,
    Plugin,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "Directory",
            Self::Helm => "Helm",
            Self::Kustomize => "Kustomize",
            Self::Plugin => "Plugin",
        })
    }
}

/// Returns the tool the files at `path` ask for.
pub fn detect(files: &Files, path: &str) -> Tool {
    if marker(files, path, &["Chart.yaml"]).is_some() {
        Tool::Helm
    } else if marker(files, path, &kustomize::NAMES).is_some() {
        Tool::Kustomize
    } else {
        Tool::Directory
    }
}

fn marker(files: &Files, path: &str, names: &[&str]) -> Option<String> {
    let full = |name: &&str| if path.is_empty() { (*name).to_owned() } else { format!("{path}/{name}") };
    names.iter().map(full).find(|file| files.contains_key(file))
}

/// Says that a tool is not there yet, and what made us think of it.
pub(crate) fn not_supported(tool: Tool, files: &Files, source: &Source) -> String {
    let (field, names): (&str, &[&str]) = match tool {
        Tool::Helm => ("spec.source.helm", &["Chart.yaml"]),
        Tool::Kustomize => ("spec.source.kustomize", &kustomize::NAMES),
        Tool::Plugin => ("spec.source.plugin", &[]),
        Tool::Directory => ("spec.source.directory", &[]),
    };
    let because = match (source.tool, marker(files, &source.path, names)) {
        (None, Some(file)) => format!("{file} asks for it"),
        _ => format!("{field} asks for it"),
    };
    format!("{tool} is not supported yet ({because}); render it in the repository to plain YAML, or set spec.source.directory")
}

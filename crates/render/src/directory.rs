//! A directory of plain YAML and JSON files.

use globset::{GlobBuilder, GlobMatcher};

use crate::manifest::{self, LIST_MARKER};
use crate::{File, Files, Limits, Manifest, Problem, Source};

const EXTENSIONS: [&str; 4] = [".yaml", ".yml", ".json", ".jsonnet"];
/// A file that says this anywhere is left alone.
const SKIP_FILE: &str = "+argocd:skip-file-rendering";

/// Renders all manifest files the source selects; one bad file does not hide another's problems.
pub(crate) fn render(files: &Files, source: &Source, limits: &Limits) -> Result<Vec<Manifest>, Vec<Problem>> {
    let selection = Selection::new(source).map_err(|problem| vec![problem])?;
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for (path, file) in files.iter().filter(|(path, _)| selection.takes(path)) {
        let content = match content(path, file) {
            Ok(content) => content,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        bytes += content.len();
        if bytes > limits.manifest_bytes_max {
            let limit = limits.manifest_bytes_max;
            problems.push(Problem::source(format!("the manifest files exceed {limit} bytes; use include, exclude or a smaller directory")));
            break;
        }
        match manifest::parse(path, content, limits) {
            Ok(found) => manifests.extend(found),
            Err(found) => problems.extend(found),
        }
        if manifests.len() > limits.objects_max {
            problems.push(Problem::source(format!("the manifests hold more than {} objects; split the Application", limits.objects_max)));
            break;
        }
    }
    debug_assert!(manifests.iter().all(|m| m.object["kind"] != LIST_MARKER));
    if problems.is_empty() { Ok(manifests) } else { Err(problems) }
}

fn content<'a>(path: &str, file: &'a File) -> Result<&'a str, Problem> {
    if path.ends_with(".jsonnet") {
        return Err(Problem::file(
            path,
            0,
            "Jsonnet is not supported yet; render it to YAML, or exclude it (spec.source.directory.exclude)",
        ));
    }
    let bytes = match file {
        File::Content(bytes) => bytes,
        File::Link(target) => {
            return Err(Problem::file(
                path,
                0,
                format!("it is a symbolic link to {target:?}, which is not followed; put a file there or exclude it"),
            ));
        }
        File::Submodule => return Err(Problem::file(path, 0, "it is a submodule, which is not fetched")),
        File::Omitted { size } => {
            return Err(Problem::file(path, 0, format!("it is too large for a manifest ({size} bytes); split it or exclude it")));
        }
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        Problem::file(path, line, "it is not UTF-8 text")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(if text.contains(SKIP_FILE) { "" } else { text })
}

/// Which files of the repository the source means.
struct Selection {
    prefix: String,
    recurse: bool,
    include: Option<GlobMatcher>,
    exclude: Option<GlobMatcher>,
}

impl Selection {
    fn new(source: &Source) -> Result<Self, Problem> {
        Ok(Self {
            prefix: if source.path.is_empty() { String::new() } else { format!("{}/", source.path) },
            recurse: source.directory.recurse,
            include: glob("spec.source.directory.include", &source.directory.include)?,
            exclude: glob("spec.source.directory.exclude", &source.directory.exclude)?,
        })
    }

    fn takes(&self, path: &str) -> bool {
        let Some(relative) = path.strip_prefix(&self.prefix) else { return false };
        EXTENSIONS.iter().any(|extension| relative.ends_with(extension))
            && (self.recurse || !relative.contains('/'))
            && !self.exclude.as_ref().is_some_and(|glob| glob.is_match(relative))
            && self.include.as_ref().is_none_or(|glob| glob.is_match(relative))
    }
}

fn glob(field: &str, pattern: &str) -> Result<Option<GlobMatcher>, Problem> {
    if pattern.is_empty() {
        return Ok(None);
    }
    let glob = GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build();
    glob.map(|glob| Some(glob.compile_matcher())).map_err(|error| Problem::source(format!("{field}: {error}")))
}

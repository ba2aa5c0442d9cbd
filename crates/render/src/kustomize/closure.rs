//! Which files outside a directory its kustomization needs.
//!
//! A pack holds the files below a path, and an overlay refers to bases beside it. Whoever makes the pack asks again and
//! again what is missing, until nothing is or nothing more is found. This reads loosely: what is wrong in a kustomization
//! is said when it is rendered.

use std::collections::{BTreeSet, VecDeque};

use apimachinery::yaml::{self, DuplicateKeys};
use serde_json::Value;

use super::load::NAMES;
use super::path;

/// Kustomizations looked at; who refers to more will be refused when it is rendered.
const KUSTOMIZATIONS_MAX: usize = 1_000;

/// Returns files that the kustomization at `path` refers to, itself or through others, and that are not there; `content`
/// returns those that are. Some may not exist: a name may be a file's or a directory's, and the kustomization of a
/// directory may have any of three names.
pub fn wanted<'a>(repo: &str, path: &str, content: &dyn Fn(&str) -> Option<&'a [u8]>) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    let Ok(root) = path::join("", if path.is_empty() { "." } else { path }) else { return wanted };
    let mut seen = BTreeSet::from([root.clone()]);
    let mut waiting = VecDeque::from([root]);
    while let Some(dir) = waiting.pop_front() {
        let Some(spec) = kustomization(content, &dir) else { continue };
        for found in directories(&spec, &dir, repo) {
            if content(&found).is_some() {
                continue;
            }
            if !NAMES.iter().any(|name| content(&path::child(&found, name)).is_some()) {
                wanted.extend(NAMES.iter().map(|name| path::child(&found, name)));
                wanted.extend(path::is_within(&dir, &found).then_some(found));
            } else if seen.len() < KUSTOMIZATIONS_MAX && seen.insert(found.clone()) {
                waiting.push_back(found);
            }
        }
        wanted.extend(file_paths(&spec, &dir).into_iter().filter(|file| content(file).is_none()));
    }
    wanted
}

fn kustomization<'a>(content: &dyn Fn(&str) -> Option<&'a [u8]>, dir: &str) -> Option<Value> {
    let bytes = NAMES.iter().find_map(|name| content(&path::child(dir, name)))?;
    yaml::from_str(std::str::from_utf8(bytes).ok()?, DuplicateKeys::LastWins).ok()
}

/// Returns where entries lead that may be directories.
fn directories(spec: &Value, dir: &str, repo: &str) -> Vec<String> {
    let entries = ["resources", "bases", "components"].into_iter().flat_map(|field| texts(&spec[field]));
    let lead = |entry: &str| match path::remote(entry) {
        // Whether its revision is the right one is asked when it is rendered.
        Some(remote) if remote.repository != path::normal(repo) => None,
        // Written by hand: what leads out of the repository, or back and forth in it, is as in a relative path.
        Some(remote) if remote.path.is_empty() => Some(String::new()),
        Some(remote) => path::join("", &remote.path).ok(),
        None => path::join(dir, entry).ok(),
    };
    entries.filter_map(lead).collect()
}

/// Returns the files that entries name, within the directory.
fn file_paths(spec: &Value, dir: &str) -> BTreeSet<String> {
    let mut entries: Vec<&str> =
        ["configurations", "crds", "patchesStrategicMerge"].into_iter().flat_map(|field| texts(&spec[field])).collect();
    for field in ["patches", "patchesJson6902", "replacements"] {
        entries.extend(items(&spec[field]).filter_map(|item| item["path"].as_str()));
    }
    for generator in ["configMapGenerator", "secretGenerator"].into_iter().flat_map(|field| items(&spec[field])) {
        entries.extend(texts(&generator["envs"]).chain(generator["env"].as_str()));
        entries.extend(texts(&generator["files"]).map(|source| source.split_once('=').map_or(source, |(_, path)| path)));
    }
    let within = |entry: &str| path::join(dir, entry).ok().filter(|file| !entry.contains('\n') && path::is_within(dir, file));
    entries.into_iter().filter_map(within).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    items(list).filter_map(Value::as_str)
}

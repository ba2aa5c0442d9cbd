//! Which crate may import which.
//!
//! Programs -> bodies -> {machinery, decisions} -> words, as in ARCHITECTURE.md. Within a layer only the arrows of
//! `SIDEWAYS` are allowed. Development dependencies of the pure layers follow the same rule; above them a test may
//! use anything. What the pure layers link, directly or not, is checked as well: no runtime, no sockets, no client.

use std::path::Path;

use super::{Workspace, cargo};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Words,
    Decisions,
    Machinery,
    Bodies,
    Programs,
    /// Whole-system tests and tools: nobody imports them, but for `testkit` as a development dependency.
    Tools,
}

use Layer::{Bodies, Decisions, Machinery, Programs, Tools, Words};

const LAYERS: &[(Layer, &[&str])] = &[
    (Words, &["api", "apimachinery", "builtin", "kinds", "template", "cel"]),
    (Decisions, &["overview", "placement", "work", "rollout", "policy", "gitops", "lifecycle", "render"]),
    (Machinery, &["store", "apiserver", "controller", "git", "tunnel", "pki", "records"]),
    (Bodies, &["hub", "agent", "providers", "console", "sim"]),
    (Programs, &["muster", "muster-agent"]),
    (Tools, &["testkit", "e2e", "bench", "xtask"]),
];

/// Arrows within a layer.
const SIDEWAYS: &[(&str, &[&str])] = &[
    ("api", &["apimachinery"]),
    ("builtin", &["apimachinery"]),
    ("cel", &["apimachinery"]),
    ("kinds", &["apimachinery", "builtin"]),
    ("apiserver", &["store", "pki", "controller", "tunnel"]),
    ("git", &["tunnel"]),
    ("tunnel", &["pki"]),
    ("sim", &["agent"]),
    ("e2e", &["testkit"]),
    ("bench", &["testkit"]),
];

/// Machinery knows no kind of ours by name, so it may not import these words.
const NOT_FOR_MACHINERY: &[&str] = &["api", "kinds"];

/// What no pure crate may link, directly or through others.
const IMPURE: &[&str] = &[
    "async-std",
    "futures",
    "getrandom",
    "gix",
    "hyper",
    "hyper-util",
    "kube-client",
    "kube-runtime",
    "mio",
    "rand",
    "reqwest",
    "ring",
    "rusqlite",
    "rustls",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tower",
];

pub fn is_pure(name: &str) -> bool {
    matches!(layer(name), Some(Words | Decisions))
}

pub fn check(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        if layer(&package.name).is_none() {
            findings.push(format!("{}: has no layer; add it to LAYERS in xtask/src/tidy/arrows.rs and to ARCHITECTURE.md", package.name));
        }
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let is_dev = dependency.kind.as_deref() == Some("dev");
            if !is_allowed(&package.name, &dependency.name, is_dev) {
                findings.push(format!("{}: must not import {}; see ARCHITECTURE.md for the arrows", package.name, dependency.name));
            }
        }
    }
    findings
}

/// Checks what the pure crates link: with their own features, not with those of the whole workspace.
pub fn check_links(root: &Path) -> anyhow::Result<Vec<String>> {
    let workspace = Workspace::load(root)?;
    let pure = workspace.packages.iter().filter(|package| is_pure(&package.name));
    let mut findings = Vec::new();
    for package in pure {
        let tree = cargo(root, &["tree", "--offline", "--edges=normal", "--prefix=none", "--format={p}", "--package", &package.name])?;
        let linked: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        let impure = IMPURE.iter().filter(|name| linked.contains(name));
        findings.extend(impure.map(|impure| {
            format!(
                "{}: links {impure}, which is not pure; find the way with `cargo tree -p {} -e normal -i {impure}`",
                package.name, package.name
            )
        }));
    }
    Ok(findings)
}

fn layer(name: &str) -> Option<Layer> {
    LAYERS.iter().find(|(_, names)| names.contains(&name)).map(|&(layer, _)| layer)
}

fn is_allowed(from: &str, to: &str, is_dev: bool) -> bool {
    let (Some(from_layer), Some(to_layer)) = (layer(from), layer(to)) else { return false };
    let is_sideways = SIDEWAYS.iter().any(|&(name, others)| name == from && others.contains(&to));
    if is_dev && !is_pure(from) {
        return to_layer != Programs || from_layer == Tools;
    }
    is_sideways
        || match from_layer {
            Words => false,
            Decisions => to_layer == Words,
            Machinery => to_layer == Words && !NOT_FOR_MACHINERY.contains(&to),
            Bodies => matches!(to_layer, Words | Decisions | Machinery),
            Programs => matches!(to_layer, Words | Decisions | Machinery | Bodies),
            Tools => to_layer != Tools,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_down() {
        let check = |from, to, is_dev, expect| assert_eq!(is_allowed(from, to, is_dev), expect, "{from} -> {to}, dev {is_dev}");
        check("muster", "hub", false, true);
        check("muster", "muster-agent", false, false);
        check("hub", "placement", false, true);
        check("hub", "store", false, true);
        check("hub", "agent", false, false);
        check("agent", "hub", false, false);
        check("sim", "agent", false, true);
        check("sim", "hub", false, false);
        check("agent", "apiserver", true, true);
        check("hub", "testkit", true, true);
        check("hub", "testkit", false, false);
        check("apiserver", "store", false, true);
        check("apiserver", "api", false, false);
        check("store", "apiserver", false, false);
        check("records", "kinds", false, false);
        check("placement", "api", false, true);
        check("placement", "work", false, false);
        check("placement", "store", true, false);
        check("kinds", "apimachinery", false, true);
        check("apimachinery", "kinds", false, false);
        check("hub", "unheard-of", false, false);
    }

    #[test]
    fn no_crate_is_in_two_layers() {
        let mut names: Vec<&str> = LAYERS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

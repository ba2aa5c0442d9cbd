//! What every crate's folder holds: the lints of the workspace, and in the pure layers the `clippy.toml`
//! that forbids what std offers of clock, environment, files, threads and sockets.

use std::fs;
use std::path::Path;

use super::arrows::is_pure;

/// The same file in every pure crate, because clippy reads only one and it cannot include another.
const PURE_CLIPPY: &str = include_str!("pure-clippy.toml");

pub fn check(root: &Path, folder: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let shown = folder.strip_prefix(root).unwrap_or(folder).display();
    let mut findings = Vec::new();
    let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
    if !has_workspace_lints(&manifest) {
        findings.push(format!("{shown}/Cargo.toml: lacks `[lints] workspace = true`"));
    }
    if is_pure(name) && fs::read_to_string(folder.join("clippy.toml")).ok().as_deref() != Some(PURE_CLIPPY) {
        findings.push(format!("{shown}/clippy.toml: is not the one of the pure layers; copy xtask/src/tidy/pure-clippy.toml"));
    }
    Ok(findings)
}

fn has_workspace_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.by_ref().take_while(|line| !line.starts_with('[')).any(|line| line.replace(' ', "") == "workspace=true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lints_section_is_found() {
        let check = |manifest, expect| assert_eq!(has_workspace_lints(manifest), expect, "{manifest}");
        check("[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n", true);
        check("[lints]\n\n[dependencies]\nworkspace = true", false);
        check("[package]\nversion.workspace = true", false);
    }
}

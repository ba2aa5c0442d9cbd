//! `xtask tidy`: the rules of the house that a compiler does not check.
//!
//! Arrows between crates and what the pure ones link (`arrows`), the text of source files (`text`),
//! and what every crate's folder holds (`manifests`). Each finding names the file and the remedy.
//! The rules are tables at the top of those files; changing one is a design decision.

mod arrows;
mod manifests;
mod text;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// Prints what is not tidy; fails if anything is.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let (workspace, findings) = check(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("tidy: {} crates", workspace.packages.len());
    Ok(())
}

fn check(root: &Path) -> anyhow::Result<(Workspace, Vec<String>)> {
    let workspace = Workspace::load(root)?;
    let mut findings = arrows::check(&workspace);
    findings.extend(arrows::check_links(root)?);
    for package in &workspace.packages {
        let folder = package.manifest_path.parent().context("a manifest is in a folder")?;
        findings.extend(manifests::check(root, folder, &package.name)?);
        findings.extend(text::check(root, folder, arrows::is_pure(&package.name))?);
    }
    findings.sort();
    Ok((workspace, findings))
}

/// The workspace as cargo sees it.
#[derive(Deserialize)]
struct Workspace {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None`, or `dev` or `build`.
    kind: Option<String>,
    /// Only for crates of this repository.
    path: Option<PathBuf>,
}

impl Workspace {
    fn load(root: &Path) -> anyhow::Result<Workspace> {
        let json = cargo(root, &["metadata", "--format-version=1", "--no-deps", "--offline"])?;
        serde_json::from_str(&json).context("failed to read cargo metadata")
    }
}

/// Runs cargo in the repository; returns what it prints.
fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(arguments).current_dir(root).output().context("failed to start cargo")?;
    ensure!(output.status.success(), "cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8(output.stdout).context("cargo prints UTF-8")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let (_, findings) = super::check(&crate::root()).unwrap();
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }
}

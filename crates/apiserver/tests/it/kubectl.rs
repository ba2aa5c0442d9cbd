//! Unmodified kubectl, each version that is present, against a control plane.
//!
//! `MUSTER_KUBECTLS` is a directory with `v27/kubectl`, `v31/kubectl`, ... (`make kubectls` fills
//! `.dev/kubectl`); without it the `kubectl` of `KUBEBUILDER_ASSETS`, or the one on the path. The scripts are in `kubectl/`.

use std::path::{Path, PathBuf};

use testkit::control_plane::assets;

use crate::script::{Plane, Tool};

/// Returns the tools to test with, oldest first; none prints why.
pub fn tools(name: &str) -> Vec<Tool> {
    let mut found = Vec::new();
    // Relative paths are meant from the repository's root, where make runs.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match std::env::var_os("MUSTER_KUBECTLS").map(|directory| root.join(directory)) {
        Some(directory) => {
            let folders = std::fs::read_dir(&directory).expect("MUSTER_KUBECTLS is a directory").flatten();
            found.extend(folders.filter_map(|folder| {
                let minor = folder.file_name().to_str()?.strip_prefix('v')?.parse().ok()?;
                let path = folder.path().join(name);
                path.is_file().then_some(Tool { path, minor })
            }));
        }
        None => found.extend(
            assets()
                .map(|folder| folder.join(name))
                .filter(|path| path.is_file())
                .or_else(|| on_path(name))
                .map(|path| Tool { minor: minor_of(&path), path }),
        ),
    }
    found.sort_by_key(|tool| tool.minor);
    if found.is_empty() {
        println!("skipped: no {name} in MUSTER_KUBECTLS or on the path");
    }
    found
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Asks the tool; a new one if it does not tell.
fn minor_of(path: &Path) -> u32 {
    let output = std::process::Command::new(path).args(["version", "--client", "-o", "json"]).output().ok();
    let value: Option<serde_json::Value> = output.and_then(|o| serde_json::from_slice(&o.stdout).ok());
    let minor = value.and_then(|v| v["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok());
    minor.unwrap_or(99)
}

async fn run(name: &str, script: &str) {
    let tools = tools("kubectl");
    if tools.is_empty() {
        return;
    }
    let plane = Plane::new().await;
    for tool in &tools {
        plane.run(tool, name, script).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workloads_are_applied_patched_scaled_and_deleted() {
    run("workloads", include_str!("kubectl/workloads.yaml")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_kinds_are_defined_explained_and_shown() {
    run("custom", include_str!("kubectl/custom.yaml")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_do_what_is_asked_and_granted() {
    run("identity", include_str!("kubectl/identity.yaml")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_generator_makes_an_object_and_every_object_is_shown() {
    run("objects", include_str!("kubectl/objects.yaml")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_and_deletions_are_waited_for() {
    run("waiting", include_str!("kubectl/waiting.yaml")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_answered_with_object_field_and_remedy() {
    run("mistakes", include_str!("kubectl/mistakes.yaml")).await;
}

//! What a first fleet has to run: a repository, and the objects that bring it to every cluster that joins.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};

use crate::layout::{Fleet, Layout};

pub const REPOSITORY: &str = "apps.git";
const FILES: [(&str, &str); 2] = [
    ("hello/hello.yaml", include_str!("../../../../examples/first/repo/hello/hello.yaml")),
    ("README.md", include_str!("../../../../examples/first/repo/README.md")),
];
const OBJECTS: &str = include_str!("../../../../examples/first/fleet.yaml");
const URL_PLACE: &str = "${REPO_URL}";

impl Fleet {
    pub fn repo_url(&self) -> String {
        format!("http://127.0.0.1:{}/{REPOSITORY}", self.git_port())
    }
}

/// Makes the bare repository with its first commit, unless it is there.
pub fn make_repository(layout: &Layout) -> anyhow::Result<()> {
    let bare = layout.repos().join(REPOSITORY);
    if bare.join("HEAD").exists() {
        return Ok(());
    }
    let work = layout.repos().join("first");
    let _ = std::fs::remove_dir_all(&work);
    for (name, content) in FILES {
        let path = work.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&work))?;
        std::fs::write(&path, content)?;
    }
    git(&work, &["init", "--quiet", "--initial-branch=main"])?;
    git(&work, &["add", "."])?;
    git(&work, &["-c", "user.name=muster", "-c", "user.email=muster@localhost", "commit", "--quiet", "--message", "hello: the first application"])?;
    // Named last, so that a repository that is there is whole.
    let next = layout.repos().join("first.git");
    let _ = std::fs::remove_dir_all(&next);
    git(&work, &["clone", "--quiet", "--bare", ".", &next.to_string_lossy()])?;
    git(&next, &["config", "http.receivepack", "true"])?;
    std::fs::rename(&next, &bare)?;
    std::fs::remove_dir_all(&work)?;
    Ok(())
}

fn git(dir: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("git").args(arguments).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").output().context("failed to run git: is it installed?")?;
    if !output.status.success() {
        bail!("git {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Applies the objects that bring the repository to every cluster.
pub async fn apply(client: &kube::Client, fleet: &Fleet) -> anyhow::Result<()> {
    let text = OBJECTS.replace(URL_PLACE, &fleet.repo_url());
    let documents = apimachinery::yaml::from_str_many(&text, apimachinery::yaml::DuplicateKeys::Refuse)?;
    for document in documents.into_iter().filter(|d| !d.is_null()) {
        let object: DynamicObject = serde_json::from_value(document)?;
        let types = object.types.clone().context("an object without apiVersion and kind")?;
        let (group, version) = apimachinery::gvk::split_api_version(&types.api_version);
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let name = object.metadata.name.clone().unwrap_or_default();
        api.patch(&name, &PatchParams::apply("muster").force(), &Patch::Apply(&object))
            .await
            .with_context(|| format!("failed to apply {} {name}", types.kind))?;
    }
    Ok(())
}

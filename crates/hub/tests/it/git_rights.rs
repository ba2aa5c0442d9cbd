//! An agent reads the repositories of its own cluster's Applications, through RBAC and the Git endpoints.

use std::process::Command;

use api::work::ManifestWork;
use hub::{HubOptions, gitserver};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::endpoints::get;
use crate::support::{Agent, code, eventually};

fn git(dir: &std::path::Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(dir).args(["-c", "user.name=test", "-c", "user.email=test@localhost"]).args(arguments);
    assert!(command.env("GIT_CONFIG_GLOBAL", "/dev/null").status().expect("git runs").success(), "git {arguments:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reads_the_repositories_delivered_to_its_cluster() {
    let dir = tempfile::tempdir().expect("a directory");
    let repo = dir.path().join("repo");
    git(dir.path(), &["init", "-q", "-b", "main", "repo"]);
    git(&repo, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let url = format!("file://{}", repo.display());
    let mut options = HubOptions::new(controller::Runtime::new(controller::Clock::wall()));
    options.entropy = apiserver::Entropy::seeded(7);
    options.git = Some(gitserver::Options { is_file_allowed: true, ..gitserver::Options::new(dir.path().join("mirrors")) });
    let hub = hub::start(options).await.expect("a hub");
    let [one, two] = [Agent::join(&hub, "store-1", "uid-1").await, Agent::join(&hub, "store-2", "uid-2").await];
    let works: Api<ManifestWork> = Api::namespaced(hub.client.clone(), "store-1");
    let application = |url: &str| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a", "namespace": "argocd"},
            "spec": {"source": {"repoURL": url, "path": ".", "targetRevision": "main"}}})
    };
    let work =
        |url: &str| serde_json::from_value(json!({"metadata": {"name": "w"}, "spec": {"workload": {"manifests": [application(url)]}}}));
    works.create(&PostParams::default(), &work(&url).expect("a work")).await.expect("created");
    let resolve = format!("/muster/v1/git/resolve?repo={url}&revision=main");
    eventually(|| async {
        match get(&one.connection, &resolve).await {
            (status, _) if status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let (status, body) = get(&two.connection, &resolve).await;
    assert_eq!(status, 403);
    assert!(String::from_utf8_lossy(&body).contains("no Application in a ManifestWork of namespace store-2"), "{body:?}");
    assert_eq!(get(&one.connection, "/muster/v1/git/resolve?repo=http://127.0.0.1:1/&revision=main").await.0, 403);

    // An agent may write to works for their finalizers' sake; it must not deliver to itself.
    let own: Api<ManifestWork> = Api::namespaced(one.client(), "store-1");
    let patch = json!({"spec": {"workload": {"manifests": [application("http://127.0.0.1:1/")]}}});
    assert_eq!(code(own.patch("w", &PatchParams::default(), &Patch::Merge(patch)).await), 403);
    let finalizers = json!({"metadata": {"finalizers": ["cluster.open-cluster-management.io/manifest-work-cleanup"]}});
    own.patch("w", &PatchParams::default(), &Patch::Merge(finalizers)).await.expect("a finalizer");
    hub.stop().await;
}

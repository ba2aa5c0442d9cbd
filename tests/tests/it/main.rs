//! Scenarios: a hub and its stores, as their users see them.

mod anywhere;
mod gitops;
mod joining;
mod orders;
mod wall;
mod works;

use serde_json::Value;
use testkit::{Fleet, get};

/// The Application `web` of a repository, as one line of YAML.
fn application_of(repository: &str, sync_policy: &str) -> String {
    format!(
        "{{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {{name: web, namespace: argocd}}, spec: {{project: default, \
         source: {{repoURL: '{repository}', targetRevision: main, path: web}}, \
         destination: {{server: https://kubernetes.default.svc, namespace: shop}}, syncPolicy: {sync_policy}}}}}"
    )
}

/// Returns it as it is on a store.
async fn application(fleet: &Fleet, store: &str) -> Value {
    get(&fleet.store(store).client(), "argoproj.io/v1alpha1", "Application", Some("argocd"), "web").await
}

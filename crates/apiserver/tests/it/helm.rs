//! Unmodified Helm against a control plane.

use crate::kubectl::tools;
use crate::script::Plane;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chart_is_installed_upgraded_rolled_back_and_uninstalled() {
    let tools = tools("helm");
    if tools.is_empty() {
        return;
    }
    let plane = Plane::new().await;
    for tool in &tools {
        plane.run(tool, "helm", include_str!("helm/release.yaml")).await;
    }
}

use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::json;
use testkit::{apply, eventually_within};

use crate::support::{Machine, PATIENCE, muster};

/// Reads everything and changes nothing.
const AUDITOR: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: auditor}
rules:
- {apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch]}
- {nonResourceURLs: ['*'], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: auditor}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: auditor}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: ann}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_syncs_when_it_is_told_to_and_by_whom_it_may() {
    let machine = Machine::new(2);
    machine.up().await;
    machine.is_well().await;
    sync_by_hand(&machine).await;
    let commit = machine.clone_repository().await.release("1.1.0").await;
    eventually_within(PATIENCE, "the commit waits for somebody", async || {
        let apps = machine.apps().await;
        apps.len() == 2 && apps.iter().all(|app| app.sync == "OutOfSync" && app.revision == commit)
    })
    .await;

    // What it would do, and to whom, is told without doing it.
    let would = machine.ok(&["app", "sync", "hello", "--dry-run"]).await;
    assert!(would.contains("2 clusters would be asked to sync argocd/hello: store-0001, store-0002"), "{would}");
    // Who may only look may not ask.
    let ann = as_ann(&machine).await;
    let forbidden = muster(&["app", "sync", "hello", "--kubeconfig", &ann]).await;
    assert_eq!(forbidden.code, Some(3), "{forbidden:?}");
    assert!(forbidden.stderr.contains("store-0001: ") && forbidden.stderr.contains("\"ann\" cannot patch"), "{forbidden:?}");
    let would = muster(&["app", "sync", "hello", "--dry-run", "--kubeconfig", &ann]).await;
    assert_eq!(would.code, Some(3), "{would:?}");
    assert!(machine.apps().await.iter().all(|app| app.sync == "OutOfSync" && app.order.is_empty()));

    // One cluster, and then all.
    let ran = machine.run(&["app", "sync", "hello", "-c", "store-0002", "--wait", "--timeout", "60s"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("1/1 clusters synced, 0 failed"), "{ran:?}");
    let apps = machine.apps().await;
    assert_eq!(apps.iter().map(|app| app.sync.as_str()).collect::<Vec<_>>(), ["OutOfSync", "Synced"]);
    let ran = machine.run(&["app", "sync", "argocd/hello", "--wait", "--timeout", "60s"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(machine.is_live(&commit).await || machine.apps().await.iter().all(|app| app.sync == "Synced"));

    // One that is offline is waited for no longer than was asked, and does it when it is back.
    machine.ok(&["sim", "offline", "store-0001"]).await;
    let next = machine.clone_repository().await.release("1.2.0").await;
    let late = machine.run(&["app", "sync", "hello", "-c", "store-0001", "--wait", "--timeout", "3s"]).await;
    assert_eq!(late.code, Some(4), "{late:?}");
    machine.ok(&["sim", "online", "store-0001"]).await;
    eventually_within(2 * PATIENCE, "the store is back and did it", async || {
        let apps = machine.apps().await;
        apps.iter().any(|app| app.cluster == "store-0001" && app.synced_revision == next && app.sync == "Synced")
    })
    .await;
    // Nobody told the other one.
    assert!(machine.apps().await.iter().any(|app| app.cluster == "store-0002" && app.synced_revision == commit));

    let unknown = machine.run(&["app", "sync", "argocd/nothing"]).await;
    assert!(unknown.code == Some(3) && unknown.stderr.contains("delivers argocd/nothing to no cluster"), "{unknown:?}");
}

/// Takes the automation out of the first example's Application.
async fn sync_by_hand(machine: &Machine) {
    let kind = kube::api::GroupVersionKind::gvk("work.open-cluster-management.io", "v1alpha1", "ManifestWorkReplicaSet");
    let sets: Api<DynamicObject> = Api::namespaced_with(machine.hub().await, "fleet", &kube::api::ApiResource::from_gvk(&kind));
    let patch = json!([{"op": "remove", "path": "/spec/manifestWorkTemplate/workload/manifests/1/spec/syncPolicy/automated"}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).expect("a patch"));
    sets.patch("hello", &PatchParams::default(), &patch).await.expect("patched");
    for store in machine.store_names() {
        let client = machine.store(&store).await;
        eventually_within(PATIENCE, "it syncs by hand", async || {
            let app = testkit::get(&client, "argoproj.io/v1alpha1", "Application", Some("argocd"), "hello").await;
            app["spec"]["syncPolicy"]["automated"].is_null() && !app["spec"].is_null()
        })
        .await;
    }
}

/// Returns the kubeconfig of somebody who may only read.
async fn as_ann(machine: &Machine) -> String {
    apply(&machine.hub().await, AUDITOR).await;
    let mut kubeconfig = kube::config::Kubeconfig::read_from(machine.dir.join("kubeconfig")).expect("a kubeconfig");
    for user in &mut kubeconfig.auth_infos {
        user.auth_info.get_or_insert_default().impersonate = Some("ann".into());
    }
    let path = machine.dir.join("ann.kubeconfig");
    let text = serde_json::to_string(&kubeconfig).expect("JSON");
    // Secrets are not written by the type: the token comes from the file it was read from.
    let token = machine.ok(&["token", "admin"]).await.trim().to_owned();
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    value["users"][0]["user"]["token"] = json!(token);
    std::fs::write(&path, value.to_string()).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

use std::net::{Ipv4Addr, TcpListener};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use serde_json::json;
use testkit::{delete, eventually_within, get};

use crate::support::{Machine, PATIENCE, Ran, is_alive, is_over, muster};

/// A refusal has these words, fails, and is no panic.
#[track_caller]
fn refused(ran: &Ran, words: &[&str]) {
    assert!(matches!(ran.code, Some(2 | 3)), "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "no {word:?} in {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_names_the_thing_and_the_remedy() {
    let machine = Machine::new(1);
    for command in [&["status"][..], &["apps"], &["get", "pods"], &["token", "admin"]] {
        refused(&machine.run(command).await, &["there is no fleet in", machine.at(), "muster up --dir"]);
    }
    refused(&muster(&["status", "--kubeconfig", "/nonexistent/kubeconfig"]).await, &["/nonexistent/kubeconfig"]);
    refused(&muster(&["status", "--timeout", "60 parsecs"]).await, &["--timeout", "ms, s, m or h"]);

    // Whatever has a port, it is told which, and nothing is left running.
    for (offset, what) in [(0, "the hub's API"), (1, "Git"), (10, "a store's API")] {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, machine.port + offset)).expect("bound");
        let port = machine.port.to_string();
        let ran = machine.run(&["up", "--detach", "--stores", "1", "--port", &port]).await;
        refused(&ran, &[&format!("port {}", machine.port + offset), what, "--port"]);
        assert!(!machine.dir.join("hub.pid").exists());
        drop(taken);
    }

    // `down` removes a fleet's directory: one with other things in it never becomes one.
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join("thesis.txt"), "years of work").expect("written");
    let at = home.path().to_str().expect("UTF-8");
    refused(&muster(&["up", "--detach", "--dir", at]).await, &["--dir", "thesis.txt", "new or empty"]);
    assert_eq!(muster(&["down", "--dir", at]).await.code, Some(0));
    assert!(home.path().join("thesis.txt").exists());

    std::fs::write(machine.dir.join("fleet.json"), "{\"port\": 74").expect("written");
    for command in [&["status"][..], &["up", "--detach"]] {
        refused(&machine.run(command).await, &["fleet.json is damaged", "muster down --dir"]);
    }
    assert_eq!(machine.run(&["down"]).await.code, Some(0), "what is damaged can be removed");
    assert!(!machine.dir.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_world_does_to_a_fleet_is_shown_and_the_rest_goes_on() {
    let machine = Machine::new(2);
    machine.up().await;
    machine.is_well().await;
    wrong_credentials(&machine).await;
    git_is_away(&machine).await;
    // A part that ended by itself is started again, and nothing else.
    let hub = machine.pid("hub");
    machine.up().await;
    assert_eq!(machine.pid("hub"), hub);
    let commit = machine.clone_repository().await.release("3.0.0").await;
    eventually_within(2 * PATIENCE, "the commit arrives", async || machine.is_live(&commit).await).await;

    // A damaged description neither hides processes from `down` nor outlives it.
    std::fs::write(machine.dir.join("fleet.json"), "damaged").expect("written");
    let pids = machine.pids();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    machine.ok(&["down"]).await;
    is_over(&pids).await;
}

async fn wrong_credentials(machine: &Machine) {
    let good = std::fs::read_to_string(machine.dir.join("kubeconfig")).expect("a kubeconfig");
    let token = machine.ok(&["token", "admin"]).await.trim().to_owned();
    assert!(good.contains(&token));
    let bad = machine.dir.join("bad.kubeconfig");
    let ask = async |token_now: &str| {
        std::fs::write(&bad, good.replace(&token, token_now)).expect("written");
        muster(&["status", "--kubeconfig", bad.to_str().expect("UTF-8")]).await
    };
    assert_eq!(ask(&token).await.code, Some(0));
    refused(&ask("wrong").await, &["does not accept the credential", "bad.kubeconfig", "expired or revoked"]);

    // A bootstrap token lets in until it expires.
    let secrets: Api<Secret> = Api::namespaced(machine.hub().await, "kube-system");
    for (id, expires_in, words) in [("aaaaaa", 3600, "403 Forbidden"), ("bbbbbb", -60, "does not accept the credential")] {
        let expiration = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + expires_in).expect("a time");
        let data = [
            ("token-id", id),
            ("token-secret", "0123456789abcdef"),
            ("expiration", &expiration.to_string()),
            ("usage-bootstrap-authentication", "true"),
        ];
        let secret = Secret {
            metadata: ObjectMeta { name: Some(format!("bootstrap-token-{id}")), ..ObjectMeta::default() },
            type_: Some("bootstrap.kubernetes.io/token".into()),
            string_data: Some(data.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..Secret::default()
        };
        secrets.create(&PostParams::default(), &secret).await.expect("created");
        refused(&ask(&format!("{id}.0123456789abcdef")).await, &[words]);
    }
}

/// The Application says which repository cannot be read, what to do about it, and since when; the store goes on.
async fn git_is_away(machine: &Machine) {
    machine.kill("git").await;
    let store = machine.store("store-0001").await;
    let resource = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application"));
    let applications: Api<DynamicObject> = Api::namespaced_with(store.clone(), "argocd", &resource);
    let refresh = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
    let repo = format!("http://127.0.0.1:{}/apps.git", machine.port + 1);
    let took = eventually_within(2 * PATIENCE, "the Application shows that Git is away", async || {
        applications.patch("hello", &PatchParams::default(), &Patch::Merge(&refresh)).await.expect("asked to look");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let status = get(&store, "argoproj.io/v1alpha1", "Application", Some("argocd"), "hello").await["status"].clone();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let says = |word: &str| conditions.iter().any(|c| c["message"].as_str().is_some_and(|message| message.contains(word)));
        says(&repo) && says("check repoURL")
    })
    .await;
    println!("the Application shows after {took:.1?} that Git is away");
    eventually_within(PATIENCE, "muster apps shows it", async || {
        machine.apps().await.iter().any(|app| app.cluster == "store-0001" && app.message.contains(&repo))
    })
    .await;
    delete(&store, "apps/v1", "Deployment", Some("hello"), "hello").await;
    eventually_within(PATIENCE, "the Deployment is back", async || {
        let found = get(&store, "apps/v1", "Deployment", Some("hello"), "hello").await;
        found["metadata"]["deletionTimestamp"].is_null() && found["status"]["readyReplicas"] == 2
    })
    .await;
}

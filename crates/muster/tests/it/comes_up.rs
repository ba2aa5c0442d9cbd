use std::time::{Duration, Instant};

use testkit::kubectl::Kubectl;
use testkit::{delete, eventually_within, get, list};

use crate::support::{CLUSTER, Machine, PATIENCE, is_free, is_over};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_comes_up_follows_git_and_survives_its_hub() {
    let machine = Machine::new(5);
    let begun = Instant::now();
    machine.up().await;
    println!("the hub and its API are up after {:.1?}", begun.elapsed());
    machine.is_well().await;
    let took = begun.elapsed();
    println!("five stores Available, Synced and Healthy after {took:.1?} (aim: 20 s)");
    assert!(took < Duration::from_secs(60), "{took:?}");

    // Strangers' clients: kube's own over TLS, and kubectl.
    let hub = machine.hub().await;
    assert_eq!(list(&hub, CLUSTER, "ManagedCluster", None).await.len(), 5);
    if let Some(kubectl) = Kubectl::find(&machine.dir.join("kubeconfig")) {
        let shown = kubectl.run("get managedclusters").await;
        assert!(machine.store_names().iter().all(|name| shown.contains(name)), "{shown}");
        let store = Kubectl::find(&machine.store_kubeconfig("store-0003")).expect("found a moment ago");
        assert!(store.run("get deployments -n hello").await.contains("2/2"));
    }
    assert!(machine.ok(&["get", "managedclusters"]).await.contains("store-0005"));
    assert!(machine.ok(&["token", "admin"]).await.trim().len() > 20);

    let first = machine.apps().await[0].revision.clone();
    let tree = machine.clone_repository().await;
    let commit = tree.release("1.1.0").await;
    let took = eventually_within(PATIENCE, "the commit is live", async || machine.is_live(&commit).await).await;
    println!("a pushed commit is live on all five after {took:.2?} (aim: 3 s)");
    assert_eq!(image(&machine, "store-0004").await, "registry.example/hello:1.1.0");

    // What another revision would change is told once for all clusters.
    let same = machine.run(&["app", "diff", "hello", "--revision", "main"]).await;
    assert!(same.code == Some(0) && same.stdout.contains("no difference"), "{same:?}");
    let back = machine.run(&["app", "diff", "hello", "--revision", &first]).await;
    assert!(
        back.code == Some(1)
            && back.stdout.contains("=== 5 clusters")
            && back.stdout.contains("-        image: registry.example/hello:1.1.0"),
        "{back:?}"
    );
    assert!(machine.ok(&["app", "tree", "hello", "-c", "store-0002"]).await.contains("Deployment"));
    assert!(machine.ok(&["describe", "cluster", "store-0002"]).await.contains("argocd/hello"));
    assert_eq!(machine.run(&["app", "wait", "hello", "--revision", "0000", "--timeout", "1s"]).await.code, Some(4));

    // A bad tag is one problem with one remedy, and what ran before still serves.
    tree.release("1.1.1-bad").await;
    eventually_within(PATIENCE, "a bad image on five stores is one problem", async || {
        let ran = machine.run(&["problems", "--check", "-o", "csv", "--no-headers"]).await;
        let is_one = ran.stdout.lines().count() == 1 && ran.stdout.starts_with("Warning,ImagePullBackOff,5,");
        is_one && ran.code == Some(1) && ran.stdout.contains(",5/5,")
    })
    .await;
    let problems: serde_json::Value = serde_json::from_str(&machine.run(&["problems", "-o", "json"]).await.stdout).expect("JSON");
    let commit = tree.follow(problems[0]["remedy"].as_str().expect("a remedy")).await;
    eventually_within(PATIENCE, "the commit is live again", async || machine.is_live(&commit).await).await;
    eventually_within(PATIENCE, "no problem is left", async || machine.run(&["problems", "--check"]).await.code == Some(0)).await;

    let before = (machine.identities().await, machine.hub_info().await);
    machine.kill("hub").await;
    machine.kill("git").await;
    let store = machine.store("store-0002").await;
    delete(&store, "apps/v1", "Deployment", Some("hello"), "hello").await;
    let took = eventually_within(Duration::from_secs(10), "the Deployment is back", async || {
        let found = get(&store, "apps/v1", "Deployment", Some("hello"), "hello").await;
        found["metadata"]["deletionTimestamp"].is_null() && found["status"]["readyReplicas"] == 2
    })
    .await;
    println!("without hub and Git a deleted Deployment is back and ready after {took:.2?} (must: 10 s)");
    let ran = machine.run(&["apps"]).await;
    assert!(ran.code == Some(3) && ran.stderr.contains("is not running; `muster up"), "{ran:?}");

    let sim = machine.pid("sim");
    let resumed = jiff::Timestamp::now();
    machine.up().await;
    assert_eq!(machine.pid("sim"), sim, "the stores went on");
    machine.is_heard_after(resumed).await;
    machine.is_well().await;
    assert_eq!((machine.identities().await, machine.hub_info().await), before, "the same hub and clusters, and nobody joined anew");
    assert!(machine.is_live(&commit).await, "{:?}", machine.apps().await);
    let next = tree.release("1.2.0").await;
    let took = eventually_within(PATIENCE, "the next commit is live", async || machine.is_live(&next).await).await;
    println!("a commit after the restart is live after {took:.2?}");

    let (pids, ports) = (machine.pids(), machine.ports());
    machine.ok(&["down"]).await;
    is_over(&pids).await;
    assert_eq!(ports.iter().filter(|port| !is_free(**port)).collect::<Vec<_>>(), Vec::<&u16>::new(), "ports still taken");
    assert!(!machine.dir.exists());
}

async fn image(machine: &Machine, store: &str) -> String {
    let deployment = get(&machine.store(store).await, "apps/v1", "Deployment", Some("hello"), "hello").await;
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()
}

//! kube-rs against a control plane over the tunnel's TLS connector and over kube's own HTTP/1.1; against ours also in
//! process and in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use testkit::control_plane::ControlPlane;
use tunnel::Connector;

use crate::support::{self, Server};

/// A control plane and every way to it, by name.
struct Ways {
    clients: Vec<(&'static str, kube::Client)>,
    has_controllers: bool,
    /// What runs as long as this is held.
    _held: (Option<ControlPlane>, Option<Server>),
}

/// Returns the ways to the control plane that the environment asks for, or to ours.
async fn ways() -> Ways {
    match ControlPlane::external().await {
        Some(plane) => Ways {
            clients: over_tls(plane.kubeconfig().clone()).await,
            has_controllers: plane.has_controllers(),
            _held: (Some(plane), None),
        },
        None => ways_to(support::start().await).await,
    }
}

async fn ways_to(server: Server) -> Ways {
    let kubeconfig = Kubeconfig::from_yaml(&server.serve().await).expect("a kubeconfig");
    let mut clients = vec![
        ("in process", server.admin.clone()),
        ("in memory", server.api.connector().connect(&kubeconfig).expect("a connection").client),
    ];
    clients.extend(over_tls(kubeconfig).await);
    Ways { clients, has_controllers: true, _held: (None, Some(server)) }
}

async fn over_tls(kubeconfig: Kubeconfig) -> Vec<(&'static str, kube::Client)> {
    let config = kube::Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await.expect("a configuration");
    vec![
        ("tunnel", tunnel::TlsConnector.connect(&kubeconfig).expect("a connection").client),
        ("kube", kube::Client::try_from(config).expect("a client")),
    ]
}

impl Ways {
    /// Makes a namespace of the test's own; nothing but the test changes ConfigMaps in it.
    async fn namespaced(&self, client: &kube::Client) -> Api<ConfigMap> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"generateName": "kube-rs-"}})).expect("a Namespace");
        let made = namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), &made.metadata.name.expect("a name"));
        if self.has_controllers {
            let is_there = |found: Option<&ConfigMap>| found.is_some();
            kube::runtime::wait::await_condition(api.clone(), "kube-root-ca.crt", is_there).await.expect("the root certificate");
        }
        api
    }
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": "x"}}, "data": {"key": value}})).expect("a ConfigMap")
}

/// The end of a wait that should not be one.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time")
}

#[tokio::test]
async fn watchers_follow_by_list_and_by_streaming_list_on_every_way() {
    let ways = ways().await;
    for (way, client) in &ways.clients {
        let api = ways.namespaced(client).await;
        api.create(&PostParams::default(), &config_map("a", "1")).await.expect(way);
        for config in [watcher::Config::default().labels("app").page_size(1), watcher::Config::default().labels("app").streaming_lists()] {
            let mut events = watcher::watcher(api.clone(), config).boxed();
            let mut initial = Vec::new();
            loop {
                match soon(events.next()).await.expect(way).expect(way) {
                    watcher::Event::Init => {}
                    watcher::Event::InitApply(object) => initial.push(object.metadata.name.expect("a name")),
                    watcher::Event::InitDone => break,
                    other => panic!("{way}: {other:?} before the initial list ended"),
                }
            }
            assert_eq!(initial, ["a"], "{way}");
            api.create(&PostParams::default(), &config_map("b", "1")).await.expect(way);
            api.delete("b", &DeleteParams::default()).await.expect(way);
            assert!(
                matches!(soon(events.next()).await, Some(Ok(watcher::Event::Apply(object))) if object.metadata.name.as_deref() == Some("b")),
                "{way}"
            );
            assert!(
                matches!(soon(events.next()).await, Some(Ok(watcher::Event::Delete(object))) if object.metadata.name.as_deref() == Some("b")),
                "{way}"
            );
        }
    }
}

#[tokio::test]
async fn a_controller_makes_what_its_objects_ask_for_and_repairs_it() {
    let ways = ways().await;
    for (way, client) in &ways.clients {
        let api = ways.namespaced(client).await;
        let parents = watcher::Config::default().labels("app=x");
        let children = watcher::Config::default().labels("child");
        let context = Arc::new((api.clone(), AtomicUsize::new(0)));
        let reconcile = async |parent: Arc<ConfigMap>, context: Arc<(Api<ConfigMap>, AtomicUsize)>| {
            context.1.fetch_add(1, Ordering::Relaxed);
            let name = parent.metadata.name.clone().expect("a name");
            let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": parent.metadata.uid, "controller": true});
            let child = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": parent.data,
                "metadata": {"name": format!("{name}-child"), "labels": {"child": ""}, "ownerReferences": [owner]},
            });
            context.0.patch(&format!("{name}-child"), &PatchParams::apply("test").force(), &Patch::Apply(&child)).await?;
            Ok::<_, kube::Error>(Action::await_change())
        };
        let policy = |_: Arc<ConfigMap>, _: &kube::Error, _: Arc<_>| Action::requeue(Duration::from_millis(50));
        let run = Controller::new(api.clone(), parents).owns(api.clone(), children).run(reconcile, policy, context.clone());
        let run = tokio::spawn(run.for_each(async |_| {}));
        api.create(&PostParams::default(), &config_map("p", "1")).await.expect(way);
        let has = |value: &'static str| {
            move |found: Option<&ConfigMap>| found.and_then(|f| f.data.as_ref()).is_some_and(|d| d.get("key").is_some_and(|v| v == value))
        };
        let child = |value| kube::runtime::wait::await_condition(api.clone(), "p-child", has(value));
        soon(child("1")).await.expect(way);
        // Drift is put right.
        api.patch("p-child", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "drift"}}))).await.expect(way);
        soon(child("1")).await.expect(way);
        // A change is followed.
        api.patch("p", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "2"}}))).await.expect(way);
        soon(child("2")).await.expect(way);
        // What is deleted comes back; without the owner it does not.
        api.delete("p-child", &DeleteParams::default()).await.expect(way);
        soon(child("2")).await.expect(way);
        api.delete("p", &DeleteParams::default()).await.expect(way);
        if !ways.has_controllers {
            run.abort();
            continue;
        }
        let is_gone = |found: Option<&ConfigMap>| found.is_none();
        soon(kube::runtime::wait::await_condition(api.clone(), "p-child", is_gone)).await.expect(way);
        assert!(context.1.load(Ordering::Relaxed) < 50, "{way}: the controller writes in circles");
        run.abort();
    }
}

#[tokio::test]
async fn a_watch_from_a_forgotten_revision_is_told_so_and_a_watcher_recovers() {
    let retention = store::Retention { events_max: 20, ..store::Retention::small() };
    // Of ours only: what a server forgets, and when, is its own affair.
    let ways = ways_to(support::start_on(Arc::new(store::MemoryStore::new(retention))).await).await;
    for (way, client) in &ways.clients {
        let api = ways.namespaced(client).await;
        let first =
            api.create(&PostParams::default(), &config_map("a", "0")).await.expect(way).metadata.resource_version.expect("a revision");
        let page = api.list(&ListParams::default().limit(1)).await.expect(way);
        let token = page.metadata.continue_.expect("another page");
        for round in 0..60 {
            api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": round.to_string()}}))).await.expect(way);
        }
        let mut stream = api.watch(&WatchParams::default(), &first).await.expect(way).boxed();
        match soon(stream.next()).await {
            Some(Ok(WatchEvent::Error(status))) => assert_eq!((status.code, status.reason.as_str()), (410, "Expired"), "{way}"),
            other => panic!("{way}: {other:?}"),
        }
        let expired = api.list(&ListParams::default().limit(1).continue_token(&token)).await.expect_err(way);
        assert!(matches!(&expired, kube::Error::Api(status) if status.code == 410 && status.reason == "Expired"), "{way}: {expired}");
        let exact = ListParams::default().at(&first).matching(kube::api::VersionMatch::Exact);
        let expired = api.list(&exact).await.expect_err(way);
        assert!(matches!(&expired, kube::Error::Api(status) if status.code == 410), "{way}: {expired}");
        let mut events = watcher::watcher(api.clone(), watcher::Config::default().labels("app")).applied_objects().boxed();
        let seen = soon(events.next()).await.expect(way).expect(way);
        assert_eq!(seen.data.expect("data")["key"], "59", "{way}");
    }
}

#[tokio::test]
async fn bookmarks_and_timeouts_keep_a_quiet_watch_resumable() {
    let ways = ways().await;
    for (way, client) in &ways.clients {
        let api = ways.namespaced(client).await;
        api.create(&PostParams::default(), &config_map("a", "0")).await.expect(way);
        let params = WatchParams::default().initial_events().timeout(1);
        let events: Vec<WatchEvent<ConfigMap>> = soon(api.watch(&params, "0").await.expect(way).try_collect()).await.expect(way);
        let bookmark = events.iter().rev().find_map(|e| match e {
            WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version.clone()),
            _ => None,
        });
        let resumed = bookmark.expect("a bookmark");
        api.create(&PostParams::default(), &config_map("b", "0")).await.expect(way);
        let stream = api.watch(&WatchParams::default().timeout(1), &resumed).await.expect(way);
        let events: Vec<WatchEvent<ConfigMap>> = soon(stream.try_collect()).await.expect(way);
        let added: Vec<_> =
            events.iter().filter_map(|e| if let WatchEvent::Added(o) = e { o.metadata.name.as_deref() } else { None }).collect();
        assert_eq!(added, ["b"], "{way}");
    }
}

#[tokio::test]
async fn metadata_alone_is_read_and_watched() {
    let ways = ways().await;
    for (way, client) in &ways.clients {
        let api = ways.namespaced(client).await;
        api.create(&PostParams::default(), &config_map("a", "0")).await.expect(way);
        assert_eq!(api.get_metadata("a").await.expect(way).metadata.labels, Some(BTreeMap::from([("app".into(), "x".into())])), "{way}");
        let listed = api.list_metadata(&ListParams::default().labels("app=x")).await.expect(way);
        assert_eq!(listed.items.len(), 1, "{way}");
        let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client.clone(), api.namespace().expect("a namespace"));
        let mut events = watcher::watcher(metadata, watcher::Config::default().labels("app")).touched_objects().boxed();
        assert_eq!(soon(events.next()).await.expect(way).expect(way).metadata.name.as_deref(), Some("a"), "{way}");
        let params = PatchParams::apply("meta");
        let patch = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"annotations": {"note": "x"}}});
        let patched = api.patch_metadata("a", &params, &Patch::Apply(&patch)).await.expect(way);
        assert_eq!(patched.metadata.annotations.expect("annotations")["note"], "x", "{way}");
    }
}

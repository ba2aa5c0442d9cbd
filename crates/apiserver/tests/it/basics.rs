//! Objects are created, read, changed, watched and deleted as on any Kubernetes.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use crate::support;

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": value}}, "data": {"key": value}})).expect("a ConfigMap")
}

async fn with_namespace(server: &support::Server) -> Api<ConfigMap> {
    let namespaces: Api<Namespace> = Api::all(server.admin.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}})).expect("a Namespace");
    namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
    let api: Api<ConfigMap> = Api::namespaced(server.admin.clone(), "shop");
    // Every namespace gets its root certificate; waiting for it keeps counts the same in every run.
    let is_there = |found: Option<&ConfigMap>| found.is_some();
    kube::runtime::wait::await_condition(api.clone(), "kube-root-ca.crt", is_there).await.expect("the root certificate");
    api
}

fn code(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("not an API error: {other}"),
    }
}

#[tokio::test]
async fn an_object_lives_from_create_to_delete() {
    let server = support::start().await;
    let api = with_namespace(&server).await;
    let created = api.create(&PostParams::default(), &config_map("a", "1")).await.expect("created");
    assert!(created.metadata.uid.is_some() && created.metadata.creation_timestamp.is_some());
    assert_eq!(
        code(api.create(&PostParams::default(), &config_map("a", "1")).await.expect_err("a second one")),
        (409, "AlreadyExists".into())
    );

    let mut changed = created.clone();
    changed.data = Some([("key".to_owned(), "2".to_owned())].into());
    let updated = api.replace("a", &PostParams::default(), &changed).await.expect("updated");
    let revision = |c: &ConfigMap| c.metadata.resource_version.as_ref().expect("a revision").parse::<u64>().expect("a number");
    assert!(revision(&updated) > revision(&created));
    assert_eq!(code(api.replace("a", &PostParams::default(), &changed).await.expect_err("stale")), (409, "Conflict".into()));
    let same = api.replace("a", &PostParams::default(), &updated).await.expect("no change");
    assert_eq!(revision(&same), revision(&updated));

    let patch = Patch::Merge(json!({"data": {"key": "3", "more": "x"}}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!(patched.data.expect("data").len(), 2);

    api.delete("a", &DeleteParams::default()).await.expect("deleted");
    assert_eq!(code(api.get("a").await.expect_err("gone")), (404, "NotFound".into()));
}

#[tokio::test]
async fn a_list_pages_through_one_revision() {
    let server = support::start().await;
    let api = with_namespace(&server).await;
    for i in 0..10 {
        api.create(&PostParams::default(), &config_map(&format!("c{i}"), if i % 2 == 0 { "even" } else { "odd" })).await.expect("created");
    }
    let first = api.list(&ListParams::default().limit(4)).await.expect("a page");
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (4, Some(7)));
    api.create(&PostParams::default(), &config_map("c99", "new")).await.expect("created");
    let token = first.metadata.continue_.clone().expect("a token");
    let rest = api.list(&ListParams::default().limit(100).continue_token(&token)).await.expect("the rest");
    assert_eq!(rest.items.len(), 7);
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
    let odd = api.list(&ListParams::default().labels("app=odd")).await.expect("a list");
    assert_eq!(odd.items.len(), 5);
    let one = api.list(&ListParams::default().fields("metadata.name=c3")).await.expect("a list");
    assert_eq!(one.items.len(), 1);
}

#[tokio::test]
async fn a_watch_resumes_where_it_ended_and_selectors_see_objects_come_and_go() {
    let server = support::start().await;
    let api = with_namespace(&server).await;
    let start = api.list(&ListParams::default()).await.expect("a list").metadata.resource_version.expect("a revision");
    api.create(&PostParams::default(), &config_map("a", "red")).await.expect("created");
    let patch = Patch::Merge(json!({"metadata": {"labels": {"app": "blue"}}}));
    api.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    api.delete("a", &DeleteParams::default()).await.expect("deleted");
    let seen = async |params: WatchParams| {
        let stream = api.watch(&params, &start).await.expect("a watch");
        let events: Vec<WatchEvent<ConfigMap>> = stream.take(3).try_collect().await.expect("events");
        let told = |e: &WatchEvent<ConfigMap>| match e {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => "other",
        };
        events.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(seen(WatchParams::default().timeout(1)).await, ["added", "modified", "deleted"]);
    assert_eq!(seen(WatchParams::default().labels("app=red").timeout(1)).await, ["added", "deleted"]);
    assert_eq!(seen(WatchParams::default().labels("app=blue").timeout(1)).await, ["added", "deleted"]);
}

#[tokio::test]
async fn kube_rs_watches_by_list_and_by_streaming_list() {
    let server = support::start().await;
    let api = with_namespace(&server).await;
    api.create(&PostParams::default(), &config_map("a", "1")).await.expect("created");
    for (round, config) in
        [watcher::Config::default().labels("app"), watcher::Config::default().labels("app").streaming_lists()].into_iter().enumerate()
    {
        let mut events = watcher::watcher(api.clone(), config).applied_objects().boxed();
        let first = events.next().await.expect("an event").expect("an object");
        assert_eq!(first.metadata.name.as_deref(), Some("a"));
        let patch = Patch::Merge(json!({"data": {"round": round.to_string()}}));
        api.patch("a", &PatchParams::default(), &patch).await.expect("patched");
        let second = events.next().await.expect("an event").expect("an object");
        assert_ne!(first.metadata.resource_version, second.metadata.resource_version);
    }
}

#[tokio::test]
async fn a_definition_is_served_and_its_objects_are_pruned_defaulted_and_checked() {
    let server = support::start().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(server.admin.clone());
    let definition = serde_json::from_value(json!({
        "metadata": {"name": "tills.shop.example"},
        "spec": {"group": "shop.example", "scope": "Cluster", "names": {"kind": "Till", "plural": "tills"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"lanes": {"type": "integer", "default": 2, "minimum": 1}}},
                "status": {"type": "object", "properties": {"open": {"type": "boolean"}}},
            }}},
        }]},
    }))
    .expect("a definition");
    let definition_uid = definitions.create(&PostParams::default(), &definition).await.expect("created").metadata.uid.expect("a uid");
    let is_established = kube::runtime::conditions::is_crd_established();
    kube::runtime::wait::await_condition(definitions.clone(), "tills.shop.example", is_established).await.expect("established");

    let tills = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("shop.example", "v1", "Till"), "tills");
    let api: Api<DynamicObject> = Api::all_with(server.admin.clone(), &tills);
    let till = |spec: serde_json::Value| DynamicObject::new("one", &tills).data(json!({"spec": spec, "status": {"open": true}}));
    let refused = api.create(&PostParams::default(), &till(json!({"lanes": 0}))).await.expect_err("too few lanes");
    assert_eq!(code(refused), (422, "Invalid".into()));
    let created = api.create(&PostParams::default(), &till(json!({"unknown": 1}))).await.expect("created");
    assert_eq!(created.data["spec"], json!({"lanes": 2}));
    assert_eq!(created.data.get("status"), None);
    assert_eq!(created.metadata.generation, Some(1));

    let patch = Patch::Merge(json!({"spec": {"lanes": 9}, "status": {"open": true}}));
    let status = api.patch_status("one", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!(
        (&status.data["spec"]["lanes"], &status.data["status"]["open"], status.metadata.generation),
        (&json!(2), &json!(true), Some(1))
    );
    let main = api.patch("one", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!((&main.data["spec"]["lanes"], main.metadata.generation), (&json!(9), Some(2)));

    definitions.delete("tills.shop.example", &DeleteParams::default()).await.expect("deleted");
    let uid = definition_uid.clone();
    let is_gone = kube::runtime::conditions::is_deleted::<CustomResourceDefinition>(&uid);
    kube::runtime::wait::await_condition(definitions, "tills.shop.example", is_gone).await.expect("gone");
    assert_eq!(code(api.get("one").await.expect_err("gone")).0, 404);
}

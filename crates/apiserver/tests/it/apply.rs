//! Server-side apply through the whole server: defaults, validation, storage and revisions included.
//!
//! The merge itself has its own property tests in `apimachinery`; here its promises must survive the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use controller::Clock;
use proptest::prelude::*;
use serde_json::{Value, json};
use store::{MemoryStore, Retention};

use crate::history::harness::{Reply, Server, ask, send, start};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const CASES: u32 = 40;

async fn memory() -> Server {
    let server = start(Arc::new(MemoryStore::new(Retention::small())), Clock::wall()).await;
    ask(&server.admin, "POST", "/api/v1/namespaces", json!({"metadata": {"name": "default"}})).await;
    server
}

async fn apply(server: &Server, url: &str, manager: &str, is_forced: bool, config: &Value) -> Reply {
    let url = format!("{url}?fieldManager={manager}&force={is_forced}");
    send(&server.admin, "PATCH", &url, "application/apply-patch+yaml", apimachinery::yaml::to_string(config)).await
}

/// What one manager wants of a Deployment, in fields that `owner` alone uses, and in shared ones.
#[derive(Clone, Debug)]
struct Wish {
    labels: BTreeMap<u8, u8>,
    env: BTreeMap<u8, u8>,
    ports: BTreeSet<u8>,
    finalizers: BTreeSet<u8>,
    replicas: Option<u8>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let map = || prop::collection::btree_map(0..3u8, 0..3u8, 0..3);
    let set = || prop::collection::btree_set(0..3u8, 0..3);
    (map(), map(), set(), set(), prop::option::of(0..3u8)).prop_map(|(labels, env, ports, finalizers, replicas)| Wish {
        labels,
        env,
        ports,
        finalizers,
        replicas,
    })
}

/// Returns an apply configuration; the names of its items begin with `prefix`.
fn config(name: &str, prefix: &str, wish: &Wish) -> Value {
    // Port numbers tell owners apart as well.
    let base = prefix.bytes().map(u32::from).sum::<u32>() * 10;
    let mut container = json!({"name": "main", "image": "nginx"});
    if !wish.env.is_empty() {
        container["env"] = wish.env.iter().map(|(k, v)| json!({"name": format!("{prefix}{k}"), "value": v.to_string()})).collect();
    }
    if !wish.ports.is_empty() {
        container["ports"] =
            wish.ports.iter().map(|p| json!({"containerPort": base + u32::from(*p), "name": format!("{prefix}{p}")})).collect();
    }
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container]}},
        },
    });
    for (k, v) in &wish.labels {
        object["metadata"]["labels"][format!("{prefix}{k}")] = json!(v.to_string());
    }
    if !wish.finalizers.is_empty() {
        object["metadata"]["finalizers"] = wish.finalizers.iter().map(|f| json!(format!("example.com/{prefix}{f}"))).collect();
    }
    if let Some(replicas) = wish.replicas.filter(|_| prefix == "s") {
        object["spec"]["replicas"] = json!(replicas);
    }
    object
}

/// Returns the object without what time and history put into it.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    for field in ["uid", "creationTimestamp", "resourceVersion", "name", "generation"] {
        object["metadata"].as_object_mut().expect("metadata").remove(field);
    }
    for entry in object["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
        entry.as_object_mut().expect("an entry").remove("time");
    }
    if let Some(entries) = object["metadata"]["managedFields"].as_array_mut() {
        entries.sort_by_key(Value::to_string);
    }
    if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
        finalizers.sort_by_key(Value::to_string);
    }
    for list in ["env", "ports"] {
        if let Some(items) = object.pointer_mut(&format!("/spec/template/spec/containers/0/{list}")).and_then(Value::as_array_mut) {
            items.sort_by_key(Value::to_string);
        }
    }
    object
}

/// Returns whether everything in `part` is in `whole`; items of lists by any equal part.
fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part.iter().all(|(k, v)| whole.get(k).is_some_and(|w| is_within(v, w))),
        (Value::Array(part), Value::Array(whole)) => part.iter().all(|v| whole.iter().any(|w| is_within(v, w))),
        _ => part == whole,
    }
}

fn fields_of<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    object["metadata"]["managedFields"]
        .as_array()?
        .iter()
        .find(|e| e["manager"] == manager && e["operation"] == "Apply")
        .map(|e| &e["fieldsV1"])
}

/// A server for all cases of a property, and names that no case uses twice.
struct Bench {
    tokio: tokio::runtime::Runtime,
    server: Server,
    count: AtomicUsize,
}

impl Bench {
    fn new() -> Bench {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = tokio.block_on(memory());
        Bench { tokio, server, count: AtomicUsize::new(0) }
    }

    fn name(&self) -> String {
        format!("d{}", self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn apply(&self, name: &str, manager: &str, is_forced: bool, config: &Value) -> Reply {
        self.tokio.block_on(apply(&self.server, &format!("{DEPLOYMENTS}/{name}"), manager, is_forced, config))
    }
}

fn check<S: Strategy>(strategy: S, property: impl Fn(&Bench, S::Value)) {
    let bench = Bench::new();
    let settings = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = proptest::test_runner::TestRunner::new(settings).run(&strategy, |value| {
        property(&bench, value);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn applying_twice_makes_no_second_revision() {
    check((wish(), wish(), wish()), |bench, (first, other, second)| {
        let name = bench.name();
        assert_eq!(bench.apply(&name, "one", true, &config(&name, "s", &first)).code, 201);
        bench.apply(&name, "two", true, &config(&name, "s", &other)).expect(200);
        let once = bench.apply(&name, "one", true, &config(&name, "s", &second)).expect(200);
        let revision = bench.server.store.revision();
        for is_forced in [false, true] {
            let again = bench.apply(&name, "one", is_forced, &config(&name, "s", &second)).expect(200);
            assert_eq!((&again, bench.server.store.revision()), (&once, revision));
        }
    });
}

#[test]
fn managers_of_disjoint_fields_commute_and_never_conflict() {
    check((wish(), wish(), wish()), |bench, (one, two, three)| {
        let mut outcomes = Vec::new();
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let name = bench.name();
            let wishes = [("one", config(&name, "a", &one)), ("two", config(&name, "b", &two)), ("three", config(&name, "c", &three))];
            let mut last = Value::Null;
            for i in order {
                let reply = bench.apply(&name, wishes[i].0, false, &wishes[i].1);
                assert!(reply.code == 200 || reply.code == 201, "{}", reply.body);
                last = reply.body;
            }
            outcomes.push(bare(&last));
        }
        assert_eq!(outcomes[0], outcomes[1]);
        assert_eq!(outcomes[0], outcomes[2]);
    });
}

#[test]
fn what_a_manager_states_is_there_and_its_own_and_what_it_drops_goes_unless_others_own_it() {
    check((wish(), wish(), wish()), |bench, (first, other, second)| {
        let name = bench.name();
        let (first, other, second) = (config(&name, "s", &first), config(&name, "s", &other), config(&name, "s", &second));
        for (manager, config) in [("one", &first), ("two", &other), ("one", &second)] {
            let reply = bench.apply(&name, manager, true, config);
            assert!(reply.code < 300, "{}", reply.body);
            assert!(is_within(config, &reply.body), "stated: {config}\nstored: {}", reply.body);
            assert!(fields_of(&reply.body, manager).is_some(), "{manager} owns nothing: {}", reply.body);
        }
        // Both let go of all but the least: what only they had is gone, nothing else.
        let none =
            Wish { labels: BTreeMap::new(), env: BTreeMap::new(), ports: BTreeSet::new(), finalizers: BTreeSet::new(), replicas: None };
        let least = config(&name, "s", &none);
        let after = bench.apply(&name, "one", false, &least).expect(200);
        // Of what "two" stated, "one" took only what it changed by force, and dropped that now.
        let two = fields_of(&after, "two").expect("two is still there").clone();
        for label in other["metadata"]["labels"].as_object().expect("labels").keys() {
            let is_owned = two["f:metadata"]["f:labels"].get(format!("f:{label}")).is_some();
            assert_eq!(after["metadata"]["labels"].get(label).is_some(), is_owned, "label {label}: {after}");
        }
        let after = bench.apply(&name, "two", false, &least).expect(200);
        assert_eq!(after["metadata"]["labels"], json!({"app": "x"}));
        assert_eq!(after["metadata"].get("finalizers"), None);
        let container = &after["spec"]["template"]["spec"]["containers"][0];
        assert_eq!((container.get("env"), container.get("ports")), (None, None), "{after}");
        assert_eq!(after["spec"]["replicas"], 1, "a field that nobody owns has its default again");
    });
}

#[tokio::test]
async fn a_conflict_names_managers_and_fields_and_force_takes_them() {
    let server = memory().await;
    let url = format!("{DEPLOYMENTS}/web");
    let wish = |env: &str, replicas: u8| {
        let none = Wish {
            labels: BTreeMap::new(),
            env: BTreeMap::new(),
            ports: BTreeSet::new(),
            finalizers: BTreeSet::new(),
            replicas: Some(replicas),
        };
        let mut object = config("web", "s", &none);
        object["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "MODE", "value": env}]);
        object
    };
    let created = apply(&server, &url, "one", false, &wish("a", 2)).await.expect(201);
    assert_eq!(created["metadata"]["generation"], 1);
    let refused = apply(&server, &url, "two", false, &wish("b", 3)).await;
    assert_eq!((refused.code, &refused.body["reason"]), (409, &json!("Conflict")), "{}", refused.body);
    let causes = refused.body["details"]["causes"].as_array().expect("causes");
    let fields: BTreeSet<&str> = causes.iter().filter_map(|c| c["field"].as_str()).collect();
    assert_eq!(fields, BTreeSet::from([".spec.replicas", ".spec.template.spec.containers[name=\"main\"].env[name=\"MODE\"].value"]));
    assert!(causes.iter().all(|c| c["message"].as_str().is_some_and(|m| m.contains("\"one\""))), "{causes:?}");
    assert_eq!((&refused.body["details"]["name"], &refused.body["details"]["kind"]), (&json!("web"), &json!("deployments")));

    let forced = apply(&server, &url, "two", true, &wish("b", 3)).await.expect(200);
    assert_eq!(forced["spec"]["replicas"], 3);
    assert_eq!(fields_of(&forced, "one").expect("one")["f:spec"].get("f:replicas"), None);
    // An update by somebody else is a conflict for the next apply, named with its version.
    let patch = json!({"spec": {"replicas": 7}}).to_string();
    send(&server.admin, "PATCH", &format!("{url}?fieldManager=kubectl-scale"), "application/merge-patch+json", patch).await.expect(200);
    let refused = apply(&server, &url, "two", false, &wish("b", 3)).await;
    assert_eq!(refused.code, 409);
    assert!(refused.message().contains("conflict with \"kubectl-scale\" using apps/v1: .spec.replicas"), "{}", refused.message());
    // Who gives the field up leaves it to the others.
    let mut without = wish("b", 3);
    without["spec"].as_object_mut().expect("a spec").remove("replicas");
    let after = apply(&server, &url, "two", false, &without).await.expect(200);
    assert_eq!(after["spec"]["replicas"], 7);
}

#[tokio::test]
async fn status_is_applied_through_its_subresource_only() {
    let server = memory().await;
    let url = format!("{DEPLOYMENTS}/web");
    let none =
        Wish { labels: BTreeMap::new(), env: BTreeMap::new(), ports: BTreeSet::new(), finalizers: BTreeSet::new(), replicas: Some(2) };
    let mut main = config("web", "s", &none);
    main["status"] = json!({"readyReplicas": 9});
    let created = apply(&server, &url, "one", false, &main).await.expect(201);
    assert_eq!(created["status"].get("readyReplicas"), None, "the main endpoint does not write status");

    let condition = |status: &str| json!({"type": "Available", "status": status, "lastUpdateTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = |ready: u8| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"stolen": "1"}},
            "spec": {"replicas": 50}, "status": {"readyReplicas": ready, "conditions": [condition("True")]}})
    };
    let status_url = format!("{url}/status");
    let missing = apply(
        &server,
        &format!("{DEPLOYMENTS}/none/status"),
        "kubelet",
        false,
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "none"}}),
    )
    .await;
    assert_eq!(missing.code, 404, "{}", missing.body);
    let after = apply(&server, &status_url, "kubelet", false, &status(1)).await.expect(200);
    assert_eq!((&after["status"]["readyReplicas"], &after["spec"]["replicas"]), (&json!(1), &json!(2)));
    assert_eq!((after["metadata"]["labels"].get("stolen"), &after["metadata"]["generation"]), (None, &json!(1)));
    let entry = after["metadata"]["managedFields"]
        .as_array()
        .expect("managers")
        .iter()
        .find(|e| e["manager"] == "kubelet")
        .expect("kubelet")
        .clone();
    assert_eq!(entry["subresource"], "status");
    assert_eq!(entry["fieldsV1"].as_object().expect("fields").keys().collect::<Vec<_>>(), ["f:status"]);
    let revision = server.store.revision();
    apply(&server, &status_url, "kubelet", false, &status(1)).await.expect(200);
    assert_eq!(server.store.revision(), revision);
    let refused = apply(&server, &status_url, "other", false, &status(3)).await;
    assert_eq!(refused.code, 409, "{}", refused.body);
    assert!(refused.message().contains("\"kubelet\" with subresource \"status\""), "{}", refused.message());
    // The same name on the main endpoint is another owner.
    apply(&server, &url, "kubelet", true, &config("web", "s", &none)).await.expect(200);
    let kept = ask(&server.admin, "GET", &url, Value::Null).await.expect(200);
    assert_eq!(kept["status"]["readyReplicas"], 1);
}

#[tokio::test]
async fn kubectl_may_move_from_client_side_to_server_side_apply() {
    let server = memory().await;
    let collection = "/api/v1/namespaces/default/configmaps";
    let url = format!("{collection}/settings");
    let object = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data});
    let annotated = |data: Value| {
        let mut object = object(data);
        object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": object.to_string()});
        object
    };
    // kubectl apply
    let created =
        ask(&server.admin, "POST", &format!("{collection}?fieldManager=kubectl-client-side-apply"), annotated(json!({"a": "1", "b": "1"})))
            .await;
    let created = created.expect(201);
    assert_eq!(created["metadata"]["managedFields"][0]["operation"], "Update");
    // kubectl apply --server-side takes over what kubectl itself applied before, without a conflict.
    let after = apply(&server, &url, "kubectl", false, &object(json!({"a": "2", "b": "1"}))).await.expect(200);
    assert_eq!(after["data"], json!({"a": "2", "b": "1"}));
    let annotation = after["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().expect("kept current");
    assert_eq!(serde_json::from_str::<Value>(annotation).expect("JSON")["data"]["a"], "2");
    let revision = server.store.revision();
    let again = apply(&server, &url, "kubectl", false, &object(json!({"a": "2", "b": "1"}))).await.expect(200);
    assert_eq!((&again, server.store.revision()), (&after, revision));
    // Another manager is in conflict with both.
    let refused = apply(&server, &url, "other", false, &object(json!({"a": "3"}))).await;
    assert_eq!(refused.code, 409, "{}", refused.body);
    assert!(refused.message().contains("\"kubectl\""), "{}", refused.message());
}

#[tokio::test]
async fn an_apply_that_cannot_be_is_refused_with_what_is_wrong() {
    let server = memory().await;
    let url = "/api/v1/namespaces/default/configmaps/a";
    let good = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
    let with = |path: &str, value: Value| {
        let mut object = good.clone();
        *object.pointer_mut(path).expect("a path") = value;
        object
    };
    let refused = send(&server.admin, "PATCH", url, "application/apply-patch+yaml", good.to_string()).await;
    assert!(refused.code == 400 && refused.message().contains("fieldManager"), "{}", refused.body);
    for (config, text) in [
        (with("/kind", json!("Secret")), "Secret"),
        (with("/apiVersion", json!("v2")), "v2"),
        (with("/metadata/name", json!("b")), "does not match the name on the URL"),
        (with("/metadata", json!({"name": "a", "namespace": "other"})), "namespace"),
        (with("/metadata", json!({"name": "a", "managedFields": [{"manager": "x"}]})), "managedFields must be nil"),
        (with("/data", json!({"x": {"y": 1}})), "data"),
        (with("/data", json!([1])), "data"),
        (json!([good]), ""),
        (json!("text"), ""),
        (Value::Null, ""),
    ] {
        let reply = apply(&server, url, "m", true, &config).await;
        assert!((400..500).contains(&reply.code) && reply.message().contains(text), "{config}: {} {}", reply.code, reply.body);
    }
    let reply = apply(&server, &format!("{url}/../b"), "m", true, &good).await;
    assert!((400..500).contains(&reply.code), "{}", reply.body);
    apply(&server, url, "m", false, &good).await.expect(201);
}

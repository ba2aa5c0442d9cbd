//! Server-side apply: stories in `apply/*.yaml`, and properties that hold for any story.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use apimachinery::apply::{self, Live, Managers, Operation, Scope, Writer};
use apimachinery::schema::{Schema, parse};
use apimachinery::status::Status;
use jiff::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    name: String,
    /// Added to the `spec` of [`schema`].
    #[serde(default)]
    spec: Option<Value>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    by: String,
    #[serde(default)]
    apply: Option<Value>,
    #[serde(default)]
    update: Option<Value>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    subresource: String,
    /// The object afterwards, without apiVersion, kind and managedFields.
    #[serde(default)]
    object: Option<Value>,
    /// Owned paths by `manager Operation`.
    #[serde(default)]
    owners: Option<BTreeMap<String, BTreeSet<String>>>,
    #[serde(default)]
    error: Option<String>,
}

fn schema(spec: Option<&Value>) -> Schema {
    let mut properties = json!({
        "replicas": {"type": "integer"},
        "paused": {"type": "boolean"},
        "strategy": {"type": "object", "properties": {"type": {"type": "string"}, "max": {"x-kubernetes-int-or-string": true}}},
        "containers": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
            "type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}, "image": {"type": "string"},
                "args": {"type": "array", "items": {"type": "string"}},
                "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"], "items": {
                    "type": "object", "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": {"type": "string"}}}}}}},
        "zones": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    });
    if let (Some(Value::Object(more)), Value::Object(all)) = (spec, &mut properties) {
        all.extend(more.clone());
    }
    parse(&json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"},
        "metadata": {"type": "object", "properties": {
            "name": {"type": "string"}, "namespace": {"type": "string"}, "creationTimestamp": {"type": "string"}, "resourceVersion": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            "finalizers": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "managedFields": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
        "spec": {"type": "object", "properties": properties},
        "data": {"type": "object", "additionalProperties": {"type": "string"}},
        "status": {"type": "object", "properties": {"ready": {"type": "integer"}}},
    }}))
    .unwrap()
}

fn whole(value: &Value) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}});
    json_patch::merge(&mut object, value);
    // A merge patch takes nulls for deletions; stories mean them.
    if let (Value::Object(object), Value::Object(value)) = (&mut object, value) {
        for (name, part) in value.iter().filter(|(name, _)| *name != "metadata") {
            object.insert(name.clone(), part.clone());
        }
    }
    object
}

fn writer(manager: &str, second: i64) -> Writer<'_> {
    Writer {
        manager,
        subresource: "",
        api_version: "apps/v1",
        now: Timestamp::from_second(1_700_000_000 + second).unwrap(),
        scope: Scope::Everything,
    }
}

/// Takes an object and its managers apart.
fn apart(object: &Value) -> (Value, String) {
    let mut object = object.clone();
    let managers = object["metadata"].as_object_mut().and_then(|metadata| metadata.remove("managedFields"));
    (object, managers.map(|managers| managers.to_string()).unwrap_or_default())
}

fn together(mut object: Value, managers: &str) -> Value {
    if !managers.is_empty() {
        object["metadata"]["managedFields"] = serde_json::from_str(managers).unwrap();
    }
    object
}

/// As [`apply::update`], of whole objects.
fn update(schema: &Schema, old: Option<&Value>, mut new: Value, writer: &Writer) -> Value {
    let old = old.map(apart);
    let old = old.as_ref().map(|(object, managers)| Live { object, managers });
    let managers = apply::update(schema, old, &mut new, writer);
    together(new, &managers)
}

/// As [`apply::apply`], of whole objects.
fn apply(schema: &Schema, live: Option<&Value>, config: &Value, writer: &Writer, force: bool) -> Result<Value, Status> {
    let live = live.map(apart);
    let live = live.as_ref().map(|(object, managers)| Live { object, managers });
    apply::apply(schema, live, config, writer, force).map(|(object, managers)| together(object, &managers))
}

fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    let fields = object.as_object_mut().unwrap();
    fields.remove("apiVersion");
    fields.remove("kind");
    let metadata = fields["metadata"].as_object_mut().unwrap();
    metadata.remove("managedFields");
    metadata.remove("name");
    if metadata.is_empty() {
        fields.remove("metadata");
    }
    object
}

fn owners(schema: &Schema, object: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let entries = Managers::of(schema, object).unwrap().entries;
    entries
        .into_iter()
        .map(|e| {
            (
                format!("{} {:?}{}{}", e.manager, e.operation, if e.subresource.is_empty() { "" } else { " " }, e.subresource),
                e.fields.paths().into_iter().collect(),
            )
        })
        .collect()
}

fn run(story: &Story) {
    let schema = schema(story.spec.as_ref());
    let mut object: Option<Value> = None;
    for (index, step) in story.steps.iter().enumerate() {
        let at = format!("{}, step {}", story.name, index + 1);
        let scope = if step.subresource == "status" { Scope::OnlyStatus } else { Scope::Everything };
        let writer = Writer { subresource: &step.subresource, scope, ..writer(&step.by, index as i64) };
        let result = match (&step.apply, &step.update) {
            (Some(config), None) => apply(&schema, object.as_ref(), &whole(config), &writer, step.force),
            (None, Some(new)) => {
                let mut new = whole(new);
                if new["metadata"].get("managedFields").is_none()
                    && let Some(known) = object.as_ref().and_then(|o| o["metadata"].get("managedFields"))
                {
                    new["metadata"]["managedFields"] = known.clone();
                }
                Ok(update(&schema, object.as_ref(), new, &writer))
            }
            _ => panic!("{at}: say apply or update"),
        };
        match (result, &step.error) {
            (Ok(new), None) => {
                if let Some(expected) = &step.object {
                    assert_eq!(&bare(&new), expected, "{at}: object");
                }
                if let Some(expected) = &step.owners {
                    assert_eq!(&owners(&schema, &new), expected, "{at}: owners");
                }
                object = Some(new);
            }
            (Err(status), Some(expected)) => assert_eq!(&status.message, expected, "{at}"),
            (result, _) => panic!("{at}: {result:?}"),
        }
    }
}

#[test]
fn stories_of_apply_and_update() {
    for text in [
        include_str!("apply/ownership.yaml"),
        include_str!("apply/lists.yaml"),
        include_str!("apply/conflicts.yaml"),
        include_str!("apply/managers.yaml"),
    ] {
        for story in serde_saphyr::from_str::<Vec<Story>>(text).unwrap() {
            run(&story);
        }
    }
}

#[test]
fn applying_twice_changes_nothing_not_even_times() {
    let schema = schema(None);
    let config = whole(
        &json!({"metadata": {"creationTimestamp": null}, "spec": {"replicas": 3, "paused": null, "containers": [{"name": "a", "ports": [{"port": 1}]}]}}),
    );
    let first = apply(&schema, None, &config, &writer("a", 0), false).unwrap();
    let mut stored = first.clone();
    stored["metadata"]["creationTimestamp"] = json!("2024-01-01T00:00:00Z");
    let second = apply(&schema, Some(&stored), &config, &writer("a", 60), false).unwrap();
    assert_eq!(second, stored);
}

#[test]
fn times_are_whole_seconds() {
    let now = Timestamp::from_millisecond(1_700_000_000_999).unwrap();
    let object = update(&schema(None), None, whole(&json!({"spec": {"replicas": 1}})), &Writer { now, ..writer("a", 0) });
    assert_eq!(object["metadata"]["managedFields"][0]["time"], "2023-11-14T22:13:20Z");
}

#[test]
fn conflicts_are_causes_of_a_409() {
    let schema = schema(None);
    let live = update(&schema, None, whole(&json!({"spec": {"replicas": 1}})), &writer("kubectl", 0));
    let status = apply(&schema, Some(&live), &whole(&json!({"spec": {"replicas": 2}})), &writer("b", 1), false).unwrap_err();
    assert_eq!((status.code, status.reason), (409, "Conflict"));
    assert_eq!(status.causes[0].reason, "FieldManagerConflict");
    assert_eq!(status.causes[0].field, ".spec.replicas");
    assert_eq!(status.causes[0].message, "conflict with \"kubectl\" using apps/v1");
}

#[test]
fn old_updates_are_merged_beyond_ten() {
    let schema = schema(None);
    let mut object = whole(&json!({}));
    for index in 0..15 {
        let mut new = object.clone();
        new["data"][format!("k{index:02}")] = json!("x");
        let manager = format!("m{index:02}");
        object = update(&schema, Some(&object), new, &writer(&manager, index));
    }
    let entries = Managers::of(&schema, &object).unwrap().entries;
    assert_eq!(entries.len(), 10);
    assert_eq!(entries[0].manager, "ancient-changes");
    assert_eq!(entries[0].fields.paths(), [".data", ".data.k00", ".data.k01", ".data.k02", ".data.k03", ".data.k04", ".data.k05"]);
    assert!(entries.iter().all(|entry| entry.operation == Operation::Update));
}

#[test]
fn kubectl_takes_over_from_its_own_client_side_apply() {
    let schema = schema(None);
    let applied = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": 1}});
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": applied.to_string()});
    let live = update(
        &schema,
        None,
        whole(&json!({"metadata": {"annotations": annotations}, "spec": {"replicas": 1}})),
        &writer("kubectl-client-side-apply", 0),
    );
    let config = whole(&json!({"spec": {"replicas": 2}}));
    assert!(apply(&schema, Some(&live), &config, &writer("other", 1), false).is_err());
    let object = apply(&schema, Some(&live), &config, &writer("kubectl", 1), false).unwrap();
    assert_eq!(object["spec"]["replicas"], 2);
    let annotation = object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(annotation).unwrap()["spec"]["replicas"], 2);
}

/// Budget in release: 10 µs. The bound here is generous because tests share cores and run unoptimised.
#[test]
fn ownership_of_a_created_config_map_is_cheap() {
    let schema = schema(None);
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "n", "labels": {"app": "x"}}});
    for index in 0..10 {
        object["data"][format!("key-{index}")] = json!("x".repeat(100));
    }
    let rounds = 500;
    let objects: Vec<Value> = (0..rounds).map(|_| object.clone()).collect();
    let started = Instant::now();
    for object in objects {
        std::hint::black_box(update(&schema, None, object, &writer("bench", 0)));
    }
    let each = started.elapsed() / rounds;
    println!("update on create of a 1 KB ConfigMap: {each:?}");
    assert!(each.as_micros() < 1000, "{each:?}");
}

/// A configuration over a small alphabet, so that managers meet.
fn config() -> impl Strategy<Value = Value> {
    let word = || prop::sample::select(vec!["a", "b", "c", "d"]);
    let map = || prop::collection::btree_map(word(), word(), 0..4);
    let ports = prop::collection::btree_map(1..4u8, prop::option::of(word()), 0..3);
    let container = (prop::option::of(word()), prop::collection::vec(word(), 0..3), ports);
    let containers = prop::collection::btree_map(word(), container, 0..3);
    (prop::option::of(0..3u8), map(), containers, prop::collection::btree_set(word(), 0..3), map(), prop::option::of(map())).prop_map(
        |(replicas, data, containers, zones, free, selector)| {
            let mut spec = Map::new();
            if let Some(replicas) = replicas {
                spec.insert("replicas".into(), json!(replicas));
            }
            let containers: Vec<Value> = containers
                .into_iter()
                .map(|(name, (image, args, ports))| {
                    let mut container = json!({"name": name});
                    if let Some(image) = image {
                        container["image"] = json!(image);
                    }
                    if !args.is_empty() {
                        container["args"] = json!(args);
                    }
                    let ports: Vec<Value> = ports
                        .into_iter()
                        .map(|(port, name)| name.map_or(json!({"port": port}), |name| json!({"port": port, "name": name})))
                        .collect();
                    if !ports.is_empty() {
                        container["ports"] = json!(ports);
                    }
                    container
                })
                .collect();
            for (name, value) in [("containers", json!(containers)), ("zones", json!(zones)), ("free", json!(free))] {
                if value.as_array().is_none_or(|list| !list.is_empty()) && value.as_object().is_none_or(|map| !map.is_empty()) {
                    spec.insert(name.into(), value);
                }
            }
            if let Some(selector) = selector {
                spec.insert("selector".into(), json!(selector));
            }
            let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec});
            if !data.is_empty() {
                object["data"] = json!(data);
            }
            object
        },
    )
}

/// Renames all keys and identities, so that two configurations touch different fields.
fn disjoint(config: &Value) -> Value {
    let text = config.to_string();
    let mut text = text.replace("\"replicas\"", "\"paused\"").replace("\"selector\"", "\"strategy\"");
    for word in ["a", "b", "c", "d"] {
        text = text.replace(&format!("\"{word}\""), &format!("\"{word}{word}\""));
    }
    let mut value: Value = serde_json::from_str(&text).unwrap();
    // `paused` is a boolean, `strategy` a struct with two fields.
    if value["spec"].get("paused").is_some() {
        value["spec"]["paused"] = json!(true);
    }
    if value["spec"].get("strategy").is_some() {
        value["spec"]["strategy"] = json!({"type": "z"});
    }
    value
}

/// Says whether the field of `path`, as `fieldsV1` elements, is in `value`.
fn exists(schema: &Schema, value: &Value, path: &str) -> bool {
    let owned: BTreeSet<String> = apply::compare(schema, &json!({}), value).added.paths().into_iter().collect();
    owned.contains(path)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn apply_is_idempotent(first in config(), other in config(), second in config()) {
        let schema = schema(None);
        let live = apply(&schema, None, &first, &writer("a", 0), false).unwrap();
        let live = apply(&schema, Some(&live), &other, &writer("b", 1), true).unwrap();
        let once = apply(&schema, Some(&live), &second, &writer("a", 2), true).unwrap();
        let twice = apply(&schema, Some(&once), &second, &writer("a", 3), false).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn managers_of_disjoint_fields_commute(a in config(), b in config(), a2 in config()) {
        let schema = schema(None);
        let b = disjoint(&b);
        let ab = {
            let live = apply(&schema, None, &a, &writer("a", 0), false).unwrap();
            let live = apply(&schema, Some(&live), &b, &writer("b", 0), false).unwrap();
            apply(&schema, Some(&live), &a2, &writer("a", 0), false).unwrap()
        };
        let ba = {
            let live = apply(&schema, None, &b, &writer("b", 0), false).unwrap();
            apply(&schema, Some(&live), &a2, &writer("a", 0), false).unwrap()
        };
        prop_assert_eq!(owners(&schema, &ab), owners(&schema, &ba));
        prop_assert_eq!(sorted(ab), sorted(ba));
    }

    #[test]
    fn ownership_is_conserved(steps in prop::collection::vec((config(), 0..3usize, any::<bool>()), 1..6)) {
        let schema = schema(None);
        let mut live: Option<Value> = None;
        for (index, (config, who, is_apply)) in steps.iter().enumerate() {
            let manager = ["a", "b", "c"][*who];
            let writer = writer(manager, index as i64);
            let new = if *is_apply {
                apply(&schema, live.as_ref(), config, &writer, true).unwrap()
            } else {
                let mut new = config.clone();
                if let Some(known) = live.as_ref().and_then(|live| live["metadata"].get("managedFields")) {
                    new["metadata"]["managedFields"] = known.clone();
                }
                update(&schema, live.as_ref(), new, &writer)
            };
            let bare = { let mut bare = new.clone(); bare["metadata"].as_object_mut().unwrap().remove("managedFields"); bare };
            let owners = owners(&schema, &new);
            for (owner, paths) in &owners {
                for path in paths {
                    prop_assert!(exists(&schema, &bare, path), "step {}: {} owns {} which is not in {}", index, owner, path, bare);
                }
            }
            if *is_apply {
                let own = owners.get(&format!("{manager} Apply")).cloned().unwrap_or_default();
                for path in apply::fieldset_of(&schema, config).paths() {
                    let is_identity = matches!(path.as_str(), ".apiVersion" | ".kind" | ".metadata.name");
                    prop_assert!(is_identity || own.contains(&path), "step {}: {} applied {} but owns {:?}", index, manager, path, own);
                }
            }
            live = Some(new);
        }
    }
}

/// Returns the object without managers, lists sorted: commuting says nothing about order.
fn sorted(object: Value) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(list) => {
                list.iter_mut().for_each(sort);
                list.sort_by_key(Value::to_string);
            }
            Value::Object(object) => object.values_mut().for_each(sort),
            _ => {}
        }
    }
    let mut object = bare(&object);
    sort(&mut object);
    object
}

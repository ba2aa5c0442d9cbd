//! What people are shown, over the hub's endpoints.

use api::cluster::{ManagedCluster, ManagedClusterSet};
use api::hub::{ActivityRow, AppDetail, AppRow, AppTree, ClusterDetail, ClusterRow, Fleet, MatrixApp, Page, Problem, State, path};
use controller::Key;
use http_body_util::BodyExt;
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use records::{Facets, Frame, Intake, Report};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::endpoints::get;
use crate::support::{eventually, hub};

/// Makes a cluster, and waits until the hub knows it: before that nobody could tell of it.
async fn make(hub: &hub::Hub, name: &str, set: &str, available: &str) {
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    let object = json!({
        "apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster",
        "metadata": {
            "name": name, "annotations": {"muster.dev/cluster-uid": format!("uid-{name}")},
            "labels": {"cluster.open-cluster-management.io/clusterset": set, "region": "us-east"},
        },
        "spec": {"hubAcceptsClient": available != "pending"},
    });
    clusters.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    if available != "pending" {
        let condition = json!({
            "type": "ManagedClusterConditionAvailable", "status": available, "reason": "Test", "message": "as told",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let status = json!({"status": {"conditions": [condition]}});
        clusters.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
    eventually(|| async { hub.context.caches.clusters.get(&Key::cluster_scoped(name)).ok_or_else(|| format!("{name} is not known")) })
        .await;
}

async fn tell(hub: &hub::Hub, cluster: &str, first: u64, told: &[(&str, &str, Value)]) {
    let frames = told.iter().zip(first..).map(|((kind, key, value), sequence)| {
        Frame::Report(Report {
            sequence,
            kind: (*kind).to_owned(),
            key: (*key).to_owned(),
            is_state: true,
            observed_at: Timestamp::now(),
            value: serde_json::value::to_raw_value(value).ok(),
            facets: Facets::new(),
        })
    });
    let intake = Intake {
        cluster: cluster.to_owned(),
        cluster_uid: format!("uid-{cluster}"),
        incarnation: "i".into(),
        received_at: Timestamp::now(),
        skew_ms: None,
        frames: frames.collect(),
    };
    hub.records.append(intake).await.unwrap();
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn app(sync: &str, health: &str) -> (&'static str, &'static str, Value) {
    let value = json!({
        "namespace": "edge", "name": "web", "repo": "http://git/web.git", "path": "apps/web", "revision": COMMIT, "sync": sync, "health": health,
    });
    ("application", "edge/web", value)
}

fn workload(trouble: bool) -> (&'static str, &'static str, Value) {
    let mut value = json!({
        "kind": "Deployment", "namespace": "web", "name": "web", "images": ["shop/web:2"], "digests": {"shop/web:2": "sha256:22"},
        "desired": 2, "ready": 2, "health": "Healthy", "application": "edge/web",
    });
    if trouble {
        value["health"] = "Progressing".into();
        value["trouble"] = json!({"reason": "ImagePullBackOff", "message": "not found", "image": "shop/web:2", "pods": 1});
    }
    ("workload", "Deployment/web/web", value)
}

async fn read<T: DeserializeOwned>(connection: &tunnel::Connection, path: &str) -> T {
    let (status, body) = get(connection, path).await;
    assert_eq!(status, 200, "{path}: {body:?}");
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body:?}"))
}

#[tokio::test]
async fn what_clusters_tell_in_their_first_moment_is_in_the_activity() {
    let hub = hub().await;
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    make(&hub, "first", "east", "True").await;
    eventually(|| async {
        let detail: ClusterDetail = read(&admin, &path::cluster("first")).await;
        if detail.history.is_empty() { Err("what was there at the start is no news") } else { Ok(()) }.map_err(str::to_owned)
    })
    .await;

    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        make(&hub, name, "east", "True").await;
        tell(&hub, name, 1, &[app("Synced", "Healthy")]).await;
    }
    eventually(|| async {
        let found: Page<ActivityRow> = read(&admin, "/muster/v1/activity?kind=Application").await;
        let is_told = |name: &&str| found.items.iter().any(|row| row.cluster == *name && row.reason == "Synced");
        if names.iter().all(is_told) { Ok(()) } else { Err(format!("{found:#?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_fleet_is_shown_by_state_cause_version_and_time() {
    let hub = hub().await;
    for (name, set, available) in [("a", "east", "True"), ("b", "east", "True"), ("c", "west", "Unknown"), ("d", "", "pending")] {
        make(&hub, name, set, available).await;
    }
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    let resources =
        json!({"items": [{"kind": "Deployment", "group": "apps", "namespace": "web", "name": "web", "health": "Healthy", "wave": 1}]});
    for name in ["a", "b", "c"] {
        tell(&hub, name, 1, &[app("Synced", "Healthy"), workload(false), ("application-resources", "edge/web", resources.clone())]).await;
    }
    let states = async || {
        let page: Page<ClusterRow> = read(&admin, path::CLUSTERS).await;
        page.items.iter().map(|row| (row.name.clone(), row.state)).collect::<Vec<_>>()
    };
    let expect = [("a", State::Ready), ("b", State::Ready), ("c", State::Offline), ("d", State::Pending)].map(|(n, s)| (n.to_owned(), s));
    eventually(|| async {
        let seen = states().await;
        if seen == expect { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;

    // Pages, filters, facets, sorting; each facet without its own filter.
    let page: Page<ClusterRow> = read(&admin, "/muster/v1/clusters?status=Ready&limit=1&sort=-name").await;
    assert_eq!((page.items[0].name.as_str(), page.total, page.next.as_deref()), ("b", 2, Some("1")));
    assert_eq!((page.facets["status"]["Offline"], page.facets["set"]["east"]), (1, 2));
    assert!(!page.facets["set"].contains_key("west"), "{:?}", page.facets);
    let page: Page<ClusterRow> =
        read(&admin, "/muster/v1/clusters?labelSelector=region%3Dus-east,cluster.open-cluster-management.io/clusterset%3Dwest").await;
    assert_eq!(page.items.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["c"]);
    assert!(page.items[0].state_reason.contains("not available since 2026-01-01 00:00 UTC: as told"), "{}", page.items[0].state_reason);
    let (status, body) = get(&admin, "/muster/v1/clusters?format=csv&set=east").await;
    let csv = String::from_utf8(body.to_vec()).unwrap();
    assert!(
        status == 200
            && csv.starts_with("# muster clusters: 2 rows\r\n# filter: set=east\r\n")
            && csv.contains("\r\na,east,us-east,Ready,"),
        "{csv}"
    );
    assert_eq!(get(&admin, "/muster/v1/clusters?sort=colour").await.0, 400);

    // A bad image on two clusters is one problem with one remedy.
    for name in ["a", "b"] {
        tell(&hub, name, 4, &[app("Synced", "Progressing"), workload(true)]).await;
    }
    let problems: Page<Problem> = read(&admin, path::PROBLEMS).await;
    let bad = problems.items.iter().find(|p| p.kind == "ImagePullBackOff").unwrap_or_else(|| panic!("{problems:#?}"));
    assert_eq!((bad.clusters, bad.still_serving.map(|s| (s.yes, s.of)), bad.app.as_str()), (2, Some((2, 2)), "edge/web"));
    assert!(bad.remedy.starts_with("git revert $(git log -1 --format=%h -S"), "{}", bad.remedy);
    let page: Page<ClusterRow> = read(&admin, &format!("/muster/v1/clusters?{}", bad.filter)).await;
    assert_eq!(page.total, 2);
    let fleet: Fleet = read(&admin, path::FLEET).await;
    assert_eq!((fleet.clusters, fleet.counts["Degraded"], fleet.tiles.len(), fleet.tiles[0].3), (4, 2, 4, State::Degraded));
    assert!(fleet.current == 0 && fleet.hub.is_some_and(|h| h.info.uid == hub.info.uid), "nobody was heard since the start");

    // Versions and objects. A pod that will not run shows before its rollout is given up.
    let matrix: Vec<MatrixApp> = read(&admin, path::APPS_MATRIX).await;
    let version = &matrix[0].versions[0];
    assert_eq!((version.sets["east"].health["Degraded"], version.sets["west"].health["Healthy"]), (2, 1));
    assert_eq!(
        (version.version.as_str(), version.digest.as_str(), version.sets["east"].clusters, version.sets["west"].healthy),
        ("2", "sha256:22", 2, 1)
    );
    let detail: AppDetail = read(&admin, &path::app("edge", "web")).await;
    assert_eq!((detail.rows.total, detail.sources[0].clusters, detail.problems.len()), (3, 3, 1));
    assert_eq!(get(&admin, &path::app("edge", "none")).await.0, 404);
    let tree: AppTree = read(&admin, &format!("{}?cluster=a", path::app_tree("edge", "web"))).await;
    let object = &tree.resources[0];
    assert_eq!((object.sync.as_str(), object.wave, object.images[0].digest.as_str()), ("Synced", 1, "sha256:22"));
    assert!(object.message.starts_with("ImagePullBackOff"), "{object:?}");

    // The ribbon, and what happened.
    let ribbon = eventually(|| async {
        let detail: ClusterDetail = read(&admin, &path::cluster("a")).await;
        let states: Vec<State> = detail.history.iter().map(|h| h.state).collect();
        if states.ends_with(&[State::Ready, State::Degraded]) { Ok(detail) } else { Err(format!("{states:?}")) }
    })
    .await;
    assert_eq!((ribbon.workloads[0].pod_reason.as_str(), ribbon.conditions.is_empty()), ("ImagePullBackOff", false));
    // What happened is written down a moment after it was told.
    let found = eventually(|| async {
        let found: Page<ActivityRow> = read(&admin, "/muster/v1/activity?q=EDGE/we").await;
        let is_all = ["Synced", "Healthy"].iter().all(|reason| found.items.iter().any(|r| r.cluster == "a" && r.reason == *reason));
        if is_all && found.total >= 3 { Ok(found) } else { Err(format!("{found:#?}")) }
    })
    .await;
    assert!(found.items.iter().all(|row| row.object == "edge/web"), "{found:#?}");
    let activity: Page<ActivityRow> = read(&admin, "/muster/v1/activity?cluster=a&kind=ManagedCluster").await;
    assert_eq!(activity.items[0].reason, "Degraded", "{activity:#?}");
    let kinds = &activity.facets["kind"];
    assert!(kinds["ManagedCluster"] == activity.total && kinds["Application"] > 0, "its other values stay in sight: {kinds:?}");
    assert_eq!((found.facets["kind"]["ManagedCluster"], found.facets["reason"]["SyncFailed"]), (0, 0), "offered all the same");
    let (status, body) = get(&admin, "/muster/v1/activity?q=edge/web&limit=1&format=csv").await;
    let csv = String::from_utf8(body.to_vec()).unwrap();
    let head = format!("# muster activity: {} rows\r\n# filter: q=edge/web\r\n# at: ", found.total);
    assert!(status == 200 && csv.starts_with(&head) && csv.contains(",Application,Synced,edge/web,at 0123456\r\n"), "{csv}");
    hub.stop().await;
}

#[tokio::test]
async fn a_viewer_sees_what_it_may_get_and_how_much_is_hidden() {
    let hub = hub().await;
    for name in ["a", "b", "c"] {
        make(&hub, name, "east", "True").await;
    }
    let role = json!({
        "metadata": {"name": "one-store"},
        "rules": [
            {"apiGroups": ["cluster.open-cluster-management.io"], "resources": ["managedclusters"], "resourceNames": ["b"], "verbs": ["get"]},
            {"nonResourceURLs": ["/muster/v1/*"], "verbs": ["get"]},
        ],
    });
    let roles: Api<ClusterRole> = Api::all(hub.client.clone());
    roles.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    let binding = json!({
        "metadata": {"name": "one-store"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "one-store"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "clerk"}],
    });
    let bindings: Api<ClusterRoleBinding> = Api::all(hub.client.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let ask = async |user: &str, path: &str| {
        let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
        let body = http_body_util::Full::new(bytes::Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        let request = http::Request::get(path).header("Impersonate-User", user).body(body).unwrap();
        let answer = tower::ServiceExt::oneshot(admin.http.clone(), request).await.expect("an answer");
        (answer.status().as_u16(), answer.into_body().collect().await.expect("a body").to_bytes())
    };
    let page = eventually(|| async {
        let (status, body) = ask("clerk", path::CLUSTERS).await;
        if status != 200 {
            return Err(format!("{status} {body:?}"));
        }
        Ok(serde_json::from_slice::<Page<ClusterRow>>(&body).unwrap())
    })
    .await;
    assert_eq!((page.items.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), page.hidden), (vec!["b"], 2));
    assert_eq!(ask("clerk", &path::cluster("b")).await.0, 200);
    assert_eq!(ask("clerk", &path::cluster("a")).await.0, 404);
    assert_eq!(ask("nobody", path::CLUSTERS).await.0, 403);

    // Nothing of the others is in any answer: their names are found nowhere, and counts are of one.
    for name in ["a", "b", "c"] {
        let resources = json!({"items": [{"kind": "Deployment", "group": "apps", "namespace": "web", "name": "web"}]});
        tell(&hub, name, 1, &[app("Synced", "Progressing"), workload(true), ("application-resources", "edge/web", resources)]).await;
    }
    let read = async |path: &str| {
        let (status, body) = ask("clerk", path).await;
        assert_eq!(status, 200, "{path}: {body:?}");
        let text = String::from_utf8(body.to_vec()).unwrap();
        for other in ["a", "c"] {
            assert!(!text.contains(&format!("\"{other}\"")) && !text.contains(&format!("\n{other},")), "{path} shows {other}: {text}");
        }
        text
    };
    let of = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(of(&read(path::FLEET).await)["clusters"], 1);
    assert_eq!(of(&read(path::PROBLEMS).await)["items"][0]["clusters"], 1);
    assert_eq!(of(&read(path::APPS).await)["total"], 1);
    assert_eq!(of(&read(path::APPS_MATRIX).await)[0]["versions"][0]["sets"]["east"]["clusters"], 1);
    assert_eq!(of(&read(&path::app("edge", "web")).await)["rows"]["total"], 1);
    read(path::ACTIVITY).await;
    read(&path::cluster("b")).await;
    read("/muster/v1/clusters?format=csv").await;
    read("/muster/v1/apps?format=csv").await;
    assert_eq!(ask("clerk", &format!("{}?cluster=b", path::app_tree("edge", "web"))).await.0, 200);
    assert_eq!(ask("clerk", &format!("{}?cluster=a", path::app_tree("edge", "web"))).await.0, 404);
    hub.stop().await;
}

#[tokio::test]
async fn changes_come_as_events() {
    let hub = hub().await;
    make(&hub, "a", "east", "True").await;
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    let mut stream = events(&admin, path::CHANGES).await;
    stream.until("event: fleet\ndata: {").await;
    stream.until("event: rows\ndata: {\"isWhole\":true,\"tiles\":[[\"a\",\"east\",\"us-east\"").await;
    tell(&hub, "a", 1, &[app("Synced", "Degraded")]).await;
    stream.until("\"us-east\",\"Degraded\"").await;
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    clusters.delete("a", &Default::default()).await.unwrap();
    stream.until("\"gone\":[\"a\"]").await;
    hub.stop().await;
}

#[tokio::test]
async fn what_no_longer_matches_the_question_goes_out_of_sight() {
    let hub = hub().await;
    make(&hub, "a", "east", "True").await;
    tell(&hub, "a", 1, &[app("Synced", "Healthy")]).await;
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    let mut stream = events(&admin, &format!("{}?status=Ready", path::CHANGES)).await;
    stream.until("\"isWhole\":true").await;
    stream.until("[[\"a\",\"east\"").await;
    tell(&hub, "a", 2, &[app("Synced", "Degraded")]).await;
    stream.until("\"gone\":[\"a\"]").await;
    stream.text.clear();
    tell(&hub, "a", 3, &[app("Synced", "Healthy")]).await;
    stream.until("[[\"a\",\"east\"").await;
    hub.stop().await;
}

/// Sets that select by labels are sets too: the matrix has a column for each, and a set that comes, changes or goes shows.
#[tokio::test]
async fn a_cluster_is_shown_in_the_set_that_selects_it() {
    let hub = hub().await;
    for (name, set) in [("a", "default"), ("b", "default"), ("c", "own")] {
        make(&hub, name, set, "True").await;
        tell(&hub, name, 1, &[app("Synced", "Healthy"), workload(false)]).await;
    }
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    let shown = async |expect: [&str; 3]| {
        eventually(|| async {
            let page: Page<ClusterRow> = read(&admin, path::CLUSTERS).await;
            let sets: Vec<&str> = page.items.iter().map(|row| row.set.as_str()).collect();
            if sets == expect { Ok(()) } else { Err(format!("{sets:?}")) }
        })
        .await;
    };
    shown(["default", "default", "own"]).await;
    let mut stream = events(&admin, path::CHANGES).await;
    stream.until("[\"a\",\"default\"").await;

    let sets: Api<ManagedClusterSet> = Api::all(hub.client.clone());
    let object = |region: &str| {
        json!({
            "apiVersion": "cluster.open-cluster-management.io/v1beta2", "kind": "ManagedClusterSet", "metadata": {"name": "stores"},
            "spec": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {"matchLabels": {"region": region}}}},
        })
    };
    sets.create(&PostParams::default(), &serde_json::from_value(object("us-east")).unwrap()).await.unwrap();
    shown(["stores", "stores", "own"]).await;
    stream.until("[\"a\",\"stores\"").await;

    // It is found by each of its sets; built-in ones are no facet where they say nothing.
    for (set, expect) in [("stores", "abc"), ("default", "ab"), ("own", "c"), ("stores,own", "abc"), ("none", "")] {
        let page: Page<ClusterRow> = read(&admin, &format!("/muster/v1/clusters?set={set}")).await;
        assert_eq!(page.items.iter().map(|row| row.name.as_str()).collect::<String>(), expect, "{set}");
        let facet: Vec<(&str, u64)> = page.facets["set"].iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(facet, [("own", 1), ("stores", 3)]);
        let apps: Page<AppRow> = read(&admin, &format!("/muster/v1/apps?set={set}")).await;
        assert_eq!((apps.items.len(), &apps.facets["set"]), (expect.len(), &page.facets["set"]), "{set}");
    }
    let matrix: Vec<MatrixApp> = read(&admin, path::APPS_MATRIX).await;
    let columns: Vec<(&str, u64)> = matrix[0].versions[0].sets.iter().map(|(set, cell)| (set.as_str(), cell.clusters)).collect();
    assert_eq!(columns, [("own", 1), ("stores", 2)]);
    let detail: ClusterDetail = read(&admin, &path::cluster("a")).await;
    assert_eq!((detail.row.set.as_str(), detail.sets.join(" ").as_str()), ("stores", "default global stores"));

    sets.patch("stores", &PatchParams::default(), &Patch::Merge(object("us-west"))).await.unwrap();
    shown(["default", "default", "own"]).await;
    sets.patch("stores", &PatchParams::default(), &Patch::Merge(object("us-east"))).await.unwrap();
    shown(["stores", "stores", "own"]).await;
    sets.delete("stores", &Default::default()).await.unwrap();
    shown(["default", "default", "own"]).await;
    hub.stop().await;
}

/// What one cluster tells never stops what is shown of the others.
#[tokio::test]
async fn a_time_at_the_end_of_all_times_harms_nobody() {
    let hub = hub().await;
    make(&hub, "a", "east", "True").await;
    make(&hub, "b", "east", "True").await;
    let mut last_day = app("OutOfSync", "Healthy");
    last_day.2["syncSince"] = "9999-12-30T22:00:00Z".into();
    tell(&hub, "a", 1, &[last_day]).await;
    tell(&hub, "b", 1, &[app("Synced", "Healthy")]).await;
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    let page: Page<ClusterRow> = read(&admin, path::CLUSTERS).await;
    let counts: Vec<u32> = page.items.iter().map(|row| row.apps_count).collect();
    assert_eq!(counts, [1, 1]);
    hub.stop().await;
}

/// A name that another cluster had before shows nothing of that one.
#[tokio::test]
async fn a_name_that_is_used_again_shows_nothing_of_its_predecessor() {
    let hub = hub().await;
    make(&hub, "a", "east", "True").await;
    tell(&hub, "a", 1, &[app("Synced", "Healthy"), workload(true)]).await;
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    let annotation = json!({"metadata": {"annotations": {"muster.dev/cluster-uid": "uid-of-new-hardware"}}});
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    let before: Page<ClusterRow> = read(&admin, path::CLUSTERS).await;
    assert_eq!(before.items[0].apps_count, 1);
    clusters.patch("a", &PatchParams::default(), &Patch::Merge(annotation)).await.unwrap();
    eventually(|| async {
        let row = read::<Page<ClusterRow>>(&admin, path::CLUSTERS).await.items.remove(0);
        if (row.apps_count, row.problems) == (0, 0) { Ok(()) } else { Err(format!("{row:?}")) }
    })
    .await;
    hub.stop().await;
}

/// Server-sent events as they come.
struct Events {
    body: apiserver::Body,
    text: String,
}

async fn events(connection: &tunnel::Connection, path: &str) -> Events {
    let request = http::Request::get(path).body(tunnel::body::empty()).unwrap();
    let answer = tunnel::send(&connection.http, request).await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    Events { body: answer.into_body(), text: String::new() }
}

impl Events {
    async fn until(&mut self, what: &str) {
        let waiting = async {
            while !self.text.contains(what) {
                let frame = self.body.frame().await.expect("an open stream").expect("a frame");
                self.text.push_str(&String::from_utf8_lossy(&frame.into_data().expect("data")));
            }
        };
        if tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.is_err() {
            panic!("{what} did not come: {}", self.text);
        }
    }
}

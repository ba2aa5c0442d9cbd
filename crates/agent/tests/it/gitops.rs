//! Applications on a real API with real Git: synced, followed, healed, observed, deleted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::gitops::sources::GitSource;
use agent::gitops::{Options, start};
use api::argo::Application;
use api::hub::Notice;
use apiserver::ApiServer;
use apiserver::user::UserInfo;
use controller::{Clock, Runtime};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::wait::conditions;
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{broadcast, watch};

/// Sync status of a report, and since when it and the health are so.
type Since = (String, Option<Timestamp>, Option<Timestamp>);

struct Store {
    client: Client,
    runtime: Runtime,
    _api: ApiServer,
    dir: TempDir,
    notices: broadcast::Sender<Notice>,
    reports: Arc<Mutex<Vec<String>>>,
    since: Arc<Mutex<Vec<Since>>>,
    /// Objects as the hub is told of them last: name and message.
    objects: Arc<Mutex<Vec<String>>>,
    /// Counts changes of objects and reports.
    changes: Arc<watch::Sender<u64>>,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Store {
    async fn start() -> Self {
        let store = Self::without_agent().await;
        store.start_agent();
        store
    }

    async fn without_agent() -> Self {
        pki::tls::install_provider();
        let runtime = Runtime::new(Clock::wall());
        let options = apiserver::Options::ephemeral(runtime.clone()).expect("a CA");
        let api = ApiServer::new(options).await.expect("a server");
        let client = api.client(UserInfo::admin("agent"));
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in api::spoke_crds().iter() {
            definitions.create(&PostParams::default(), definition).await.expect("a definition");
        }
        let dir = tempfile::tempdir().expect("a directory");
        git(dir.path(), &["init", "-q", "-b", "main", "shop"]);
        let store = Self {
            client,
            runtime,
            _api: api,
            dir,
            notices: broadcast::Sender::new(16),
            reports: Arc::default(),
            since: Arc::default(),
            objects: Arc::default(),
            changes: Arc::default(),
        };
        let applications: Api<Application> = Api::all(store.client.clone());
        let established = kube::runtime::wait::await_condition(definitions, "applications.argoproj.io", conditions::is_crd_established());
        tokio::time::timeout(PATIENCE, established).await.expect("in time").expect("Applications are served");
        applications.list(&Default::default()).await.expect("Applications are served");
        store.tell_changes::<Application>();
        store.tell_changes::<ConfigMap>();
        store.tell_changes::<Deployment>();
        for name in ["argocd", "shop"] {
            let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace");
            Api::<Namespace>::all(store.client.clone()).create(&PostParams::default(), &namespace).await.expect("created");
        }
        store
    }

    fn start_agent(&self) {
        let mut of_git = git::Options::new(self.dir.path().join("mirrors"));
        of_git.is_file_allowed = true;
        let source = Arc::new(GitSource(git::Mirrors::new(of_git)));
        let mut options = Options::new(self.client.clone(), self.runtime.clone(), source);
        options.notices = Some(self.notices.subscribe());
        options.dir = Some(self.dir.path().join("agent"));
        let (reports, since, changes) = (self.reports.clone(), self.since.clone(), self.changes.clone());
        options.reports = Arc::new(move |key, app| {
            since.lock().extend(app.map(|a| (a.sync.clone(), a.sync_since, a.health_since)));
            let line = app.map_or("gone".to_owned(), |a| format!("{} {} {}", a.engine, a.sync, a.health));
            reports.lock().push(format!("{key} {line}"));
            changes.send_modify(|count| *count += 1);
        });
        let (objects, changes) = (self.objects.clone(), self.changes.clone());
        options.resources = Arc::new(move |_, told| {
            *objects.lock() = told.items.iter().map(|object| format!("{} {}", object.name, object.message)).collect();
            changes.send_modify(|count| *count += 1);
        });
        start(options);
    }

    fn repo(&self) -> String {
        format!("file://{}", self.dir.path().join("shop").display())
    }

    fn commit(&self, files: &[(&str, &str)]) -> String {
        let dir = self.dir.path().join("shop");
        for (path, content) in files {
            std::fs::write(dir.join(path), content).expect("written");
        }
        git(&dir, &["add", "-A"]);
        git(&dir, &["commit", "-q", "-m", "change"]);
        let commit = git(&dir, &["rev-parse", "HEAD"]);
        // Nobody listening is fine.
        let _ = self.notices.send(Notice::Revision { repo: self.repo(), revision: "main".into(), commit: commit.clone() });
        commit
    }

    fn all<K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), "shop")
    }

    fn applications(&self) -> Api<Application> {
        Api::namespaced(self.client.clone(), "argocd")
    }

    async fn apply(&self, spec: Value) {
        let mut spec = spec;
        spec["source"] = json!({"repoURL": self.repo(), "targetRevision": "main", "path": "."});
        spec["destination"] = json!({"server": "https://kubernetes.default.svc", "namespace": "shop"});
        let finalizers = ["resources-finalizer.argocd.argoproj.io"];
        let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web", "finalizers": finalizers}, "spec": spec});
        let app = serde_json::from_value(app).expect("an Application");
        self.applications().create(&PostParams::default(), &app).await.expect("created");
    }

    async fn app(&self) -> Application {
        self.applications().get("web").await.expect("the Application")
    }

    async fn state(&self) -> String {
        let status = self.app().await.status.unwrap_or_default();
        format!("{} {} {}", status.sync.status, status.health.status, status.operation_state.map(|o| o.phase).unwrap_or_default())
    }

    /// A healing right after a sync waits for the back-off of 2 s: lets the sync be an hour ago.
    async fn let_the_sync_be_long_ago(&self) {
        let past = json!({"status": {"operationState": {"finishedAt": self.runtime.clock.now() - SignedDuration::from_hours(1)}}});
        self.applications().patch("web", &PatchParams::default(), &Patch::Merge(&past)).await.expect("patched");
    }

    /// Has [`Store::eventually`] look whenever an object of the kind changes.
    fn tell_changes<K>(&self)
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    {
        let (objects, changes) = (Api::<K>::all(self.client.clone()), self.changes.clone());
        tokio::spawn(async move {
            let mut events = kube::runtime::watcher(objects, Default::default()).default_backoff().boxed();
            while events.next().await.is_some() {
                changes.send_modify(|count| *count += 1);
            }
        });
    }

    /// Waits until a condition holds, looking at every change; returns how long it took.
    async fn eventually(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
        let begun = Instant::now();
        let mut changes = self.changes.subscribe();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if holds().await {
                    return;
                }
                changes.changed().await.expect("the store lives");
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
        begun.elapsed()
    }

    async fn become_state(&self, wanted: &str) {
        self.eventually(wanted, async || self.state().await == wanted).await;
    }
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("git");
    command
        .current_dir(dir)
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"])
        .args(arguments);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {a: '1'}\n";
const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'web:1'}]}\n";

fn auto() -> Value {
    json!({"syncPolicy": {"automated": {"prune": true, "selfHeal": true}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_synced_followed_and_pruned() {
    let store = Store::start().await;
    let first = store.commit(&[("config.yaml", CONFIG), ("web.yaml", WEB)]);
    store.apply(auto()).await;
    store.become_state("Synced Progressing Succeeded").await;
    let app = store.app().await;
    let status = app.status.expect("a status");
    assert_eq!(status.sync.revision, first);
    assert_eq!(status.resources.len(), 2);
    assert_eq!(status.summary.images, ["web:1"]);
    let web = store.all::<Deployment>().get("web").await.expect("it was applied");
    assert_eq!(web.metadata.annotations.unwrap_or_default()["argocd.argoproj.io/tracking-id"], "web:apps/Deployment:shop/web");
    assert_eq!(web.metadata.managed_fields.unwrap_or_default()[0].manager.as_deref(), Some("argocd-controller"));

    store.commit(&[("config.yaml", &CONFIG.replace("'1'", "'2'"))]);
    let took = store.eventually("the commit is live", async || {
        store.all::<ConfigMap>().get("config").await.is_ok_and(|c| c.data.unwrap_or_default()["a"] == "2")
    });
    println!("commit to live: {:?}", took.await);
    std::fs::remove_file(store.dir.path().join("shop/web.yaml")).expect("removed");
    store.commit(&[]);
    store.eventually("the Deployment is pruned", async || store.all::<Deployment>().get_opt("web").await.is_ok_and(|d| d.is_none())).await;
    store.become_state("Synced Healthy Succeeded").await;
    assert_eq!(store.app().await.status.expect("a status").history.len(), 3);
    store
        .eventually("the hub is told", async || store.reports.lock().last().is_some_and(|line| line == "argocd/web native Synced Healthy"))
        .await;
    store.runtime.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_object_is_back_at_once_without_hub_and_git_also_after_a_restart() {
    let store = Store::without_agent().await;
    let first = Runtime::new(Clock::wall());
    let store = Store { runtime: first, ..store };
    store.start_agent();
    store.commit(&[("config.yaml", CONFIG), ("web.yaml", WEB)]);
    store.apply(auto()).await;
    store.become_state("Synced Progressing Succeeded").await;
    std::fs::rename(store.dir.path().join("shop"), store.dir.path().join("gone")).expect("Git is gone");
    std::fs::remove_dir_all(store.dir.path().join("mirrors")).expect("the mirror is gone");
    store.let_the_sync_be_long_ago().await;
    let heal = async || {
        store.all::<Deployment>().delete("web", &DeleteParams::default()).await.expect("deleted");
        store
            .eventually("the Deployment is back", async || {
                store.all::<Deployment>().get_opt("web").await.is_ok_and(|d| d.is_some_and(|d| d.metadata.deletion_timestamp.is_none()))
            })
            .await
    };
    let took = heal().await;
    println!("deleted to back: {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    store.runtime.stop().await;

    let store = Store { runtime: Runtime::new(Clock::wall()), ..store };
    store.all::<Deployment>().delete("web", &DeleteParams::default()).await.expect("deleted");
    store.start_agent();
    let took = store.eventually("the Deployment is back after a restart", async || {
        store.all::<Deployment>().get_opt("web").await.is_ok_and(|d| d.is_some())
    });
    println!("restarted to back: {:?}", took.await);
    store
        .eventually("it says that Git is away", async || {
            let conditions = store.app().await.status.unwrap_or_default().conditions;
            conditions.iter().any(|c| c.message.starts_with("working from the last known commit"))
        })
        .await;
    store.runtime.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_argo_cd_is_left_alone() {
    let store = Store::without_agent().await;
    let controller = json!({"metadata": {"name": "argo", "namespace": "argocd", "labels": {"app.kubernetes.io/name": "argocd-application-controller"}},
        "spec": {"serviceName": "x", "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let controllers: Api<StatefulSet> = Api::namespaced(store.client.clone(), "argocd");
    controllers.create(&PostParams::default(), &serde_json::from_value(controller).expect("a StatefulSet")).await.expect("created");
    store.commit(&[("config.yaml", CONFIG)]);
    store.apply(auto()).await;
    let before = store.app().await.metadata.resource_version;
    store.start_agent();
    store.eventually("the hub is told", async || store.reports.lock().iter().any(|line| line.starts_with("argocd/web observe"))).await;
    assert_eq!(store.app().await.metadata.resource_version, before, "nothing was written");
    assert!(store.all::<ConfigMap>().get_opt("config").await.expect("readable").is_none());
    // Argo CD is removed: we take over.
    controllers.delete("argo", &DeleteParams::background()).await.expect("deleted");
    store.become_state("Synced Healthy Succeeded").await;
    store.runtime.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_application_is_synced_when_asked_and_takes_its_resources_along() {
    let store = Store::start().await;
    store.commit(&[("config.yaml", CONFIG), ("web.yaml", WEB)]);
    store.apply(json!({})).await;
    store.become_state("OutOfSync Missing ").await;
    let ask = json!({"operation": {"sync": {}, "initiatedBy": {"username": "ana"}}});
    store.applications().patch("web", &PatchParams::default(), &Patch::Merge(&ask)).await.expect("asked");
    store.become_state("Synced Progressing Succeeded").await;
    assert!(store.app().await.operation.is_none());
    // What is not as in Git says where.
    let other = json!({"data": {"a": "2"}});
    store.all::<ConfigMap>().patch("config", &PatchParams::default(), &Patch::Merge(&other)).await.expect("patched");
    store.eventually("the hub is told why", async || store.objects.lock().iter().any(|o| o == "config differs from Git: data.a")).await;
    store.applications().delete("web", &DeleteParams::default()).await.expect("deleted");
    store.eventually("the Application is gone", async || store.applications().get_opt("web").await.is_ok_and(|a| a.is_none())).await;
    assert!(store.all::<Deployment>().get_opt("web").await.expect("readable").is_none());
    assert!(store.all::<ConfigMap>().get_opt("config").await.expect("readable").is_none());
    store.eventually("the hub is told", async || store.reports.lock().last().is_some_and(|line| line == "argocd/web gone")).await;
    store.runtime.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_git_are_told_with_file_and_field() {
    let store = Store::start().await;
    store.commit(&[("config.yaml", CONFIG), ("web.yaml", &WEB.replace("image: 'web:1'", "image: [1]"))]);
    store.apply(json!({"syncPolicy": {"automated": {}, "retry": {"limit": 0}}})).await;
    store
        .eventually("the refusal is told", async || {
            let conditions = store.app().await.status.unwrap_or_default().conditions;
            conditions
                .iter()
                .any(|c| c.type_ == "ComparisonError" && c.message.contains("Deployment shop/web") && c.message.contains("image"))
        })
        .await;
    assert!(store.all::<ConfigMap>().get_opt("config").await.expect("readable").is_none(), "nothing is touched");
    // What is in a Secret is not repeated.
    store.commit(&[("web.yaml", WEB), ("pin.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: pin}\ndata: {pin: 'hunter2!'}\n")]);
    store
        .eventually("the Secret is refused", async || {
            let status = store.app().await.status.unwrap_or_default();
            assert!(!serde_json::to_string(&status).expect("JSON").contains("hunter2"), "{status:?}");
            status.conditions.iter().any(|c| c.message.contains("Secret shop/pin") && c.message.contains("not repeated"))
        })
        .await;
    store.commit(&[("web.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {a: [}\n"), ("pin.yaml", "")]);
    store
        .eventually("the mistake is told", async || {
            let conditions = store.app().await.status.unwrap_or_default().conditions;
            conditions.iter().any(|c| c.type_ == "ComparisonError" && c.message.contains("web.yaml:4: it is not YAML"))
        })
        .await;
    store.commit(&[("web.yaml", WEB)]);
    store.become_state("Synced Progressing Succeeded").await;
    store.runtime.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_cannot_be_read_does_not_stop_a_store_from_keeping_itself() {
    let store = Store::without_agent().await;
    let store = Store { runtime: Runtime::new(Clock::wall()), ..store };
    store.start_agent();
    let good = store.commit(&[("config.yaml", CONFIG), ("web.yaml", WEB)]);
    store.apply(auto()).await;
    store.become_state("Synced Progressing Succeeded").await;
    store.commit(&[("web.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {a: [}\n")]);
    let says = |app: Application| {
        let conditions = app.status.unwrap_or_default().conditions;
        conditions.iter().any(|c| {
            c.type_ == "ComparisonError" && c.message.starts_with("working from the last known commit") && c.message.contains("web.yaml:4")
        })
    };
    store.eventually("the mistake is told", async || says(store.app().await)).await;
    let lose = async || drop(store.all::<ConfigMap>().delete("config", &DeleteParams::default()).await.expect("deleted"));
    let is_back = async || store.all::<ConfigMap>().get_opt("config").await.is_ok_and(|c| c.is_some());
    store.let_the_sync_be_long_ago().await;
    lose().await;
    store.eventually("it is back", is_back).await;
    let status = store.app().await.status.expect("a status");
    assert_eq!((status.sync.status.as_str(), status.sync.revision), ("Unknown", good), "not green, and not of the new commit");
    store.runtime.stop().await;

    // After a restart as well, and the next good commit ends it.
    let store = Store { runtime: Runtime::new(Clock::wall()), ..store };
    store.let_the_sync_be_long_ago().await;
    let lose = async || drop(store.all::<ConfigMap>().delete("config", &DeleteParams::default()).await.expect("deleted"));
    lose().await;
    store.start_agent();
    store
        .eventually("it is back after a restart", async || store.all::<ConfigMap>().get_opt("config").await.is_ok_and(|c| c.is_some()))
        .await;
    store.commit(&[("web.yaml", &WEB.replace("web:1", "web:2"))]);
    store
        .eventually("the next commit is live", async || {
            let web = store.all::<Deployment>().get("web").await.expect("there");
            serde_json::to_string(&web.spec).is_ok_and(|spec| spec.contains("web:2"))
        })
        .await;
    store.become_state("Synced Progressing Succeeded").await;
    store.eventually("the hub is told", async || store.since.lock().last().is_some_and(|(sync, ..)| sync == "Synced")).await;
    // Since when: told with every state, and new exactly when the state is.
    let told: Vec<_> = store.since.lock().iter().filter(|(sync, ..)| !sync.is_empty()).cloned().collect();
    assert!(told.iter().all(|(_, sync, health)| sync.is_some() && health.is_some()), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 == pair[1].1), "{told:?}");
    store.runtime.stop().await;
}

/// Each step of a sync was written twice, and each word about a rollout once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_is_written_down_once_a_step_and_a_rollout_by_its_outcome() {
    let store = Store::start().await;
    let versions: Arc<Mutex<std::collections::BTreeSet<String>>> = Arc::default();
    let (seen, applications) = (versions.clone(), store.applications());
    tokio::spawn(async move {
        let mut events = kube::runtime::watcher(applications, Default::default()).default_backoff().applied_objects().boxed();
        while let Some(event) = events.next().await {
            seen.lock().extend(event.ok().and_then(|app: Application| app.metadata.resource_version));
        }
    });
    store.commit(&[("config.yaml", CONFIG), ("web.yaml", WEB)]);
    store.apply(auto()).await;
    store.become_state("Synced Progressing Succeeded").await;
    let web = store.all::<Deployment>().get("web").await.expect("it was applied");
    let counts = |count: i32| {
        let generation = web.metadata.generation;
        json!({"status": {"observedGeneration": generation, "replicas": 1, "updatedReplicas": count, "readyReplicas": count, "availableReplicas": count}})
    };
    for message in ["pulling", "pulled", "starting"] {
        let mut status = counts(0);
        status["status"]["conditions"] = json!([{"type": "Progressing", "status": "True", "message": message}]);
        store.all::<Deployment>().patch_status("web", &PatchParams::default(), &Patch::Merge(&status)).await.expect("patched");
    }
    store.all::<Deployment>().patch_status("web", &PatchParams::default(), &Patch::Merge(&counts(1))).await.expect("patched");
    store.become_state("Synced Healthy Succeeded").await;
    let last = store.app().await.metadata.resource_version.expect("a version");
    store.eventually("the last write is seen", async || versions.lock().contains(&last)).await;
    // Made; synced; healthy; and one word in between at most.
    assert!(versions.lock().len() <= 4, "{:?}", versions.lock());
    store.runtime.stop().await;
}

//! GitOps on the cluster: Applications are kept as Git wants them, also when hub and Git are away.
//!
//! [`start`] watches Applications in all namespaces. A reconcile observes (Git's wishes from the [`follower`], live
//! objects from the [`watches`], the server's dry-run verdicts), decides ([`gitops::plan`]), acts, and reports: into
//! the Application's status as Argo CD would, and to the hub on change.
//!
//! Invariants: a reconcile waits for the local cluster only, never for hub or Git; where a live Argo CD is found
//! nothing is written ([`ownership`]); a commit is worked from once its pack is here, and it stays here.

mod act;
mod application;
mod desired;
mod drawings;
mod follower;
mod observe;
mod ownership;
mod packs;
mod report;
mod since;
pub mod sources;
mod wakes;
mod watches;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::argo::{Application, ApplicationCondition, ApplicationStatus, annotation, condition, finalizer, sync_status};
use api::hub::Notice;
use controller::{Cache, Controller, Key as AppKey, Next, Runtime};
use git::PackCache;
use gitops::{Action, Deletion, Desired, Engine, Group, Key, Mode, Observed, Outcomes, deletion, plan};
use jiff::Timestamp;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::served::Served;
use application::AnyApplication;
use desired::{Renderings, Verdicts};
pub use drawings::Drawings;
use follower::Follower;
use ownership::Ownership;
use packs::Packs;
use sources::{Failure, Source};
use wakes::Wakes;
use watches::Watches;

/// What `status.controllerNamespace` says of ours.
pub(crate) const CONTROLLER_NAMESPACE: &str = "open-cluster-management-agent";
/// Packs kept on disk for work without hub and Git.
const PACKS_BYTES_MAX: u64 = 64 << 20;
const WORKERS: usize = 2;
/// Steps of a sync that one look takes, as long as there is nothing to wait for.
const STEPS_MAX: usize = 8;

/// Tells the hub of an Application: key, and what it is, or nothing if it is gone.
pub type Reports = Arc<dyn Fn(&str, Option<&api::report::Application>) + Send + Sync>;

/// Takes an Application's key and its objects.
pub type Settled = Arc<dyn Fn(&str, &api::report::Resources) + Send + Sync>;

/// What the engine is started with.
pub struct Options {
    /// The cluster it acts on.
    pub local: Client,
    pub runtime: Runtime,
    /// Where commits come from.
    pub source: Arc<dyn Source>,
    /// Hints of news.
    pub notices: Option<broadcast::Receiver<Notice>>,
    pub reports: Reports,
    /// Called with the key of an Application and its objects, whenever they settle.
    pub resources: Settled,
    /// Called once all Applications there were at the start have been reported.
    pub complete: Arc<dyn Fn() + Send + Sync>,
    pub mode: Mode,
    /// Argo CD's namespace: Applications elsewhere carry theirs in tracking ids.
    pub namespace: String,
    /// How often Git is asked without a hint; up to half of it is added.
    pub poll: Duration,
    /// Where packs are kept; in memory without it.
    pub dir: Option<PathBuf>,
    /// What other agents of this process render too.
    pub drawings: Drawings,
}

impl Options {
    /// Returns options as they are on a store, without hints and reports.
    pub fn new(local: Client, runtime: Runtime, source: Arc<dyn Source>) -> Self {
        Self {
            local,
            runtime,
            source,
            notices: None,
            reports: Arc::new(|_, _| {}),
            resources: Arc::new(|_, _| {}),
            complete: Arc::new(|| {}),
            mode: Mode::Auto,
            namespace: "argocd".to_owned(),
            poll: Duration::from_secs(120),
            dir: None,
            drawings: Drawings::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the cluster's API: {0}")]
    Api(#[from] kube::Error),
    #[error("{0}")]
    Pending(String),
}

/// The running engine.
struct GitOps {
    options: Options,
    applications: Cache<AnyApplication>,
    ownership: Ownership,
    served: Served,
    watches: Watches,
    follower: Follower,
    verdicts: Verdicts,
    /// By Application.
    rendered: Mutex<HashMap<String, Renderings>>,
    wakes: Wakes,
    /// Our last write by Application: the cache may not have it yet.
    written: Mutex<BTreeMap<AppKey, Written>>,
    /// Since when Applications of other engines are as they are.
    seen: since::Seen,
}

/// What we made of an Application.
struct Written {
    /// What it was before, and in between.
    over: Vec<Option<String>>,
    now: Arc<AnyApplication>,
}

/// An Application while it is looked at.
struct Draft {
    /// As it lies on the cluster.
    any: Arc<AnyApplication>,
    /// As it is to be.
    app: Application,
    takes_operation: bool,
    /// The status on the cluster, where there is another to write.
    before: Option<Option<ApplicationStatus>>,
    sync_since: Option<Timestamp>,
    /// Whether anything was applied that the status on the cluster does not tell of: to be deleted is no such thing, since it
    /// is seen on the cluster.
    has_applied: bool,
    /// Why objects are out of sync.
    notes: BTreeMap<Key, String>,
}

impl Draft {
    fn new(any: Arc<AnyApplication>, app: Application) -> Self {
        Self { any, app, takes_operation: false, before: None, sync_since: None, has_applied: false, notes: BTreeMap::new() }
    }

    fn set(&mut self, status: ApplicationStatus, takes_operation: bool, now: Timestamp) {
        let since = since::of_sync(&self.app, &status, now);
        self.sync_since = Some(since);
        self.app.metadata.annotations.get_or_insert_default().insert(since::SYNC_SINCE.to_owned(), since.to_string());
        if takes_operation {
            self.takes_operation = true;
            self.app.operation = None;
        }
        let before = self.app.status.replace(status);
        self.before.get_or_insert(before);
    }
}

/// Starts the engine; it runs until the runtime stops.
pub fn start(mut options: Options) {
    let runtime = options.runtime.clone();
    let notices = options.notices.take();
    runtime.clone().spawn("gitops start", async move {
        let controller = Controller::<AppKey>::new("gitops", &runtime);
        let applications = Cache::<AnyApplication>::start(&runtime, Api::all(options.local.clone()), Config::default().page_size(50));
        let ownership = Ownership::start(&options.local, &runtime, options.mode);
        applications.ready().await;
        ownership.ready().await;
        let engine = Arc::new(GitOps::new(options, applications.clone(), ownership.clone(), &controller));
        let (all, again) = (applications.clone(), engine.wakes.clone());
        ownership.observe(move || all.keys().into_iter().for_each(|key| again.now(key)));
        if let Some(notices) = notices {
            runtime.spawn("gitops notices", heed(engine.follower.clone(), notices));
        }
        engine.report_all();
        (engine.options.complete)();
        let controller = controller.watches(&applications, |change| vec![change.key.clone()]);
        controller.run(WORKERS, move |key| {
            let engine = engine.clone();
            async move { Box::pin(engine.reconcile(&key)).await }
        });
    });
}

async fn heed(follower: Follower, mut notices: broadcast::Receiver<Notice>) {
    loop {
        match notices.recv().await {
            Ok(notice) => follower.heed(&notice),
            Err(broadcast::error::RecvError::Lagged(_)) => follower.look_at_all(),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

impl GitOps {
    fn new(options: Options, applications: Cache<AnyApplication>, ownership: Ownership, controller: &Controller<AppKey>) -> Self {
        let packs = match &options.dir {
            Some(dir) => Packs::Disk(PackCache::new(dir.join("packs"), PACKS_BYTES_MAX)),
            None => Packs::Memory(Arc::default()),
        };
        let wakes = Wakes::new(controller);
        let (all, again) = (applications.clone(), wakes.clone());
        let follower = Follower::new(options.source.clone(), packs, &options.runtime, options.poll, move |place| {
            for app in all.list() {
                if app.parse().ok().and_then(|app| observe::place_of(&app)).is_some_and(|p| p.repo == place.repo && p.path == place.path) {
                    again.now(AppKey::of(app.as_ref()));
                }
            }
        });
        let (all, again, namespace) = (applications.clone(), wakes.clone(), options.namespace.clone());
        let watches = Watches::new(
            &options.local,
            &options.runtime,
            Arc::new(move |tracked_by, news| {
                // An object without an owner was taken from one, or is named by one: whoever names it looks.
                for key in all.keys() {
                    let instance = if key.namespace == namespace { key.name.clone() } else { format!("{}_{}", key.namespace, key.name) };
                    if tracked_by.is_none_or(|app| app == instance) {
                        again.gather(key, news);
                    }
                }
            }),
        );
        Self {
            served: Served::new(&options.local),
            watches,
            follower,
            wakes,
            verdicts: Verdicts::default(),
            rendered: Mutex::default(),
            written: Mutex::default(),
            seen: since::Seen::default(),
            options,
            applications,
            ownership,
        }
    }

    async fn reconcile(&self, key: &AppKey) -> Result<Next, Error> {
        let owner = key.to_string();
        let Some(any) = self.current(key) else {
            self.forget(key, &owner);
            return Ok(Next::OnChange);
        };
        if let Some(rest) = self.wakes.rest(key, any.metadata.resource_version.as_deref()) {
            return Ok(Next::After(rest));
        }
        let app = match any.parse() {
            Ok(app) => app,
            Err(why) => {
                report::write_unreadable(&self.options.local, &any, &why).await?;
                return Ok(Next::OnChange);
            }
        };
        let engine = self.ownership.engine(&app, self.options.runtime.clock.now());
        let is_stopped = any.annotation(annotation::SKIP_RECONCILE) == Some("true");
        if engine != Engine::Native || is_stopped {
            self.report(key, &app, engine, &BTreeMap::new());
            return Ok(Next::OnChange);
        }
        if any.is_being_deleted() {
            return self.delete(key, &owner, &any, &app).await;
        }
        Box::pin(self.sync(key, &owner, any, app)).await
    }

    /// Looks, and writes down and tells what came of it.
    async fn sync(&self, key: &AppKey, owner: &str, any: Arc<AnyApplication>, app: Application) -> Result<Next, Error> {
        if any.annotation(annotation::REFRESH) == Some("hard")
            && let Some(renderings) = self.rendered.lock().remove(owner)
            && let Some(rendered) = renderings.rendered()
        {
            self.verdicts.forget(rendered);
        }
        let mut draft = Draft::new(any, app);
        let next = Box::pin(self.step(key, owner, &mut draft)).await;
        self.record(key, &mut draft).await?;
        self.report(key, &draft.app, Engine::Native, &draft.notes);
        let Some(next) = next? else { return Ok(Next::OnChange) };
        self.wakes.leave(key, draft.any.metadata.resource_version.as_deref(), next);
        Ok(Next::After(next))
    }

    /// Observe, decide, act, until there is something to wait for. Returns when to look again; nothing while the first look
    /// at Git is under way.
    async fn step(&self, key: &AppKey, owner: &str, draft: &mut Draft) -> Result<Option<Duration>, Error> {
        let mut is_refresh = draft.any.asks_for_refresh();
        for _ in 0..STEPS_MAX {
            let seen = Box::pin(self.observe(owner, &draft.app, std::mem::take(&mut is_refresh))).await?;
            let observe::Sight::Seen(seen) = seen else { return Ok(None) };
            let now = self.options.runtime.clock.now();
            let mut planned = plan(&Observed {
                app: &draft.app,
                instance: &seen.instance,
                desired: as_desired(&seen.desired),
                operation_desired: seen.operation_desired.as_ref().map(as_desired),
                live: &seen.live,
                has_namespace: seen.has_namespace,
                controller_namespace: CONTROLLER_NAMESPACE,
                now,
            });
            let (takes_operation, next) = (planned.takes_operation, planned.next);
            draft.notes = std::mem::take(&mut planned.notes);
            if !planned.groups().is_empty() {
                if draft.has_applied {
                    // What was applied is on record before more is.
                    self.record(key, draft).await?;
                }
                tracing::info!(application = %key, reason = planned.reason, "syncing");
            }
            draft.has_applied |= planned.groups().iter().flat_map(|g| &g.actions).any(|a| !matches!(a, Action::Delete { .. }));
            let outcomes = self.act(planned.groups(), &seen, &draft.app).await;
            let did_something = !outcomes.is_empty();
            let (mut status, again) = planned.finish(&outcomes, self.options.runtime.clock.now());
            if let Some(failure) = seen.stale {
                say_stale(&mut status, &draft.app, &failure, now);
            }
            draft.set(status, takes_operation, now);
            if !again && !did_something {
                let soonest = next.map_or(seen.next_look, |wait| Duration::try_from(wait).unwrap_or_default());
                return Ok(Some(soonest.min(seen.next_look)));
            }
        }
        Ok(Some(Duration::ZERO))
    }

    async fn act(&self, groups: &[Group], seen: &observe::Seen, app: &Application) -> Outcomes {
        let actor = act::Actor::new(&self.options.local, &self.served, &self.watches);
        let outcomes = actor.run(groups).await;
        let applied = actor.applied.into_inner();
        if let Ok((rendered, _)) = seen.operation_desired.as_ref().unwrap_or(&seen.desired) {
            self.verdicts.note_applied(rendered, &applied, app);
        }
        outcomes
    }

    /// Writes a draft down, if it says anything new.
    async fn record(&self, key: &AppKey, draft: &mut Draft) -> Result<(), Error> {
        let (Some(before), Some(status)) = (draft.before.take(), &draft.app.status) else { return Ok(()) };
        let takes_operation = std::mem::take(&mut draft.takes_operation);
        draft.has_applied = false;
        let change = report::Change { status, takes_operation, sync_since: draft.sync_since };
        if let Some(now) = report::write(&self.options.local, &draft.any, before.as_ref(), &change).await? {
            let over = draft.any.metadata.resource_version.clone();
            draft.any = Arc::new(now);
            let mut written = self.written.lock();
            let written = written.entry(key.clone()).or_insert_with(|| Written { over: Vec::new(), now: draft.any.clone() });
            written.over.push(over);
            written.now = draft.any.clone();
        }
        Ok(())
    }

    /// Deletes what a deleted Application leaves, if its finalizer asks for it.
    async fn delete(&self, key: &AppKey, owner: &str, any: &AnyApplication, app: &Application) -> Result<Next, Error> {
        let instance = gitops::app_instance_name(app, &self.options.namespace);
        self.watch_for_deletion(app).await?;
        match deletion(app, &instance, &self.watches.of(owner, &instance)) {
            Deletion::Prune { groups, message } => {
                tracing::info!(application = %key, message, "deleting with its Application");
                let actor = act::Actor::new(&self.options.local, &self.served, &self.watches);
                let outcomes = actor.run(&groups).await;
                match outcomes.into_values().find_map(Result::err) {
                    Some(why) => Err(Error::Pending(format!("deleting the resources of Application {key}: {why}"))),
                    None => Ok(Next::After(Duration::from_secs(5))),
                }
            }
            Deletion::Confirm { message } => {
                report::write_condition(&self.options.local, any, condition::DELETION_ERROR, &message).await?;
                Ok(Next::OnChange)
            }
            Deletion::Release => {
                let mut released = any.clone();
                let ours = [finalizer::RESOURCES, finalizer::RESOURCES_FOREGROUND, finalizer::RESOURCES_BACKGROUND];
                let finalizers = released.metadata.finalizers.get_or_insert_default();
                let before = finalizers.len();
                finalizers.retain(|f| !ours.contains(&f.as_str()));
                if finalizers.len() != before {
                    match report::replace(&self.options.local, &released).await {
                        Ok(_) => {}
                        Err(kube::Error::Api(status)) if status.code == 404 => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(Next::OnChange)
            }
        }
    }

    /// After a restart nothing is watched yet; the status says which kinds there were.
    async fn watch_for_deletion(&self, app: &Application) -> Result<(), Error> {
        for resource in app.status.as_ref().map(|s| s.resources.as_slice()).unwrap_or_default() {
            if let Some(kind) = self.served.kind(&resource.group, &resource.version, &resource.kind).await? {
                self.watches.watch(&kind).await.map_err(Error::Pending)?;
            }
        }
        Ok(())
    }

    /// Returns an Application as it is: our own last write, where the cache does not have it yet.
    fn current(&self, key: &AppKey) -> Option<Arc<AnyApplication>> {
        let cached = self.applications.get(key)?;
        let mut written = self.written.lock();
        if let Some(ours) = written.get(key)
            && ours.over.contains(&cached.metadata.resource_version)
        {
            return Some(ours.now.clone());
        }
        written.remove(key);
        Some(cached)
    }

    /// Reports all Applications as they are written, so that the hub may drop what is not among them.
    fn report_all(&self) {
        let now = self.options.runtime.clock.now();
        for any in self.applications.list() {
            if let Ok(app) = any.parse() {
                self.report(&AppKey::of(any.as_ref()), &app, self.ownership.engine(&app, now), &BTreeMap::new());
            }
        }
    }

    fn forget(&self, key: &AppKey, owner: &str) {
        self.watches.unwant(owner);
        self.rendered.lock().remove(owner);
        self.written.lock().remove(key);
        self.wakes.forget(key);
        self.seen.forget(key);
        (self.options.reports)(&api::report::application_key(&key.namespace, &key.name), None);
    }

    fn report(&self, key: &AppKey, app: &Application, engine: Engine, notes: &BTreeMap<Key, String>) {
        let since = self.seen.since(key, app, engine == Engine::Native, self.options.runtime.clock.now());
        let summary = report::summary(app, engine, since);
        let key = api::report::application_key(&key.namespace, &key.name);
        (self.options.reports)(&key, Some(&summary));
        // While a sync goes on they change with each wave: what people look at is told at its end.
        if summary.operation != api::argo::operation_phase::RUNNING {
            (self.options.resources)(&key, &report::resources(app, notes));
        }
    }
}

/// Says that we hold on to an old commit. What is wrong in Git for good also makes the state unknown, so that
/// nothing looks green that nobody can compare.
fn say_stale(status: &mut ApplicationStatus, app: &Application, failure: &Failure, now: Timestamp) {
    let type_ = if failure.may_pass { condition::UNKNOWN_ERROR } else { condition::COMPARISON_ERROR };
    if !failure.may_pass {
        status.sync.status = sync_status::UNKNOWN.to_owned();
    }
    let message = format!("working from the last known commit: {}", failure.message);
    let before = app.status.iter().flat_map(|s| &s.conditions).find(|c| c.type_ == type_ && c.message == message);
    let last_transition_time = before.and_then(|c| c.last_transition_time.clone()).or(Some(api::Time(now)));
    status.conditions.push(ApplicationCondition { type_: type_.to_owned(), message, last_transition_time });
}

fn as_desired(seen: &observe::Wishes) -> Result<Desired<'_>, String> {
    let (rendered, verdicts) = seen.as_ref().map_err(Clone::clone)?;
    let source_type = match rendered.tool {
        render::Tool::Directory => "Directory",
        render::Tool::Helm => "Helm",
        render::Tool::Kustomize => "Kustomize",
        render::Tool::Plugin => "Plugin",
    };
    Ok(Desired { revision: &rendered.commit, source_type, targets: &rendered.targets, verdicts })
}

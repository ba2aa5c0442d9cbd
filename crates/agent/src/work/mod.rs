//! ManifestWorks: what the hub wants on this cluster, applied and kept.
//!
//! Per work: observe the work, its AppliedManifestWork and the live objects; [`work::plan`] decides; act; report
//! conditions to the hub. Watched are the works (hub), the AppliedManifestWorks (here), and, by metadata only,
//! every kind that a work applies: an object that goes or changes brings its work back at once, whether the hub is
//! there or not. [`evict`] lets go of what belongs to works that the hub no longer has.
//!
//! Works are [`kept`] on disk. After a start, [`hold`] goes on with those until the hub's are listed; it applies and
//! re-creates, and leaves to the hub's return what the hub must see: finalizers, conditions, what was deleted.

mod act;
mod evict;
mod executor;
mod kept;
mod mapper;
mod observe;
mod orders;
mod report;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::work::{Plan, Settings, Stage};
use api::work::{AppliedManifestWork, ManifestWork};
use controller::{Cache, Controller, Key, Next, Runtime};
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt};
use sha2::{Digest, Sha256};

use crate::backoff::BackOff;
use crate::{Context, HubIdentity, registration};
use kept::Shelf;
use mapper::Mapper;
use watch::Watches;

/// Works that are reconciled at once; each holds its live objects in memory meanwhile.
const WORKERS: usize = 2;
/// How soon an order that waits is looked at again, should no watch tell that it need not.
const ORDER_AFTER: Duration = Duration::from_secs(5);
/// A hub that is there has been heard by then, and its works are the ones to go by.
const HOLD_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to {doing} of work {work}")]
    Hub {
        doing: &'static str,
        work: String,
        #[source]
        source: kube::Error,
    },
    #[error("failed to {doing} {object}")]
    Local {
        doing: &'static str,
        object: String,
        #[source]
        source: kube::Error,
    },
}

/// What every reconcile of a work needs.
#[derive(Clone)]
struct Works {
    settings: Arc<Settings>,
    source: Source,
    shelf: Shelf,
    applied: Cache<AppliedManifestWork>,
    hub: Client,
    local: Client,
    cluster_name: String,
    mapper: Mapper,
    watches: Watches,
    clock: controller::Clock,
    skew: crate::ClockSkew,
}

/// Where works come from.
#[derive(Clone)]
enum Source {
    Hub(Cache<ManifestWork>),
    /// The disk: the hub was not there since we started.
    Kept(Arc<BTreeMap<String, Arc<ManifestWork>>>),
}

/// Starts reconciling the hub's works for as long as the context's runtime lives; what is `held` until they are
/// listed ends then.
pub(crate) fn start(context: &Context, identity: &HubIdentity, held: Runtime) {
    let settings = settings(context, hub_name(identity));
    let works = Cache::<ManifestWork>::start(
        &context.runtime,
        Api::namespaced(context.hub.client.clone(), &context.cluster_name),
        Config::default(),
    );
    let context = context.clone();
    context.runtime.clone().spawn("works", async move {
        works.ready().await;
        held.stop().await;
        let shelf = Shelf::open(&context.state_dir, &settings).await;
        shelf.retain(works.keys().into_iter().map(|key| key.name)).await;
        reconcile_all(&context, settings, Source::Hub(works), shelf);
    });
}

/// Goes on with the works that were kept on disk, until the returned runtime is stopped.
pub(crate) fn hold(context: &Context) -> Runtime {
    let runtime = context.runtime.child();
    let held = Context { runtime: runtime.clone(), ..context.clone() };
    runtime.spawn("works-kept", async move {
        tokio::time::sleep(HOLD_AFTER).await;
        let settings = settings(&held, &joined_hub(&held).await);
        let shelf = Shelf::open(&held.state_dir, &settings).await;
        let works = shelf.read().await;
        if works.is_empty() {
            return;
        }
        tracing::info!(works = works.len(), "the hub is not there: works are held as they were kept on disk");
        reconcile_all(&held, settings, Source::Kept(Arc::new(works)), shelf);
    });
    runtime
}

/// Returns the hub that this cluster joined, by the stored credential.
async fn joined_hub(context: &Context) -> String {
    let mut back_off = BackOff::new(Duration::from_millis(250), Duration::from_secs(15));
    loop {
        match registration::joined_hub(&context.local).await {
            // Without a credential nothing was ever applied for a hub, or people want the cluster to join anew.
            Ok(name) => return name.unwrap_or_default(),
            Err(error) => tracing::warn!(error = error.chain(), "the hub credential cannot be read, will retry"),
        }
        tokio::time::sleep(back_off.next_delay()).await;
    }
}

fn reconcile_all(context: &Context, settings: Settings, source: Source, shelf: Shelf) {
    let runtime = &context.runtime;
    let applied = Cache::<AppliedManifestWork>::start(runtime, Api::all(context.local.clone()), Config::default());
    let prefix = format!("{}-", settings.hub_hash);
    let work_of = move |applied_name: &str| applied_name.strip_prefix(&prefix).map(str::to_owned);
    let controller = Controller::<String>::new("work", runtime).watches(&applied, {
        let work_of = work_of.clone();
        move |change| work_of(&change.key.name).into_iter().collect()
    });
    let watches = Watches::new(runtime, &context.local, {
        let controller = controller.clone();
        move |applied_name: &str, delay| {
            if let Some(work) = work_of(applied_name) {
                controller.add_after(work, delay);
            }
        }
    });
    let reconciler = Works {
        settings: Arc::new(settings),
        source,
        shelf,
        applied,
        hub: context.hub.client.clone(),
        local: context.local.clone(),
        cluster_name: context.cluster_name.clone(),
        mapper: Mapper::new(&context.local),
        watches,
        clock: runtime.clock.clone(),
        skew: context.clock_skew.clone(),
    };
    let controller = match &reconciler.source {
        Source::Hub(works) => {
            evict::start(runtime, &reconciler, works);
            controller.watches(works, |change| vec![change.key.name.clone()])
        }
        Source::Kept(works) => {
            works.keys().for_each(|name| controller.add(name.clone()));
            controller
        }
    };
    controller.run(WORKERS, move |name| {
        let reconciler = reconciler.clone();
        async move { reconciler.reconcile(&name).await }
    });
}

impl Source {
    fn get(&self, cluster_name: &str, work: &str) -> Option<Arc<ManifestWork>> {
        match self {
            Self::Hub(works) => works.get(&Key::new(cluster_name, work)),
            Self::Kept(works) => works.get(work).cloned(),
        }
    }

    fn is_hub(&self) -> bool {
        matches!(self, Self::Hub(_))
    }
}

impl Works {
    async fn reconcile(&self, name: &str) -> Result<Next, Error> {
        self.applied.ready().await;
        let is_hub_there = self.source.is_hub();
        let Some(work) = self.source.get(&self.cluster_name, name) else {
            if is_hub_there {
                self.shelf.forget(name).await;
            }
            return Ok(Next::OnChange);
        };
        if is_hub_there {
            self.shelf.keep(&work).await;
        }
        let seen = observe::observe(self, &work).await;
        let plan: Plan = ::work::plan(&seen.observed(self, &work));
        let mut look_again = plan.look_again;
        tracing::debug!(work = name, stage = ?std::mem::discriminant(&plan.stage), "work planned");
        match &plan.stage {
            Stage::Rest { .. } => {}
            // The hub's to see, and to let go.
            Stage::AddFinalizer | Stage::Release(_) | Stage::Finish if !is_hub_there => {}
            Stage::AddFinalizer => act::add_finalizer(self, &work).await?,
            Stage::CreateApplied { name } => act::create_applied(self, &work, name).await?,
            Stage::CancelEviction => act::cancel_eviction(self, seen.applied.as_deref()).await?,
            Stage::Apply { applies, prune } => {
                let done = act::apply(self, &seen, applies, prune).await;
                let orders = orders::take(self, &work, &seen, applies, &done).await;
                report::report(self, &work, &seen, applies, prune, &done, orders.said).await?;
                if orders.is_waiting {
                    look_again = Some(look_again.map_or(ORDER_AFTER, |after| after.min(ORDER_AFTER)));
                }
                done.error()?;
            }
            Stage::Release(release) => {
                report::deleting(self, &work, release).await?;
                act::release(self, release).await?;
            }
            Stage::Finish => act::finish(self, &work, seen.applied.as_deref()).await?,
        }
        Ok(look_again.map_or(Next::OnChange, Next::After))
    }
}

fn settings(context: &Context, hub: &str) -> Settings {
    let hub_hash = Sha256::digest(hub).iter().map(|byte| format!("{byte:02x}")).collect();
    Settings { agent_id: context.cluster_uid.clone(), hub_hash, is_strict: false }
}

/// Returns what names the hub on this cluster: its UID where it has one, so that its address may change; else its
/// address, as Open Cluster Management.
fn hub_name(identity: &HubIdentity) -> &str {
    match identity {
        HubIdentity::Unknown => "",
        HubIdentity::Plain { server } => server,
        HubIdentity::Known(info) => &info.uid,
    }
}

/// How long a whole request to the local cluster may take.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Names an object of a kind that [`kube::Resource`] knows.
fn named<K: ResourceExt<DynamicType = ()>>(object: &K) -> String {
    format!("{} {}", K::kind(&()), object.name_any())
}

//! ManifestWorks: what the hub wants on this cluster, applied and kept.
//!
//! Per work: observe the work, its AppliedManifestWork and the live objects; [`work::plan`] decides; act; report
//! conditions to the hub. Watched are the works (hub), the AppliedManifestWorks (here), and, by metadata only,
//! every kind that a work applies: an object that changes brings its work back at once, whether the hub is
//! there or not. [`evict`] lets go of what belongs to works that the hub no longer has.

mod act;
mod evict;
mod executor;
mod mapper;
mod observe;
mod report;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use ::work::{Plan, Settings, Stage};
use api::work::{AppliedManifestWork, ManifestWork};
use controller::{Cache, Controller, Key, Next};
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt};
use sha2::{Digest, Sha256};

use crate::{Context, HubIdentity};
use mapper::Mapper;
use watch::Watches;

/// Works that are reconciled at once; each holds its live objects in memory meanwhile.
const WORKERS: usize = 2;

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
    works: Cache<ManifestWork>,
    applied: Cache<AppliedManifestWork>,
    hub: Client,
    local: Client,
    cluster_name: String,
    mapper: Mapper,
    watches: Watches,
    clock: controller::Clock,
}

/// Starts reconciling works for as long as the context's runtime lives.
pub(crate) fn start(context: &Context, identity: &HubIdentity) {
    let runtime = &context.runtime;
    let hub_hash = hub_hash(identity);
    let settings = Settings { agent_id: context.cluster_uid.clone(), hub_hash, is_strict: false };
    let works =
        Cache::<ManifestWork>::start(runtime, Api::namespaced(context.hub.client.clone(), &context.cluster_name), Config::default());
    let applied = Cache::<AppliedManifestWork>::start(runtime, Api::all(context.local.clone()), Config::default());
    let prefix = format!("{}-", settings.hub_hash);
    let work_of = move |applied_name: &str| applied_name.strip_prefix(&prefix).map(str::to_owned);
    let controller =
        Controller::<String>::new("work", runtime).watches(&works, |change| vec![change.key.name.clone()]).watches(&applied, {
            let work_of = work_of.clone();
            move |change| work_of(&change.key.name).into_iter().collect()
        });
    let watches = Watches::new(runtime, &context.local, {
        let controller = controller.clone();
        move |applied_name: &str| {
            if let Some(work) = work_of(applied_name) {
                controller.add(work);
            }
        }
    });
    let reconciler = Works {
        settings: Arc::new(settings),
        works,
        applied,
        hub: context.hub.client.clone(),
        local: context.local.clone(),
        cluster_name: context.cluster_name.clone(),
        mapper: Mapper::new(&context.local),
        watches,
        clock: runtime.clock.clone(),
    };
    evict::start(runtime, &reconciler);
    controller.run(WORKERS, move |name| {
        let reconciler = reconciler.clone();
        async move { reconciler.reconcile(&name).await }
    });
}

impl Works {
    async fn reconcile(&self, name: &str) -> Result<Next, Error> {
        self.applied.ready().await;
        let Some(work) = self.works.get(&Key::new(&self.cluster_name, name)) else { return Ok(Next::OnChange) };
        let seen = observe::observe(self, &work).await;
        let plan: Plan = ::work::plan(&seen.observed(self, &work));
        tracing::debug!(work = name, stage = ?std::mem::discriminant(&plan.stage), "work planned");
        match &plan.stage {
            Stage::Rest { .. } => {}
            Stage::AddFinalizer => act::add_finalizer(self, &work).await?,
            Stage::CreateApplied { name } => act::create_applied(self, &work, name).await?,
            Stage::CancelEviction => act::cancel_eviction(self, seen.applied.as_deref()).await?,
            Stage::Apply { applies, prune } => {
                let done = act::apply(self, &seen, applies, prune).await;
                report::report(self, &work, &seen, applies, prune, &done).await?;
                done.error()?;
            }
            Stage::Release(release) => {
                report::deleting(self, &work, release).await?;
                act::release(self, release).await?;
            }
            Stage::Finish => act::finish(self, &work, seen.applied.as_deref()).await?,
        }
        Ok(plan.look_again.map_or(Next::OnChange, Next::After))
    }
}

/// Returns what names the hub on this cluster: its UID where it has one, so that its address may change; else its
/// address, as Open Cluster Management.
fn hub_hash(identity: &HubIdentity) -> String {
    let name = match identity {
        HubIdentity::Unknown => "",
        HubIdentity::Plain { server } => server,
        HubIdentity::Known(info) => &info.uid,
    };
    Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Kubernetes' own words for an error, without the request that led to it.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// How long a whole request to the local cluster may take.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Names an object of a kind that [`kube::Resource`] knows.
fn named<K: ResourceExt<DynamicType = ()>>(object: &K) -> String {
    format!("{} {}", K::kind(&()), object.name_any())
}

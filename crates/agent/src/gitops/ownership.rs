//! Whether a live Argo CD is on the cluster: then it acts, and we look (reference: `gitops::engine`).

use api::argo::{Application, annotation};
use controller::{Cache, Runtime};
use gitops::{Engine, Found, Mode, engine};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::runtime::watcher::Config;
use kube::{Api, Client};

use super::CONTROLLER_NAMESPACE;

/// Argo CD's application controller, in every packaging of it.
const CONTROLLER: &str = "app.kubernetes.io/name=argocd-application-controller";
/// A status is of a live controller if it was written within this; Argo CD looks every three minutes.
const FRESH: SignedDuration = SignedDuration::from_mins(15);

/// Follows Argo CD's controllers; cheap to clone.
#[derive(Clone)]
pub(super) struct Ownership {
    mode: Mode,
    stateful_sets: Cache<StatefulSet>,
    deployments: Cache<Deployment>,
}

impl Ownership {
    pub fn start(client: &Client, runtime: &Runtime, mode: Mode) -> Self {
        let config = || Config::default().labels(CONTROLLER);
        Self {
            mode,
            stateful_sets: Cache::start(runtime, Api::all(client.clone()), config()),
            deployments: Cache::start(runtime, Api::all(client.clone()), config()),
        }
    }

    pub async fn ready(&self) {
        self.stateful_sets.ready().await;
        self.deployments.ready().await;
    }

    /// Calls `changed` whenever a controller comes or goes.
    pub fn observe(&self, changed: impl Fn() + Clone + Send + Sync + 'static) {
        let again = changed.clone();
        self.stateful_sets.observe(move |_| changed());
        self.deployments.observe(move |_| again());
    }

    /// Returns who acts on an Application.
    pub fn engine(&self, app: &Application, now: Timestamp) -> Engine {
        let own = app.metadata.annotations.as_ref().and_then(|a| a.get(annotation::ENGINE)).and_then(|word| word.parse().ok());
        engine(self.mode, own, Found { has_controller: self.has_controller(), names_other_controller: is_kept_by_another(app, now) })
    }

    fn has_controller(&self) -> bool {
        let wants = |replicas: Option<i32>| replicas.unwrap_or(1) > 0;
        self.stateful_sets.list().iter().any(|s| wants(s.spec.replicas)) || self.deployments.list().iter().any(|d| wants(d.spec.replicas))
    }
}

fn is_kept_by_another(app: &Application, now: Timestamp) -> bool {
    let Some(status) = &app.status else { return false };
    let is_other = !status.controller_namespace.is_empty() && status.controller_namespace != CONTROLLER_NAMESPACE;
    is_other && status.reconciled_at.as_ref().is_some_and(|at| now.duration_since(at.0) < FRESH)
}

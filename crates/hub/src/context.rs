//! What all reconcilers share: the client, the caches, the clock.

use std::sync::Arc;

use api::argo::{AppProject, ApplicationSet};
use api::cluster::{
    AddOnPlacementScore, LEASE_NAME, ManagedCluster, ManagedClusterSet, ManagedClusterSetBinding, Placement, PlacementDecision,
};
use api::work::{ManifestWork, ManifestWorkReplicaSet};
use controller::{Cache, Runtime};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::runtime::watcher::Config;
use kube::{Api, Client};

use crate::Options;
use crate::availability::Sightings;

/// The hub's field manager and the reporter of its events.
pub const MANAGER: &str = "muster-hub";

pub struct Context {
    pub client: Client,
    pub runtime: Runtime,
    pub caches: Caches,
    pub options: Options,
    pub started_at: Timestamp,
    /// When clusters were last heard.
    pub sightings: Sightings,
}

/// One watch per kind, shared by all domains.
pub struct Caches {
    pub clusters: Cache<ManagedCluster>,
    pub sets: Cache<ManagedClusterSet>,
    pub bindings: Cache<ManagedClusterSetBinding>,
    pub placements: Cache<Placement>,
    pub decisions: Cache<PlacementDecision>,
    pub scores: Cache<AddOnPlacementScore>,
    pub works: Cache<ManifestWork>,
    pub replica_sets: Cache<ManifestWorkReplicaSet>,
    pub application_sets: Cache<ApplicationSet>,
    pub projects: Cache<AppProject>,
    pub leases: Cache<Lease>,
    pub requests: Cache<CertificateSigningRequest>,
    /// Only those of clusters.
    pub namespaces: Cache<Namespace>,
    pub cluster_roles: Cache<ClusterRole>,
    pub cluster_role_bindings: Cache<ClusterRoleBinding>,
    pub role_bindings: Cache<RoleBinding>,
}

impl Context {
    /// Starts the caches and waits until all have their first list.
    pub async fn start(client: Client, runtime: Runtime, options: Options) -> Arc<Self> {
        let caches = Caches::start(&client, &runtime);
        caches.ready().await;
        let started_at = runtime.clock.now();
        Arc::new(Self { client, runtime, caches, options, started_at, sightings: Sightings::default() })
    }

    pub fn now(&self) -> Timestamp {
        self.runtime.clock.now()
    }

    pub fn all<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = ()>,
    {
        Api::all(self.client.clone())
    }

    pub fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}

impl Caches {
    fn start(client: &Client, runtime: &Runtime) -> Self {
        let of_clusters = || Config::default().labels(api::CLUSTER_NAME_LABEL);
        Self {
            clusters: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            sets: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            bindings: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            placements: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            decisions: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            scores: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            works: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            replica_sets: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            application_sets: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            projects: Cache::start(runtime, Api::all(client.clone()), Config::default()),
            leases: Cache::start(runtime, Api::all(client.clone()), Config::default().fields(&format!("metadata.name={LEASE_NAME}"))),
            requests: Cache::start(runtime, Api::all(client.clone()), of_clusters()),
            namespaces: Cache::start(runtime, Api::all(client.clone()), of_clusters()),
            cluster_roles: Cache::start(runtime, Api::all(client.clone()), of_clusters()),
            cluster_role_bindings: Cache::start(runtime, Api::all(client.clone()), of_clusters()),
            role_bindings: Cache::start(runtime, Api::all(client.clone()), of_clusters()),
        }
    }

    async fn ready(&self) {
        tokio::join!(
            self.clusters.ready(),
            self.sets.ready(),
            self.bindings.ready(),
            self.placements.ready(),
            self.decisions.ready(),
            self.scores.ready(),
            self.works.ready(),
            self.replica_sets.ready(),
            self.application_sets.ready(),
            self.projects.ready(),
            self.leases.ready(),
            self.requests.ready(),
            self.namespaces.ready(),
            self.cluster_roles.ready(),
            self.cluster_role_bindings.ready(),
            self.role_bindings.ready(),
        );
    }
}

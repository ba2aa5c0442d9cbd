//! What a control plane does by itself: bootstrap objects, and the controllers that every Kubernetes has.
//!
//! One subscription to the store feeds one queue of [`Task`]s; there is no watch, cache or loop per
//! controller, so an idle cluster costs nothing but a timer. Each event is looked at for a
//! microsecond in the commit path (a search for the few words that matter), the work is done by the queue's
//! workers. What they write goes through an ordinary client: authorization, admission and audit see it.
//!
//! Invariant: the state of the store decides, never the event: a task may run twice or late.
//! Adding a controller: a variant of [`Task`], its line in [`Machine::concerns`] and in [`Machine::work`].

mod api;
pub mod bootstrap;
mod csr;
mod expiry;
mod garbage;
mod graph;
mod namespaces;
mod policy;
mod role_aggregation;
mod service_accounts;
mod stored;
#[cfg(test)]
mod tests;
mod token_secrets;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::status::Status;
use controller::{Controller, Next};
use jiff::Timestamp;
use parking_lot::Mutex;
use store::{Event, EventKind, Range, Store};

use self::graph::Graph;
use self::role_aggregation::Selectors;
use crate::user::UserInfo;
use crate::{ApiServer, keys};

/// How many tasks run at once. Two, so that a namespace with much to delete does not hold up the signer.
const WORKERS: usize = 2;
/// Entries looked at per step when the server starts.
const SCAN_PAGE: usize = 1_000;

/// One thing to look at again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Task {
    /// The object with this store key may be garbage, or may wait for its dependents.
    Collect(Arc<str>),
    /// A namespace that is being deleted.
    Namespace(String),
    /// A namespace that needs its default service account and root certificate.
    ServiceAccounts(String),
    /// A Secret that may ask for a service-account token: its store key.
    TokenSecret(Arc<str>),
    /// A CertificateSigningRequest.
    SignRequest(String),
    /// An aggregated ClusterRole.
    Aggregate(String),
    /// What grows old.
    Expire,
}

/// Why a task is tried again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read the store: {0}")]
    Store(#[from] store::Error),
    #[error("{0}")]
    Api(#[from] Box<kube::Error>),
    #[error("{0}")]
    Pki(#[from] pki::Error),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// All controllers' common ground.
struct Machine {
    server: ApiServer,
    client: kube::Client,
    graph: Mutex<Graph>,
    selectors: Mutex<Selectors>,
    /// Names of namespaces that are being deleted.
    terminating: Mutex<BTreeSet<String>>,
}

/// Ensures the bootstrap objects and starts the controllers; they end with the server's runtime.
pub(crate) async fn start(server: &ApiServer) -> Result<(), Status> {
    let client = server.client(UserInfo::admin("system:kube-controller-manager"));
    let options = &server.inner.options;
    let policy = bootstrap::objects(&options.ca.certificate_pem(), &options.url);
    bootstrap::ensure(&client, &policy).await?;
    let machine = Arc::new(Machine {
        server: server.clone(),
        client,
        graph: Mutex::default(),
        selectors: Mutex::default(),
        terminating: Mutex::default(),
    });
    let queue = Controller::<Task>::new("system", &options.runtime);
    let follower = (Arc::downgrade(&machine), queue.clone());
    options.store.subscribe(Box::new(move |events| {
        let Some(machine) = follower.0.upgrade() else { return };
        for event in events {
            machine.concerns(event, &mut |task| follower.1.add(task));
        }
    }));
    machine.scan(&mut |task| queue.add(task)).map_err(Status::internal)?;
    queue.add(Task::Expire);
    queue.run(WORKERS, move |task| {
        let machine = machine.clone();
        async move { machine.work(task).await }
    });
    Ok(())
}

impl Machine {
    fn store(&self) -> &dyn Store {
        &*self.server.inner.options.store
    }

    fn now(&self) -> Timestamp {
        self.server.inner.now()
    }

    /// Queues what an event is about. Runs in the commit path: no waiting, little parsing.
    fn concerns(&self, event: &Event, queue: &mut dyn FnMut(Task)) {
        let Some(parts) = keys::parts(&event.entry.key) else { return };
        let is_gone = event.kind == EventKind::Deleted;
        match (parts.group, parts.resource) {
            ("", "namespaces") => {
                let is_terminating = !is_gone && stored::mentions(&event.entry.value, stored::DELETION_TIMESTAMP);
                if is_terminating {
                    self.terminating.lock().insert(parts.name.to_owned());
                    queue(Task::Namespace(parts.name.to_owned()));
                } else if event.kind == EventKind::Created {
                    queue(Task::ServiceAccounts(parts.name.to_owned()));
                } else if is_gone {
                    self.terminating.lock().remove(parts.name);
                }
            }
            ("", "serviceaccounts") if is_gone && parts.name == service_accounts::DEFAULT => {
                queue(Task::ServiceAccounts(parts.namespace.to_owned()))
            }
            ("", "configmaps") if parts.name == service_accounts::ROOT_CA && event.kind != EventKind::Created => {
                queue(Task::ServiceAccounts(parts.namespace.to_owned()));
            }
            ("", "secrets") if !is_gone && stored::mentions(&event.entry.value, token_secrets::TYPE) => {
                queue(Task::TokenSecret(event.entry.key.clone()));
            }
            ("certificates.k8s.io", "certificatesigningrequests") if !is_gone => queue(Task::SignRequest(parts.name.to_owned())),
            (crate::auth::rbac::GROUP, "clusterroles") => {
                self.selectors.lock().concerns(parts.name, event, &mut |role| queue(Task::Aggregate(role)));
            }
            _ => {}
        }
        if is_gone && !parts.namespace.is_empty() && self.terminating.lock().contains(parts.namespace) {
            queue(Task::Namespace(parts.namespace.to_owned()));
        }
        self.graph.lock().concerns(event, &mut |key| queue(Task::Collect(key)));
    }

    /// Queues what is stored already, as if it were all new.
    fn scan(&self, queue: &mut dyn FnMut(Task)) -> Result<(), store::Error> {
        let mut after: Option<Arc<str>> = None;
        loop {
            let page = self.store().range(Range { prefix: "/", after: after.as_deref(), limit: SCAN_PAGE, at: None })?;
            let Some(last) = page.entries.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for entry in page.entries {
                self.concerns(&Event { kind: EventKind::Created, entry, previous: None }, queue);
            }
        }
    }

    async fn work(&self, task: Task) -> Result<Next, Error> {
        match task {
            Task::Collect(key) => self.collect(&key).await,
            Task::Namespace(name) => self.delete_namespace(&name).await,
            Task::ServiceAccounts(namespace) => self.ensure_service_accounts(&namespace).await,
            Task::TokenSecret(key) => self.fill_token_secret(&key).await,
            Task::SignRequest(name) => self.sign_request(&name).await,
            Task::Aggregate(role) => self.aggregate(&role).await,
            Task::Expire => self.expire().await,
        }
    }
}

/// When to try again what somebody else changed in between.
const AGAIN_SOON: Next = Next::After(Duration::from_millis(50));

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collect(key) => write!(f, "collect {key}"),
            Self::Namespace(name) => write!(f, "delete namespace {name}"),
            Self::ServiceAccounts(namespace) => write!(f, "service accounts of {namespace}"),
            Self::TokenSecret(key) => write!(f, "token {key}"),
            Self::SignRequest(name) => write!(f, "certificate signing request {name}"),
            Self::Aggregate(role) => write!(f, "aggregate {role}"),
            Self::Expire => f.write_str("expire"),
        }
    }
}

//! The way to the hub, whatever credential is in use at the moment.
//!
//! Everything that talks to the hub holds one [`Hub`]. Registration puts a connection in it, and another
//! one when the certificate is rotated: requests from then on go the new way, streams that are open end in
//! their own time. Before the first credential, and after a refusal, requests fail at once.
//!
//! The hub has an identity (UID and epoch). Another UID is another hub: we take no orders from it.
//! Another epoch is a restored hub: what was seen before means nothing, so sessions begin anew.

use std::sync::Arc;

use api::hub::HubInfo;
use futures::FutureExt;
use kube::Client;
use parking_lot::RwLock;
use tokio::sync::watch;
use tower::service_fn;
use tower::util::BoxCloneSyncService;
use tunnel::{BoxError, Connection, HttpService};

/// Why there is no way to the hub.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoHub {
    #[error("this cluster has not joined its hub yet")]
    NotJoined,
    #[error("{0}")]
    Refused(String),
}

/// Who the hub is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubIdentity {
    /// It was not reached since we started.
    Unknown,
    /// It has no identity of this kind (any Kubernetes): its address is all there is.
    Plain {
        server: String,
    },
    Known(HubInfo),
}

type Way = Result<Connection, NoHub>;

/// A handle to the hub; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    pub client: Client,
    pub http: HttpService,
    way: Arc<RwLock<Way>>,
    /// UID of the hub that we joined.
    expected_uid: Arc<RwLock<Option<String>>>,
    identity: Arc<watch::Sender<HubIdentity>>,
}

impl Hub {
    /// Returns a handle without a way; `namespace` is the cluster's own on the hub.
    pub(crate) fn new(namespace: &str) -> Self {
        let way = Arc::new(RwLock::new(Err(NoHub::NotJoined)));
        let current = way.clone();
        let service = service_fn(move |request: http::Request<tunnel::Body>| {
            let way: Way = current.read().clone();
            match way {
                Ok(connection) => tunnel::send(&connection.http, request),
                Err(no_hub) => futures::future::ready(Err(BoxError::from(no_hub))).boxed(),
            }
        });
        let http: HttpService = BoxCloneSyncService::new(service);
        Self {
            client: tunnel::kube_client(http.clone(), namespace),
            http,
            way,
            expected_uid: Arc::default(),
            identity: Arc::new(watch::Sender::new(HubIdentity::Unknown)),
        }
    }

    /// Whether requests have a way to go (not whether the hub answers).
    pub fn is_joined(&self) -> bool {
        self.way.read().is_ok()
    }

    /// Follows the hub's identity.
    pub fn identity(&self) -> watch::Receiver<HubIdentity> {
        self.identity.subscribe()
    }

    pub(crate) fn set_way(&self, way: Way) {
        *self.way.write() = way;
    }

    /// Says which hub we joined.
    pub(crate) fn expect(&self, uid: Option<String>) {
        *self.expected_uid.write() = uid;
    }

    /// Takes note of who the hub says it is; closes the way if that is not the hub we joined.
    pub(crate) fn meet(&self, info: HubInfo) {
        let expected = self.expected_uid.read().clone();
        match expected {
            Some(expected) if expected != info.uid => {
                let message = format!("this cluster joined the hub with UID {expected}, but this one has UID {}", info.uid);
                tracing::error!(message, "hub refused");
                self.set_way(Err(NoHub::Refused(message)));
            }
            Some(_) | None => self.set_identity(HubIdentity::Known(info)),
        }
    }

    pub(crate) fn set_identity(&self, identity: HubIdentity) {
        self.identity.send_if_modified(|current| {
            let is_new = *current != identity;
            *current = identity;
            is_new
        });
    }
}

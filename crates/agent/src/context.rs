//! What every part of the agent shares.

use std::sync::Arc;

use controller::Runtime;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use crate::notices::Notices;
use crate::registration::Rotation;
use crate::report::Reporter;
use crate::skew::ClockSkew;
use crate::{Hub, StateDir};

/// Who we are and what we hold; cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub cluster_name: String,
    /// UID of the cluster's namespace kube-system.
    pub cluster_uid: String,
    /// The cluster that we are in.
    pub local: Client,
    pub hub: Hub,
    pub reporter: Reporter,
    pub notices: Notices,
    pub clock_skew: ClockSkew,
    pub state_dir: StateDir,
    pub runtime: Runtime,
    pub(crate) rotation: Arc<watch::Sender<Option<Rotation>>>,
    /// How often the hub has welcomed our reports: it may have been away before, and taken us for lost.
    pub(crate) welcomes: Arc<watch::Sender<u64>>,
}

impl Context {
    /// Returns the time by the hub's clock as far as it is known, else by ours.
    pub(crate) fn hub_now(&self) -> Timestamp {
        self.clock_skew.hub_time(self.runtime.clock.now())
    }
}

//! Many simulated stores in one process.
//!
//! Wall mode and virtual mode differ only in what they are given: over TLS and on the machine's clock with a
//! directory, or over the hub's in-memory connector on a paused clock without one. Then time moves when nothing
//! else does, and the same seed leads to the same decisions.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use controller::Runtime;
use futures::{StreamExt, TryStreamExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::cluster::{Error, HubAccess, Options, Store};
use crate::control::Reboots;
use crate::driver::EventLevel;
use crate::spec::{FleetSpec, StoreSpec};
use crate::workloads::fnv;

/// Stores started at once; each needs keys and a first list of every kind.
const STARTED_AT_ONCE: usize = 16;
/// Snapshots written at once.
const DISK_TURNS: usize = 2;
/// Up to this many stores tell everything in Events; more tell what is notable.
const TALKATIVE_MOST: usize = 100;

/// What a fleet is started with, beside its description.
#[derive(Clone, Default)]
pub struct FleetOptions {
    /// Each store keeps itself in a directory of its name below; none is memory only.
    pub dir: Option<PathBuf>,
    /// None are clusters without agents.
    pub hub: Option<HubAccess>,
    /// Serves the API of each store on 127.0.0.1: the first on this port, the others on those after; 0 takes free ones.
    pub first_port: Option<u16>,
}

/// A running fleet, by name of store.
pub struct Fleet {
    runtime: Runtime,
    spec: FleetSpec,
    options: FleetOptions,
    disk_turns: Arc<Semaphore>,
    stores: BTreeMap<String, Arc<Store>>,
    pub(crate) reboots: Reboots,
}

impl Fleet {
    /// Starts all stores; the first failure ends those started.
    pub async fn start(runtime: &Runtime, spec: FleetSpec, options: FleetOptions) -> Result<Self, Error> {
        let runtime = runtime.child();
        let disk_turns = Arc::new(Semaphore::new(DISK_TURNS));
        let mut fleet = Self { runtime, options, disk_turns, stores: BTreeMap::new(), reboots: Reboots::default(), spec };
        let starting = fleet.spec.stores.clone().into_iter().enumerate().map(|(index, store)| fleet.start_one(index, store));
        let started: Result<Vec<Store>, Error> = futures::stream::iter(starting).buffered(STARTED_AT_ONCE).try_collect().await;
        match started {
            Ok(stores) => fleet.stores = stores.into_iter().map(|store| (store.spec().name.clone(), Arc::new(store))).collect(),
            Err(error) => {
                fleet.runtime.stop().await;
                return Err(error);
            }
        }
        Ok(fleet)
    }

    async fn start_one(&self, index: usize, spec: StoreSpec) -> Result<Store, Error> {
        let name = spec.name.clone();
        let options = Options {
            seed: self.spec.seed ^ fnv(name.as_bytes()),
            dir: self.options.dir.as_ref().map(|dir| dir.join(&name)),
            hub: self.options.hub.clone(),
            events: if self.spec.stores.len() <= TALKATIVE_MOST { EventLevel::All } else { EventLevel::Notable },
            disk_turns: self.disk_turns.clone(),
        };
        let store = Store::start(&self.runtime, spec, options).await?;
        if let Some(first) = self.options.first_port {
            let port = if first == 0 { 0 } else { first.saturating_add(u16::try_from(index).unwrap_or(u16::MAX)) };
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
            store.serve(listener.map_err(|source| Error::Serve { cluster: name, source })?).await?;
        }
        Ok(store)
    }

    pub fn store(&self, name: &str) -> Option<&Store> {
        self.stores.get(name).map(Arc::as_ref)
    }

    pub fn stores(&self) -> impl Iterator<Item = &Store> {
        self.stores.values().map(Arc::as_ref)
    }

    pub(crate) fn shared(&self) -> impl Iterator<Item = &Arc<Store>> {
        self.stores.values()
    }

    /// Ends all stores; each writes its last snapshot.
    pub async fn stop(&self) -> Result<(), Error> {
        let stopped = futures::future::join_all(self.stores().map(Store::stop)).await;
        self.runtime.stop().await;
        stopped.into_iter().collect()
    }
}

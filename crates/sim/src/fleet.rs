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
use parking_lot::RwLock;
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
    drawings: agent::gitops::Drawings,
    stores: RwLock<BTreeMap<String, Arc<Store>>>,
    pub(crate) reboots: Reboots,
    /// Held while a cluster is switched on.
    plugging: tokio::sync::Mutex<()>,
}

impl Fleet {
    /// Starts all stores; the first failure ends those started.
    pub async fn start(runtime: &Runtime, spec: FleetSpec, options: FleetOptions) -> Result<Self, Error> {
        let runtime = runtime.child();
        let disk_turns = Arc::new(Semaphore::new(DISK_TURNS));
        let (stores, reboots, plugging) = (RwLock::default(), Reboots::default(), tokio::sync::Mutex::default());
        let drawings = agent::gitops::Drawings::shared();
        let fleet = Self { runtime, options, disk_turns, drawings, stores, reboots, plugging, spec };
        // One that was plugged in stays so.
        let is_kept = |spare: &&StoreSpec| fleet.options.dir.as_ref().is_some_and(|dir| dir.join(&spare.name).exists());
        let kept = fleet.spec.spare.iter().filter(is_kept).cloned().map(|store| (None, store));
        let all = fleet.spec.stores.iter().cloned().enumerate().map(|(index, store)| (Some(index), store)).chain(kept);
        let starting = all.collect::<Vec<_>>().into_iter().map(|(index, store)| fleet.start_one(index, store));
        let started: Result<Vec<Store>, Error> = futures::stream::iter(starting).buffered(STARTED_AT_ONCE).try_collect().await;
        match started {
            Ok(stores) => {
                *fleet.stores.write() = stores.into_iter().map(|store| (store.spec().name.clone(), Arc::new(store))).collect();
            }
            Err(error) => {
                fleet.runtime.stop().await;
                return Err(error);
            }
        }
        Ok(fleet)
    }

    /// Switches on a spare cluster; an error is a reason for people.
    pub async fn plug_in(&self, name: &str) -> Result<(), String> {
        let _plugging = self.plugging.lock().await;
        if self.store(name).is_some() {
            return Err(format!("{name} is switched on already"));
        }
        let Some(spec) = self.spec.spare.iter().find(|spare| spare.name == name) else {
            let spare: Vec<&str> =
                self.spec.spare.iter().map(|spare| spare.name.as_str()).filter(|name| self.store(name).is_none()).collect();
            let there_are = if spare.is_empty() { "there is none".to_owned() } else { format!("there are {}", spare.join(", ")) };
            return Err(format!("{name} is no spare cluster; {there_are}"));
        };
        let store = self.start_one(None, spec.clone()).await.map_err(|error| error.to_string())?;
        self.stores.write().insert(name.to_owned(), Arc::new(store));
        Ok(())
    }

    /// Starts a cluster; one without a place among the ports takes a free one.
    async fn start_one(&self, index: Option<usize>, spec: StoreSpec) -> Result<Store, Error> {
        let name = spec.name.clone();
        let options = Options {
            seed: self.spec.seed ^ fnv(name.as_bytes()),
            dir: self.options.dir.as_ref().map(|dir| dir.join(&name)),
            hub: self.options.hub.clone(),
            events: if self.spec.stores.len() <= TALKATIVE_MOST { EventLevel::All } else { EventLevel::Notable },
            disk_turns: self.disk_turns.clone(),
            drawings: self.drawings.clone(),
        };
        let store = Store::start(&self.runtime, spec, options).await?;
        if let Some(first) = self.options.first_port {
            let index = index.map(|index| u16::try_from(index).unwrap_or(u16::MAX));
            let port = index.filter(|_| first > 0).map_or(0, |index| first.saturating_add(index));
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
            store.serve(listener.map_err(|source| Error::Serve { cluster: name, source })?).await?;
        }
        Ok(store)
    }

    pub fn store(&self, name: &str) -> Option<Arc<Store>> {
        self.stores.read().get(name).cloned()
    }

    /// Returns all stores there are now, by name.
    pub fn stores(&self) -> impl Iterator<Item = Arc<Store>> {
        self.stores.read().values().cloned().collect::<Vec<_>>().into_iter()
    }

    /// Ends all stores; each writes its last snapshot.
    pub async fn stop(&self) -> Result<(), Error> {
        let stopped = futures::future::join_all(self.stores().map(|store| async move { store.stop().await })).await;
        self.runtime.stop().await;
        stopped.into_iter().collect()
    }
}

//! One simulated store: an API server on a store in memory, its controllers, and the real agent.
//!
//! Nothing in it knows that it is simulated but the controllers: the agent gets a client of the cluster and a
//! way to the hub, as it would in a real one. With a directory the cluster survives the process
//! ([`crate::snapshot`]); without, it ends with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apiserver::user::UserInfo;
use apiserver::{ApiServer, Entropy};
use controller::Runtime;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use parking_lot::Mutex;
use serde_json::json;
use store::{MemoryStore, Store as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::driver::{self, EventLevel};
use crate::faults;
use crate::kubelet::PodLogs;
use crate::link::{Link, Quality};
use crate::snapshot::{self, Snapshots};
use crate::spec::StoreSpec;

const CA_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);
const CERTIFICATE_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 365);
const SNAPSHOT_EVERY: Duration = Duration::from_secs(20);

/// The way to the hub, and the kubeconfig that an agent joins with.
#[derive(Clone)]
pub struct HubAccess {
    pub connector: Arc<dyn tunnel::Connector>,
    pub bootstrap: Kubeconfig,
}

/// What a store is started with, beside its description.
#[derive(Clone)]
pub struct Options {
    pub seed: u64,
    /// Where objects, keys and the agent's state are kept; none is memory only.
    pub dir: Option<PathBuf>,
    /// None is a cluster without an agent.
    pub hub: Option<HubAccess>,
    pub events: EventLevel,
    /// Snapshots written at once by all stores of a process.
    pub disk_turns: Arc<Semaphore>,
    /// What the agents of a process have rendered.
    pub drawings: agent::gitops::Drawings,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    #[error("failed to make the keys of cluster {cluster}")]
    Keys { cluster: String, source: pki::Error },
    #[error("failed to start the API server of cluster {cluster}: {status}")]
    Start { cluster: String, status: apimachinery::status::Status },
    #[error("failed to set up cluster {cluster}")]
    SetUp { cluster: String, source: kube::Error },
    #[error("failed to open the agent's state directory of cluster {cluster}")]
    AgentState { cluster: String, source: std::io::Error },
    #[error("failed to serve cluster {cluster}")]
    Serve { cluster: String, source: std::io::Error },
    #[error("cluster {cluster} was stopped")]
    Stopped { cluster: String },
}

/// A simulated store; it runs until it is stopped, and can be rebooted.
pub struct Store {
    spec: StoreSpec,
    options: Options,
    parent: Runtime,
    keys: Keys,
    link: Link,
    life: Mutex<Life>,
    /// One reboot at a time, and none after the end.
    turn: tokio::sync::Mutex<Turn>,
    /// None in memory only.
    snapshots: Option<Arc<Snapshots>>,
    /// Address of the API, if it is served, and the kubeconfig for it.
    served: Mutex<Option<(SocketAddr, String)>>,
}

#[derive(Default)]
struct Turn {
    is_stopped: bool,
}

/// What a cluster keeps for good: by them its clients know it again.
struct Keys {
    ca: Arc<pki::Authority>,
    tokens: Arc<pki::token::Signer>,
}

/// From one boot to the next.
#[derive(Clone)]
struct Life {
    runtime: Runtime,
    server: ApiServer,
    objects: Arc<MemoryStore>,
    logs: Arc<PodLogs>,
    skew: SignedDuration,
}

impl Life {
    async fn begin(
        parent: &Runtime,
        spec: &StoreSpec,
        options: &Options,
        keys: &Keys,
        objects: MemoryStore,
        skew: SignedDuration,
    ) -> Result<Self, Error> {
        // Metrics of thousands of clusters are nobody's; each has its own registry.
        let mut runtime = parent.child();
        runtime.metrics = Arc::default();
        if !skew.is_zero() {
            let clock = runtime.clock.skewed(skew);
            runtime = runtime.with_clock(clock);
        }
        let objects = Arc::new(objects);
        let logs = Arc::new(PodLogs::new(runtime.clock.clone()));
        let server = start_server(&runtime, spec, options, keys, objects.clone(), logs.clone()).await?;
        logs.set_client(Some(server.client(system_user())));
        Ok(Self { runtime, server, objects, logs, skew })
    }

    async fn end(&self) {
        self.logs.set_client(None);
        self.runtime.stop().await;
    }
}

impl Store {
    /// Starts a store, as new or as its directory has it.
    pub async fn start(runtime: &Runtime, spec: StoreSpec, options: Options) -> Result<Self, Error> {
        let snapshots = options.dir.as_deref().map(|dir| Arc::new(Snapshots::new(objects_file(dir))));
        let objects = match &snapshots {
            Some(snapshots) => snapshots.load()?,
            None => MemoryStore::default(),
        };
        let keys = load_keys(runtime, &spec, options.dir.as_deref());
        let keys = keys.map_err(|source| Error::Keys { cluster: spec.name.clone(), source })?;
        let skew = spec.skew().unwrap_or_default();
        let life = Life::begin(runtime, &spec, &options, &keys, objects, skew).await?;
        let store = Self {
            link: Link::new(spec.link),
            spec,
            options,
            parent: runtime.clone(),
            keys,
            life: Mutex::new(life),
            turn: tokio::sync::Mutex::default(),
            snapshots,
            served: Mutex::default(),
        };
        store.set_up().await?;
        store.live().await?;
        Ok(store)
    }

    /// Ends everything in the cluster and starts it again with what it had.
    pub async fn reboot(&self) -> Result<(), Error> {
        self.reboot_with_skew(self.skew()).await
    }

    /// Reboots with a clock that is so far ahead.
    ///
    /// Whoever drops this on the way leaves a cluster that is off; one that failed can be rebooted again.
    pub async fn reboot_with_skew(&self, skew: SignedDuration) -> Result<(), Error> {
        let turn = self.turn.lock().await;
        if turn.is_stopped {
            return Err(Error::Stopped { cluster: self.spec.name.clone() });
        }
        let old = self.life();
        old.end().await;
        let objects = snapshot::resumed(&*old.objects)?;
        let life = Life::begin(&self.parent, &self.spec, &self.options, &self.keys, objects, skew).await?;
        *self.life.lock() = life;
        let alive = self.live().await;
        let address = self.served.lock().as_ref().map(|(address, _)| *address);
        if let Some(address) = address {
            let listener = TcpListener::bind(address).await.map_err(|source| Error::Serve { cluster: self.spec.name.clone(), source })?;
            self.serve(listener).await?;
        }
        alive
    }

    /// Starts what lives in the cluster.
    async fn live(&self) -> Result<(), Error> {
        let life = self.life();
        let options = driver::Options { machines: self.spec.machines(), seed: self.options.seed, events: self.options.events };
        driver::start(&life.runtime, self.client(), life.server.writer(system_user()), options);
        // Before the agent tells anyone who this cluster is: a kill must not make it another one.
        self.save().await?;
        self.keep_snapshots(&life);
        self.start_agent(&life)
    }

    fn life(&self) -> Life {
        self.life.lock().clone()
    }

    pub fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    /// Returns a client that may do everything in the cluster.
    pub fn client(&self) -> kube::Client {
        self.life.lock().server.client(system_user())
    }

    pub fn server(&self) -> ApiServer {
        self.life.lock().server.clone()
    }

    /// Returns how far the clock is ahead.
    pub fn skew(&self) -> SignedDuration {
        self.life.lock().skew
    }

    pub fn link(&self) -> Quality {
        self.link.quality()
    }

    /// Makes the way to the hub better or worse.
    pub fn set_link(&self, quality: Quality) {
        self.link.set(quality);
    }

    /// Returns the cluster's rules for faults.
    pub async fn faults(&self) -> Result<std::collections::BTreeMap<String, String>, Error> {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client(), faults::CONFIG_MAP_NAMESPACE);
        let found = config_maps.get_opt(faults::CONFIG_MAP).await.map_err(|source| self.failed(source))?;
        Ok(found.and_then(|object| object.data).unwrap_or_default())
    }

    /// Replaces the cluster's rules for faults.
    pub async fn set_faults(&self, rules: std::collections::BTreeMap<String, String>) -> Result<(), Error> {
        let object = fault_rules(rules);
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client(), faults::CONFIG_MAP_NAMESPACE);
        let replaced = match config_maps.replace(faults::CONFIG_MAP, &PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.code == 404 => config_maps.create(&PostParams::default(), &object).await,
            replaced => replaced,
        };
        replaced.map(drop).map_err(|source| self.failed(source))
    }

    /// Changes single rules for faults and leaves the others alone; none takes one away.
    pub async fn change_faults(&self, rules: std::collections::BTreeMap<String, Option<String>>) -> Result<(), Error> {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client(), faults::CONFIG_MAP_NAMESPACE);
        let change = Patch::Merge(json!({"data": rules}));
        match config_maps.patch(faults::CONFIG_MAP, &PatchParams::default(), &change).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.set_faults(rules.into_iter().filter_map(|(name, rule)| Some((name, rule?))).collect()).await
            }
            changed => changed.map(drop).map_err(|source| self.failed(source)),
        }
    }

    fn failed(&self, source: kube::Error) -> Error {
        Error::SetUp { cluster: self.spec.name.clone(), source }
    }

    /// Serves the cluster's API on a port of this machine; returns the kubeconfig of its administrator.
    pub async fn serve(&self, listener: TcpListener) -> Result<String, Error> {
        let cluster = || self.spec.name.clone();
        let keys = |source| Error::Keys { cluster: cluster(), source };
        let Life { runtime, server, .. } = self.life();
        let now = runtime.clock.now();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned(), "kubernetes.default.svc".to_owned()];
        let issued = server.ca().sign_server(&names, now, CERTIFICATE_VALIDITY).map_err(keys)?;
        let tls = pki::tls::server_config(&issued, server.ca()).map_err(keys)?;
        let address = server.serve(listener, tls).map_err(|source| Error::Serve { cluster: cluster(), source })?;
        let admin = server.ca().sign_client("admin", &["system:masters"], now, CERTIFICATE_VALIDITY).map_err(keys)?;
        let kubeconfig = kubeconfig(&self.spec.name, address, server.ca(), &admin);
        if let Some(dir) = &self.options.dir {
            write_secret(&dir.join("kubeconfig"), &kubeconfig).map_err(|source| Error::Serve { cluster: cluster(), source })?;
        }
        *self.served.lock() = Some((address, kubeconfig.clone()));
        Ok(kubeconfig)
    }

    /// Returns the kubeconfig for the cluster's port, if it is served.
    pub fn kubeconfig(&self) -> Option<String> {
        self.served.lock().as_ref().map(|(_, kubeconfig)| kubeconfig.clone())
    }

    /// Ends everything in the cluster and writes its last snapshot.
    pub async fn stop(&self) -> Result<(), Error> {
        let mut turn = self.turn.lock().await;
        turn.is_stopped = true;
        let life = self.life();
        life.end().await;
        if let Some(snapshots) = &self.snapshots {
            snapshots.save(&*life.objects)?;
        }
        Ok(())
    }

    /// Writes the faults of the description at the first start; what was ordered since then stays.
    async fn set_up(&self) -> Result<(), Error> {
        if self.spec.faults.is_empty() {
            return Ok(());
        }
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client(), faults::CONFIG_MAP_NAMESPACE);
        match config_maps.create(&PostParams::default(), &fault_rules(self.spec.faults.clone())).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            created => created.map(drop).map_err(|source| self.failed(source)),
        }
    }

    /// Starts the real agent. It gets what it would get in a store: the cluster, and a way to the hub.
    fn start_agent(&self, life: &Life) -> Result<(), Error> {
        let Some(hub) = &self.options.hub else { return Ok(()) };
        let state_dir = match &self.options.dir {
            Some(dir) => {
                agent::StateDir::open(&dir.join("agent")).map_err(|source| Error::AgentState { cluster: self.spec.name.clone(), source })?
            }
            None => agent::StateDir::memory(),
        };
        let mut labels = self.spec.labels.clone();
        // Whoever looks at the fleet must be able to tell.
        labels.insert(api::cluster::label::SIMULATED.to_owned(), "true".to_owned());
        let agent = agent::run(agent::AgentOptions {
            cluster_name: self.spec.name.clone(),
            labels,
            bootstrap: hub.bootstrap.clone(),
            local: life.server.client(agent_user()),
            connector: self.link.over(hub.connector.clone()),
            git_link: Some(self.link.to_git()),
            state_dir,
            drawings: self.options.drawings.clone(),
            runtime: life.runtime.clone(),
        });
        life.runtime.spawn("agent", agent);
        Ok(())
    }

    /// Writes a snapshot, where there is a directory.
    async fn save(&self) -> Result<(), Error> {
        let Some(snapshots) = self.snapshots.clone() else { return Ok(()) };
        let objects = self.life().objects;
        match tokio::task::spawn_blocking(move || snapshots.save(&*objects)).await {
            Ok(saved) => Ok(saved.map(drop)?),
            // Only at shutdown: the runtime takes no more work.
            Err(_) => Ok(()),
        }
    }

    /// Writes a snapshot now and then, if something but leases changed.
    fn keep_snapshots(&self, life: &Life) {
        let Some(snapshots) = self.snapshots.clone() else { return };
        let changed = Arc::new(AtomicBool::new(true));
        let noted = changed.clone();
        life.objects.subscribe(Box::new(move |events| {
            if events.iter().any(|event| !event.entry.key.contains("/leases/")) {
                noted.store(true, Ordering::Relaxed);
            }
        }));
        let (objects, turns) = (life.objects.clone(), self.options.disk_turns.clone());
        let cluster = self.spec.name.clone();
        life.runtime.spawn("snapshots", async move {
            loop {
                tokio::time::sleep(SNAPSHOT_EVERY).await;
                if !changed.swap(false, Ordering::Relaxed) {
                    continue;
                }
                let Ok(_turn) = turns.acquire().await else { return };
                let (objects, snapshots) = (objects.clone(), snapshots.clone());
                let saved = tokio::task::spawn_blocking(move || snapshots.save(&*objects)).await;
                if let Ok(Err(error)) = saved {
                    tracing::warn!(%cluster, %error, "snapshot not written, will retry");
                    changed.store(true, Ordering::Relaxed);
                }
            }
        });
    }
}

fn fault_rules(rules: std::collections::BTreeMap<String, String>) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(faults::CONFIG_MAP.into()), ..ObjectMeta::default() },
        data: Some(rules),
        ..ConfigMap::default()
    }
}

/// Writes a file that only its owner may read.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn objects_file(dir: &Path) -> PathBuf {
    dir.join("objects")
}

fn system_user() -> UserInfo {
    UserInfo { username: "system:kube-controller-manager".into(), groups: vec!["system:masters".into()], ..UserInfo::default() }
}

fn agent_user() -> UserInfo {
    let username = "system:serviceaccount:open-cluster-management-agent:muster-agent";
    UserInfo { username: username.into(), groups: vec!["system:masters".into()], ..UserInfo::default() }
}

async fn start_server(
    runtime: &Runtime,
    spec: &StoreSpec,
    options: &Options,
    keys: &Keys,
    objects: Arc<MemoryStore>,
    logs: Arc<PodLogs>,
) -> Result<ApiServer, Error> {
    let server = ApiServer::new(apiserver::Options {
        store: objects,
        runtime: runtime.clone(),
        ca: keys.ca.clone(),
        tokens: keys.tokens.clone(),
        static_tokens: Vec::new(),
        admission: Vec::new(),
        routes: Vec::new(),
        connects: vec![((String::new(), "pods".into(), "log".into()), logs)],
        kubernetes_version: spec.kubernetes_version.clone(),
        lazy: Vec::new(),
        entropy: if options.dir.is_some() { Entropy::system() } else { Entropy::seeded(options.seed) },
        url: String::new(),
    });
    server.await.map_err(|status| Error::Start { cluster: spec.name.clone(), status })
}

const ISSUER: &str = "https://kubernetes.default.svc";

/// Reads the cluster's keys, or makes them.
fn load_keys(runtime: &Runtime, spec: &StoreSpec, dir: Option<&Path>) -> Result<Keys, pki::Error> {
    let create = || pki::Authority::create(&format!("{}-ca", spec.name), runtime.clock.now(), CA_VALIDITY);
    let Some(dir) = dir else {
        let tokens = pki::token::Signer::new(ISSUER, &pki::Key::generate()?)?;
        return Ok(Keys { ca: Arc::new(create()?), tokens: Arc::new(tokens) });
    };
    let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
    let ca = if certificate.exists() && key.exists() {
        pki::Authority::load(&certificate, &key)?
    } else {
        let ca = create()?;
        ca.save(&certificate, &key)?;
        ca
    };
    let tokens = pki::token::Signer::load_or_create(ISSUER, &dir.join("service-account.key"))?;
    Ok(Keys { ca: Arc::new(ca), tokens: Arc::new(tokens) })
}

fn kubeconfig(name: &str, address: SocketAddr, ca: &pki::Authority, admin: &pki::Issued) -> String {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    // JSON is YAML, and needs no quoting of ours.
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name, "cluster": {
            "server": format!("https://{address}"), "certificate-authority-data": encode(&ca.certificate_pem()),
        }}],
        "users": [{"name": name, "user": {
            "client-certificate-data": encode(&admin.certificate_pem), "client-key-data": encode(&admin.key.pem()),
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    });
    format!("{config:#}\n")
}

//! A fleet of processes, by its directory.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::hub::{AppRow, ClusterRow, HubInfo, Page};
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustix::process::{Pid, Signal};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{eventually_within, list};

pub const CLUSTER: &str = "cluster.open-cluster-management.io/v1";
pub const REQUEST: &str = "certificates.k8s.io/v1";
pub const PARTS: [&str; 4] = ["git", "hub", "sim", "console"];
/// What a busy machine may take for what should take seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A fleet that is or was started; ends with its processes.
pub struct Machine {
    scratch: TempDir,
    pub dir: PathBuf,
    pub port: u16,
    pub stores: u16,
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end.
pub async fn muster(arguments: &[&str]) -> Ran {
    let mut command = program(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("muster runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(arguments).env_remove("MUSTER_DIR").env_remove("MUSTER_LOG").stdin(Stdio::null());
    command
}

impl Machine {
    /// Finds a place and ports for a fleet; starts nothing.
    pub fn new(stores: u16) -> Self {
        pki::tls::install_provider();
        let scratch = tempfile::tempdir().expect("a directory");
        let dir = scratch.path().join("fleet");
        Self { port: free_ports(stores), dir, stores, scratch }
    }

    pub fn at(&self) -> &str {
        self.dir.to_str().expect("a path in UTF-8")
    }

    /// Runs a command on this fleet.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        muster(&[arguments, &["--dir", self.at()]].concat()).await
    }

    /// Runs a command that must succeed; returns what it printed.
    pub async fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, Some(0), "muster {arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Starts the fleet in the background, or resumes it.
    pub async fn up(&self) {
        self.ok(&["up", "--detach", "--example", "first", "--port", &self.port.to_string(), "--stores", &self.stores.to_string()]).await;
    }

    /// Starts the fleet in the foreground; its words go to a file.
    pub fn up_in_front(&self) -> Child {
        let said = std::fs::File::create(self.scratch.path().join("said")).expect("a file");
        let arguments =
            ["up", "--example", "first", "--port", &self.port.to_string(), "--stores", &self.stores.to_string(), "--dir", self.at()];
        program(&arguments).stdout(Stdio::null()).stderr(said).spawn().expect("muster runs")
    }

    /// Presses Ctrl-C and waits for the end.
    pub async fn interrupt(&self, up: Child) -> std::process::ExitStatus {
        signal(i32::try_from(up.id()).expect("a pid"), Signal::INT);
        self.ends(up).await
    }

    /// Waits until the fleet in the foreground ends.
    pub async fn ends(&self, mut up: Child) -> std::process::ExitStatus {
        let ended = tokio::task::spawn_blocking(move || up.wait());
        let ended = tokio::time::timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("up goes on:\n{}", self.said()));
        ended.expect("joined").expect("waited for")
    }

    /// Returns the fleet's ports that somebody has.
    pub fn taken(&self) -> Vec<u16> {
        self.ports().into_iter().filter(|port| !is_free(*port)).collect()
    }

    /// What the fleet in the foreground said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("said")).unwrap_or_default()
    }

    pub async fn is_well(&self) {
        let ran = self.run(&["status", "--wait", "--timeout", "60s"]).await;
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    }

    pub async fn hub(&self) -> kube::Client {
        client(&self.dir.join("kubeconfig")).await
    }

    pub async fn store(&self, name: &str) -> kube::Client {
        client(&self.store_kubeconfig(name)).await
    }

    pub fn store_kubeconfig(&self, name: &str) -> PathBuf {
        self.dir.join("stores").join(name).join("kubeconfig")
    }

    pub fn store_names(&self) -> Vec<String> {
        (1..=self.stores).map(|number| format!("store-{number:04}")).collect()
    }

    pub async fn hub_info(&self) -> HubInfo {
        read(&self.hub().await, api::hub::path::HUB).await
    }

    pub async fn clusters(&self) -> Vec<ClusterRow> {
        read::<Page<ClusterRow>>(&self.hub().await, api::hub::path::CLUSTERS).await.items
    }

    pub async fn apps(&self) -> Vec<AppRow> {
        serde_json::from_str(&self.ok(&["apps", "--output", "json"]).await).expect("rows")
    }

    /// Whether the commit runs and is healthy on every store, by the hub's account.
    pub async fn is_live(&self, commit: &str) -> bool {
        let apps = self.apps().await;
        let is_live = |app: &AppRow| app.revision == commit && app.sync == "Synced" && app.health == "Healthy" && app.is_current;
        apps.len() == usize::from(self.stores) && apps.iter().all(is_live)
    }

    /// Returns UIDs of ManagedClusters and names of signing requests, which say who joined, and how often.
    pub async fn identities(&self) -> (Vec<(String, String)>, Vec<String>) {
        let hub = self.hub().await;
        let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let clusters = list(&hub, CLUSTER, "ManagedCluster", None).await;
        let requests = list(&hub, REQUEST, "CertificateSigningRequest", None).await;
        let clusters = clusters.iter().map(|c| (text(c, "name"), text(c, "uid"))).collect();
        (clusters, requests.iter().map(|r| text(r, "name")).collect())
    }

    /// Waits until every cluster was heard by the hub after that time.
    pub async fn is_heard_after(&self, time: jiff::Timestamp) {
        let took = eventually_within(Duration::from_secs(150), "every agent is back", async || {
            let clusters = self.clusters().await;
            clusters.len() == usize::from(self.stores)
                && clusters.iter().all(|c| c.available == "True" && c.last_seen.is_some_and(|seen| seen > time))
        })
        .await;
        println!("every agent is back after {took:.1?}");
    }

    pub fn pid(&self, part: &str) -> i32 {
        let text = std::fs::read_to_string(self.dir.join(format!("{part}.pid"))).expect("a pid file");
        text.trim().parse().expect("a pid")
    }

    pub fn pids(&self) -> Vec<i32> {
        PARTS.iter().map(|part| self.pid(part)).collect()
    }

    /// As a power cut would end it.
    pub async fn kill(&self, part: &str) {
        let pid = self.pid(part);
        signal(pid, Signal::KILL);
        is_over(&[pid]).await;
    }

    pub fn ports(&self) -> Vec<u16> {
        let stores = self.port + 10..self.port + 10 + self.stores;
        [self.port, self.port + 1, self.port + 2].into_iter().chain(stores).collect()
    }

    /// Returns the repository's work tree, cloned over HTTP.
    pub async fn clone_repository(&self) -> WorkTree {
        let tree = WorkTree(self.scratch.path().join("work"));
        let _ = std::fs::remove_dir_all(&tree.0);
        let url = format!("http://127.0.0.1:{}/apps.git", self.port + 1);
        git(self.scratch.path(), &["clone", "-q", &url, "work"]).await;
        tree
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A test that failed must not leave processes behind.
        let _ = program(&["down", "--dir", self.at()]).output();
    }
}

/// A clone of the fleet's repository.
pub struct WorkTree(PathBuf);

impl WorkTree {
    /// Gives the Deployment another image tag, commits and pushes; returns the commit.
    pub async fn release(&self, tag: &str) -> String {
        self.commit(tag).await;
        git(&self.0, &["push", "-q"]).await;
        git(&self.0, &["rev-parse", "HEAD"]).await.trim().to_owned()
    }

    /// Types a remedy into a shell in this clone; returns the commit it led to.
    pub async fn follow(&self, remedy: &str) -> String {
        let before = git(&self.0, &["rev-parse", "HEAD"]).await;
        let mut command = Command::new("sh");
        command.current_dir(&self.0).args(["-c", remedy]).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "test").env(format!("GIT_{who}_EMAIL"), "test@example.com");
        }
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("sh runs");
        assert!(output.status.success(), "{remedy}: {}", String::from_utf8_lossy(&output.stderr));
        let after = git(&self.0, &["rev-parse", "HEAD"]).await;
        assert_ne!(after, before, "{remedy} made no commit");
        after.trim().to_owned()
    }

    async fn commit(&self, tag: &str) {
        let path = self.0.join("hello/hello.yaml");
        let text = std::fs::read_to_string(&path).expect("a manifest");
        let at = text.find("image: ").expect("an image");
        let colon = at + text[at..].rfind(':').map_or(0, |_| text[at + 7..].find(':').expect("a tag") + 7);
        let end = colon + text[colon..].find('\n').expect("a line");
        std::fs::write(&path, format!("{}:{tag}{}", &text[..colon], &text[end..])).expect("written");
        git(&self.0, &["commit", "-q", "-a", "-m", tag]).await;
    }
}

async fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    command.args(["-c", "user.name=test", "-c", "user.email=test@example.com"]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns kube's own client, as any program has it.
pub async fn client(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("usable");
    kube::Client::try_from(config).expect("a client")
}

/// Returns the JSON at a path beside the Kubernetes API.
pub async fn read<T: DeserializeOwned>(client: &kube::Client, path: &str) -> T {
    let request = http::Request::get(path).body(Vec::new()).expect("a request");
    client.request(request).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
}

pub fn signal(pid: i32, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("signalled");
}

/// Waits until no such process runs.
pub async fn is_over(pids: &[i32]) {
    eventually_within(PATIENCE, "the processes ended", async || !pids.iter().any(|pid| is_alive(*pid))).await;
}

/// One that ended and was not yet buried by its parent is not alive.
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Finds ports for a fleet, below those that the system gives to clients.
fn free_ports(stores: u16) -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 400).expect("small") * 25;
    let mut bases = (first..32_000).step_by(25).chain((20_000..first).step_by(25));
    bases.find(|base| (*base..base + 10 + stores).all(is_free)).expect("free ports")
}

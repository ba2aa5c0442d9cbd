//! A whole fleet of the retailer, as `muster up` starts it: how long until it stands, what it takes, and how long a commit
//! takes to all of it.
//!
//! The processes are the shipped program's, beside this one. What is asked is asked of the hub's read model over HTTPS, as the
//! console does: an Application counts from when it is shown as Synced to the commit and Healthy. Time runs from before the
//! push. Processor time and memory are the kernel's, of the hub, Git, the console and the simulator; what this program takes
//! is its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use api::hub::{AppRow, ClusterRow, Page, path};
use kube::config::Kubeconfig;
use serde::de::DeserializeOwned;
use tokio::process::Command;
use tunnel::{Connector, TlsConnector};

use crate::report::{Latencies, cpu_time, rss_kib};

/// The repository whose `dev` is merged to `prod`, its Application, and the image whose tag changes.
const REPOSITORY: &str = "edge";
const IMAGE: &str = "offers-api";
const RELEASE: &str = "release/kustomization.yaml";
const PORT: u16 = 17443;
const PARTS: [&str; 4] = ["hub", "sim", "git", "console"];
const PATIENCE: Duration = Duration::from_secs(900);
/// How often the hub is asked how far the commit is, for each store: the error of a latency. To count takes the longer the more
/// stores there are, and what is measured shall not wait for its measurement.
const LOOK_FOR_EACH: Duration = Duration::from_micros(200);
const LOOK_MIN: Duration = Duration::from_millis(50);
/// A fleet rests when it takes less than this share of a processor for so long.
const REST: f64 = 0.25;
const LOOK: Duration = Duration::from_secs(2);
/// A fleet that is watched for an hour may grow by this share: caches fill.
const GROWTH_MOST: f64 = 0.1;

pub struct Plan {
    pub stores: usize,
    pub merges: usize,
    /// After all, the fleet is watched for so long.
    pub rest: Duration,
}

pub async fn run(directory: &Path, plan: &Plan) -> anyhow::Result<()> {
    pki::tls::install_provider();
    let fleet = Fleet { program: program()?, dir: directory.join("fleet") };
    let outcome = measure(&fleet, directory, plan).await;
    let ended = fleet.muster(&["down"]).await;
    outcome.and(ended)
}

async fn measure(fleet: &Fleet, directory: &Path, plan: &Plan) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (port, stores) = (PORT.to_string(), plan.stores.to_string());
    fleet.muster(&["up", "--example", "retail", "--stores", &stores, "--port", &port, "--detach"]).await?;
    let hub = Hub::connect(&fleet.dir, plan.stores)?;
    let generator = sim::Example::named("retail")?.generator().context("the retailer is drawn by a generator")?;
    let clusters = plan.stores as u64 + u64::from(generator.clusters_beside());
    let total = hub.until_well(plan.stores as u64, clusters).await?;
    println!("{clusters} clusters: {total} Applications Synced and Healthy after {:.1} s", begun.elapsed().as_secs_f64());
    fleet.print("start");
    fleet.rest().await;
    fleet.print("at rest");

    let tree = WorkTree::clone(directory).await?;
    let follow_prod = hub.count(&on(&tree.commit("prod").await?)).await?;
    ensure!(follow_prod >= plan.stores as u64, "only {follow_prod} clusters are on prod");
    for round in 1..=plan.merges {
        let tag = format!("9.0.{round}");
        let was = tree.commit("prod").await?;
        let dev = tree.release(&tag).await?;
        let on_dev = hub.until_count(&well_on(&dev), 1, Instant::now(), &mut Latencies::default()).await?;
        fleet.rest().await;
        ensure!(hub.count(&well_on(&was)).await? == follow_prod, "a push to dev moved clusters that follow prod");
        let (before, begun) = (fleet.processor_time(), Instant::now());
        let prod = tree.promote(&tag).await?;
        let mut latencies = Latencies::default();
        hub.until_count(&well_on(&prod), follow_prod, begun, &mut latencies).await?;
        let took = begun.elapsed();
        fleet.rest().await;
        let spent = (fleet.processor_time() - before).as_secs_f64() * 1e3 / follow_prod as f64;
        latencies.print(&format!("merge {round} to prod until Synced and Healthy on {follow_prod} stores"), took);
        println!("merge {round}: {spent:.0} ms of processor time a store; dev before it touched {on_dev} clusters");
    }
    if !plan.rest.is_zero() {
        watch(fleet, &hub, plan, clusters).await?;
    }
    fleet.print("end");
    Ok(())
}

/// Looks at a fleet that rests, so that what grows is seen.
async fn watch(fleet: &Fleet, hub: &Hub, plan: &Plan, clusters: u64) -> anyhow::Result<()> {
    let (begun, at_first) = (Instant::now(), fleet.memory_kib());
    while begun.elapsed() < plan.rest {
        tokio::time::sleep(Duration::from_secs(60).min(plan.rest)).await;
        hub.until_well(plan.stores as u64, clusters).await?;
        fleet.print(&format!("after {} s", begun.elapsed().as_secs()));
    }
    let grown = (fleet.memory_kib() as f64 - at_first as f64) / 1024.0;
    println!("growth in {} s: {grown:.1} MB", begun.elapsed().as_secs());
    ensure!(grown < at_first as f64 / 1024.0 * GROWTH_MOST, "a fleet that rests grows");
    Ok(())
}

/// Filters of Applications.
fn on(commit: &str) -> String {
    format!("name={REPOSITORY}&revision={commit}")
}

fn well_on(commit: &str) -> String {
    format!("{}&sync=Synced&health=Healthy", on(commit))
}

/// The programs stand beside this one.
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("failed to find this program's own file")?.with_file_name("muster");
    ensure!(path.exists(), "{} is missing: run `make build` first", path.display());
    Ok(path)
}

/// The processes of the fleet.
struct Fleet {
    program: PathBuf,
    dir: PathBuf,
}

impl Fleet {
    async fn muster(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let (command, rest) = arguments.split_first().context("a command")?;
        let mut muster = Command::new(&self.program);
        muster.arg(command).arg("--dir").arg(&self.dir).args(rest).stdout(Stdio::null());
        let status = muster.status().await.with_context(|| format!("failed to start {}", self.program.display()))?;
        ensure!(status.success(), "muster {command}: {status}");
        Ok(())
    }

    fn processes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        PARTS.into_iter().filter_map(|part| {
            let pid = std::fs::read_to_string(self.dir.join(format!("{part}.pid"))).ok()?;
            Some((part, pid.split_whitespace().next()?.parse().ok()?))
        })
    }

    fn processor_time(&self) -> Duration {
        self.processes().map(|(_, pid)| cpu_time(pid)).sum()
    }

    fn memory_kib(&self) -> u64 {
        self.processes().map(|(_, pid)| rss_kib(&pid.to_string())).sum()
    }

    fn print(&self, when: &str) {
        let parts = self
            .processes()
            .map(|(part, pid)| format!("{part} {:.0} MB {:.1} s", rss_kib(&pid.to_string()) as f64 / 1024.0, cpu_time(pid).as_secs_f64()));
        println!("{when}: {:.0} MB in all: {}", self.memory_kib() as f64 / 1024.0, parts.collect::<Vec<_>>().join(", "));
    }

    /// Waits until the fleet has little to do, or a minute.
    async fn rest(&self) {
        for _ in 0..30 {
            let before = self.processor_time();
            tokio::time::sleep(LOOK).await;
            if (self.processor_time() - before).as_secs_f64() < REST * LOOK.as_secs_f64() {
                return;
            }
        }
    }
}

/// The hub's read model.
struct Hub {
    connection: tunnel::Connection,
    look_every: Duration,
}

impl Hub {
    fn connect(dir: &Path, stores: usize) -> anyhow::Result<Self> {
        let connection = TlsConnector.connect(&Kubeconfig::read_from(dir.join("kubeconfig"))?)?;
        Ok(Self { connection, look_every: LOOK_MIN.max(LOOK_FOR_EACH * u32::try_from(stores)?) })
    }

    /// Returns how many Applications there are of those that the filters admit.
    async fn count(&self, filters: &str) -> anyhow::Result<u64> {
        self.total::<AppRow>(path::APPS, filters).await
    }

    async fn total<T: DeserializeOwned>(&self, path: &str, filters: &str) -> anyhow::Result<u64> {
        let answer = crate::read::ask(&self.connection, &format!("{path}?limit=1&{filters}")).await?;
        Ok(serde_json::from_slice::<Page<T>>(&answer)?.total)
    }

    /// Waits until so many are there, and takes down when each came.
    async fn until_count(&self, filters: &str, wanted: u64, since: Instant, latencies: &mut Latencies) -> anyhow::Result<u64> {
        let (mut seen, begun) = (0, Instant::now());
        while seen < wanted {
            ensure!(begun.elapsed() < PATIENCE, "{seen} of {wanted} Applications are there ({filters})");
            tokio::time::sleep(self.look_every).await;
            let now = self.count(filters).await?;
            (seen..now).for_each(|_| latencies.add(since.elapsed()));
            seen = seen.max(now);
        }
        Ok(seen)
    }

    /// Waits until every cluster is there and every Application Synced and Healthy; returns how many there are.
    async fn until_well(&self, stores: u64, clusters: u64) -> anyhow::Result<u64> {
        let begun = Instant::now();
        loop {
            let ready = self.total::<ClusterRow>(path::CLUSTERS, "status=Ready").await?;
            let (all, well) = (self.count("").await?, self.count("sync=Synced&health=Healthy").await?);
            // A cluster is Ready when it is reached and all that it has told of is well; it may not have told of all yet.
            let told = self.count(&format!("name={REPOSITORY}")).await?;
            if ready == clusters && all == well && told >= stores {
                return Ok(all);
            }
            let waited = begun.elapsed();
            ensure!(waited < PATIENCE, "{ready} of {clusters} clusters are Ready, {well} of {all} Applications Synced and Healthy");
            tokio::time::sleep(self.look_every).await;
        }
    }
}

/// A developer's clone.
struct WorkTree(PathBuf);

impl WorkTree {
    async fn clone(scratch: &Path) -> anyhow::Result<Self> {
        let tree = Self(scratch.join(REPOSITORY));
        let url = format!("http://127.0.0.1:{}/{REPOSITORY}.git", PORT + 1);
        git(scratch, &["clone", "-q", &url, REPOSITORY]).await?;
        Ok(tree)
    }

    /// Returns where a branch is.
    async fn commit(&self, branch: &str) -> anyhow::Result<String> {
        git(&self.0, &["rev-parse", &format!("origin/{branch}")]).await
    }

    /// Pushes a new tag to `dev`; returns the commit.
    async fn release(&self, tag: &str) -> anyhow::Result<String> {
        git(&self.0, &["checkout", "-q", "dev"]).await?;
        let file = self.0.join(RELEASE);
        let text = std::fs::read_to_string(&file)?;
        let (before, after) = text.split_once(&format!("{IMAGE}\n")).with_context(|| format!("{RELEASE} has no image {IMAGE}"))?;
        let (tag_line, rest) = after.split_once('\n').unwrap_or((after, ""));
        let indent = tag_line.split("newTag").next().unwrap_or_default();
        std::fs::write(&file, format!("{before}{IMAGE}\n{indent}newTag: {tag}\n{rest}"))?;
        git(&self.0, &["commit", "-q", "-a", "-m", &format!("release: {IMAGE} {tag}")]).await?;
        git(&self.0, &["push", "-q", "origin", "dev"]).await?;
        self.commit("dev").await
    }

    /// Merges `dev` to `prod`; returns the commit.
    async fn promote(&self, tag: &str) -> anyhow::Result<String> {
        git(&self.0, &["checkout", "-q", "prod"]).await?;
        git(&self.0, &["merge", "-q", "--no-ff", "-m", &format!("Merge dev: {tag}"), "dev"]).await?;
        git(&self.0, &["push", "-q", "origin", "prod"]).await?;
        self.commit("prod").await
    }
}

async fn git(dir: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let who = [("NAME", "bench"), ("EMAIL", "bench@example.com")];
    let who = who.into_iter().flat_map(|(what, value)| [("AUTHOR", what, value), ("COMMITTER", what, value)]);
    let mut command = Command::new("git");
    command.current_dir(dir).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.envs(who.map(|(role, what, value)| (format!("GIT_{role}_{what}"), value)));
    let output = command.output().await.context("failed to start git")?;
    ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

//! The memory of the agent: one real process that serves a store of ten workloads.
//!
//! Hub and store are in this process, served over TLS on this machine; the agent is the program that a store
//! runs, started as a child. Four workloads come by ManifestWork, six by an Application from a Git repository, which the
//! agent gets as packs from the hub (`--git`: reads itself over HTTP). When all is applied, reported and has
//! been idle for a while, the kernel says what the child holds.

mod git;
mod memory;
mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use controller::{Clock, Runtime};
use kube::config::Kubeconfig;
use tokio::process::{Child, Command};

use memory::Memory;
use world::World;

const IDLE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn run(directory: &Path) -> anyhow::Result<()> {
    let program = program()?;
    let runtime = Runtime::new(Clock::wall());
    let reads_git = std::env::args().any(|argument| argument == "--git");
    let world = World::start(&runtime, directory, !reads_git).await?;
    println!("commits come {}", if reads_git { "from Git itself" } else { "from the hub" });
    let mut agent = start(&program, &world, directory)?;
    let pid = agent.id().context("the agent ended at once")?;
    let outcome = measure(&world, &mut agent, pid).await;
    agent.kill().await?;
    world.stop().await;
    runtime.stop().await;
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(last_words(&directory.join("agent.log")))),
    }
}

async fn measure(world: &World, agent: &mut Child, pid: u32) -> anyhow::Result<()> {
    let begun = Instant::now();
    world.until_joined(PATIENCE).await?;
    println!("joined after {:.1} s: {}", begun.elapsed().as_secs_f32(), Memory::of(pid)?);
    world.give_workloads().await?;
    world.until_settled(PATIENCE).await?;
    println!("ten workloads are applied, healthy and reported after {:.1} s: {}", begun.elapsed().as_secs_f32(), Memory::of(pid)?);
    let commit = world.commit()?;
    world.until_synced(&commit, PATIENCE).await?;
    println!("the next commit is live after {:.1} s: {}", begun.elapsed().as_secs_f32(), Memory::of(pid)?);
    tokio::time::sleep(IDLE).await;
    if let Some(status) = agent.try_wait()? {
        bail!("the agent ended by itself: {status}");
    }
    let memory = Memory::of(pid)?;
    println!("idle for {} s: {memory}", IDLE.as_secs());
    for (what, mb) in memory::mappings(pid)? {
        println!("  {what}: {mb:.1} MB");
    }
    println!("agent anonymous MB: {:.1}", memory.anonymous);
    println!("agent peak MB: {:.1}", memory.peak);
    println!("agent rss MB: {:.1}", memory.resident);
    Ok(())
}

/// The agent stands beside this program.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this program's own file")?;
    let path = own.with_file_name("muster-agent");
    if !path.exists() {
        let profile = if cfg!(debug_assertions) { "" } else { " --release" };
        bail!("{} is missing: run `cargo build{profile} -p muster-agent` first", path.display());
    }
    Ok(path)
}

fn start(program: &Path, world: &World, directory: &Path) -> anyhow::Result<Child> {
    let (bootstrap, local) = (directory.join("bootstrap.kubeconfig"), directory.join("store.kubeconfig"));
    write(&bootstrap, &world.bootstrap)?;
    write(&local, &world.local)?;
    let log = std::fs::File::create(directory.join("agent.log"))?;
    Command::new(program)
        .args(["--cluster-name", world::CLUSTER])
        .arg("--bootstrap-kubeconfig")
        .arg(bootstrap)
        .arg("--kubeconfig")
        .arg(local)
        .arg("--state-dir")
        .arg(directory.join("agent"))
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to start {}", program.display()))
}

fn write(path: &Path, kubeconfig: &Kubeconfig) -> anyhow::Result<()> {
    std::fs::write(path, serde_json::to_vec_pretty(kubeconfig)?).with_context(|| format!("failed to write {}", path.display()))
}

/// The end of the agent's log: the reason is usually there.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!("the agent said last:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"))
}

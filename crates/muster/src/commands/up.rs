//! `muster up`: a hub, Git and stores, as processes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::time::Instant;

use super::{down, start, status};
use crate::client::Hub;
use crate::layout::{Fleet, Layout, Part};
use crate::process;

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Args)]
pub struct Up {
    /// Directory of the fleet; one that is there is resumed.
    #[arg(long, default_value = ".muster", env = "MUSTER_DIR")]
    dir: PathBuf,
    /// Port of the hub's API on 127.0.0.1; Git is on the next, the stores' APIs from ten above. [default: 7443]
    #[arg(long)]
    port: Option<u16>,
    /// How many stores to simulate. [default: 5]
    #[arg(long)]
    stores: Option<u32>,
    /// Start in the background and return when the hub is ready.
    #[arg(long)]
    detach: bool,
    /// What the processes log.
    #[arg(long, default_value = "info")]
    process_log: String,
}

impl Up {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let layout = Layout::new(&self.dir);
        let fleet = self.fleet(&layout)?;
        layout.create(&fleet)?;
        let started = self.start_parts(&layout, &fleet).await;
        if let Err(error) = started {
            down::stop_all(&layout)?;
            return Err(error);
        }
        println!("hub:    https://127.0.0.1:{}   KUBECONFIG={}", fleet.port, layout.kubeconfig().display());
        println!("git:    {}", fleet.repo_url());
        println!("stores: {} in {}, each with a kubeconfig", fleet.stores, layout.stores().display());
        if self.detach {
            return Ok(ExitCode::SUCCESS);
        }
        let watched = self.watch(&layout, &fleet).await;
        eprintln!();
        down::stop_all(&layout)?;
        watched?;
        Ok(ExitCode::SUCCESS)
    }

    /// Returns the fleet of the directory, changed as asked.
    fn fleet(&self, layout: &Layout) -> anyhow::Result<Fleet> {
        let known = layout.fleet()?;
        let known_port = known.as_ref().map(|f| f.port);
        let port = self.port.or(known_port).unwrap_or(7443);
        if known_port.is_some_and(|known| known != port) && Part::ALL.iter().any(|part| process::running(layout, *part).is_some()) {
            bail!("--port: the fleet in {} runs on port {}; end it first with `muster down --keep-data`", layout.dir.display(), known_port.unwrap_or(port));
        }
        let stores = self.stores.or(known.map(|f| f.stores)).unwrap_or(5);
        let room = u32::from(u16::MAX - port.saturating_add(10));
        if stores > room {
            bail!("--stores: {stores} stores need as many ports above {port}; there are {room}: choose a lower --port");
        }
        Ok(Fleet { port, stores })
    }

    async fn start_parts(&self, layout: &Layout, fleet: &Fleet) -> anyhow::Result<()> {
        start::make_repository(layout)?;
        process::start(layout, Part::Git, &self.process_log)?;
        if process::start(layout, Part::Hub, &self.process_log)? {
            // What an earlier hub left says nothing about this one.
            eprintln!("starting the hub");
        }
        let hub = ready(layout).await?;
        start::apply(&hub.client(), fleet).await?;
        if process::start(layout, Part::Sim, &self.process_log)? {
            eprintln!("starting {} stores", fleet.stores);
        }
        Ok(())
    }

    /// Tells how the fleet is until Ctrl-C, or until a process ends by itself.
    async fn watch(&self, layout: &Layout, fleet: &Fleet) -> anyhow::Result<()> {
        let hub = Hub::connect(&layout.kubeconfig())?;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let begun = Instant::now();
        let mut said = String::new();
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
                () = tokio::time::sleep(Duration::from_millis(300)) => {}
            }
            for part in Part::ALL {
                if process::running(layout, part).is_none() {
                    bail!("the {} process ended; its last words:\n{}", part.name(), process::last_words(layout, part));
                }
            }
            let line = match status::look(&hub).await {
                Ok(seen) => status::missing(&seen, fleet.stores as usize).unwrap_or_else(|| {
                    format!("all {} clusters Available, all {} Applications Synced and Healthy", seen.clusters.len(), seen.apps.len())
                }),
                Err(error) => format!("{error:#}"),
            };
            if line != said {
                eprintln!("{:>6.1} s  {line}", begun.elapsed().as_secs_f64());
                said = line;
            }
        }
    }
}

/// Waits until the hub answers.
async fn ready(layout: &Layout) -> anyhow::Result<Hub> {
    let begun = Instant::now();
    loop {
        if process::running(layout, Part::Hub).is_none() {
            bail!("the hub ended; its last words:\n{}", process::last_words(layout, Part::Hub));
        }
        if layout.kubeconfig().exists() && layout.bootstrap().exists() {
            let hub = Hub::connect(&layout.kubeconfig())?;
            let answer = hub.get("/readyz", "*/*").await;
            match answer {
                Ok(_) => return Ok(hub),
                Err(error) if begun.elapsed() > READY_TIMEOUT => return Err(error).context("the hub does not become ready"),
                Err(_) => {}
            }
        } else if begun.elapsed() > READY_TIMEOUT {
            bail!("the hub does not become ready; its last words:\n{}", process::last_words(layout, Part::Hub));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

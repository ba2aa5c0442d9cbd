//! `muster up`: a hub, Git and stores, as processes. In the foreground it also keeps them going, see [`super::keep`].

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use sim::Example;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::keep::{self, Ended};
use super::table::line;
use super::{console, down, start, status, tour};
use crate::client::Hub;
use crate::code;
use crate::layout::{FIRST_STORE, Fleet, Layout, Part};
use crate::process::{self, Turn};

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const TELL_EVERY: Duration = Duration::from_millis(300);
/// Once all is well, there is less to tell.
const TELL_WELL_EVERY: Duration = Duration::from_secs(2);

#[derive(Args)]
pub struct Up {
    /// Directory of the fleet; one that is there is resumed.
    #[arg(long, default_value = ".muster", env = "MUSTER_DIR")]
    dir: PathBuf,
    /// Port of the hub's API on 127.0.0.1; Git is on the next, the stores' APIs from ten above. [default: 7443]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    port: Option<u16>,
    /// How many stores to simulate. [default: the example's: 50 of the retailer's, or 5]
    #[arg(long)]
    stores: Option<u32>,
    /// What the fleet runs: `retail` (stores and five clusters in the cloud) or `first` (stores with one application).
    /// [default: retail]
    #[arg(long)]
    example: Option<String>,
    /// Start in the background and return when the hub is ready.
    #[arg(long)]
    detach: bool,
    /// What the processes log.
    #[arg(long, default_value = "info")]
    process_log: String,
}

impl Up {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut end = End::listen()?;
        let layout = Layout::new(&self.dir);
        layout.claim()?;
        let turn = process::turn(&layout)?;
        let known = layout.fleet()?;
        let fleet = self.fleet(&layout, known)?;
        layout.create(&fleet)?;
        let repositories = Example::named(&fleet.example)?.repositories().into_iter().collect::<Vec<_>>().join(", ");
        let mut started = Vec::new();
        let outcome = tokio::select! {
            outcome = self.start_parts(&turn, &layout, &fleet, &mut started) => outcome.map(Some),
            () = end.asked() => Ok(None),
        };
        let Ok(Some(hub)) = outcome else {
            // What ran before goes on.
            down::stop(&turn, &layout, &started)?;
            outcome?;
            return Ok(ExitCode::from(code::INTERRUPTED));
        };
        drop(turn);
        // From here on the fleet is up: nothing that is only told ends this command and leaves the fleet behind.
        let console = match console::link(&layout, &fleet).await {
            Ok(link) => link,
            Err(error) => format!("no link yet: {error:#}; `muster console --dir {}` prints one", layout.dir.display()),
        };
        let _ = Self::introduce(&layout, &fleet, &repositories, &console);
        if self.detach {
            return Ok(ExitCode::SUCCESS);
        }
        let kept = tokio::select! {
            () = end.asked() => None,
            kept = keep::keep(&layout, &fleet, &hub, &self.process_log) => Some(kept),
            never = tell(&hub, &fleet) => match never {},
        };
        let dir = layout.dir.display();
        if let Some(Ok(Ended::Elsewhere)) = kept {
            eprintln!("another command ended the fleet in {dir}");
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!();
        down::stop(&process::turn(&layout)?, &layout, &Part::ALL)?;
        kept.transpose()?;
        eprintln!("data stay in {dir}: `muster up --dir {dir}` goes on with them, `muster down --dir {dir}` removes them");
        Ok(ExitCode::SUCCESS)
    }

    fn introduce(layout: &Layout, fleet: &Fleet, repositories: &str, console: &str) -> anyhow::Result<()> {
        say!("hub:     https://127.0.0.1:{}   KUBECONFIG={}", fleet.port, layout.kubeconfig().display());
        say!("git:     {}/NAME.git: {repositories}", fleet.git_url());
        let beside = fleet.clusters().saturating_sub(fleet.stores);
        let others = if beside > 0 { format!(" and {beside} other clusters") } else { String::new() };
        say!("stores:  {}{others} in {}, each with a kubeconfig", fleet.stores, layout.stores().display());
        say!("console: {console}");
        if fleet.stores >= tour::STORES_LEAST {
            say!("\n{}", tour::pointer(layout, fleet)?);
        }
        Ok(())
    }

    /// Returns the fleet of the directory, changed as asked.
    fn fleet(&self, layout: &Layout, known: Option<Fleet>) -> anyhow::Result<Fleet> {
        let dir = layout.dir.display();
        let asked = self.example.as_deref().or(known.as_ref().map(|f| f.example.as_str())).unwrap_or("retail");
        let example = Example::named(asked).context("--example")?;
        let generator = example.generator()?;
        let fleet = Fleet {
            port: self.port.or(known.as_ref().map(|f| f.port)).unwrap_or(7443),
            stores: self.stores.or(known.as_ref().map(|f| f.stores)).unwrap_or(generator.stores_default()),
            example: example.name().to_owned(),
        };
        if fleet.stores > generator.stores_max() {
            bail!("--stores: the example {asked} has {} stores at most", generator.stores_max());
        }
        if let Some(known) = &known {
            if known.port != fleet.port {
                bail!(
                    "--port: the clusters of the fleet in {dir} know their hub on port {}: leave --port out, or begin anew after `muster down --dir {dir}`",
                    known.port
                );
            }
            if known.example != fleet.example {
                bail!(
                    "--example: the fleet in {dir} runs {}: leave --example out, or begin anew after `muster down --dir {dir}`",
                    known.example
                );
            }
            if known.stores > fleet.stores {
                bail!(
                    "--stores: the fleet in {dir} has {} stores already and does not shrink: leave --stores out, or begin anew after `muster down --dir {dir}`",
                    known.stores
                );
            }
            if known.stores != fleet.stores && process::is_running(layout, Part::Sim) {
                bail!("--stores: {} stores run; end them first with `muster down --keep-data --dir {dir}`", known.stores);
            }
        }
        let room = u32::from(u16::MAX).saturating_sub(u32::from(fleet.port) + u32::from(FIRST_STORE));
        if fleet.clusters() > room {
            bail!(
                "--stores: {} clusters need as many ports above {}; there are {room}: choose a lower --port",
                fleet.clusters(),
                fleet.port
            );
        }
        Ok(fleet)
    }

    async fn start_parts(&self, turn: &Turn, layout: &Layout, fleet: &Fleet, started: &mut Vec<Part>) -> anyhow::Result<Hub> {
        check_ports(layout, fleet)?;
        start::make_repositories(layout, fleet)?;
        let mut start = |part, what: &str| -> anyhow::Result<()> {
            if process::start(turn, layout, part, &self.process_log)? {
                started.push(part);
                eprintln!("starting {what}");
            }
            Ok(())
        };
        start(Part::Git, "Git")?;
        start(Part::Hub, "the hub")?;
        answers(layout, Part::Git, fleet.git_port()).await?;
        let hub = ready(layout).await?;
        start::apply(&hub.client(), fleet).await?;
        start(Part::Console, "the console")?;
        start(Part::Sim, &format!("{} clusters", fleet.clusters()))?;
        if fleet.clusters() > 0 {
            answers(layout, Part::Sim, fleet.first_store_port()).await?;
        }
        answers(layout, Part::Console, fleet.console_port()).await?;
        Ok(hub)
    }
}

/// Tells how the fleet is, whenever that changes.
async fn tell(hub: &Hub, fleet: &Fleet) -> Infallible {
    let begun = Instant::now();
    let mut said = String::new();
    loop {
        let asked = Instant::now();
        let (said_now, pause) = match status::look(hub).await {
            Ok(seen) => match status::missing(&seen, fleet.clusters() as usize) {
                Some(missing) => (missing, TELL_EVERY),
                None => {
                    let (clusters, apps) = (seen.clusters.len(), seen.apps.len());
                    (format!("all {clusters} clusters Available, all {apps} Applications Synced and Healthy"), TELL_WELL_EVERY)
                }
            },
            Err(error) => (format!("{error:#}"), TELL_EVERY),
        };
        if said_now != said {
            eprintln!("{:>6.1} s  {}", begun.elapsed().as_secs_f64(), line(&said_now));
            said = said_now;
        }
        tokio::time::sleep(status::pause(pause, asked.elapsed())).await;
    }
}

/// The signals by which people and systems ask a program to end; none is missed between two looks.
struct End {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl End {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Says which port another program has, before anything is started.
fn check_ports(layout: &Layout, fleet: &Fleet) -> anyhow::Result<()> {
    for part in Part::ALL.into_iter().filter(|part| !process::is_running(layout, *part)) {
        let (ports, what) = match part {
            Part::Hub => (fleet.port..=fleet.port, "the hub's API"),
            Part::Git => (fleet.git_port()..=fleet.git_port(), "Git"),
            Part::Console => (fleet.console_port()..=fleet.console_port(), "the console"),
            Part::Sim => (fleet.first_store_port()..=fleet.last_store_port(), "a store's API"),
        };
        for port in ports {
            if let Err(error) = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                let remedy = if error.kind() == std::io::ErrorKind::AddrInUse { "end the program that has it" } else { "allow it" };
                bail!(
                    "port {port}, for {what}, is not to be had on 127.0.0.1: {error}; {remedy}, or choose another --port for a new fleet"
                );
            }
        }
    }
    Ok(())
}

/// Waits until a part takes connections.
async fn answers(layout: &Layout, part: Part, port: u16) -> anyhow::Result<()> {
    let begun = Instant::now();
    while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        still_starting(layout, part, begun)?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Fails if a part ended, or has had its time.
fn still_starting(layout: &Layout, part: Part, begun: Instant) -> anyhow::Result<()> {
    if !process::is_running(layout, part) {
        bail!("the {} process ended; its last words:\n{}", part.name(), process::last_words(layout, part));
    }
    if begun.elapsed() > READY_TIMEOUT {
        let words = process::last_words(layout, part);
        bail!("the {} process is not ready after {} s; its last words:\n{words}", part.name(), READY_TIMEOUT.as_secs());
    }
    Ok(())
}

/// Waits until the hub answers.
async fn ready(layout: &Layout) -> anyhow::Result<Hub> {
    let begun = Instant::now();
    loop {
        if layout.kubeconfig().exists() && layout.bootstrap().exists() {
            let hub = Hub::connect(&layout.kubeconfig())?;
            if hub.get("/readyz", "*/*").await.is_ok() {
                return Ok(hub);
            }
        }
        still_starting(layout, Part::Hub, begun)?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(port: Option<u16>, stores: Option<u32>) -> Up {
        Up { dir: "unused".into(), port, stores, example: None, detach: true, process_log: "info".into() }
    }

    #[test]
    fn a_fleet_goes_on_with_what_it_was_started_with() {
        let layout = Layout::new(std::path::Path::new("/nonexistent"));
        let known = || Some(Fleet { port: 8000, stores: 7, example: "first".into() });
        let check = |port, stores, known| up(port, stores).fleet(&layout, known).map_err(|e| e.to_string());
        assert_eq!(check(None, None, None), Ok(Fleet { port: 7443, stores: 50, example: "retail".into() }));
        assert_eq!(check(None, None, known()), Ok(known().expect("known")));
        assert_eq!(check(Some(8000), Some(9), known()), Ok(Fleet { port: 8000, stores: 9, example: "first".into() }));
        assert!(check(Some(8001), None, known()).is_err_and(|e| e.starts_with("--port: ") && e.contains("8000")));
        assert!(check(None, Some(6), known()).is_err_and(|e| e.starts_with("--stores: ") && e.contains("7 stores")));
        assert!(check(None, Some(3_001), None).is_err_and(|e| e.contains("3000 stores at most")));
        let mut other = up(None, None);
        other.example = Some("retail".into());
        assert!(other.fleet(&layout, known()).is_err_and(|e| e.to_string().starts_with("--example: ")));
        assert!(check(Some(65_530), None, None).is_err_and(|e| e.contains("there are 0")));
    }
}

//! `muster sim`: what happens to simulated clusters while the fleet runs.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use async_trait::async_trait;
use clap::{Args, Subcommand};
use kube::config::Kubeconfig;
use sim::Example;
use sim::control::{self, Order, Request, State};
use sim::story::{Orders, Stage, Story};
use tunnel::{Connector, TlsConnector};

use super::status::duration;
use super::table::{or_dash, render};
use crate::client::Hub;
use crate::layout::{Layout, Part};
use crate::process;

#[derive(Args)]
pub struct Sim {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show simulated clusters: their labels, links, clocks and images that are missing.
    List(Chosen),
    /// Cut the link to the hub; the clusters go on by themselves.
    Offline(Victims),
    /// Mend the link.
    Online(Victims),
    /// Delay every answer and every piece of a stream.
    Slow {
        #[command(flatten)]
        chosen: Victims,
        /// By how much, as 800ms.
        #[arg(long, value_parser = duration)]
        latency: Duration,
    },
    /// Put the clock ahead, as 90s, or behind, as -90s; 0s sets it right. Reboots the cluster.
    Skew {
        #[command(flatten)]
        chosen: Victims,
        #[arg(long, allow_hyphen_values = true)]
        by: String,
    },
    /// End clusters and start them again with what they had.
    Reboot(Victims),
    /// Switch on a spare cluster of the example for the first time: it joins by itself.
    PlugIn {
        /// As store-0051.
        #[arg(required = true)]
        clusters: Vec<String>,
        #[command(flatten)]
        at: At,
    },
    /// Play a story of the example against the fleet, and say what is not as it tells; without a name, list them.
    Play {
        /// As `02`, or `stories/02-promote`.
        story: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Take an image out of the registry, for pods that start from now on.
    BadImage {
        /// The image, `*` for any text: `*/offers-api:1.8.2`.
        #[arg(required_unless_present = "clear")]
        image: Option<String>,
        /// Put all images back.
        #[arg(long, conflicts_with = "image")]
        clear: bool,
        /// On which clusters: names, ranges as store-0003..store-0007, patterns as 'store-*'; repeatable. All, if neither
        /// this nor a selector is given.
        #[arg(long = "on")]
        clusters: Vec<String>,
        /// On clusters with these labels, as region=us-west,link!=lte.
        #[arg(long, short = 'l', default_value = "")]
        selector: String,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Args)]
struct At {
    /// Directory of the fleet.
    #[arg(long, default_value = ".muster", env = "MUSTER_DIR")]
    dir: std::path::PathBuf,
}

#[derive(Args)]
struct Chosen {
    /// Names, ranges as store-0003..store-0007, patterns as 'store-*'.
    clusters: Vec<String>,
    /// Clusters with these labels, as region=us-west,link!=lte.
    #[arg(long, short = 'l', default_value = "")]
    selector: String,
    #[command(flatten)]
    at: At,
}

/// As [`Chosen`], for orders that must not hit everyone by a slip: `'*'` says all.
#[derive(Args)]
struct Victims {
    /// Names, ranges as store-0003..store-0007, patterns as 'store-*'; '*' is all.
    #[arg(required_unless_present = "selector")]
    clusters: Vec<String>,
    /// Clusters with these labels, as region=us-west,link!=lte.
    #[arg(long, short = 'l')]
    selector: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Victims {
    fn chosen(self) -> Chosen {
        Chosen { clusters: self.clusters, selector: self.selector.unwrap_or_default(), at: self.at }
    }
}

impl Sim {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (chosen, order) = match self.what {
            What::List(chosen) => (chosen, Order::Show),
            What::Offline(chosen) => (chosen.chosen(), Order::Offline),
            What::Online(chosen) => (chosen.chosen(), Order::Online),
            What::Slow { chosen, latency } => {
                (chosen.chosen(), Order::Slow { latency_ms: u32::try_from(latency.as_millis()).unwrap_or(u32::MAX) })
            }
            What::Skew { chosen, by } => (chosen.chosen(), Order::Skew { by }),
            What::Reboot(chosen) => (chosen.chosen(), Order::Reboot),
            What::Play { story, at } => return play(&Layout::new(&at.dir), story.as_deref()).await,
            What::PlugIn { clusters, at } => (Chosen { clusters, selector: String::new(), at }, Order::PlugIn),
            What::BadImage { image, clusters, selector, at, .. } => {
                (Chosen { clusters, selector, at }, image.map_or(Order::GoodImages, |image| Order::BadImage { image }))
            }
        };
        let is_list = order == Order::Show;
        let layout = Layout::new(&chosen.at.dir);
        layout.existing()?;
        if !process::is_running(&layout, Part::Sim) {
            let dir = layout.dir.display();
            bail!("the clusters of the fleet in {dir} are not running; `muster up --dir {dir}` starts them");
        }
        let request = Request { clusters: chosen.clusters, selector: chosen.selector, order };
        let states = control::ask(&layout.orders(), &request).await?;
        if is_list {
            show(&states)?;
        } else {
            eprintln!("done to {} clusters", states.len());
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn play(layout: &Layout, name: Option<&str>) -> anyhow::Result<ExitCode> {
    let fleet = layout.existing()?;
    let example = Example::named(&fleet.example)?;
    let Some(name) = name else {
        for (path, text) in example.files("stories/") {
            say!("{path}  {}", Story::parse(text).map_err(|problem| anyhow!("{path}: {problem}"))?.title);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let story = Story::of(example, name).map_err(|problem| anyhow!(problem))?;
    let there = story.clusters.iter().filter(|name| !story.unplugged.contains(name)).cloned().collect();
    let show = Request { clusters: there, selector: String::new(), order: Order::Show };
    control::ask(&layout.orders(), &show).await.context("the fleet lacks clusters of the story")?;
    // Anew each time: a story that was broken off leaves commits behind that were not pushed.
    let scratch = layout.dir.join("clones");
    let _ = std::fs::remove_dir_all(&scratch);
    let hub = Hub::connect(&layout.kubeconfig())?.client();
    let stage =
        Stage::new(example, hub, Arc::new(Running(layout.clone())), fleet.git_url(), layout.repos(), scratch, controller::Clock::wall());
    eprintln!("{}", story.title);
    let told = stage.play(&story, &|index, words, took| eprintln!("{:>3}  {:>6.1} s  {words}", index + 1, took.as_secs_f64())).await;
    told.map_err(|problem| anyhow!("{name}: {problem}"))?;
    eprintln!("as told");
    Ok(ExitCode::SUCCESS)
}

/// The fleet of a directory, as a story asks it.
struct Running(Layout);

#[async_trait]
impl Orders for Running {
    async fn order(&self, request: &Request) -> Result<(), String> {
        control::ask(&self.0.orders(), request).await.map(drop).map_err(|error| error.to_string())
    }

    async fn client(&self, cluster: &str) -> Result<kube::Client, String> {
        let path = self.0.stores().join(cluster).join("kubeconfig");
        let kubeconfig = Kubeconfig::read_from(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        TlsConnector.connect(&kubeconfig).map(|connection| connection.client).map_err(|error| format!("{cluster}: {error}"))
    }
}

fn show(states: &[State]) -> anyhow::Result<()> {
    let row = |state: &State| {
        let labels: Vec<String> = state.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        vec![state.cluster.clone(), state.link.clone(), or_dash(&state.clock_skew), or_dash(&state.bad_images.join(" ")), labels.join(",")]
    };
    let rows: Vec<Vec<String>> = states.iter().map(row).collect();
    say!("{}", render(&["CLUSTER", "LINK", "CLOCK", "MISSING IMAGES", "LABELS"], &rows));
    Ok(())
}

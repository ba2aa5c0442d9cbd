//! One file a command.

mod apps;
mod console;
mod down;
mod get;
mod keep;
mod part;
mod sim;
mod start;
mod status;
mod table;
mod token;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs fleets of Kubernetes clusters from one hub.
#[derive(Parser)]
#[command(name = "muster", version, propagate_version = true)]
pub struct Arguments {
    /// What to log to standard error, as `info` or `hub=debug,warn`.
    #[arg(long, global = true, env = "MUSTER_LOG", default_value = "warn")]
    pub log: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Start a hub, a Git server and simulated stores, or resume those of a directory.
    Up(up::Up),
    /// End a fleet's processes and remove its data.
    Down(down::Down),
    /// Show clusters and Applications; with --wait until all are well.
    Status(status::Status),
    /// Show Applications on all clusters, with the commit each runs.
    Apps(apps::Apps),
    /// Show objects of the hub's API.
    Get(get::Get),
    /// Take simulated clusters offline, slow them, skew their clocks, reboot them, take images away.
    Sim(sim::Sim),
    /// Print a link that opens the web console.
    Console(console::Open),
    /// Print a bearer token.
    Token(token::Token),
    /// One process of a fleet; started by `up`.
    #[command(hide = true)]
    Part(part::Run),
}

pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(up) => up.run().await,
        Command::Down(down) => down.run(),
        Command::Status(status) => status.run().await,
        Command::Apps(apps) => apps.run().await,
        Command::Get(get) => get.run().await,
        Command::Sim(sim) => sim.run().await,
        Command::Console(open) => open.run().await,
        Command::Token(token) => token.run(),
        Command::Part(part) => part.run().await,
    }
}

//! One file a command.

mod app;
mod apps;
mod cluster;
mod completion;
mod console;
mod describe;
mod down;
mod get;
mod keep;
mod kubeconfig;
mod output;
mod part;
mod problems;
mod sim;
mod start;
mod status;
mod table;
mod token;
mod tour;
mod up;
mod version;

pub use output::{Closed, say};
pub use table::lines;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs fleets of Kubernetes clusters from one hub.
#[derive(Parser)]
#[command(name = "muster", version, propagate_version = true, after_help = crate::code::HELP)]
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
    /// Look at one Application: get, tree, diff, sync, wait, history.
    App(app::App),
    /// Show what is wrong, by cause, with a remedy to type.
    Problems(problems::Problems),
    /// Show clusters, apps, problems, or objects of the hub's API.
    Get(get::Get),
    /// Show all that is known of a cluster.
    Describe(describe::Describe),
    /// Let a cluster ask to join: print, or run, its agent's command line.
    Join(cluster::Join),
    /// Let clusters in that ask to join.
    Accept(cluster::Accept),
    /// Let a cluster go.
    Leave(cluster::Leave),
    /// Print the kubeconfig of the hub or of a simulated cluster.
    Kubeconfig(kubeconfig::Kubeconfig),
    /// Print versions of this program, the hub and the agents.
    Version(version::Version),
    /// Print a completion script for a shell.
    Completion(completion::Completion),
    /// Take simulated clusters offline, slow them, skew their clocks, reboot them, take images away.
    Sim(sim::Sim),
    /// Print a link that opens the web console.
    Console(console::Open),
    /// Print a tour of a fleet, to copy step by step.
    Tour(tour::Tour),
    /// Print a bearer token.
    Token(token::Token),
    /// One process of a fleet; started by `up`.
    #[command(hide = true)]
    Part(part::Run),
}

impl Command {
    /// Whether Ctrl-C is to end the process at once. Others end what they started themselves.
    pub fn ends_at_interrupt(&self) -> bool {
        !matches!(self, Self::Up(_) | Self::Down(_) | Self::Part(_) | Self::Console(_))
    }
}

pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(up) => up.run().await,
        Command::Down(down) => down.run(),
        Command::Status(status) => status.run().await,
        Command::Apps(apps) => apps.run().await,
        Command::App(app) => app.run().await,
        Command::Problems(problems) => problems.run().await,
        Command::Get(get) => get.run().await,
        Command::Describe(describe) => describe.run().await,
        Command::Join(join) => join.run().await,
        Command::Accept(accept) => accept.run().await,
        Command::Leave(leave) => leave.run().await,
        Command::Kubeconfig(kubeconfig) => kubeconfig.run(),
        Command::Version(version) => version.run().await,
        Command::Completion(completion) => completion.run(),
        Command::Token(token) => token.run().await,
        Command::Sim(sim) => sim.run().await,
        Command::Tour(tour) => tour.run(),
        Command::Console(open) => open.run().await,
        Command::Part(part) => part.run().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_read_as_people_write_them() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        let check = |line: &str, is_fine: bool| {
            let parsed = Arguments::try_parse_from(line.split(' ')).map(drop).map_err(|error| error.exit_code());
            assert_eq!(parsed, if is_fine { Ok(()) } else { Err(2) }, "{line}");
        };
        check("muster status --dir D --wait --timeout 60s", true);
        check("muster token admin --dir D", true);
        for format in ["table", "wide", "json", "yaml", "name", "csv", "tree"] {
            check(&format!("muster get clusters -o {format}"), true);
        }
        check("muster apps -c store-1 -s east -n edge --sync OutOfSync", true);
        check("muster app diff edge/web --revision main -c store-1", true);
        check("muster app diff edge/web", false);
        check("muster get clusters -o xml", false);
        check("muster accept", false);
    }
}

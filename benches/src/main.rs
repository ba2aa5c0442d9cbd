//! Measurements that feed SPECIFICATION.md: `cargo run --release -p bench -- <what>`.
//!
//! Each prints what it did and one `name: figure` per line, so that a figure can be found by its name.

mod agent;
mod records;
mod report;
mod store;

use anyhow::bail;

const USAGE: &str = "usage: cargo run --release -p bench -- <what> [directory]

  agent      memory of the agent with ten workloads (needs the agent built)
  store      durable, lazy and in-memory writes, memory per object, opening
  records    intake of report streams, queries of the read model

The directory (default: the current one) is where files are written: its disk is what is measured.";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = arguments.get(1).map_or(".", String::as_str);
    let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.first().map(String::as_str) {
        Some("agent") => runtime.block_on(agent::run(directory.path())),
        Some("store") => runtime.block_on(store::run(directory.path())),
        Some("records") => runtime.block_on(records::run(directory.path())),
        _ => bail!("{USAGE}"),
    }
}

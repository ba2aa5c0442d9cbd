//! Measurements that feed SPECIFICATION.md: `cargo run --release -p bench -- <what>`.
//!
//! Each prints what it did and one `name: figure` per line, so that a figure can be found by its name.

mod agent;
mod allocations;
mod apiserver;
mod child;
mod fleet;
mod read;
mod records;
mod report;
mod soak;
mod store;
mod writes;

use std::path::Path;
use std::time::Duration;

use anyhow::bail;

const USAGE: &str = "usage: cargo run --release -p bench -- <what> [--rounds N] [--stores N] [--minutes N] [directory]

  agent      memory of the agent with ten workloads (needs the agent built)
  fleet      the retailer with --stores (50): start, memory, --rounds merges to all of it; then it is watched for --minutes (0)
  apiserver  creates over TLS, memory (needs wrk)
  store      durable, lazy and in-memory writes, memory per object, opening
  read       what people wait for when they look at 10,000 clusters
  records    intake of report streams, queries of the read model
  writes     processor time and allocations of one write to the API server
  soak       kills the API server under load, --rounds times (3), and looks for what it lost

The directory (default: the current one) is where files are written: its disk is what is measured.";

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = take(&mut arguments, "--rounds", 3)?;
    let stores = take(&mut arguments, "--stores", 50)?;
    let minutes = take(&mut arguments, "--minutes", 0)?;
    if arguments.iter().any(|argument| argument.starts_with('-')) {
        bail!("{USAGE}");
    }
    let directory = arguments.get(1).map_or(".", String::as_str);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let what = arguments.first().map_or("", String::as_str);
    if what == "serve" {
        return runtime.block_on(child::serve(Path::new(directory)));
    }
    if what == "writes" {
        let definitions = api::hub_crds();
        let definition = definitions.iter().find(|crd| crd.metadata.name.as_deref() == Some("applications.argoproj.io"));
        let definition = serde_json::to_value(definition)?;
        // What one thread does can be counted.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(writes::run(definition, allocations::of_this_thread));
    }
    let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(directory)?;
    match what {
        "agent" => runtime.block_on(agent::run(directory.path())),
        "fleet" => {
            let plan = fleet::Plan { stores, merges: rounds, rest: Duration::from_secs(60 * minutes as u64) };
            runtime.block_on(fleet::run(directory.path(), &plan))
        }
        "apiserver" => runtime.block_on(apiserver::run(directory.path())),
        "store" => runtime.block_on(store::run(directory.path())),
        "records" => runtime.block_on(records::run(directory.path())),
        "read" => runtime.block_on(read::run()),
        "soak" => runtime.block_on(soak::run(directory.path(), rounds)),
        _ => bail!("{USAGE}"),
    }
}

/// Takes an option with a number out of the arguments.
fn take(arguments: &mut Vec<String>, option: &str, default: usize) -> anyhow::Result<usize> {
    let Some(at) = arguments.iter().position(|argument| argument == option) else { return Ok(default) };
    let Some(Ok(number)) = arguments.get(at + 1).map(|text| text.parse()) else { bail!("{option} takes a number") };
    arguments.drain(at..=at + 1);
    Ok(number)
}

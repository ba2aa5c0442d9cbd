//! The `muster` command: the hub, the simulator and what people ask of them.
//!
//! One file a command below `commands`; [`layout`] knows where a fleet's directory keeps what, [`process`] starts and
//! ends its processes, [`client`] asks its hub. Answers go to standard output, progress and complaints to standard error.

mod client;
mod commands;
mod layout;
mod process;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = commands::Arguments::parse();
    tracing_subscriber::fmt().with_env_filter(arguments.log.as_str()).with_writer(std::io::stderr).init();
    pki::tls::install_provider();
    match commands::run(arguments.command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

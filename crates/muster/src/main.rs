//! The `muster` command: the hub, the simulator and what people ask of them.
//!
//! One file a command below `commands`; [`layout`] knows where a fleet's directory keeps what, [`process`] starts and
//! ends its processes, [`client`] asks its hub. Answers go to standard output, progress and complaints to standard error.

/// Writes a line of the answer; see [`commands::say`].
macro_rules! say {
    ($($text:tt)*) => {
        $crate::commands::say(format_args!($($text)*))?
    };
}

mod client;
mod code;
mod commands;
mod layout;
mod process;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

/// Hundreds of clusters in a process make and drop small objects on every thread: glibc's allocator takes half as much
/// processor time again for it, and keeps as much memory. (The agent is small, and keeps glibc's: `controller::memory`.)
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = commands::Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(arguments.log.as_str())
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    pki::tls::install_provider();
    let ends_at_interrupt = arguments.command.ends_at_interrupt();
    let outcome = tokio::select! {
        outcome = commands::run(arguments.command) => outcome,
        Ok(()) = tokio::signal::ctrl_c(), if ends_at_interrupt => return ExitCode::from(code::INTERRUPTED),
    };
    match outcome {
        Ok(code) => code,
        // Whoever reads the answer, `head` say, has enough of it.
        Err(error) if error.is::<commands::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", commands::lines(&format!("{error:#}")));
            ExitCode::from(code::ERROR)
        }
    }
}

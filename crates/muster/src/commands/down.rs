//! `muster down`: ends a fleet.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::layout::{Layout, Part};
use crate::process;

#[derive(Args)]
pub struct Down {
    /// Directory of the fleet.
    #[arg(long, default_value = ".muster", env = "MUSTER_DIR")]
    dir: std::path::PathBuf,
    /// End the processes and leave the data, so that `muster up` resumes the fleet.
    #[arg(long)]
    keep_data: bool,
}

impl Down {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let layout = Layout::new(&self.dir);
        if layout.fleet()?.is_none() {
            eprintln!("there is no fleet in {}", layout.dir.display());
            return Ok(ExitCode::SUCCESS);
        }
        stop_all(&layout)?;
        if !self.keep_data {
            std::fs::remove_dir_all(&layout.dir).with_context(|| format!("failed to remove {}", layout.dir.display()))?;
            eprintln!("removed {}", layout.dir.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Ends all processes of a fleet, stores first: what they have to report, the hub still takes.
pub fn stop_all(layout: &Layout) -> anyhow::Result<()> {
    for part in [Part::Sim, Part::Hub, Part::Git] {
        if process::stop(layout, part)? {
            eprintln!("stopped {}", part.name());
        }
    }
    Ok(())
}

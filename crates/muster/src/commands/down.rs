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
        // A damaged description is no reason to leave processes behind.
        if !layout.is_used() {
            eprintln!("there is no fleet in {}", layout.dir.display());
            return Ok(ExitCode::SUCCESS);
        }
        let turn = process::turn(&layout)?;
        stop(&turn, &layout, &Part::ALL)?;
        if !self.keep_data {
            std::fs::remove_dir_all(&layout.dir).with_context(|| format!("failed to remove {}", layout.dir.display()))?;
            eprintln!("removed {}", layout.dir.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Ends processes of a fleet, the console first, then the stores: what they have to report, the hub still takes.
pub fn stop(turn: &process::Turn, layout: &Layout, parts: &[Part]) -> anyhow::Result<()> {
    for part in [Part::Console, Part::Sim, Part::Hub, Part::Git].into_iter().filter(|part| parts.contains(part)) {
        if process::stop(turn, layout, part)? {
            eprintln!("stopped {}", part.title());
        }
    }
    Ok(())
}

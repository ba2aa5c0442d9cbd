//! `muster app wait`.

use std::process::ExitCode;
use std::time::Duration;

use api::hub::AppRow;
use clap::Args;
use tokio::time::Instant;

use super::{Named, rows};
use crate::code;
use crate::commands::status::duration;

const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Args)]
pub struct Wait {
    #[command(flatten)]
    named: Named,
    /// Only on this cluster.
    #[arg(short, long)]
    cluster: Option<String>,
    /// Only on clusters of this set.
    #[arg(short, long)]
    set: Option<String>,
    /// Wait for Synced only, or with --health for Healthy; both unless one is named.
    #[arg(long)]
    sync: bool,
    #[arg(long)]
    health: bool,
    /// Wait for this commit, by its first digits.
    #[arg(long)]
    revision: Option<String>,
    /// How long to wait, as 60s or 5m.
    #[arg(long, default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

impl Wait {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let hub = self.named.target.connect()?;
        let (namespace, name) = self.named.find(&hub).await?;
        let begun = Instant::now();
        let mut said = String::new();
        loop {
            let rows = rows(&hub, &namespace, &name, self.cluster.as_deref(), self.set.as_deref()).await?;
            let (done, deferred) = (rows.iter().filter(|row| self.is_done(row)).count(), rows.iter().filter(|row| !row.is_current).count());
            let line = format!("{done}/{} clusters as wanted, {deferred} not reached", rows.len());
            if !rows.is_empty() && done == rows.len() {
                println!("{line}");
                return Ok(ExitCode::SUCCESS);
            }
            if begun.elapsed() >= self.timeout {
                let late = rows.iter().filter(|row| !self.is_done(row)).take(5);
                for row in late {
                    eprintln!("{}: {} {} {} {}", row.cluster, row.sync, row.health, row.version, row.message);
                }
                eprintln!("{line}");
                return Ok(ExitCode::from(code::TIMEOUT));
            }
            if line != said {
                eprintln!("waiting: {line}");
                said = line;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn is_done(&self, row: &AppRow) -> bool {
        let (sync, health) = if self.sync || self.health { (self.sync, self.health) } else { (true, true) };
        row.is_current
            && (!sync || row.sync == "Synced")
            && (!health || row.health == "Healthy")
            && self.revision.as_ref().is_none_or(|revision| row.revision.starts_with(revision.as_str()))
    }
}

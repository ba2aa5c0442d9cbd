//! `muster apps`: every Application on every cluster.

use std::process::ExitCode;

use api::hub::{AppRow, path};
use clap::Args;
use jiff::Timestamp;

use super::table::{ago, or_dash, render};
use crate::client::Target;

#[derive(Args)]
pub struct Apps {
    #[command(flatten)]
    target: Target,
    /// `table` or `json`.
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    output: String,
}

impl Apps {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut rows: Vec<AppRow> = self.target.connect()?.rows(path::APPS).await?;
        rows.sort_by(|a, b| (&a.name, &a.cluster).cmp(&(&b.name, &b.cluster)));
        if self.output == "json" {
            println!("{}", serde_json::to_string_pretty(&rows)?);
        } else if rows.is_empty() {
            eprintln!("no Applications have been reported");
        } else {
            println!("{}", table(&rows, Timestamp::now()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the rows for people; what an unreachable cluster said last is marked as old.
pub fn table(rows: &[AppRow], now: Timestamp) -> String {
    let shown = |row: &AppRow| {
        let old = if row.is_current { "" } else { "?" };
        vec![
            row.name.clone(),
            row.cluster.clone(),
            format!("{}{old}", row.sync),
            format!("{}{old}", row.health),
            or_dash(row.revision.get(..10).unwrap_or(&row.revision)),
            or_dash(&row.target_revision),
            ago(row.received_at, now),
            row.message.lines().next().unwrap_or_default().to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    render(&["APPLICATION", "CLUSTER", "SYNC", "HEALTH", "COMMIT", "REVISION", "REPORTED", "MESSAGE"], &rows)
}

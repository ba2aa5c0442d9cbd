//! `muster apps`: every Application on every cluster.

use std::process::ExitCode;

use api::hub::{AppRow, path};
use clap::Args;
use jiff::Timestamp;

use super::output::{Listing, Output, column, wide};
use super::table::{ago, or_dash};
use crate::client::{Target, query};

#[derive(Args)]
pub struct Apps {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    which: Which,
}

/// Which Applications.
#[derive(Args, Clone, Debug, Default)]
pub struct Which {
    /// Only those on this cluster.
    #[arg(short, long)]
    pub cluster: Option<String>,
    /// Only those on clusters of this set.
    #[arg(short, long)]
    pub set: Option<String>,
    /// Only those of this namespace on their clusters.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Only those with this sync status: Synced, OutOfSync, Unknown.
    #[arg(long)]
    pub sync: Option<String>,
    /// Only those with this health: Healthy, Progressing, Degraded, Suspended, Missing, Unknown.
    #[arg(long)]
    pub health: Option<String>,
}

impl Which {
    pub fn query(&self) -> String {
        query(&[
            ("cluster", self.cluster.as_deref()),
            ("set", self.set.as_deref()),
            ("namespace", self.namespace.as_deref()),
            ("sync", self.sync.as_deref()),
            ("health", self.health.as_deref()),
            ("sort", Some("name")),
        ])
    }
}

impl Apps {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut rows: Vec<AppRow> = self.target.connect()?.rows_of(path::APPS, &self.which.query()).await?;
        rows.sort_by(|a, b| (&a.name, &a.cluster).cmp(&(&b.name, &b.cluster)));
        show(&self.output, &rows)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes rows; what an unreachable cluster said last is marked as old.
pub fn show(output: &Output, rows: &[AppRow]) -> anyhow::Result<()> {
    let columns = vec![
        column("APPLICATION", |row: &AppRow| format!("{}/{}", row.namespace, row.name)),
        column("CLUSTER", |row: &AppRow| row.cluster.clone()),
        column("SYNC", |row: &AppRow| marked(&row.sync, row)),
        column("HEALTH", |row: &AppRow| marked(&row.health, row)),
        column("VERSION", |row: &AppRow| or_dash(&row.version)),
        column("REVISION", |row: &AppRow| or_dash(row.revision.get(..10).unwrap_or(&row.revision))),
        column("TARGET", |row: &AppRow| or_dash(&row.target_revision)),
        column("SINCE", |row: &AppRow| ago(row.sync_since.max(row.health_since), Timestamp::now())),
        column("MESSAGE", |row: &AppRow| row.message.clone()),
        wide("SET", |row: &AppRow| or_dash(&row.set)),
        wide("ENGINE", |row: &AppRow| or_dash(&row.engine)),
        wide("REPOSITORY", |row: &AppRow| row.repo.clone()),
        wide("PATH", |row: &AppRow| row.path.clone()),
        wide("IMAGES", |row: &AppRow| row.images.iter().map(|i| i.image.as_str()).collect::<Vec<_>>().join(" ")),
        wide("HEARD", |row: &AppRow| ago(row.received_at, Timestamp::now())),
    ];
    output.list(&Listing {
        what: "Applications",
        items: rows,
        columns,
        name: |row| format!("application/{}/{}/{}", row.cluster, row.namespace, row.name),
        branch: |row| {
            let state = format!("{} {} {}", marked(&row.sync, row), marked(&row.health, row), row.version);
            vec![
                format!("{}/{}", row.namespace, row.name),
                if row.set.is_empty() { "(no set)".into() } else { row.set.clone() },
                format!("{} {state}", row.cluster),
            ]
        },
    })
}

fn marked(word: &str, row: &AppRow) -> String {
    let word = if word.is_empty() { "Unknown" } else { word };
    if row.is_current { word.to_owned() } else { format!("{word}?") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_current_is_marked_as_old() {
        let row = |is_current| AppRow { sync: "Synced".into(), is_current, ..AppRow::default() };
        assert_eq!(
            (marked("Synced", &row(true)), marked("Synced", &row(false)), marked("", &row(false))),
            ("Synced".into(), "Synced?".into(), "Unknown?".into())
        );
    }
}

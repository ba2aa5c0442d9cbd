//! `muster problems`: what is wrong, by cause, with a remedy to type.

use std::process::ExitCode;
use std::time::Duration;

use api::hub::{Problem, Severity, path};
use clap::Args;
use jiff::Timestamp;

use tokio::time::Instant;

use super::output::{Format, Listing, Output, column, wide};
use super::status::duration;
use super::table::{ago, or_dash};
use crate::client::{Target, query};
use crate::code;

const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Args)]
pub struct Problems {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
    /// Only those of this cluster.
    #[arg(short, long)]
    cluster: Option<String>,
    /// Only those of this cluster set.
    #[arg(short, long)]
    set: Option<String>,
    /// Only those of this Application, as `namespace/name`.
    #[arg(long)]
    app: Option<String>,
    /// Only those of this kind, as ImagePullBackOff or Offline.
    #[arg(long)]
    kind: Option<String>,
    /// Exit with 1 if there is any that is more than information.
    #[arg(long)]
    check: bool,
    /// Wait until there is any; exits with 4 when the time is over.
    #[arg(long, conflicts_with = "check")]
    wait: bool,
    /// How long to wait, as 60s or 5m.
    #[arg(long, default_value = "2m", value_parser = duration)]
    timeout: Duration,
}

impl Problems {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let hub = self.target.connect()?;
        let filter = query(&[
            ("cluster", self.cluster.as_deref()),
            ("set", self.set.as_deref()),
            ("app", self.app.as_deref()),
            ("kind", self.kind.as_deref()),
        ]);
        let begun = Instant::now();
        let problems: Vec<Problem> = loop {
            let problems: Vec<Problem> = hub.rows_of(path::PROBLEMS, &filter).await?;
            if !self.wait || !problems.is_empty() || begun.elapsed() >= self.timeout {
                break problems;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        if problems.is_empty() && matches!(self.output.format, Format::Table | Format::Wide) {
            eprintln!("no problems");
        } else {
            show(&self.output, &problems)?;
        }
        let is_troubled = problems.iter().any(|problem| problem.severity != Severity::Info);
        Ok(ExitCode::from(match (self.check, self.wait, problems.is_empty()) {
            (true, _, _) if is_troubled => code::NO,
            (_, true, true) => code::TIMEOUT,
            _ => code::OK,
        }))
    }
}

pub fn show(output: &Output, problems: &[Problem]) -> anyhow::Result<()> {
    let columns = vec![
        column("SEVERITY", |p: &Problem| p.severity.as_str().to_owned()),
        column("KIND", |p: &Problem| p.kind.clone()),
        column("CLUSTERS", |p: &Problem| p.clusters.to_string()),
        column("SINCE", |p: &Problem| ago(p.since, Timestamp::now())),
        column("PROBLEM", |p: &Problem| p.title.clone()),
        column("STILL SERVING", |p: &Problem| p.still_serving.map_or("-".into(), |s| format!("{}/{}", s.yes, s.of))),
        column("REMEDY", |p: &Problem| p.remedy.clone()),
        wide("WHERE", |p: &Problem| p.sample.join(" ")),
        wide("SOURCE", |p: &Problem| or_dash(&p.source)),
        wide("REASON", |p: &Problem| or_dash(&p.reason)),
    ];
    output.list(&Listing {
        what: "problems",
        items: problems,
        columns,
        name: |p| format!("problem/{}", p.id),
        branch: |p| vec![p.severity.as_str().to_owned(), format!("{} on {} clusters: {}", p.kind, p.clusters, p.title), p.remedy.clone()],
    })
}

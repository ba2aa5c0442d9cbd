//! `muster app wait`.
//!
//! The Application must be as wanted on every cluster that the hub delivers it to, and on every other that tells of it.
//! A cluster that has not told of it yet is waited for, and so is a hub that does not answer.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use api::hub::{AppRow, ClusterRow, path};
use clap::Args;
use tokio::time::Instant;

use super::delivered::delivered;
use super::{Chosen, Found};
use crate::client::{Hub, query};
use crate::code;
use crate::commands::status::duration;
use crate::commands::table::line;

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Which clusters it is delivered to is asked less often: the answer is long.
const DELIVERED_EVERY: Duration = Duration::from_secs(3);
/// How long the hub may take to answer, however little time is left.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);
const LATE_SHOWN: usize = 5;

#[derive(Args)]
pub struct Wait {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    wanted: Wanted,
    /// How long to wait, as 60s or 5m.
    #[arg(long, default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

#[derive(Args, Default)]
struct Wanted {
    /// Wait for Synced only, or with --health for Healthy; both unless one is named.
    #[arg(long)]
    sync: bool,
    #[arg(long)]
    health: bool,
    /// Wait for this commit, by its first digits.
    #[arg(long)]
    revision: Option<String>,
}

impl Wanted {
    fn is_met(&self, row: &AppRow) -> bool {
        let (sync, health) = if self.sync || self.health { (self.sync, self.health) } else { (true, true) };
        row.is_current
            && (!sync || row.sync == "Synced")
            && (!health || row.health == "Healthy")
            && self.revision.as_ref().is_none_or(|revision| row.revision.starts_with(revision.as_str()))
    }
}

/// What is known of the clusters that are waited for.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    done: usize,
    total: usize,
    /// What their clusters said is old.
    unreached: usize,
    /// Clusters that have not told of the Application.
    untold: Vec<String>,
}

impl Verdict {
    fn of(rows: &[AppRow], expected: &BTreeSet<String>, wanted: &Wanted) -> Self {
        let told: BTreeSet<&str> = rows.iter().map(|row| row.cluster.as_str()).collect();
        let untold: Vec<String> = expected.iter().filter(|cluster| !told.contains(cluster.as_str())).cloned().collect();
        Self {
            done: rows.iter().filter(|row| wanted.is_met(row)).count(),
            total: rows.len() + untold.len(),
            unreached: rows.iter().filter(|row| !row.is_current).count(),
            untold,
        }
    }

    /// Whether all are as wanted; nothing at all is not.
    fn is_done(&self) -> bool {
        self.total > 0 && self.done == self.total
    }

    fn text(&self) -> String {
        let untold = if self.untold.is_empty() { String::new() } else { format!(", {} have not told of it", self.untold.len()) };
        format!("{}/{} clusters as wanted, {} not reached{untold}", self.done, self.total, self.unreached)
    }
}

/// Clusters that must have the Application, and when that was asked.
#[derive(Default)]
struct Expected {
    clusters: BTreeSet<String>,
    asked_at: Option<Instant>,
}

impl Wait {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let hub = self.chosen.named.target.connect()?;
        let begun = Instant::now();
        let mut said = String::new();
        let mut expected = Expected::default();
        loop {
            let left = self.timeout.saturating_sub(begun.elapsed()).max(LOOK_AT_LEAST);
            let looked = tokio::time::timeout(left, self.look(&hub, &mut expected))
                .await
                .unwrap_or_else(|_| Err(anyhow!("the hub does not answer")));
            let text = match &looked {
                Ok((_, verdict)) => verdict.text(),
                Err(error) => line(&format!("{error:#}")),
            };
            if looked.as_ref().is_ok_and(|(_, verdict)| verdict.is_done()) {
                say!("{text}");
                return Ok(ExitCode::SUCCESS);
            }
            if begun.elapsed() >= self.timeout {
                if let Ok((rows, verdict)) = &looked {
                    self.tell_late(rows, verdict);
                }
                eprintln!("{text}");
                return Ok(ExitCode::from(code::TIMEOUT));
            }
            if text != said {
                eprintln!("waiting: {text}");
                said = text;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&self, hub: &Hub, expected: &mut Expected) -> anyhow::Result<(Vec<AppRow>, Verdict)> {
        let named = &self.chosen.named;
        let Some((namespace, name)) = named.find_now(hub).await? else {
            return Err(anyhow!("no cluster has told of an Application {:?} yet", named.app));
        };
        let found = Found { hub: hub.clone(), namespace, name };
        let rows = self.chosen.rows(&found).await?;
        let is_old = expected.asked_at.is_none_or(|at| at.elapsed() >= DELIVERED_EVERY);
        // Before all is said to be well, it is looked whether these are all.
        if is_old || Verdict::of(&rows, &expected.clusters, &self.wanted).is_done() {
            *expected = Expected { clusters: self.expected(&found).await?, asked_at: Some(Instant::now()) };
        }
        let verdict = Verdict::of(&rows, &expected.clusters, &self.wanted);
        Ok((rows, verdict))
    }

    async fn expected(&self, found: &Found) -> anyhow::Result<BTreeSet<String>> {
        let mut clusters: BTreeSet<String> = delivered(found, self.chosen.cluster.as_deref()).await?.into_keys().collect();
        if let Some(set) = &self.chosen.set {
            let of_set: Vec<ClusterRow> = found.hub.rows_of(path::CLUSTERS, &query(&[("set", Some(set))])).await?;
            let names: BTreeSet<String> = of_set.into_iter().map(|row| row.name).collect();
            clusters.retain(|cluster| names.contains(cluster));
        }
        Ok(clusters)
    }

    fn tell_late(&self, rows: &[AppRow], verdict: &Verdict) {
        for row in rows.iter().filter(|row| !self.wanted.is_met(row)).take(LATE_SHOWN) {
            eprintln!("{}", line(&format!("{}: {} {} {} {}", row.cluster, row.sync, row.health, row.version, row.message)));
        }
        for cluster in verdict.untold.iter().take(LATE_SHOWN) {
            eprintln!("{cluster}: has not told of it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cluster: &str, sync: &str, health: &str, is_current: bool) -> AppRow {
        let revision = "abc123".into();
        AppRow { cluster: cluster.into(), sync: sync.into(), health: health.into(), is_current, revision, ..AppRow::default() }
    }

    #[test]
    fn all_clusters_it_is_delivered_to_must_have_told_and_be_as_wanted() {
        let check = |rows: &[AppRow], expected: &[&str], wanted: &Wanted, done: usize, total: usize, is_done: bool| {
            let expected = expected.iter().map(|cluster| (*cluster).to_owned()).collect();
            let verdict = Verdict::of(rows, &expected, wanted);
            assert_eq!((verdict.done, verdict.total, verdict.is_done()), (done, total, is_done), "{rows:?} {expected:?}");
        };
        let both = Wanted::default();
        let good = |cluster| row(cluster, "Synced", "Healthy", true);
        check(&[], &[], &both, 0, 0, false);
        check(&[], &["a"], &both, 0, 1, false);
        check(&[good("a")], &["a", "b"], &both, 1, 2, false);
        check(&[good("a"), good("b")], &["a", "b"], &both, 2, 2, true);
        check(&[good("a")], &[], &both, 1, 1, true);
        check(&[good("a"), row("local", "OutOfSync", "Healthy", true)], &["a"], &both, 1, 2, false);
        check(&[row("a", "Synced", "Healthy", false)], &["a"], &both, 0, 1, false);
        check(&[row("a", "Synced", "Degraded", true)], &["a"], &both, 0, 1, false);
        check(&[row("a", "Synced", "Degraded", true)], &["a"], &Wanted { sync: true, ..Wanted::default() }, 1, 1, true);
        check(&[row("a", "OutOfSync", "Healthy", true)], &["a"], &Wanted { health: true, ..Wanted::default() }, 1, 1, true);
        let revision = |text: &str| Wanted { revision: Some(text.to_owned()), ..Wanted::default() };
        check(&[good("a")], &["a"], &revision("abc"), 1, 1, true);
        check(&[good("a")], &["a"], &revision("abd"), 0, 1, false);
        let text = Verdict::of(&[good("a"), row("b", "Synced", "Healthy", false)], &["c".to_owned()].into(), &both).text();
        assert_eq!(text, "1/3 clusters as wanted, 1 not reached, 1 have not told of it");
    }
}

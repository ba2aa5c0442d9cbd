//! `muster status`: how the fleet is.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use api::hub::{AppRow, ClusterRow, path};
use clap::Args;
use jiff::Timestamp;
use tokio::time::Instant;

use super::output::{Listing, Output, column, wide};
use super::table::{ago, line, lines, or_dash};
use crate::client::{Hub, Target};
use crate::code;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Whoever waits takes one part in so many of the hub's time at most: a large fleet is a large answer.
const LOOK_SHARE: u32 = 10;
/// How long the hub may take to answer, however little time is left.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    target: Target,
    /// Wait until every cluster is Available and every Application Synced and Healthy.
    #[arg(long)]
    wait: bool,
    /// How long to wait, as 60s or 5m.
    #[arg(long, default_value = "60s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    output: Output,
}

/// Clusters and their Applications as the hub knows them.
pub struct Seen {
    pub clusters: Vec<ClusterRow>,
    pub apps: Vec<AppRow>,
}

impl Status {
    /// Exits 0 when all is well, 1 when not, 4 when it did not become so in time.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let expected = if self.target.kubeconfig.is_some() { 0 } else { self.target.layout().existing()?.clusters() as usize };
        let hub = self.target.connect()?;
        let begun = Instant::now();
        let mut said = String::new();
        loop {
            // A hub that does not answer is not waited for longer than for one that answers.
            let asked = Instant::now();
            let left = self.timeout.saturating_sub(begun.elapsed()).max(LOOK_AT_LEAST);
            let seen = tokio::time::timeout(left, look(&hub)).await.unwrap_or_else(|_| Err(anyhow!("the hub does not answer")));
            let missing = match &seen {
                Ok(seen) => missing(seen, expected),
                Err(error) => Some(format!("{error:#}")),
            };
            let is_over = begun.elapsed() >= self.timeout;
            match (missing, seen) {
                (None, Ok(seen)) => {
                    show(&self.output, &seen)?;
                    return Ok(ExitCode::SUCCESS);
                }
                (Some(why), seen) if !self.wait || is_over => {
                    let is_known = seen.is_ok();
                    if let Ok(seen) = seen {
                        show(&self.output, &seen)?;
                    }
                    eprintln!("{}", lines(&why));
                    return Ok(ExitCode::from(match (self.wait, is_known) {
                        (true, _) => code::TIMEOUT,
                        (false, true) => code::NO,
                        (false, false) => code::ERROR,
                    }));
                }
                (Some(why), _) if why != said => {
                    eprintln!("waiting: {}", line(&why));
                    said = why;
                }
                _ => {}
            }
            tokio::time::sleep(pause(LOOK_EVERY, asked.elapsed())).await;
        }
    }
}

/// Returns how long to wait before the next look, after one that took so long.
pub fn pause(at_least: Duration, took: Duration) -> Duration {
    at_least.max(took * LOOK_SHARE)
}

/// Asks the hub.
pub async fn look(hub: &Hub) -> anyhow::Result<Seen> {
    let (clusters, apps) = tokio::try_join!(hub.rows(path::CLUSTERS), hub.rows(path::APPS))?;
    Ok(Seen { clusters, apps })
}

/// Returns what is not as it should be, in one line; `expected` is how many clusters there must be at least.
/// Only what the hub has heard since it started counts: what it knew before may no longer be so.
pub fn missing(seen: &Seen, expected: usize) -> Option<String> {
    let total = seen.clusters.len().max(expected);
    if total == 0 {
        return Some("no cluster has joined; `muster join NAME` prints how one does".to_owned());
    }
    let available = seen.clusters.iter().filter(|c| c.available == "True" && c.is_current).count();
    let with_apps: BTreeSet<&str> = seen.apps.iter().map(|a| a.cluster.as_str()).collect();
    let without_apps = seen.clusters.iter().filter(|c| !with_apps.contains(c.name.as_str())).count();
    let synced = seen.apps.iter().filter(|a| a.sync == "Synced" && a.is_current).count();
    let healthy = seen.apps.iter().filter(|a| a.health == "Healthy" && a.is_current).count();
    let apps = seen.apps.len() + without_apps + (total - seen.clusters.len());
    let is_well = available == total && synced == apps && healthy == apps;
    (!is_well).then(|| format!("{available}/{total} clusters Available, {synced}/{apps} Applications Synced, {healthy}/{apps} Healthy"))
}

fn show(output: &Output, seen: &Seen) -> anyhow::Result<()> {
    list(output, &seen.clusters)
}

/// Writes clusters; what is known from before is marked as old.
pub fn list(output: &Output, clusters: &[ClusterRow]) -> anyhow::Result<()> {
    let columns = vec![
        column("CLUSTER", |c: &ClusterRow| c.name.clone()),
        column("STATE", |c: &ClusterRow| if c.is_current || c.available != "True" { c.state.to_string() } else { format!("{}?", c.state) }),
        column("SINCE", |c: &ClusterRow| ago(c.state_since, Timestamp::now())),
        column("SEEN", |c: &ClusterRow| ago(c.last_seen, Timestamp::now())),
        column("SET", |c: &ClusterRow| or_dash(&c.set)),
        column("KUBERNETES", |c: &ClusterRow| or_dash(&c.kubernetes_version)),
        column("SYNCED", |c: &ClusterRow| format!("{}/{}", c.apps_synced, c.apps_count)),
        column("HEALTHY", |c: &ClusterRow| format!("{}/{}", c.apps_healthy, c.apps_count)),
        wide("PROBLEMS", |c: &ClusterRow| c.problems.to_string()),
        wide("REGION", |c: &ClusterRow| or_dash(&c.region)),
        wide("NODES", |c: &ClusterRow| format!("{}/{}", c.nodes_ready, c.nodes)),
        wide("AGENT", |c: &ClusterRow| or_dash(&c.agent_version)),
        wide("UID", |c: &ClusterRow| or_dash(&c.uid)),
        wide("REASON", |c: &ClusterRow| c.state_reason.clone()),
    ];
    output.list(&Listing {
        what: "clusters",
        items: clusters,
        columns,
        name: |c| format!("cluster/{}", c.name),
        branch: |c| {
            let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
            vec![or(&c.set, "(no set)"), or(&c.region, "(no region)"), format!("{} {}", c.name, c.state)]
        },
    })
}

/// Parses `500ms`, `60s`, `5m` or `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at].parse().map_err(|_| format!("{text:?} is no duration such as 60s or 5m"))?;
    let times = |seconds| number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| format!("{text:?} is too long"));
    match &text[at..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => times(60),
        "h" => times(3_600),
        other => Err(format!("{other:?} is no unit of time: use ms, s, m or h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, available: &str) -> ClusterRow {
        ClusterRow { name: name.into(), available: available.into(), is_current: available == "True", ..ClusterRow::default() }
    }

    fn app(cluster: &str, sync: &str, is_current: bool) -> AppRow {
        AppRow { cluster: cluster.into(), sync: sync.into(), health: "Healthy".into(), is_current, ..AppRow::default() }
    }

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, expect) in [("500ms", Some(500)), ("60", Some(60_000)), ("5m", Some(300_000)), ("1h", Some(3_600_000)), ("", None)] {
            assert_eq!(duration(text).ok(), expect.map(Duration::from_millis), "{text}");
        }
        assert!(duration("18446744073709551615h").is_err_and(|e| e.contains("too long")));
    }

    #[test]
    fn a_fleet_is_well_only_when_every_expected_cluster_has_current_good_news() {
        let check = |clusters: Vec<ClusterRow>, apps: Vec<AppRow>, expected| missing(&Seen { clusters, apps }, expected);
        assert_eq!(check(vec![cluster("a", "True")], vec![app("a", "Synced", true)], 1), None);
        assert!(check(vec![], vec![], 0).is_some(), "an empty fleet proves nothing");
        assert!(check(vec![cluster("a", "True")], vec![app("a", "Synced", true)], 2).is_some(), "one has not joined");
        assert!(check(vec![cluster("a", "True")], vec![], 1).is_some(), "nothing has been heard of its applications");
        assert!(check(vec![cluster("a", "Unknown")], vec![app("a", "Synced", true)], 1).is_some());
        assert!(check(vec![cluster("a", "True")], vec![app("a", "OutOfSync", true)], 1).is_some());
        assert!(check(vec![cluster("a", "True")], vec![app("a", "Synced", false)], 1).is_some(), "old news");
        let known_before = ClusterRow { is_current: false, ..cluster("a", "True") };
        assert!(check(vec![known_before], vec![app("a", "Synced", true)], 1).is_some(), "not heard since the hub started");
    }
}

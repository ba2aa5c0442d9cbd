//! `muster status`: how the fleet is.

use std::process::ExitCode;
use std::time::Duration;

use api::hub::{AppRow, ClusterRow, path};
use clap::Args;
use jiff::Timestamp;
use tokio::time::Instant;

use super::table::{ago, or_dash, render};
use crate::client::{Hub, Target};

const LOOK_EVERY: Duration = Duration::from_millis(200);

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
}

/// Clusters and their Applications as the hub knows them.
pub struct Seen {
    pub clusters: Vec<ClusterRow>,
    pub apps: Vec<AppRow>,
}

impl Status {
    /// Exits 0 when all is well, 1 when not, 2 when it did not become so in time.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let expected = if self.target.kubeconfig.is_some() { 0 } else { self.target.layout().existing()?.clusters() as usize };
        let hub = self.target.connect()?;
        let begun = Instant::now();
        let mut said = String::new();
        loop {
            let seen = look(&hub).await;
            let missing = match &seen {
                Ok(seen) => missing(seen, expected),
                Err(error) => Some(format!("{error:#}")),
            };
            let is_over = begun.elapsed() >= self.timeout;
            match (missing, seen) {
                (None, Ok(seen)) => {
                    show(&seen);
                    return Ok(ExitCode::SUCCESS);
                }
                (Some(why), seen) if !self.wait || is_over => {
                    if let Ok(seen) = seen {
                        show(&seen);
                    }
                    eprintln!("{why}");
                    return Ok(ExitCode::from(if self.wait { 2 } else { 1 }));
                }
                (Some(why), _) if why != said => {
                    eprintln!("waiting: {why}");
                    said = why;
                }
                _ => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Asks the hub.
pub async fn look(hub: &Hub) -> anyhow::Result<Seen> {
    let (clusters, apps) = tokio::try_join!(hub.rows(path::CLUSTERS), hub.rows(path::APPS))?;
    Ok(Seen { clusters, apps })
}

/// Returns what is not as it should be, in one line; `expected` is how many clusters there must be at least.
pub fn missing(seen: &Seen, expected: usize) -> Option<String> {
    let total = seen.clusters.len().max(expected);
    let available = seen.clusters.iter().filter(|c| c.available == "True").count();
    let without_apps = seen.clusters.iter().filter(|c| !seen.apps.iter().any(|a| a.cluster == c.name)).count();
    let synced = seen.apps.iter().filter(|a| a.sync == "Synced" && a.is_current).count();
    let healthy = seen.apps.iter().filter(|a| a.health == "Healthy" && a.is_current).count();
    let apps = seen.apps.len() + without_apps + (total - seen.clusters.len());
    let is_well = total > 0 && available == total && synced == apps && healthy == apps;
    (!is_well).then(|| format!("{available}/{total} clusters Available, {synced}/{apps} Applications Synced, {healthy}/{apps} Healthy"))
}

fn show(seen: &Seen) {
    let now = Timestamp::now();
    let shown = |cluster: &ClusterRow| {
        vec![
            cluster.name.clone(),
            match cluster.available.as_str() {
                "True" => "Available".into(),
                "False" => "Unavailable".into(),
                "" if !cluster.is_accepted => "Pending".into(),
                _ => "Unknown".into(),
            },
            ago(cluster.available_since, now),
            ago(cluster.last_seen, now),
            or_dash(&cluster.kubernetes_version),
            or_dash(&cluster.agent_version),
            format!("{}/{}", cluster.apps_synced, cluster.apps_count),
            format!("{}/{}", cluster.apps_healthy, cluster.apps_count),
        ]
    };
    let rows: Vec<Vec<String>> = seen.clusters.iter().map(shown).collect();
    println!("{}", render(&["CLUSTER", "STATE", "SINCE", "SEEN", "KUBERNETES", "AGENT", "SYNCED", "HEALTHY"], &rows));
}

/// Parses `500ms`, `60s`, `5m` or `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at].parse().map_err(|_| format!("{text:?} is no duration such as 60s or 5m"))?;
    match &text[at..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3_600)),
        other => Err(format!("{other:?} is no unit of time: use ms, s, m or h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, available: &str) -> ClusterRow {
        ClusterRow { name: name.into(), available: available.into(), ..ClusterRow::default() }
    }

    fn app(cluster: &str, sync: &str, is_current: bool) -> AppRow {
        AppRow { cluster: cluster.into(), sync: sync.into(), health: "Healthy".into(), is_current, ..AppRow::default() }
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
    }
}

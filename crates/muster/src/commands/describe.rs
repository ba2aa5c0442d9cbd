//! `muster describe`: all that is known of one thing, for people.

use std::process::ExitCode;

use anyhow::bail;
use api::hub::{ClusterDetail, path};
use clap::Args;
use jiff::Timestamp;

use super::output::Output;
use super::table::{ago, or_dash, render};
use crate::client::Target;

#[derive(Args)]
pub struct Describe {
    /// `cluster`; for Applications see `muster app get`, for problems `muster problems -o wide`.
    kind: String,
    name: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
}

impl Describe {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if !matches!(self.kind.as_str(), "cluster" | "clusters" | "managedcluster" | "mcl") {
            bail!(
                "{:?} is not described: `muster describe cluster NAME`, `muster app get NAMESPACE/NAME`, `muster get KIND NAME -o yaml`",
                self.kind
            );
        }
        let detail: ClusterDetail = self.target.connect()?.read(&path::cluster(&self.name)).await?;
        self.output.one(&detail, &format!("cluster/{}", self.name), || text(&detail, Timestamp::now()))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(detail: &ClusterDetail, now: Timestamp) -> String {
    let row = &detail.row;
    let mut out = String::new();
    let mut fact = |name: &str, value: String| out.push_str(&format!("{name:<12} {value}\n"));
    fact("Cluster", row.name.clone());
    fact("State", format!("{}{}, {}", row.state, if row.is_current { "" } else { " (not current)" }, row.state_reason));
    fact("Seen", format!("{} ago", ago(row.last_seen, now)));
    fact("UID", or_dash(&row.uid));
    fact("Set", or_dash(&row.set));
    fact("Region", or_dash(&row.region));
    fact(
        "Kubernetes",
        format!(
            "{}, {}/{} nodes ready, agent {}",
            or_dash(&row.kubernetes_version),
            row.nodes_ready,
            row.nodes,
            or_dash(&row.agent_version)
        ),
    );
    fact("Labels", row.labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "));
    fact("Capacity", detail.capacity.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "));
    let mut section = |title: &str, header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            out.push_str(&format!("\n{title}\n{}\n", render(header, &rows)));
        }
    };
    let rows = detail.problems.iter().map(|p| vec![p.kind.clone(), p.clusters.to_string(), p.title.clone(), p.remedy.clone()]);
    section("Problems", &["KIND", "CLUSTERS", "PROBLEM", "REMEDY"], rows.collect());
    let rows = detail.apps.iter().map(|a| {
        vec![
            format!("{}/{}", a.namespace, a.name),
            a.sync.clone(),
            a.health.clone(),
            or_dash(&a.version),
            ago(a.sync_since.max(a.health_since), now),
            a.message.clone(),
        ]
    });
    section("Applications", &["NAME", "SYNC", "HEALTH", "VERSION", "SINCE", "MESSAGE"], rows.collect());
    let rows = detail.workloads.iter().map(|w| {
        let why = if w.pod_reason.is_empty() { w.message.clone() } else { format!("{}: {}", w.pod_reason, w.pod_message) };
        vec![w.kind.clone(), format!("{}/{}", w.namespace, w.name), format!("{}/{}", w.ready, w.desired), w.health.clone(), why]
    });
    section("Workloads", &["KIND", "NAME", "READY", "HEALTH", "MESSAGE"], rows.collect());
    let rows =
        detail.conditions.iter().map(|c| vec![c.type_.clone(), c.status.clone(), ago(c.since, now), c.reason.clone(), c.message.clone()]);
    section("Conditions", &["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"], rows.collect());
    let rows = detail.history.iter().rev().take(10).map(|h| vec![h.at.to_string(), h.state.to_string(), h.reason.clone()]);
    section("States, newest first", &["AT", "STATE", "REASON"], rows.collect());
    let rows = detail
        .events
        .iter()
        .take(20)
        .map(|e| vec![ago(Some(e.at), now), format!("{} {}", e.kind, e.object), e.reason.clone(), e.message.clone()]);
    section("What happened, newest first", &["AGE", "OBJECT", "WHAT", "MESSAGE"], rows.collect());
    out
}

//! `muster version`: of this program, and of the hub and the agents where they can be asked.

use std::collections::BTreeMap;
use std::process::ExitCode;

use api::hub::{ClusterRow, HubInfo, path};
use clap::Args;
use serde::Serialize;

use super::output::Output;
use super::table::lines;
use crate::client::Target;
use crate::code;

#[derive(Args)]
pub struct Version {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
    /// Of this program only.
    #[arg(long)]
    client: bool,
}

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<HubInfo>,
    /// How many clusters have which agent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    agents: BTreeMap<String, u64>,
}

impl Version {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut versions = Versions { client: env!("CARGO_PKG_VERSION"), hub: None, agents: BTreeMap::new() };
        let mut outcome = code::OK;
        if !self.client {
            match self.ask().await {
                Ok((hub, agents)) => (versions.hub, versions.agents) = (Some(hub), agents),
                Err(error) => {
                    eprintln!("the hub cannot be asked: {}; --client asks this program alone", lines(&format!("{error:#}")));
                    outcome = code::ERROR;
                }
            }
        }
        self.output.one(&versions, "version", || {
            let mut text = format!("client {}\n", versions.client);
            if let Some(hub) = &versions.hub {
                text.push_str(&format!("hub    {} (uid {}, epoch {})\n", hub.version, hub.uid, hub.epoch));
            }
            for (version, clusters) in &versions.agents {
                text.push_str(&format!("agent  {version} on {clusters} clusters\n"));
            }
            text
        })?;
        Ok(ExitCode::from(outcome))
    }

    async fn ask(&self) -> anyhow::Result<(HubInfo, BTreeMap<String, u64>)> {
        let hub = self.target.connect()?;
        let info: HubInfo = hub.read(path::HUB).await?;
        let mut agents = BTreeMap::new();
        for row in hub.rows::<ClusterRow>(path::CLUSTERS).await? {
            *agents.entry(if row.agent_version.is_empty() { "unknown".to_owned() } else { row.agent_version }).or_default() += 1;
        }
        Ok((info, agents))
    }
}

//! `muster kubeconfig`: where a hub or a simulated cluster is, and how to get in.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use crate::client::Target;

#[derive(Args)]
pub struct Kubeconfig {
    /// A simulated cluster of this fleet; the hub without it.
    cluster: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Print where the file is instead of what is in it.
    #[arg(long)]
    path: bool,
}

impl Kubeconfig {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let layout = self.target.layout();
        let file = match (&self.cluster, &self.target.kubeconfig) {
            (None, Some(path)) => path.clone(),
            (None, None) => {
                layout.existing()?;
                layout.kubeconfig()
            }
            (Some(_), Some(_)) => bail!("a cluster's kubeconfig is known for fleets of `muster up` only: leave --kubeconfig out"),
            (Some(cluster), None) => {
                layout.existing()?;
                if cluster.contains(['/', '.']) {
                    bail!("{cluster:?} is no name of a cluster");
                }
                layout.stores().join(cluster).join("kubeconfig")
            }
        };
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}; is it a simulated cluster of this fleet?", file.display()))?;
        if self.path {
            say!("{}", file.display());
        } else {
            say!("{}", text.trim_end());
        }
        Ok(ExitCode::SUCCESS)
    }
}

//! `muster app sync`: not to be had yet, and said so.
//!
//! Argo CD asks for a sync by `operation` of an Application, and Applications reach their clusters in ManifestWorks.
//! A work is kept as it is: an `operation` in it would be asked for again each time the spoke has taken it up. Until there
//! is a way to ask once, this command says which clusters it is about and what helps instead.

use std::process::ExitCode;

use api::hub::AppRow;
use clap::Args;

use super::{Chosen, Found};
use crate::code;
use crate::commands::table::line;

#[derive(Args)]
pub struct Sync {
    #[command(flatten)]
    chosen: Chosen,
}

impl Sync {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let found = self.chosen.named.find().await?;
        let rows = self.chosen.rows(&found).await?;
        let Found { namespace, name, .. } = &found;
        let waiting: Vec<&AppRow> = rows.iter().filter(|row| row.sync != "Synced").collect();
        if waiting.is_empty() && !rows.is_empty() {
            say!("{namespace}/{name} is Synced on {} clusters: there is nothing to do", rows.len());
            return Ok(ExitCode::SUCCESS);
        }
        for row in &waiting {
            eprintln!("{}", line(&format!("{}: {} {} {}", row.cluster, row.sync, row.operation, row.message)));
        }
        eprintln!(
            "error: the hub cannot ask a cluster to sync once; nothing was changed. An Application with syncPolicy.automated syncs and \
             retries by itself; any other: on its cluster, `kubectl -n {namespace} patch application {name} --type merge -p \
             '{{\"operation\":{{\"sync\":{{}}}}}}'`"
        );
        Ok(ExitCode::from(code::ERROR))
    }
}

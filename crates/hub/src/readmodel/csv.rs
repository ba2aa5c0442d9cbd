//! Whole results as CSV (RFC 4180), with lines that say what they are.

use api::hub::{ActivityRow, AppRow, ClusterRow};
use apiserver::Body;
use http::Response;
use jiff::Timestamp;

use super::Question;
use super::params::Params;
use crate::endpoints;

pub fn clusters(rows: &[ClusterRow], params: &Params, asked: &Question<'_>) -> Response<Body> {
    let header = "name,set,region,state,stateSince,stateReason,lastSeen,isCurrent,kubernetesVersion,agentVersion,nodes,nodesReady,apps,appsSynced,appsHealthy,problems,isSimulated,uid,labels";
    let line = |row: &ClusterRow| {
        let labels: Vec<String> = row.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        [
            row.name.clone(),
            row.set.clone(),
            row.region.clone(),
            row.state.to_string(),
            time(row.state_since),
            row.state_reason.clone(),
            time(row.last_seen),
            row.is_current.to_string(),
            row.kubernetes_version.clone(),
            row.agent_version.clone(),
            row.nodes.to_string(),
            row.nodes_ready.to_string(),
            row.apps_count.to_string(),
            row.apps_synced.to_string(),
            row.apps_healthy.to_string(),
            row.problems.to_string(),
            row.is_simulated.to_string(),
            row.uid.clone(),
            labels.join(" "),
        ]
    };
    write("clusters", header, rows.iter().map(line), params, asked)
}

pub fn apps(rows: &[AppRow], params: &Params, asked: &Question<'_>) -> Response<Body> {
    let header = "cluster,set,namespace,name,version,sync,health,revision,repo,path,targetRevision,operation,message,syncSince,healthSince,receivedAt,isCurrent,images";
    let line = |row: &AppRow| {
        let images: Vec<String> = row.images.iter().map(|i| format!("{} {}", i.image, i.digest).trim().to_owned()).collect();
        [
            row.cluster.clone(),
            row.set.clone(),
            row.namespace.clone(),
            row.name.clone(),
            row.version.clone(),
            row.sync.clone(),
            row.health.clone(),
            row.revision.clone(),
            row.repo.clone(),
            row.path.clone(),
            row.target_revision.clone(),
            row.operation.clone(),
            row.message.clone(),
            time(row.sync_since),
            time(row.health_since),
            time(row.received_at),
            row.is_current.to_string(),
            images.join("; "),
        ]
    };
    write("applications", header, rows.iter().map(line), params, asked)
}

pub fn activity(rows: &[ActivityRow], is_cut: bool, params: &Params, asked: &Question<'_>) -> Response<Body> {
    let header = "at,receivedAt,cluster,kind,reason,object,message";
    let header = if is_cut { format!("# cut: older events are not in it; narrow the filter\r\n{header}") } else { header.to_owned() };
    let line = |row: &ActivityRow| {
        [
            row.at.to_string(),
            row.received_at.to_string(),
            row.cluster.clone(),
            row.kind.clone(),
            row.reason.clone(),
            row.object.clone(),
            row.message.clone(),
        ]
    };
    write("activity", &header, rows.iter().map(line), params, asked)
}

fn write<const N: usize>(
    what: &str,
    header: &str,
    lines: impl ExactSizeIterator<Item = [String; N]>,
    params: &Params,
    asked: &Question<'_>,
) -> Response<Body> {
    let filter = params.describe();
    let filter = if filter.is_empty() { "none".to_owned() } else { filter };
    let mut out = format!(
        "# muster {what}: {} rows\r\n# filter: {}\r\n# at: {}\r\n# by: {}\r\n{header}\r\n",
        lines.len(),
        filter.replace(['\r', '\n'], " "),
        asked.now(),
        asked.user.username.replace(['\r', '\n'], " ")
    );
    for line in lines {
        for (at, cell) in line.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push(&mut out, cell);
        }
        out.push_str("\r\n");
    }
    endpoints::csv(out, &format!("muster-{what}.csv"))
}

fn push(out: &mut String, cell: &str) {
    // A spreadsheet takes such a cell for a formula; what clusters say is not to be computed.
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !is_formula && !cell.contains(['"', ',', '\r', '\n']) {
        out.push_str(cell);
        return;
    }
    out.push('"');
    if is_formula {
        out.push('\'');
    }
    out.push_str(&cell.replace('"', "\"\""));
    out.push('"');
}

fn time(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::push;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_never_computed() {
        let check = |cell: &str, expect: &str| {
            let mut out = String::new();
            push(&mut out, cell);
            assert_eq!(out, expect);
        };
        check("plain", "plain");
        check("a,\"b\"", "\"a,\"\"b\"\"\"");
        check("=1+1", "\"'=1+1\"");
    }
}

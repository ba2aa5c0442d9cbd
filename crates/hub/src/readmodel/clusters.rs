//! `GET /muster/v1/clusters`: one row per ManagedCluster.

use std::collections::HashMap;
use std::sync::Arc;

use api::cluster::{ManagedCluster, claim_name, condition};
use api::conditions;
use api::hub::{ClusterRow, Page};
use api::report::{Application, ClusterInfo, Kind};
use apimachinery::status::Status;
use apiserver::Body;
use apiserver::user::UserInfo;
use http::Response;
use jiff::Timestamp;
use records::{Query, Row};

use super::params::Params;
use super::{check_viewer, unreadable};
use crate::approval::recorded_uid;
use crate::endpoints::{self, Shared};

const KNOWN: [&str; 5] = ["cluster", "available", "search", "limit", "continue"];

/// What records know of one cluster.
#[derive(Default)]
struct Known {
    info: ClusterInfo,
    apps: u32,
    synced: u32,
    healthy: u32,
    last_received: Option<Timestamp>,
    lost: u64,
}

pub async fn clusters(shared: &Shared, user: &UserInfo, query: &str) -> Result<Response<Body>, Status> {
    check_viewer(shared, user).await?;
    let params = Params::parse(query, &KNOWN)?;
    let mut matching = shared.ctx.caches.clusters.list();
    matching.retain(|cluster| is_wanted(cluster, &params));
    let total = matching.len() as u64;
    let after = params.one("continue").unwrap_or_default();
    let limit = params.limit()?;
    let mut page: Vec<Arc<ManagedCluster>> = matching.into_iter().filter(|c| name(c) > after).take(limit + 1).collect();
    let has_more = page.len() > limit;
    page.truncate(limit);
    let mut known = gather(shared, &page).await?;
    let items: Vec<ClusterRow> = page.iter().map(|c| to_row(shared, c, known.remove(name(c)).unwrap_or_default())).collect();
    let next = items.last().filter(|_| has_more).map(|row| row.name.clone());
    Ok(endpoints::json(&Page { items, total, next, ..Page::default() }))
}

fn name(cluster: &ManagedCluster) -> &str {
    cluster.metadata.name.as_deref().unwrap_or_default()
}

fn available(cluster: &ManagedCluster) -> &str {
    conditions::find(cluster.conditions(), condition::AVAILABLE).map_or("", |c| c.status.as_str())
}

fn is_wanted(cluster: &ManagedCluster, params: &Params) -> bool {
    let is_among = |wanted: &str, value: &str| params.all(wanted).is_none_or(|values| values.iter().any(|v| v == value));
    is_among("cluster", name(cluster))
        && is_among("available", available(cluster))
        && params.one("search").is_none_or(|text| name(cluster).contains(text))
}

async fn gather(shared: &Shared, page: &[Arc<ManagedCluster>]) -> Result<HashMap<String, Known>, Status> {
    let names: Vec<String> = page.iter().map(|c| name(c).to_owned()).collect();
    let mut known: HashMap<String, Known> = HashMap::new();
    for row in all(shared, Kind::Application, &names).await? {
        let app: Application = row.value.as_ref().and_then(|v| serde_json::from_str(v.get()).ok()).unwrap_or_default();
        let entry = known.entry(row.cluster).or_default();
        entry.apps += 1;
        entry.synced += u32::from(app.sync == "Synced");
        entry.healthy += u32::from(app.health == "Healthy");
    }
    for row in all(shared, Kind::ClusterInfo, &names).await? {
        let info = row.value.as_ref().and_then(|v| serde_json::from_str(v.get()).ok()).unwrap_or_default();
        known.entry(row.cluster).or_default().info = info;
    }
    for stream in shared.records.streams().await.map_err(unreadable)? {
        if let Some(entry) = known.get_mut(&stream.cluster) {
            entry.last_received = entry.last_received.max(Some(stream.last_received_at));
            entry.lost += stream.missing;
        }
    }
    Ok(known)
}

async fn all(shared: &Shared, kind: Kind, clusters: &[String]) -> Result<Vec<Row>, Status> {
    let mut query = Query { clusters: Some(clusters.to_vec()), ..Query::of(kind.as_str()) };
    let mut rows = Vec::new();
    loop {
        let listing = shared.records.list(query.clone()).await.map_err(unreadable)?;
        rows.extend(listing.rows);
        match listing.next {
            Some(next) => query.after = Some(next),
            None => return Ok(rows),
        }
    }
}

fn to_row(shared: &Shared, cluster: &ManagedCluster, known: Known) -> ClusterRow {
    // Two clusters under one name: what the lease says may be the other one's.
    let claimed = conditions::find(cluster.conditions(), condition::IDENTITY_UNIQUE).filter(|c| c.status == "False");
    let condition = claimed.or(conditions::find(cluster.conditions(), condition::AVAILABLE));
    let heard = shared.ctx.sightings.last(name(cluster));
    let version = cluster.status.as_ref().and_then(|s| s.version.as_ref()).map(|v| v.kubernetes.clone());
    ClusterRow {
        name: name(cluster).to_owned(),
        uid: recorded_uid(cluster).unwrap_or_default().to_owned(),
        labels: cluster.metadata.labels.clone().unwrap_or_default(),
        is_accepted: cluster.spec.hub_accepts_client,
        available: if claimed.is_some() { "Unknown".to_owned() } else { condition.map(|c| c.status.clone()).unwrap_or_default() },
        available_since: condition.map(|c| c.last_transition_time.0),
        available_reason: condition.map(|c| c.reason.clone()).unwrap_or_default(),
        last_seen: heard.max(known.last_received),
        kubernetes_version: version.filter(|v| !v.is_empty()).unwrap_or(known.info.kubernetes_version),
        agent_version: cluster.claim(claim_name::AGENT_VERSION).map_or(known.info.agent_version, str::to_owned),
        apps_count: known.apps,
        apps_synced: known.synced,
        apps_healthy: known.healthy,
        reports_lost: known.lost,
        ..ClusterRow::default()
    }
}

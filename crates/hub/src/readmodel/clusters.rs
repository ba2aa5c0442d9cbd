//! `GET /muster/v1/clusters`: one row per ManagedCluster; `GET /muster/v1/clusters/{name}`: all that is known of one.

use std::collections::BTreeMap;

use api::cluster::ManagedCluster;
use api::hub::{ClusterDetail, ClusterRow, ConditionRow, Page, StateAt, WorkloadRow};
use api::report::{Kind, Workload};
use apimachinery::status::Status;
use apiserver::Body;
use http::Response;
use records::{HistoryQuery, Query, Row};

use super::index::{ACTIVITY, STATE, WrittenState, image_rows};
use super::params::Params;
use super::{Question, activity, csv, filter, problems, unreadable};
use crate::endpoints;

/// Changes of state on the ribbon of one cluster, and what happened to it.
const HISTORY_MAX: usize = 200;
const EVENTS_MAX: usize = 50;

pub async fn list(asked: &Question<'_>) -> Result<Response<Body>, Status> {
    let known: Vec<&str> = filter::KNOWN.into_iter().chain(["sort", "limit", "continue", "format"]).collect();
    let params = Params::parse(asked.query, &known)?;
    let wanted = filter::Filter::new(&params)?;
    let (order, limit, start, is_csv) = (params.sort(&filter::SORTS)?, params.limit()?, params.start()?, params.is_csv()?);
    let sightings = &asked.shared.ctx.sightings;
    let now = asked.now();
    let page = asked
        .read(|inner| {
            let mut found = wanted.find(asked, inner);
            filter::sort(&mut found.clusters, order, sightings, now);
            let total = found.clusters.len();
            let (start, limit) = if is_csv { (0, total) } else { (start, limit) };
            let items = found.clusters.iter().skip(start).take(limit).map(|(_, entry)| filter::row(entry, sightings, now)).collect();
            Page::<ClusterRow> {
                items,
                total: total as u64,
                next: (start + limit < total).then(|| (start + limit).to_string()),
                facets: found.facets,
                hidden: found.hidden,
                as_of: Some(now),
            }
        })
        .await;
    Ok(if is_csv { csv::clusters(&page.items, &params, asked) } else { endpoints::json(&page) })
}

pub async fn detail(asked: &Question<'_>, name: &str) -> Result<Response<Body>, Status> {
    Params::parse(asked.query, &[])?;
    let not_found = || Status::not_found(api::cluster::GROUP, "managedclusters", name);
    if !asked.viewer.sees(name) {
        return Err(not_found());
    }
    let sightings = &asked.shared.ctx.sightings;
    let now = asked.now();
    let found = asked.read(|inner| {
        let entry = inner.cluster(name)?;
        let row = filter::row(entry, sightings, now);
        let apps = entry.apps.values().map(|app| entry.app_row(app, row.is_current)).collect();
        // The same cause elsewhere counts: of how many it is one is what people need first.
        let ids: Vec<String> = entry.symptoms.iter().map(|symptom| overview::problems::id(&symptom.cause)).collect();
        let mut problems = problems::grouped(asked, inner, now, |_, _| true);
        problems.retain(|problem| ids.contains(&problem.id));
        let mut detail = entry.cluster.as_deref().map(of_object).unwrap_or_default();
        (detail.row, detail.apps, detail.problems) = (row, apps, problems);
        detail.sets.clone_from(&entry.sets);
        Some(detail)
    });
    let mut detail = found.await.ok_or_else(not_found)?;
    let records = &asked.shared.records;
    let mut query = Query { clusters: Some(vec![name.to_owned()]), ..Query::of(Kind::Workload.as_str()) };
    loop {
        let listing = records.list(query.clone()).await.map_err(unreadable)?;
        detail.workloads.extend(listing.rows.iter().map(workload_row));
        match listing.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    let history = |kind: &str, limit| HistoryQuery {
        kind: kind.to_owned(),
        cluster_uid: Some(asked.shared.hub.uid.clone()),
        key: Some(name.to_owned()),
        before: None,
        limit,
    };
    let states = records.history(history(STATE, HISTORY_MAX)).await.map_err(unreadable)?;
    detail.history = states.iter().rev().filter_map(state_at).collect();
    let happened = records.history(history(ACTIVITY, EVENTS_MAX)).await.map_err(unreadable)?;
    detail.events = happened.iter().filter_map(activity::row).collect();
    Ok(endpoints::json(&detail))
}

fn of_object(cluster: &ManagedCluster) -> ClusterDetail {
    let condition = |c: &api::Condition| ConditionRow {
        type_: c.type_.clone(),
        status: c.status.clone(),
        reason: c.reason.clone(),
        message: c.message.clone(),
        since: Some(c.last_transition_time.0),
    };
    let status = cluster.status.clone().unwrap_or_default();
    ClusterDetail {
        conditions: status.conditions.iter().map(condition).collect(),
        claims: status.cluster_claims.into_iter().map(|claim| (claim.name, claim.value)).collect(),
        capacity: status.capacity.into_iter().map(|(name, quantity)| (name, quantity.0)).collect::<BTreeMap<_, _>>(),
        ..ClusterDetail::default()
    }
}

fn workload_row(row: &Row) -> WorkloadRow {
    let told: Workload = row.value.as_ref().and_then(|v| serde_json::from_str(v.get()).ok()).unwrap_or_default();
    let images = image_rows(&told);
    let trouble = told.trouble.unwrap_or_default();
    WorkloadRow {
        kind: told.kind,
        namespace: told.namespace,
        name: told.name,
        ready: told.ready,
        desired: told.desired,
        health: told.health,
        message: told.message,
        since: told.since,
        images,
        application: told.application.unwrap_or_default(),
        pod_reason: trouble.reason,
        pod_message: trouble.message,
    }
}

fn state_at(past: &records::Past) -> Option<StateAt> {
    let written: WrittenState = serde_json::from_str(past.value.as_ref()?.get()).ok()?;
    Some(StateAt { at: past.source.observed_at, state: written.state, reason: written.reason })
}

//! `GET /muster/v1/apps`: one row per Application and cluster.

use api::cluster::condition;
use api::conditions;
use api::hub::{AppRow, Page};
use api::report::{Application, Kind};
use apimachinery::status::Status;
use apiserver::Body;
use apiserver::user::UserInfo;
use controller::Key;
use http::Response;
use records::{Query, Row};

use super::params::Params;
use super::{check_viewer, unreadable};
use crate::endpoints::{self, Shared};

const FACETS: [&str; 8] = ["namespace", "name", "project", "repo", "revision", "sync", "health", "engine"];

pub async fn apps(shared: &Shared, user: &UserInfo, query: &str) -> Result<Response<Body>, Status> {
    check_viewer(shared, user).await?;
    let mut known = vec!["cluster", "search", "limit", "continue"];
    known.extend(FACETS);
    let params = Params::parse(query, &known)?;
    let mut wanted = Query::of(Kind::Application.as_str());
    wanted.clusters = params.all("cluster").cloned();
    wanted.search = params.one("search").unwrap_or_default().to_owned();
    wanted.limit = params.limit()?;
    wanted.after = params.one("continue").map(str::to_owned);
    for facet in FACETS {
        if let Some(values) = params.all(facet) {
            wanted.facets.insert(facet.to_owned(), values.clone());
        }
    }
    let listing = shared.records.list(wanted).await.map_err(unreadable)?;
    let items = listing.rows.into_iter().map(|row| to_row(shared, row)).collect();
    Ok(endpoints::json(&Page::<AppRow> { items, total: listing.total, next: listing.next, ..Page::default() }))
}

fn to_row(shared: &Shared, row: Row) -> AppRow {
    // What cannot be read shows as an application nothing is known of: it is not hidden.
    let app: Application = row.value.as_ref().and_then(|v| serde_json::from_str(v.get()).ok()).unwrap_or_default();
    let (namespace, name) = row.key.split_once('/').unwrap_or(("", &row.key));
    let cluster = shared.ctx.caches.clusters.get(&Key::cluster_scoped(&row.cluster));
    AppRow {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        repo: app.repo,
        path: app.path,
        target_revision: app.target_revision,
        revision: app.revision,
        sync: app.sync,
        health: app.health,
        sync_since: app.sync_since,
        health_since: app.health_since,
        operation: app.operation,
        message: app.message,
        engine: app.engine,
        resources_count: app.resources,
        seen_at: Some(row.source.observed_at),
        received_at: Some(row.source.received_at),
        is_current: cluster.is_some_and(|c| conditions::is_true(c.conditions(), condition::AVAILABLE)),
        cluster: row.cluster,
        ..AppRow::default()
    }
}

//! `GET /muster/v1/activity`: what happened, newest first.

use api::hub::{ActivityRow, Page};
use apimachinery::status::Status;
use apiserver::Body;
use http::Response;
use jiff::Timestamp;
use records::{HistoryQuery, Past};

use super::index::ACTIVITY;
use super::params::Params;
use super::{Question, unreadable};
use crate::endpoints;

/// Records looked through for one page; then the page ends, and goes on with the next.
const SCANNED_MAX: usize = 20_000;
const PIECE: usize = 1_000;

pub async fn list(asked: &Question<'_>) -> Result<Response<Body>, Status> {
    let params = Params::parse(asked.query, &["cluster", "app", "kind", "reason", "since", "limit", "continue"])?;
    let limit = params.limit()?;
    let since = match params.one("since") {
        Some(text) => Some(
            text.parse::<Timestamp>()
                .map_err(|_| Status::bad_request(format!("since {text:?} is no time such as 2026-01-31T12:00:00Z")))?,
        ),
        None => None,
    };
    let mut before = match params.start()? {
        0 => None,
        id => Some(id as u64),
    };
    let is_wanted = |row: &ActivityRow| {
        asked.viewer.sees(&row.cluster)
            && params.admits("cluster", &row.cluster)
            && params.admits("kind", &row.kind)
            && params.admits("reason", &row.reason)
            && params.all("app").is_none_or(|apps| row.kind == "Application" && apps.contains(&row.object))
    };
    let one_cluster = params.all("cluster").filter(|names| names.len() == 1).map(|names| names[0].clone());
    let mut items: Vec<ActivityRow> = Vec::new();
    let (mut scanned, mut next) = (0, None);
    'pages: loop {
        let query = HistoryQuery {
            kind: ACTIVITY.to_owned(),
            cluster_uid: Some(asked.shared.hub.uid.clone()),
            key: one_cluster.clone(),
            before,
            limit: PIECE,
        };
        let found = asked.shared.records.history(query).await.map_err(unreadable)?;
        let is_last = found.len() < PIECE;
        for past in &found {
            before = Some(past.id);
            scanned += 1;
            if since.is_some_and(|since| past.source.received_at < since) {
                break 'pages;
            }
            items.extend(row(past).filter(is_wanted));
            if items.len() == limit || scanned == SCANNED_MAX {
                next = Some(past.id.to_string());
                break 'pages;
            }
        }
        if is_last {
            break;
        }
    }
    let total = items.len() as u64;
    Ok(endpoints::json(&Page { items, total, next, as_of: Some(asked.now()), ..Page::default() }))
}

/// Returns what was written down.
pub fn row(past: &Past) -> Option<ActivityRow> {
    serde_json::from_str(past.value.as_ref()?.get()).ok()
}

//! `GET /muster/v1/activity`: what happened, newest first. Facets count what was looked through for the page.

use std::collections::BTreeMap;

use api::hub::{ActivityRow, Page};
use apimachinery::status::Status;
use apiserver::Body;
use http::Response;
use jiff::Timestamp;
use overview::activity::{KINDS, REASONS};
use records::{HistoryQuery, Past};

use super::index::ACTIVITY;
use super::params::Params;
use super::{Question, csv, unreadable};
use crate::endpoints;

/// Records looked through for one page; then the page ends, and goes on with the next.
const SCANNED_MAX: usize = 20_000;
const PIECE: usize = 1_000;
/// Rows of a CSV, of 200 bytes: 20 MB. The records keep little more.
const CSV_ROWS_MAX: usize = 100_000;
/// What rows are counted by, and the words that are offered even where none has them.
const FACETS: [(&str, &[&str]); 2] = [("kind", &KINDS), ("reason", &REASONS)];

pub async fn list(asked: &Question<'_>) -> Result<Response<Body>, Status> {
    let known = ["cluster", "app", "kind", "reason", "q", "since", "limit", "continue", "format"];
    let params = Params::parse(asked.query, &known)?;
    let is_csv = params.is_csv()?;
    let (limit, scanned_max) = if is_csv { (CSV_ROWS_MAX, usize::MAX) } else { (params.limit()?, SCANNED_MAX) };
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
    let wanted = Wanted { asked, params: &params, text: params.whole("q").unwrap_or_default().to_lowercase() };
    let one_cluster = params.all("cluster").filter(|names| names.len() == 1).map(|names| names[0].clone());
    let mut items: Vec<ActivityRow> = Vec::new();
    let mut counts = FACETS.map(|(_, words)| words.iter().map(|word| ((*word).to_owned(), 0)).collect::<BTreeMap<String, u64>>());
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
            items.extend(row(past).filter(|row| wanted.takes(row, &mut counts)));
            if items.len() == limit || scanned == scanned_max {
                next = Some(past.id.to_string());
                break 'pages;
            }
        }
        if is_last {
            break;
        }
    }
    if is_csv {
        return Ok(csv::activity(&items, next.is_some(), &params, asked));
    }
    let facets = FACETS.iter().zip(counts).map(|((facet, _), counts)| ((*facet).to_owned(), counts)).collect();
    let total = items.len() as u64;
    Ok(endpoints::json(&Page { items, total, next, facets, as_of: Some(asked.now()), ..Page::default() }))
}

/// Which rows are asked for.
struct Wanted<'a> {
    asked: &'a Question<'a>,
    params: &'a Params,
    text: String,
}

impl Wanted<'_> {
    /// Whether a row is; counts it by each facet without that facet's own filter, so that other values stay in sight.
    fn takes(&self, row: &ActivityRow, counts: &mut [BTreeMap<String, u64>; FACETS.len()]) -> bool {
        let is_admitted = self.asked.viewer.sees(&row.cluster)
            && self.params.admits("cluster", &row.cluster)
            && self.params.all("app").is_none_or(|apps| row.kind == "Application" && apps.contains(&row.object))
            && (self.text.is_empty()
                || [&row.cluster, &row.object, &row.message].iter().any(|said| said.to_lowercase().contains(&self.text)));
        let values = [&row.kind, &row.reason];
        let admitted: [bool; FACETS.len()] = std::array::from_fn(|at| self.params.admits(FACETS[at].0, values[at]));
        for at in 0..FACETS.len() {
            if is_admitted && (0..FACETS.len()).all(|other| other == at || admitted[other]) {
                *counts[at].entry(values[at].clone()).or_default() += 1;
            }
        }
        is_admitted && admitted.iter().all(|is| *is)
    }
}

/// Returns what was written down.
pub fn row(past: &Past) -> Option<ActivityRow> {
    serde_json::from_str(past.value.as_ref()?.get()).ok()
}

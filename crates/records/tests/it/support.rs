//! Short words for frames and intakes.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use records::{Appended, Facets, Frame, Intake, Listing, Options, Query, Records, Report, Retention, SqliteRecords};
use serde_json::value::RawValue;

/// Noon of some day, and so many seconds.
pub fn at(seconds: i64) -> Timestamp {
    "2026-11-23T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// A report of a state; `json` is its value, or empty for none.
pub fn report(sequence: u64, kind: &str, key: &str, json: &str) -> Frame {
    let value = (!json.is_empty()).then(|| RawValue::from_string(json.to_string()).unwrap());
    Frame::Report(Report {
        sequence,
        kind: kind.into(),
        key: key.into(),
        is_state: true,
        observed_at: at(sequence as i64),
        value,
        facets: Facets::new(),
    })
}

pub fn with_facets(frame: Frame, facets: &[(&str, &str)]) -> Frame {
    match frame {
        Frame::Report(report) => {
            let facets = facets.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            Frame::Report(Report { facets, ..report })
        }
        other => other,
    }
}

pub fn event(sequence: u64, key: &str) -> Frame {
    match report(sequence, "event", key, r#"{"it":"happened"}"#) {
        Frame::Report(report) => Frame::Report(Report { is_state: false, ..report }),
        other => other,
    }
}

/// Frames of cluster `c`, whose UID is `uid-c`.
pub fn intake(cluster: &str, incarnation: &str, frames: impl IntoIterator<Item = Frame>) -> Intake {
    Intake {
        cluster: cluster.into(),
        cluster_uid: format!("uid-{cluster}"),
        incarnation: incarnation.into(),
        received_at: at(1_000),
        skew_ms: Some(250),
        frames: frames.into_iter().collect(),
    }
}

pub fn appended(acknowledged: u64, new: usize) -> Appended {
    Appended { acknowledged, new, hole: None }
}

pub fn options() -> Options {
    Options { retention: Retention { incarnations_max: 3, ..Retention::default() }, ..Options::default() }
}

pub fn open(directory: &Path) -> SqliteRecords {
    SqliteRecords::open(directory, options()).expect("the records open")
}

pub async fn list(records: &dyn Records, query: Query) -> Listing {
    records.list(query).await.expect("the query is valid")
}

/// Lists all of a kind as `cluster key=value`.
pub async fn listed(records: &dyn Records, kind: &str) -> Vec<String> {
    describe(&list(records, Query::of(kind)).await)
}

pub fn describe(listing: &Listing) -> Vec<String> {
    let value = |row: &records::Row| row.value.as_ref().map_or("gone".to_string(), |value| value.get().to_string());
    listing.rows.iter().map(|row| format!("{} {}={}", row.cluster, row.key, value(row))).collect()
}

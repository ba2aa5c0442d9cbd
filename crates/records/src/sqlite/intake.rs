//! Takes one piece of a stream into the tables, within a transaction of the writer.
//!
//! The stream's `acknowledged` decides what is new; frames are taken in order up to the first hole.
//! Only the newest incarnation of a cluster changes the latest values.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{Appended, Error, FACETS_MAX, FRAMES_MAX, Facets, Frame, Intake, Report};

/// Refuses what no caller should send, before anything is written.
pub(super) fn validate(intake: &Intake) -> Result<(), Error> {
    let invalid = |what: String| Err(Error::Invalid(format!("reports of cluster {}: {what}", intake.cluster)));
    if intake.cluster_uid.is_empty() || intake.incarnation.is_empty() {
        return invalid("cluster_uid and incarnation must not be empty".to_string());
    }
    if intake.frames.len() > FRAMES_MAX {
        return invalid(format!("{} frames at once, at most {FRAMES_MAX} are allowed; send fewer", intake.frames.len()));
    }
    for frame in &intake.frames {
        let (first, last) = frame.sequences();
        if first == 0 || last < first || last > i64::MAX as u64 {
            return invalid(format!("sequences {first} to {last} are no range; they start at 1 and rise"));
        }
        if let Frame::Report(report) = frame
            && report.facets.len() > FACETS_MAX
        {
            return invalid(format!("{} {} has {} facets, at most {FACETS_MAX} are allowed", report.kind, report.key, report.facets.len()));
        }
    }
    Ok(())
}

/// The stream as it is during one intake.
struct Position {
    ordinal: i64,
    is_newest: bool,
    acknowledged: u64,
}

pub(super) fn take(transaction: &Connection, intake: &Intake, version: u64) -> rusqlite::Result<Appended> {
    let mut position = open_stream(transaction, intake)?;
    let mut appended = Appended { acknowledged: position.acknowledged, ..Appended::default() };
    for frame in &intake.frames {
        let (first, last) = frame.sequences();
        if last <= position.acknowledged {
            continue;
        }
        let expected = position.acknowledged + 1;
        if first > expected {
            appended.hole = Some((expected, first - 1));
            break;
        }
        match frame {
            Frame::Report(report) => take_report(transaction, intake, &position, report, version)?,
            Frame::Gap { to, reason, .. } => {
                let row = params![intake.cluster_uid, intake.incarnation, expected, to, reason, intake.received_at.as_millisecond()];
                transaction.prepare_cached("INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?, ?, ?)")?.execute(row)?;
            }
            Frame::Complete { sequence, kind, since } => take_complete(transaction, intake, &position, (*sequence, kind, *since), version)?,
        }
        position.acknowledged = last;
        appended.new += 1;
    }
    appended.acknowledged = position.acknowledged;
    let sql = "UPDATE stream SET cluster = ?, acknowledged = ?, last_received_at = max(last_received_at, ?), skew_ms = coalesce(?, skew_ms)
               WHERE cluster_uid = ? AND incarnation = ?";
    let received_at = intake.received_at.as_millisecond();
    let row = params![intake.cluster, position.acknowledged, received_at, intake.skew_ms, intake.cluster_uid, intake.incarnation];
    transaction.prepare_cached(sql)?.execute(row)?;
    Ok(appended)
}

fn open_stream(transaction: &Connection, intake: &Intake) -> rusqlite::Result<Position> {
    let newest: i64 = transaction
        .prepare_cached("SELECT coalesce(max(ordinal), 0) FROM stream WHERE cluster_uid = ?")?
        .query_row([&intake.cluster_uid], |row| row.get(0))?;
    let known = transaction
        .prepare_cached("SELECT ordinal, acknowledged FROM stream WHERE cluster_uid = ? AND incarnation = ?")?
        .query_row([&intake.cluster_uid, &intake.incarnation], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((ordinal, acknowledged)) = known {
        return Ok(Position { ordinal, is_newest: ordinal == newest, acknowledged });
    }
    let received_at = intake.received_at.as_millisecond();
    let row = params![intake.cluster_uid, intake.incarnation, newest + 1, intake.cluster, received_at, received_at, intake.skew_ms];
    transaction.prepare_cached("INSERT INTO stream VALUES (?, ?, ?, ?, 0, ?, ?, ?)")?.execute(row)?;
    Ok(Position { ordinal: newest + 1, is_newest: true, acknowledged: 0 })
}

fn take_report(transaction: &Connection, intake: &Intake, position: &Position, report: &Report, version: u64) -> rusqlite::Result<()> {
    let value = report.value.as_ref().map(|value| value.get());
    let (observed_at, received_at) = (report.observed_at.as_millisecond(), intake.received_at.as_millisecond());
    let sql = "INSERT INTO history (kind, cluster_uid, key, cluster, incarnation, sequence, observed_at, received_at, skew_ms, value)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    transaction.prepare_cached(sql)?.execute(params![
        report.kind,
        intake.cluster_uid,
        report.key,
        intake.cluster,
        intake.incarnation,
        report.sequence,
        observed_at,
        received_at,
        intake.skew_ms,
        value
    ])?;
    if !report.is_state || !position.is_newest {
        return Ok(());
    }
    let nothing = Facets::new();
    let facets = if value.is_some() { &report.facets } else { &nothing };
    let before: Option<(i64, String)> = transaction
        .prepare_cached("SELECT id, facets FROM latest WHERE kind = ? AND cluster_uid = ? AND key = ?")?
        .query_row([&report.kind, &intake.cluster_uid, &report.key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if before.is_none() && value.is_none() {
        return Ok(());
    }
    let text = serde_json::to_string(facets).expect("a map of strings is JSON");
    let sql = "INSERT INTO latest (kind, cluster_uid, key, cluster, ordinal, incarnation, sequence, observed_at, received_at, skew_ms, version, facets, value, is_live)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13 IS NOT NULL)
               ON CONFLICT (kind, cluster_uid, key) DO UPDATE SET cluster = excluded.cluster, ordinal = excluded.ordinal,
                   incarnation = excluded.incarnation, sequence = excluded.sequence, observed_at = excluded.observed_at,
                   received_at = excluded.received_at, skew_ms = excluded.skew_ms, version = excluded.version,
                   facets = excluded.facets, value = excluded.value, is_live = excluded.is_live
               WHERE (excluded.ordinal, excluded.sequence) > (latest.ordinal, latest.sequence)
               RETURNING id";
    let id = transaction
        .prepare_cached(sql)?
        .query_row(
            params![
                report.kind,
                intake.cluster_uid,
                report.key,
                intake.cluster,
                position.ordinal,
                intake.incarnation,
                report.sequence,
                observed_at,
                received_at,
                intake.skew_ms,
                version,
                text,
                value
            ],
            |row| row.get::<_, i64>(0),
        )
        .optional()?;
    match (id, before) {
        (None, _) => Ok(()),
        (Some(_), Some((_, before))) if before == text => Ok(()),
        (Some(id), before) => index_facets(transaction, &report.kind, id, before.map(|(_, facets)| facets), facets),
    }
}

/// Replaces the words under which a row is found.
fn index_facets(transaction: &Connection, kind: &str, id: i64, before: Option<String>, facets: &Facets) -> rusqlite::Result<()> {
    let before: Facets = before.and_then(|before| serde_json::from_str(&before).ok()).unwrap_or_default();
    let mut delete = transaction.prepare_cached("DELETE FROM facet WHERE kind = ? AND name = ? AND value = ? AND latest = ?")?;
    for (name, value) in before.iter().filter(|(name, value)| facets.get(*name) != Some(*value)) {
        delete.execute(params![kind, name, value, id])?;
    }
    let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO facet VALUES (?, ?, ?, ?)")?;
    for (name, value) in facets.iter().filter(|(name, value)| before.get(*name) != Some(*value)) {
        insert.execute(params![kind, name, value, id])?;
    }
    Ok(())
}

/// Marks as gone what a complete account of a kind did not mention.
fn take_complete(
    transaction: &Connection,
    intake: &Intake,
    position: &Position,
    (sequence, kind, since): (u64, &str, u64),
    version: u64,
) -> rusqlite::Result<()> {
    if !position.is_newest {
        return Ok(());
    }
    let stale = "kind = ? AND cluster_uid = ? AND value IS NOT NULL AND (ordinal < ? OR sequence < ?)";
    let which = params![kind, intake.cluster_uid, position.ordinal, since];
    let mut rows = transaction.prepare_cached(&format!("SELECT id, facets FROM latest WHERE {stale}"))?;
    let rows = rows.query_map(which, |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    let sql = "UPDATE latest SET value = NULL, is_live = 0, facets = '{}', ordinal = ?, incarnation = ?, sequence = ?, received_at = ?, skew_ms = ?, version = ?
               WHERE id = ?";
    let mut update = transaction.prepare_cached(sql)?;
    for (id, facets) in rows {
        let received_at = intake.received_at.as_millisecond();
        update.execute(params![position.ordinal, intake.incarnation, sequence, received_at, intake.skew_ms, version, id])?;
        index_facets(transaction, kind, id, Some(facets), &Facets::new())?;
    }
    Ok(())
}

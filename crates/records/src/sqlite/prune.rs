//! Removes what is older than the retention allows, and clusters that left.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::{Pruned, Retention};

pub(super) fn prune(transaction: &Connection, retention: &Retention, now: Timestamp) -> rusqlite::Result<Pruned> {
    let before = |age: jiff::SignedDuration| now.checked_sub(age).unwrap_or(Timestamp::MIN).as_millisecond();
    let mut pruned = Pruned {
        history: transaction.execute("DELETE FROM history WHERE received_at < ?", [before(retention.history_age_max)])?,
        ..Pruned::default()
    };
    let newest: Option<i64> = transaction.query_row("SELECT max(id) FROM history", [], |row| row.get(0))?;
    let oldest = newest.unwrap_or(0).saturating_sub(i64::try_from(retention.history_rows_max).unwrap_or(i64::MAX));
    pruned.history += transaction.execute("DELETE FROM history WHERE id <= ?", [oldest])?;
    pruned.deleted =
        transaction.execute("DELETE FROM latest WHERE value IS NULL AND received_at < ?", [before(retention.deleted_age_max)])?;
    pruned.gaps = transaction.execute("DELETE FROM gap WHERE received_at < ?", [before(retention.gap_age_max)])?;
    let sql = "DELETE FROM stream WHERE ordinal <= (SELECT max(ordinal) FROM stream AS s WHERE s.cluster_uid = stream.cluster_uid) - ?";
    pruned.streams = transaction.execute(sql, [retention.incarnations_max.max(1)])?;
    Ok(pruned)
}

/// Marks everything of a cluster as gone. Should it come back, its streams start anew (ordinal 1) and count again.
pub(super) fn forget(transaction: &Connection, cluster_uid: &str, now: Timestamp, version: u64) -> rusqlite::Result<()> {
    let facets = "DELETE FROM facet WHERE (kind, name, value, latest) IN (
        SELECT latest.kind, word.key, word.value, latest.id FROM latest, json_each(latest.facets) AS word WHERE cluster_uid = ?)";
    transaction.execute(facets, [cluster_uid])?;
    let latest =
        "UPDATE latest SET ordinal = 0, received_at = ?, version = ?, facets = '{}', value = NULL, is_live = 0 WHERE cluster_uid = ?";
    transaction.execute(latest, params![now.as_millisecond(), version, cluster_uid])?;
    transaction.execute("DELETE FROM gap WHERE cluster_uid = ?", [cluster_uid])?;
    transaction.execute("DELETE FROM stream WHERE cluster_uid = ?", [cluster_uid])?;
    Ok(())
}

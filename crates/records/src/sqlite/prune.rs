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
    pruned.history += prune_history(transaction, retention.history_rows_max)?;
    pruned.deleted =
        transaction.execute("DELETE FROM latest WHERE value IS NULL AND received_at < ?", [before(retention.deleted_age_max)])?;
    pruned.gaps = transaction.execute("DELETE FROM gap WHERE received_at < ?", [before(retention.gap_age_max)])?;
    let sql = "DELETE FROM stream WHERE ordinal <= (SELECT max(ordinal) FROM stream AS s WHERE s.cluster_uid = stream.cluster_uid) - ?";
    pruned.streams = transaction.execute(sql, [retention.incarnations_max.max(1)])?;
    Ok(pruned)
}

/// Removes the oldest rows of clusters that have more than their share.
fn prune_history(transaction: &Connection, rows_max: u64) -> rusqlite::Result<usize> {
    let total: u64 = transaction.query_row("SELECT count(*) FROM history", [], |row| row.get(0))?;
    if total <= rows_max {
        return Ok(0);
    }
    // By name: what the hub itself writes down is of the cluster that it is about.
    let mut counted = transaction.prepare("SELECT cluster, count(*) FROM history GROUP BY cluster")?;
    let counts = counted.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<(String, u64)>>>()?;
    let share = fair_share(counts.iter().map(|(_, count)| *count).collect(), rows_max);
    // All in one pass: history is not kept in order of clusters.
    let sql = "DELETE FROM history WHERE id IN (
        SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY cluster ORDER BY id DESC) AS age FROM history) WHERE age > ?)";
    transaction.execute(sql, [i64::try_from(share).unwrap_or(i64::MAX)])
}

/// Returns the most rows one may have so that all together have no more than `most`; what some do not need the others get.
fn fair_share(mut counts: Vec<u64>, most: u64) -> u64 {
    counts.sort_unstable();
    let mut left = most;
    for (index, count) in counts.iter().enumerate() {
        let share = left / (counts.len() - index) as u64;
        if *count > share {
            return share;
        }
        left -= count;
    }
    u64::MAX
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

#[cfg(test)]
mod tests {
    use super::fair_share;

    #[test]
    fn who_has_little_keeps_it_and_who_has_much_shares_the_rest() {
        let check = |counts: &[u64], most: u64, expect: u64| assert_eq!(fair_share(counts.to_vec(), most), expect, "{counts:?}");
        check(&[10, 20, 30], 100, u64::MAX);
        check(&[1000], 100, 100);
        check(&[10, 1000], 100, 90);
        check(&[10, 1000, 2000], 100, 45);
        check(&[1000, 5, 1000, 5], 0, 0);
        check(&[], 100, u64::MAX);
    }
}

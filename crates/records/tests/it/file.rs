//! The file: durable before acknowledged, reopened, and refused when it is newer.

use records::{Error, Options, Records, Retention, SqliteRecords};

use crate::support::{appended, event, intake, listed, open, options, report};

#[tokio::test]
async fn what_is_acknowledged_is_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let records = open(directory.path());
    for sequence in 1..=20 {
        records.append(intake("c", "i1", [report(sequence, "app", "a", &sequence.to_string())])).await.unwrap();
        // As after a power loss at this moment.
        let image = tempfile::tempdir().unwrap();
        for name in ["records.db", "records.db-wal"] {
            std::fs::copy(directory.path().join(name), image.path().join(name)).unwrap();
        }
        let recovered = open(image.path());
        assert_eq!(recovered.acknowledged("uid-c", "i1").await, Ok(sequence));
        assert_eq!(listed(&recovered, "app").await, [format!("c a={sequence}")]);
    }
}

#[tokio::test]
async fn reopened_records_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let records = open(directory.path());
    records.append(intake("c", "i1", [report(1, "app", "a", "1")])).await.unwrap();
    let version = *records.version().borrow();
    records.close();
    assert_eq!(records.append(intake("c", "i1", [])).await, Err(Error::Closed));
    assert_eq!(listed(&records, "app").await, ["c a=1"], "reads go on");
    drop(records);
    let records = open(directory.path());
    assert_eq!(*records.version().borrow(), version);
    assert_eq!(records.append(intake("c", "i1", [report(2, "app", "a", "2")])).await, Ok(appended(2, 1)));
    assert!(*records.version().borrow() > version);
}

#[tokio::test]
async fn a_newer_or_foreign_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.db");
    let refusal = || SqliteRecords::open(directory.path(), options()).err().map(|error| error.to_string()).unwrap_or_default();
    drop(open(directory.path()));
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(refusal().contains("it has format 99, this program knows up to 1"), "{}", refusal());
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(refusal().contains("is not muster's records"), "{}", refusal());
}

#[tokio::test]
async fn a_failed_commit_takes_nothing_and_can_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let records = open(directory.path());
    records.append(intake("c", "i1", [report(1, "app", "a", "1")])).await.unwrap();
    let other = rusqlite::Connection::open(directory.path().join("records.db")).unwrap();
    other.execute_batch("CREATE TRIGGER refuse BEFORE INSERT ON history BEGIN SELECT RAISE(FAIL, 'no more'); END").unwrap();
    let failed = records.append(intake("c", "i1", [report(2, "app", "a", "2")])).await;
    assert!(matches!(&failed, Err(Error::Unwritable(text)) if text.contains("no more")), "{failed:?}");
    assert_eq!(listed(&records, "app").await, ["c a=1"]);
    assert_eq!(records.acknowledged("uid-c", "i1").await, Ok(1));
    other.execute_batch("DROP TRIGGER refuse").unwrap();
    assert_eq!(records.append(intake("c", "i1", [report(2, "app", "a", "2")])).await, Ok(appended(2, 1)));
}

#[tokio::test]
async fn the_retention_is_applied_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { history_rows_max: 100, ..Retention::default() };
    let limits = Options { retention, prune_every_frames: 50, ..options() };
    let records = SqliteRecords::open(directory.path(), limits).unwrap();
    for first in (1..=1_000).step_by(10) {
        records.append(intake("c", "i1", (first..first + 10).map(|n| event(n, "e")))).await.unwrap();
    }
    let left = records.history(records::HistoryQuery { kind: "event".into(), ..Default::default() }).await.unwrap();
    assert!((100..150).contains(&left.len()), "{}", left.len());
}

#[tokio::test]
async fn a_cluster_that_flaps_forgets_its_own_past_and_not_others() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { history_rows_max: 100, ..Retention::default() };
    let records = SqliteRecords::open(directory.path(), Options { retention, ..options() }).unwrap();
    for quiet in ["quiet", "still"] {
        records.append(intake(quiet, "i1", (1..=20).map(|n| event(n, "e")))).await.unwrap();
    }
    records.append(intake("flaps", "i1", (1..=1_000).map(|n| event(n, "e")))).await.unwrap();
    records.prune(crate::support::at(1_000)).await.unwrap();
    let left = async |cluster: &str| {
        let query = records::HistoryQuery { kind: "event".into(), cluster_uid: Some(format!("uid-{cluster}")), ..Default::default() };
        records.history(query).await.unwrap().iter().map(|past| past.source.sequence).collect::<Vec<_>>()
    };
    assert_eq!((left("quiet").await.len(), left("still").await.len()), (20, 20));
    assert_eq!(left("flaps").await, (941..=1_000).rev().collect::<Vec<_>>());
}

//! A disk that is full or fails: writes are refused, reads go on, and it heals.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use store::{Error, Options, SqliteStore, Store};

use crate::support::{CHILD_DIRECTORY, child, lazy, options, set, sqlite, value_at};

#[tokio::test]
async fn a_full_file_refuses_writes_until_compaction_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Options { size_bytes_max: Some(256 << 10), ..options() };
    let store = SqliteStore::open(directory.path(), limits).unwrap();
    let mut written = 0;
    let failure = loop {
        match store.write(set("a", format!("{written} {}", "x".repeat(10_000)))).await {
            Ok(entry) => written = entry.revision,
            Err(error) => break error,
        }
    };
    assert!(matches!(&failure, Error::Unwritable(reason) if reason.contains("no space left")), "{failure}");
    assert!(written > 10);
    assert_eq!(store.revision(), written, "the failed write is not visible");
    assert!(value_at(&store, "a", None).unwrap().starts_with(&format!("{} ", written - 1)));
    assert_eq!(store.events_after("", 0).unwrap().len() as u64, written);

    store.compact(written).await.unwrap();
    let next = store.write(set("a", "there is room again")).await.unwrap();
    assert!(next.revision > written);
    drop(store);
    let store = sqlite(directory.path());
    assert_eq!(value_at(&store, "a", None).as_deref(), Some("there is room again"));
    assert_eq!(store.revision(), next.revision);
}

#[tokio::test]
async fn writes_that_fail_together_all_hear_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Options { size_bytes_max: Some(64 << 10), ..options() };
    let store = SqliteStore::open(directory.path(), limits).unwrap();
    store.write(set("a", "1")).await.unwrap();
    let big = (0..8).map(|n| store.write(set(&format!("big{n}"), vec![b'x'; 20_000])));
    let outcomes = futures::future::join_all(big).await;
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert!(refused.iter().all(|outcome| matches!(outcome, Err(Error::Unwritable(_)))), "{refused:?}");
    assert!(!refused.is_empty());
    assert_eq!(store.count("big"), done.len());
    assert!(store.stats().commits_failed > 0);
    drop(store);
    let store = sqlite(directory.path());
    assert_eq!((store.count("big"), store.count("a")), (done.len(), 1));
}

/// Answers on standard output what became of a write for each line on standard input.
#[tokio::test]
#[ignore = "run by the parent test in a process of its own"]
async fn child_writes_on_demand() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else { return };
    let store = sqlite(directory.as_ref());
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let write = set("a", line.trim().repeat(50_000));
        let write = if line.starts_with('l') { lazy(write) } else { write };
        let answer = match store.write(write).await {
            Ok(entry) => format!("done {}", entry.revision),
            Err(error) => format!("refused {error}"),
        };
        println!("{answer}; reads {}", store.get("a", None).unwrap().map_or(0, |entry| entry.revision));
    }
}

/// The operating system refuses the bytes (a limit on file size), then allows them again.
#[test]
fn a_failing_file_system_heals() {
    let has =
        |program| Command::new("sh").args(["-c", &format!("command -v {program}")]).output().is_ok_and(|found| found.status.success());
    if !has("prlimit") {
        println!("skipped: not present: prlimit");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let command = child("full::child_writes_on_demand", directory.path());
    let mut shell = Command::new("sh");
    // The signal would end the process; ignored, the write fails with EFBIG instead.
    shell.args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh"]).arg(command.get_program()).args(command.get_args());
    shell.env(CHILD_DIRECTORY, directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    let mut ask = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).filter(|line| line.contains("; reads "));
    let mut write = |word: &str| {
        writeln!(ask, "{word}").unwrap();
        answers.next().expect("the child answers")
    };
    let limit = |bytes: &str| {
        let limit = Command::new("prlimit").args(["--pid", &child.id().to_string(), &format!("--fsize={bytes}:")]).status().unwrap();
        assert!(limit.success());
    };
    assert_eq!(write("d"), "done 1; reads 1");
    limit("150000");
    for _ in 0..3 {
        while let answer = write("d")
            && !answer.starts_with("refused failed to write the store")
        {
            assert!(answer.starts_with("done"), "{answer}");
        }
    }
    let refused = write("d");
    let visible: u64 = refused.rsplit(' ').next().unwrap().parse().unwrap();
    limit("unlimited");
    let healed = write("d");
    let revision: u64 = healed.split([' ', ';']).nth(1).unwrap().parse().unwrap_or_else(|_| panic!("{healed}"));
    assert!(revision > visible);
    drop(ask);
    child.wait().unwrap();
    let store = sqlite(directory.path());
    assert_eq!(store.get("a", None).unwrap().unwrap().revision, revision);
    assert_eq!(store.events_after("", 0).unwrap().len() as u64, visible + 1, "nothing of the refused writes is left");
}

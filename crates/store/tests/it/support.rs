//! Short words for writes, and stores to try them on.

use std::path::Path;
use std::sync::Arc;

use store::{Change, Durability, Entry, Error, Expect, MemoryStore, Options, Retention, Revision, SqliteStore, Store, Template, Write};

pub fn put(key: &str, value: impl Into<Vec<u8>>, expect: Expect) -> Write {
    Write { key: key.into(), expect, change: Change::Put(Template::plain(value)), durability: Durability::Durable }
}

pub fn set(key: &str, value: impl Into<Vec<u8>>) -> Write {
    put(key, value, Expect::Anything)
}

pub fn delete(key: &str, expect: Expect) -> Write {
    Write { key: key.into(), expect, change: Change::Delete(Template::plain("last")), durability: Durability::Durable }
}

pub fn lazy(write: Write) -> Write {
    Write { durability: Durability::Lazy, ..write }
}

pub fn options() -> Options {
    Options { retention: Retention::unbounded(), ..Options::default() }
}

pub fn sqlite(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory, options()).expect("the store opens")
}

/// A store of one kind, and what keeps it alive.
pub struct Subject {
    pub store: Arc<dyn Store>,
    _directory: Option<tempfile::TempDir>,
}

pub fn in_memory() -> Subject {
    Subject { store: Arc::new(MemoryStore::new(Retention::unbounded())), _directory: None }
}

pub fn on_disk() -> Subject {
    let directory = tempfile::tempdir().expect("a temporary directory");
    Subject { store: Arc::new(sqlite(directory.path())), _directory: Some(directory) }
}

pub fn value_at(store: &dyn Store, key: &str, at: Option<Revision>) -> Option<String> {
    store.get(key, at).expect("the revision is readable").map(|entry| text(&entry))
}

pub fn text(entry: &Entry) -> String {
    String::from_utf8(entry.value.to_vec()).expect("test values are text")
}

pub fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.key).collect()
}

/// Describes a result on one line, for comparing.
pub fn outcome(result: Result<Entry, Error>) -> String {
    match result {
        Ok(entry) => format!("{}={} @{} from {}", entry.key, text(&entry), entry.revision, entry.created),
        Err(Error::Unexpected(Some(entry))) => format!("unexpected {} @{}", text(&entry), entry.revision),
        Err(Error::Unexpected(None)) => "unexpected nothing".to_string(),
        Err(error) => error.to_string(),
    }
}

/// Copies a store's files as they are on disk now: what a power loss would leave.
pub fn crash_image(directory: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().expect("a temporary directory");
    for name in ["store.db", "store.db-wal"] {
        let from = directory.join(name);
        if from.exists() {
            std::fs::copy(from, image.path().join(name)).expect("the file is copied");
        }
    }
    image
}

/// Waits until something is so; a minute is longer than anything here takes.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed().as_secs() < 60, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// Runs one ignored test of this binary in a process of its own.
pub fn child(test: &str, directory: &Path) -> std::process::Command {
    let program = std::env::current_exe().expect("the test binary has a path");
    let mut command = std::process::Command::new(program);
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(CHILD_DIRECTORY, directory);
    command
}

/// Where a child process finds its store; without it the child's test does nothing.
pub const CHILD_DIRECTORY: &str = "STORE_TEST_DIRECTORY";

//! Records in one SQLite file: one thread writes, several connections read.
//!
//! The writer takes whatever is queued, up to a batch, into one transaction (WAL, `synchronous=FULL`) and answers after its commit.
//! Reads run on the runtime's blocking threads, at most `readers` at a time, and see whole commits only.

mod intake;
mod prune;
mod query;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::{Appended, Error, Gap, HistoryQuery, Intake, Listing, Past, Pruned, Query, Records, Retention, Row, Stream};

/// Limits of records in SQLite.
#[derive(Clone, Debug)]
pub struct Options {
    pub retention: Retention,
    /// Requests waiting for the writer; callers wait for room.
    pub queue_max: usize,
    /// Frames that one transaction takes; a larger intake has one to itself.
    pub batch_frames_max: usize,
    /// Reads at a time; more wait.
    pub readers: usize,
    /// The retention is applied after this many frames.
    pub prune_every_frames: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { retention: Retention::default(), queue_max: 256, batch_frames_max: 4_096, readers: 4, prune_every_frames: 20_000 }
    }
}

/// From one commit to the next, at least: what comes meanwhile goes with the next, since a commit costs the same for one report
/// as for a hundred. What comes after a pause is committed at once.
const COMMIT_EVERY: Duration = Duration::from_millis(5);

type Answer<T> = oneshot::Sender<Result<T, Error>>;

enum Request {
    Append(Intake, Answer<Appended>),
    Forget(String, Timestamp, Answer<()>),
    Prune(Timestamp, Answer<Pruned>),
}

/// Records in a file. Dropping it finishes what is queued.
pub struct SqliteRecords {
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    version: watch::Receiver<u64>,
    readers: Arc<Readers>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Connections that nobody uses at the moment.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    turns: Semaphore,
}

impl SqliteRecords {
    /// Opens or creates the file `records.db` of a directory, and brings its format up to date. Blocks.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<SqliteRecords, Error> {
        let path = directory.as_ref().join("records.db");
        let unopenable = |reason: String| Error::Unopenable { path: path.display().to_string(), reason };
        std::fs::create_dir_all(directory.as_ref()).map_err(|error| unopenable(error.to_string()))?;
        let connection = schema::open(&path).map_err(|error| unopenable(error.to_string()))?;
        let version = query::version(&connection).map_err(|error| unopenable(error.to_string()))?;
        let (announce, announced) = watch::channel(version);
        let (requests, queue) = mpsc::channel(options.queue_max.max(1));
        let readers = Readers { path: path.clone(), idle: Mutex::default(), turns: Semaphore::new(options.readers.max(1)) };
        let writer = Writer { connection, queue, version, announce, options, frames_since_prune: 0 };
        let thread = std::thread::Builder::new().name("records".into()).spawn(move || writer.run());
        let writer = Mutex::new(Some(thread.map_err(|error| unopenable(error.to_string()))?));
        Ok(SqliteRecords { requests: Mutex::new(Some(requests)), version: announced, readers: Arc::new(readers), writer })
    }

    /// Refuses further writes and finishes those queued. Blocks.
    pub fn close(&self) {
        *self.requests.lock() = None;
        if let Some(thread) = self.writer.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the records panicked");
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.lock().clone().ok_or(Error::Closed)?;
        requests.send(request(answer)).await.map_err(|_| Error::Closed)?;
        drop(requests);
        answered.await.map_err(|_| Error::Closed)?
    }

    async fn read<T, F>(&self, question: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let readers = self.readers.clone();
        let _turn = self.readers.turns.acquire().await.map_err(|_| Error::Closed)?;
        let answer = tokio::task::spawn_blocking(move || {
            let idle = readers.idle.lock().pop();
            let connection = idle.map_or_else(|| schema::open_reader(&readers.path), Ok).map_err(query::unreadable)?;
            let answer = question(&connection);
            // A connection that failed may be what failed: the next read opens another.
            if !matches!(answer, Err(Error::Unreadable(_))) {
                readers.idle.lock().push(connection);
            }
            answer
        });
        answer.await.map_err(|error| Error::Unreadable(error.to_string()))?
    }
}

impl Drop for SqliteRecords {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Records for SqliteRecords {
    async fn append(&self, intake: Intake) -> Result<Appended, Error> {
        intake::validate(&intake)?;
        self.ask(|answer| Request::Append(intake, answer)).await
    }

    async fn acknowledged(&self, cluster_uid: &str, incarnation: &str) -> Result<u64, Error> {
        let (cluster_uid, incarnation) = (cluster_uid.to_string(), incarnation.to_string());
        self.read(move |connection| query::acknowledged(connection, &cluster_uid, &incarnation).map_err(query::unreadable)).await
    }

    async fn list(&self, query: Query) -> Result<Listing, Error> {
        self.read(move |connection| query::list(connection, &query)).await
    }

    async fn get(&self, kind: &str, cluster_uid: &str, key: &str) -> Result<Option<Row>, Error> {
        let [kind, cluster_uid, key] = [kind, cluster_uid, key].map(str::to_string);
        self.read(move |connection| query::get(connection, &kind, &cluster_uid, &key).map_err(query::unreadable)).await
    }

    async fn count_by(&self, query: Query, facet: &str) -> Result<BTreeMap<String, u64>, Error> {
        let facet = facet.to_string();
        self.read(move |connection| query::count_by(connection, &query, &facet).map_err(query::unreadable)).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<Vec<Past>, Error> {
        self.read(move |connection| query::history(connection, &query).map_err(query::unreadable)).await
    }

    async fn streams(&self) -> Result<Vec<Stream>, Error> {
        self.read(|connection| query::streams(connection).map_err(query::unreadable)).await
    }

    async fn gaps(&self, cluster_uid: &str) -> Result<Vec<Gap>, Error> {
        let cluster_uid = cluster_uid.to_string();
        self.read(move |connection| query::gaps(connection, &cluster_uid).map_err(query::unreadable)).await
    }

    async fn forget(&self, cluster_uid: &str, now: Timestamp) -> Result<(), Error> {
        let cluster_uid = cluster_uid.to_string();
        self.ask(|answer| Request::Forget(cluster_uid, now, answer)).await
    }

    async fn prune(&self, now: Timestamp) -> Result<Pruned, Error> {
        self.ask(|answer| Request::Prune(now, answer)).await
    }

    fn version(&self) -> watch::Receiver<u64> {
        self.version.clone()
    }
}

struct Writer {
    connection: Connection,
    queue: mpsc::Receiver<Request>,
    /// Of the last commit.
    version: u64,
    announce: watch::Sender<u64>,
    options: Options,
    frames_since_prune: usize,
}

/// Returns how long the next commit waits for company, so long after the last.
fn pause(since_last: Option<Duration>) -> Duration {
    since_last.map_or(Duration::ZERO, |since| COMMIT_EVERY.saturating_sub(since))
}

/// What a request is answered when the transaction is committed.
enum Outcome {
    Appended(Appended),
    Forgot,
    Pruned(Pruned),
}

impl Request {
    fn frames(&self) -> usize {
        match self {
            Request::Append(intake, _) => intake.frames.len(),
            Request::Forget(..) | Request::Prune(..) => 1,
        }
    }

    fn received_at(&self) -> Option<Timestamp> {
        match self {
            Request::Append(intake, _) => Some(intake.received_at),
            Request::Forget(..) | Request::Prune(..) => None,
        }
    }

    /// Answers who still waits.
    fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Request::Append(_, answer), Outcome::Appended(appended)) => drop(answer.send(Ok(appended))),
            (Request::Forget(_, _, answer), Outcome::Forgot) => drop(answer.send(Ok(()))),
            (Request::Prune(_, answer), Outcome::Pruned(pruned)) => drop(answer.send(Ok(pruned))),
            (Request::Append(..) | Request::Forget(..) | Request::Prune(..), _) => unreachable!("each request has its own outcome"),
        }
    }

    fn fail(self, error: &Error) {
        match self {
            Request::Append(_, answer) => drop(answer.send(Err(error.clone()))),
            Request::Forget(_, _, answer) => drop(answer.send(Err(error.clone()))),
            Request::Prune(_, answer) => drop(answer.send(Err(error.clone()))),
        }
    }
}

impl Writer {
    fn run(mut self) {
        let mut committed: Option<Instant> = None;
        while let Some(first) = self.queue.blocking_recv() {
            if !self.queue.is_closed() {
                std::thread::sleep(pause(committed.map(|at| at.elapsed())));
            }
            let batch = self.batch(first);
            self.commit(batch);
            committed = Some(Instant::now());
        }
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "failed to checkpoint the records");
        }
    }

    /// Takes what is queued, up to the limit of a transaction.
    fn batch(&mut self, first: Request) -> Vec<Request> {
        let mut frames = first.frames();
        let mut batch = vec![first];
        while frames < self.options.batch_frames_max
            && let Ok(request) = self.queue.try_recv()
        {
            frames += request.frames();
            batch.push(request);
        }
        batch
    }

    fn commit(&mut self, batch: Vec<Request>) {
        match self.try_commit(&batch) {
            Ok(outcomes) => {
                self.announce.send_replace(self.version);
                for (request, outcome) in batch.into_iter().zip(outcomes) {
                    request.answer(outcome);
                }
            }
            Err(error) => {
                tracing::error!(%error, requests = batch.len(), "failed to write records");
                let error = Error::Unwritable(format!("{error}; nothing was taken, it can be sent again"));
                for request in batch {
                    request.fail(&error);
                }
            }
        }
    }

    fn try_commit(&mut self, batch: &[Request]) -> rusqlite::Result<Vec<Outcome>> {
        let version = self.version + 1;
        let frames: usize = batch.iter().map(Request::frames).sum();
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for request in batch {
            outcomes.push(match request {
                Request::Append(intake, _) => Outcome::Appended(intake::take(&transaction, intake, version)?),
                Request::Forget(cluster_uid, now, _) => {
                    prune::forget(&transaction, cluster_uid, *now, version)?;
                    Outcome::Forgot
                }
                Request::Prune(now, _) => Outcome::Pruned(prune::prune(&transaction, &self.options.retention, *now)?),
            });
        }
        let now = batch.iter().filter_map(Request::received_at).max();
        let is_prune_due = self.frames_since_prune + frames >= self.options.prune_every_frames;
        if let Some(now) = now.filter(|_| is_prune_due) {
            prune::prune(&transaction, &self.options.retention, now)?;
        }
        transaction.prepare_cached("UPDATE meta SET value = ? WHERE name = 'version'")?.execute([version])?;
        transaction.commit()?;
        self.version = version;
        self.frames_since_prune = if is_prune_due { 0 } else { self.frames_since_prune + frames };
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_soon_after_a_commit_waits_for_company_and_what_comes_later_does_not() {
        let ms = Duration::from_millis;
        let since = [None, Some(ms(0)), Some(ms(2)), Some(COMMIT_EVERY), Some(ms(1000))];
        assert_eq!(since.map(pause), [ms(0), COMMIT_EVERY, COMMIT_EVERY - ms(2), ms(0), ms(0)]);
    }
}

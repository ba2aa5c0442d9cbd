//! The one thread that writes: takes what is queued, commits it together, shows it, answers.
//!
//! 1. Each write is checked against memory and the writes before it in the batch, and gets a revision.
//! 2. One transaction makes the batch durable, together with earlier lazy writes.
//! 3. Memory and subscribers get the batch; then each writer its answer.
//!
//! If 2 fails, memory is as it was and every writer of the batch is told; its revisions are not used
//! again. A batch of lazy writes only skips 2, as long as its revisions are within the block that
//! was reserved on disk before.
//!
//! Compaction is done in memory at once; the rows it dropped are deleted with later transactions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::checkpoint::Checkpointer;
use super::disk::{Disk, Transaction};
use super::queue::{Answer, Queue, Queued, Request};
use super::{Counters, Options};
use crate::mvcc::Draft;
use crate::shared::Shared;
use crate::{Durability, Entry, Error, Event, Revision, Write};

/// Rows that one transaction deletes for compaction, at least and when nothing else is to be done.
const DELETES_MIN: usize = 64;
const DELETES_IDLE: usize = 4_096;
/// After a failed commit, housekeeping waits this long; writes are tried as they come.
const RETRY: Duration = Duration::from_secs(1);
/// The age of history is known to this fraction of its maximum.
const AGE_STEPS: u32 = 64;

pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    disk: Disk,
    checkpointer: Checkpointer,
    options: Options,
    /// The revision the next write gets.
    next: Revision,
    /// Up to here everything is on disk.
    persisted: Revision,
    /// Up to here lazy writes may be shown before they are on disk.
    reserved: Revision,
    /// Lazy writes shown and not yet on disk.
    pending: Vec<Arc<Event>>,
    /// Rows to delete, ascending within each compaction.
    dropped: VecDeque<Revision>,
    /// A compaction of memory that is not on disk.
    compacted: Option<Revision>,
    /// The last commit failed, and may have left something.
    is_suspect: bool,
    /// When housekeeping (pending, dropped, compacted) is due.
    housekeeping_at: Option<Instant>,
    /// What was the newest revision when.
    ages: VecDeque<(Instant, Revision)>,
}

/// A write of a batch that has been looked at.
struct Staged {
    answer: Answer<Entry>,
    result: Result<Arc<Event>, Error>,
    /// The result follows from an earlier write of this batch.
    is_conditional: bool,
    _room: OwnedSemaphorePermit,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        counters: Arc<Counters>,
        mut disk: Disk,
        options: Options,
        reserved: Revision,
        dropped: Vec<Revision>,
    ) -> std::io::Result<Writer> {
        let checkpointer = Checkpointer::start(&mut disk, options.checkpoint_bytes, options.wal_bytes_max)?;
        let newest = shared.state.read().revision();
        let mut writer = Writer {
            shared,
            queue,
            counters,
            disk,
            checkpointer,
            options,
            next: newest + 1,
            persisted: newest,
            reserved,
            pending: Vec::new(),
            dropped: dropped.into(),
            compacted: None,
            is_suspect: false,
            housekeeping_at: None,
            ages: VecDeque::new(),
        };
        writer.schedule(Duration::ZERO);
        writer.note_age();
        writer.compact_as_due();
        Ok(writer)
    }

    pub fn run(mut self) {
        // If this thread panics, nobody may wait for it.
        let queue = AbandonOnDrop(self.queue.clone());
        while let Some(requests) = self.queue.take(self.options.batch_writes_max, self.options.batch_bytes_max, self.wake_at()) {
            self.serve(requests);
            self.compact_as_due();
            let is_due = self.housekeeping_at.is_some_and(|at| at <= Instant::now());
            if is_due && (self.queue.is_idle() || !self.pending.is_empty()) {
                self.keep_house();
            }
            if self.checkpointer.after_commit(&self.disk) {
                self.counters.checkpoint_stalls.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.close();
        drop(queue);
    }

    fn serve(&mut self, requests: Vec<Queued>) {
        let mut writes = Vec::with_capacity(requests.len());
        let mut compactions = Vec::new();
        for Queued { request, room } in requests {
            match request {
                Request::Write { write, answer } => writes.push((write, answer, room)),
                Request::Compact { up_to, answer } => compactions.push((up_to, answer)),
            }
        }
        if !writes.is_empty() {
            self.serve_writes(writes);
        }
        for (up_to, answer) in compactions {
            let _ = answer.send(self.compact(up_to).and_then(|()| self.persist_compaction()));
        }
    }

    fn serve_writes(&mut self, writes: Vec<(Write, Answer<Entry>, OwnedSemaphorePermit)>) {
        let is_durable = writes.iter().any(|(write, ..)| write.durability == Durability::Durable);
        let lazy = writes.iter().filter(|(write, ..)| write.durability == Durability::Lazy).count();
        let (draft, staged) = self.stage(writes);
        let outcome = if draft.events.is_empty() {
            Ok(())
        } else if is_durable || !self.may_be_lazy(draft.events.len()) {
            self.commit(&draft.events, lazy > 0).map(|()| self.publish(&draft.events))
        } else {
            self.publish(&draft.events);
            self.pending.extend(draft.events);
            self.schedule(self.options.lazy_delay);
            Ok(())
        };
        count(&self.counters.writes, staged.len());
        count(&self.counters.lazy_writes, lazy);
        for Staged { answer, result, is_conditional, _room } in staged {
            let result = match (&outcome, result) {
                (Err(failure), Ok(_)) => Err(Error::Unwritable(failure.clone())),
                (Err(failure), Err(_)) if is_conditional => Err(Error::Unwritable(failure.clone())),
                (_, result) => result.map(|event| event.entry.clone()),
            };
            // Who no longer waits does not hear.
            let _ = answer.send(result);
        }
    }

    fn stage(&mut self, writes: Vec<(Write, Answer<Entry>, OwnedSemaphorePermit)>) -> (Draft, Vec<Staged>) {
        let state = self.shared.state.read();
        let mut draft = Draft::default();
        let mut staged = Vec::with_capacity(writes.len());
        for (write, answer, _room) in writes {
            let is_conditional = draft.has_changed(&write.key);
            let result = draft.stage(&state, write, self.next);
            self.next += u64::from(result.is_ok());
            staged.push(Staged { answer, result, is_conditional, _room });
        }
        (draft, staged)
    }

    /// Returns whether so many more lazy writes may be shown before they are on disk.
    fn may_be_lazy(&self, count: usize) -> bool {
        let has_room = self.pending.len() + count <= self.options.lazy_pending_max;
        if !has_room {
            self.counters.lazy_overflows.fetch_add(1, Ordering::Relaxed);
        }
        has_room && self.next - 1 <= self.reserved
    }

    /// Makes events durable, with what is pending; or changes nothing and says why.
    fn commit(&mut self, events: &[Arc<Event>], is_lazy_used: bool) -> Result<(), String> {
        let newest = self.next - 1;
        let block = self.options.revision_block;
        let needs_block = is_lazy_used && self.reserved < newest + block / 2;
        let deletes = if events.is_empty() { DELETES_IDLE } else { DELETES_MIN.max(2 * events.len()) };
        let deletes = self.deletable(deletes);
        let work = Transaction {
            undo_after: self.is_suspect.then_some(self.persisted),
            delete: &self.dropped.make_contiguous()[..deletes],
            pending: &self.pending,
            events,
            compacted: self.compacted,
            reserved: needs_block.then_some(newest + block),
            newest: None,
        };
        let reserved = work.reserved.unwrap_or(self.reserved);
        if let Err(error) = self.disk.commit(&work) {
            return Err(self.failed(&error));
        }
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.dropped.drain(..deletes);
        self.compacted = None;
        self.pending.clear();
        self.persisted = newest;
        self.reserved = reserved;
        self.is_suspect = false;
        self.housekeeping_at = None;
        if !self.dropped.is_empty() {
            self.schedule(Duration::ZERO);
        }
        Ok(())
    }

    /// Returns how many of the dropped rows can be deleted: those that are on disk.
    fn deletable(&self, max: usize) -> usize {
        self.dropped.iter().take(max).take_while(|&&revision| revision <= self.persisted).count()
    }

    fn failed(&mut self, error: &rusqlite::Error) -> String {
        let path = self.disk.path().display();
        let failure = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => format!("{path}: no space left; free some, writes then succeed again"),
            _ => format!("{path}: {error}; reads go on, writes are tried as they come"),
        };
        if !self.is_suspect {
            tracing::error!(failure, "the store cannot write");
        }
        self.counters.commits_failed.fetch_add(1, Ordering::Relaxed);
        self.is_suspect = true;
        self.housekeeping_at = Some(Instant::now() + RETRY);
        failure
    }

    fn publish(&mut self, events: &[Arc<Event>]) {
        self.shared.publish(events);
        self.note_age();
    }

    /// Writes what waits for no one: lazy writes, and the deletions of compaction.
    fn keep_house(&mut self) {
        self.housekeeping_at = None;
        if self.pending.is_empty() && self.dropped.is_empty() && self.compacted.is_none() {
            return;
        }
        // The failure was counted and logged, and the next attempt is scheduled.
        let _ = self.commit(&[], !self.pending.is_empty());
    }

    fn compact(&mut self, up_to: Revision) -> Result<(), Error> {
        let mut state = self.shared.state.write();
        let before = state.compacted();
        let dropped = state.compact(up_to)?;
        if state.compacted() > before {
            self.compacted = Some(up_to);
        }
        drop(state);
        self.dropped.extend(dropped);
        self.schedule(RETRY);
        Ok(())
    }

    fn persist_compaction(&mut self) -> Result<(), Error> {
        match self.compacted {
            Some(_) => self.commit(&[], false).map_err(Error::Unwritable),
            None => Ok(()),
        }
    }

    fn compact_as_due(&mut self) {
        let by_size = self.shared.state.read().compaction_due(&self.options.retention);
        let by_age = self.too_old();
        if let Some(up_to) = by_size.max(by_age)
            && let Err(error) = self.compact(up_to)
        {
            tracing::error!(%error, "failed to compact the store");
        }
    }

    /// Remembers the newest revision of now.
    fn note_age(&mut self) {
        let Some(age_max) = self.options.retention.age_max else { return };
        let now = Instant::now();
        if self.ages.back().is_none_or(|&(at, _)| now.duration_since(at) >= age_max / AGE_STEPS) {
            self.ages.push_back((now, self.next - 1));
        }
    }

    /// Returns the newest revision that is older than history may be.
    fn too_old(&mut self) -> Option<Revision> {
        let age_max = self.options.retention.age_max?;
        let now = Instant::now();
        let mut revision = None;
        while let Some(&(at, newest)) = self.ages.front()
            && now.duration_since(at) >= age_max
        {
            revision = Some(newest);
            self.ages.pop_front();
        }
        let newest = self.shared.state.read().revision();
        if self.ages.is_empty() && revision.is_some_and(|revision| revision < newest) {
            self.ages.push_back((now, newest));
        }
        revision.map(|revision| revision.min(newest))
    }

    fn schedule(&mut self, delay: Duration) {
        let at = Instant::now() + delay;
        self.housekeeping_at = Some(self.housekeeping_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn wake_at(&self) -> Option<Instant> {
        let age_at = self.options.retention.age_max.zip(self.ages.front()).map(|(age_max, &(at, _))| at + age_max);
        self.housekeeping_at.into_iter().chain(age_at).min()
    }

    /// Writes what is pending and that everything handed out is on disk.
    fn close(mut self) {
        let newest = self.next - 1;
        let deletes = self.deletable(DELETES_IDLE);
        let work = Transaction {
            undo_after: self.is_suspect.then_some(self.persisted),
            delete: &self.dropped.make_contiguous()[..deletes],
            pending: &self.pending,
            compacted: self.compacted,
            reserved: Some(newest),
            newest: Some(newest),
            ..Transaction::default()
        };
        let closed = self.disk.commit(&work);
        self.checkpointer.stop();
        if let Err(error) = closed.and_then(|()| self.disk.close()) {
            // Nothing acknowledged as durable is affected; opening will find it as after a crash.
            tracing::error!(%error, "failed to close the store");
        }
    }
}

struct AbandonOnDrop(Arc<Queue>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

//! The bounded queue in front of the writer thread.
//!
//! Callers wait (asynchronously) for room; the thread waits (really) for work, and takes
//! all there is up to a batch's limits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use crate::{Change, Entry, Error, Revision, Write};

pub(super) type Answer<T> = oneshot::Sender<Result<T, Error>>;

pub(super) enum Request {
    Write { write: Write, answer: Answer<Entry> },
    Compact { up_to: Revision, answer: Answer<()> },
}

/// A request and the room it takes in the queue until it is answered.
pub(super) struct Queued {
    pub request: Request,
    pub room: OwnedSemaphorePermit,
}

pub(super) struct Queue {
    inner: Mutex<Inner>,
    is_wanted: Condvar,
    room: Arc<Semaphore>,
    kib_max: u32,
    waits: AtomicU64,
}

#[derive(Default)]
struct Inner {
    requests: VecDeque<Queued>,
    is_closed: bool,
}

impl Queue {
    pub fn new(kib_max: u32) -> Queue {
        let kib_max = kib_max.max(1);
        Queue {
            inner: Mutex::default(),
            is_wanted: Condvar::new(),
            room: Arc::new(Semaphore::new(kib_max as usize)),
            kib_max,
            waits: AtomicU64::new(0),
        }
    }

    pub fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// Queues a request when there is room, and waits for its answer.
    pub async fn ask<T>(&self, cost_kib: u32, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, Error> {
        // A value larger than the whole queue has it to itself.
        let cost = cost_kib.min(self.kib_max);
        let room = match self.room.clone().try_acquire_many_owned(cost) {
            Ok(room) => room,
            Err(TryAcquireError::Closed) => return Err(Error::Closed),
            Err(TryAcquireError::NoPermits) => {
                self.waits.fetch_add(1, Ordering::Relaxed);
                self.room.clone().acquire_many_owned(cost).await.map_err(|_| Error::Closed)?
            }
        };
        let (answer, answered) = oneshot::channel();
        self.push(Queued { request: request(answer), room })?;
        answered.await.map_err(|_| Error::Closed)?
    }

    fn push(&self, queued: Queued) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        if inner.is_closed {
            return Err(Error::Closed);
        }
        inner.requests.push_back(queued);
        let was_empty = inner.requests.len() == 1;
        drop(inner);
        if was_empty {
            self.is_wanted.notify_one();
        }
        Ok(())
    }

    /// Waits for requests until the deadline and takes a batch of them: none if the time has come,
    /// `None` when the queue is closed and empty.
    pub fn take(&self, writes_max: usize, bytes_max: usize, until: Option<Instant>) -> Option<Vec<Queued>> {
        let mut inner = self.inner.lock();
        while inner.requests.is_empty() {
            if inner.is_closed {
                return None;
            }
            let is_late = match until {
                Some(until) => self.is_wanted.wait_until(&mut inner, until).timed_out(),
                None => {
                    self.is_wanted.wait(&mut inner);
                    false
                }
            };
            if is_late {
                break;
            }
        }
        let mut bytes = 0;
        let fits = |queued: &&Queued| {
            bytes += queued.room.num_permits() << 10;
            bytes <= bytes_max
        };
        let count = inner.requests.iter().take(writes_max).take_while(fits).count();
        let count = count.max(inner.requests.len().min(1));
        Some(inner.requests.drain(..count).collect())
    }

    /// Returns whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.inner.lock().requests.is_empty()
    }

    /// Refuses further requests; those queued are still carried out.
    pub fn close(&self) {
        self.room.close();
        self.inner.lock().is_closed = true;
        self.is_wanted.notify_one();
    }

    /// Refuses further requests and drops those queued.
    pub fn abandon(&self) {
        self.close();
        self.inner.lock().requests.clear();
    }
}

/// Returns the room a write takes: 1 and the size of its key and value in KiB.
pub(super) fn cost_kib(write: &Write) -> u32 {
    let (Change::Put(template) | Change::Delete(template)) = &write.change;
    let kib = (write.key.len() + template.bytes.len()) >> 10;
    u32::try_from(kib).unwrap_or(u32::MAX - 1) + 1
}

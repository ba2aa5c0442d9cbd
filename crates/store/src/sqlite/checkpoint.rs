//! Copies the WAL into the file beside the writer, so that commits do not wait for it.
//!
//! A background checkpoint does not stop the writer, so under constant load it
//! never quite catches up and the WAL grows. When the WAL is at its limit, the writer copies the
//! rest itself; with the next commit the WAL starts anew. So it is never larger than its limit and one transaction.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::disk::{Disk, PAGE_BYTES, checkpoint, open_again};

pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    /// Held during a checkpoint: SQLite refuses a second one instead of waiting.
    turn: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
    every_pages: u64,
    pages_max: u64,
    /// Pages in the WAL, as SQLite tells after each commit.
    pages: Arc<AtomicU64>,
    pages_before: u64,
    /// At so many pages the next background checkpoint starts, or the writer stops.
    next_at: u64,
    stop_at: u64,
}

impl Checkpointer {
    pub fn start(disk: &mut Disk, every_bytes: u64, wal_bytes_max: u64) -> io::Result<Checkpointer> {
        let pages = disk.count_wal_pages().map_err(io::Error::other)?;
        let (wake, turn) = (sync_channel(1), Arc::new(Mutex::new(())));
        let thread = spawn(disk.path(), wake.1, turn.clone())?;
        let (every_pages, pages_max) = ((every_bytes / PAGE_BYTES).max(1), (wal_bytes_max / PAGE_BYTES).max(1));
        Ok(Checkpointer {
            wake: Some(wake.0),
            turn,
            thread: Some(thread),
            every_pages,
            pages_max,
            pages,
            pages_before: 0,
            next_at: every_pages,
            stop_at: pages_max,
        })
    }

    /// Starts a checkpoint when it is time, or does it; returns whether the writer had to stop for it.
    pub fn after_commit(&mut self, disk: &Disk) -> bool {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.pages_before {
            (self.next_at, self.stop_at) = (self.every_pages, self.pages_max);
        }
        self.pages_before = pages;
        if pages >= self.stop_at {
            // If it fails, the WAL holds everything; it is tried again after as many more pages.
            self.stop_at = pages + self.every_pages;
            let _turn = self.turn.lock();
            if let Err(error) = disk.finish_checkpoint() {
                tracing::warn!(%error, "failed to checkpoint the store");
            }
            return true;
        }
        if pages >= self.next_at {
            self.next_at = pages + self.every_pages;
            // A full channel means that one is on its way.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
        }
        false
    }

    /// Ends the thread after the checkpoint it is doing.
    pub fn stop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn spawn(path: &Path, woken: Receiver<()>, turn: Arc<Mutex<()>>) -> io::Result<JoinHandle<()>> {
    let connection = open_again(path).map_err(io::Error::other)?;
    let run = move || run(&connection, &woken, &turn);
    std::thread::Builder::new().name("store-ckpt".into()).spawn(run)
}

fn run(connection: &Connection, woken: &Receiver<()>, turn: &Mutex<()>) {
    while woken.recv().is_ok() {
        let _turn = turn.lock();
        if let Err(error) = checkpoint(connection) {
            tracing::warn!(%error, "failed to checkpoint the store");
        }
    }
}

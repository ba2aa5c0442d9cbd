//! Copies the WAL into the file beside the writer, so that commits do not wait for it.
//!
//! A background checkpoint does not stop the writer, so under constant load it
//! never quite catches up and the WAL grows. When it is at its limit, the writer is asked to copy the
//! small rest itself; after that the WAL starts anew.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::disk::{PAGE_BYTES, checkpoint, open_again};

pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    needs_writer: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    every_bytes: u64,
    written_bytes: u64,
}

impl Checkpointer {
    pub fn start(path: &Path, every_bytes: u64, wal_bytes_max: u64) -> std::io::Result<Checkpointer> {
        let connection = open_again(path).map_err(std::io::Error::other)?;
        let (wake, woken) = sync_channel(1);
        let needs_writer = Arc::new(AtomicBool::new(false));
        let is_over = needs_writer.clone();
        let thread =
            std::thread::Builder::new().name("store-ckpt".into()).spawn(move || run(&connection, &woken, &is_over, wal_bytes_max))?;
        Ok(Checkpointer { wake: Some(wake), needs_writer, thread: Some(thread), every_bytes, written_bytes: 0 })
    }

    /// Counts what went into the WAL; starts a checkpoint when it is time.
    pub fn wrote(&mut self, bytes: u64) {
        self.written_bytes += bytes;
        if self.written_bytes >= self.every_bytes {
            // A full channel means that one is on its way.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
            self.written_bytes = 0;
        }
    }

    /// Returns, once, whether the writer must finish the checkpoint.
    pub fn take_needs_writer(&self) -> bool {
        self.needs_writer.load(Ordering::Relaxed) && self.needs_writer.swap(false, Ordering::Relaxed)
    }

    /// Ends the thread after the checkpoint it is doing.
    pub fn stop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, woken: &Receiver<()>, needs_writer: &AtomicBool, wal_bytes_max: u64) {
    while woken.recv().is_ok() {
        match checkpoint(connection, "PASSIVE") {
            Ok((pages, copied)) if copied < pages && pages * PAGE_BYTES >= wal_bytes_max => needs_writer.store(true, Ordering::Relaxed),
            Ok(_) => {}
            // Tried again after as many more writes; until then the WAL holds everything.
            Err(error) => tracing::warn!(%error, "failed to checkpoint the store"),
        }
    }
}

//! What every background task shares: shutdown, time, metrics.

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Clock;

/// Spawns tasks so that shutdown reaches them and panics do not pass unseen; cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    pub clock: Clock,
    pub metrics: Arc<Mutex<Registry>>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Runtime {
    pub fn new(clock: Clock) -> Self {
        Self { clock, metrics: Arc::default(), shutdown: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// Returns a runtime that ends with this one, or alone by its own [`Runtime::stop`].
    pub fn child(&self) -> Self {
        Self { shutdown: self.shutdown.child_token(), tasks: TaskTracker::new(), ..self.clone() }
    }

    /// Returns this runtime with another clock.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Runs a task until it ends or the runtime stops.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        let watched = async move {
            tokio::select! {
                () = task => tracing::debug!(task = name, "task ended"),
                () = shutdown.cancelled() => {}
            }
        };
        let tracked = self.tasks.spawn(watched);
        self.tasks.spawn(async move {
            if let Err(error) = tracked.await
                && error.is_panic()
            {
                tracing::error!(task = name, "task panicked: a defect, please report it");
            }
        });
    }

    pub fn is_stopping(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    pub async fn stopping(&self) {
        self.shutdown.cancelled().await;
    }

    /// Asks all tasks to end and waits until they have.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

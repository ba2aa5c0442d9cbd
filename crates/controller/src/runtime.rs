//! What every background task shares: shutdown, time, metrics.

use std::future::Future;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
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
    tasks: Arc<Tasks>,
}

/// The tasks of a runtime, and those of the ones made from it.
#[derive(Default)]
struct Tasks {
    own: TaskTracker,
    children: Mutex<Vec<Weak<Tasks>>>,
}

impl Tasks {
    /// Waits until all have ended; what begins meanwhile is waited for as well.
    fn ended(self: Arc<Self>) -> BoxFuture<'static, ()> {
        async move {
            self.own.close();
            self.own.wait().await;
            loop {
                let child = self.children.lock().pop();
                match child {
                    Some(child) => {
                        if let Some(child) = child.upgrade() {
                            child.ended().await;
                        }
                    }
                    None => return,
                }
            }
        }
        .boxed()
    }
}

impl Runtime {
    pub fn new(clock: Clock) -> Self {
        Self { clock, metrics: Arc::default(), shutdown: CancellationToken::new(), tasks: Arc::default() }
    }

    /// Returns a runtime that ends with this one, or alone by its own [`Runtime::stop`].
    pub fn child(&self) -> Self {
        let tasks = Arc::new(Tasks::default());
        let mut children = self.tasks.children.lock();
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&tasks));
        Self { shutdown: self.shutdown.child_token(), tasks, ..self.clone() }
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
        let tracked = self.tasks.own.spawn(watched);
        self.tasks.own.spawn(async move {
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

    /// Asks all tasks to end, those of its children too, and waits until they have.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tasks.clone().ended().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Says that it is over, a while after it was asked to end.
    struct Slow(Arc<AtomicBool>);

    impl Drop for Slow {
        fn drop(&mut self) {
            std::thread::sleep(std::time::Duration::from_millis(20));
            self.0.store(true, Ordering::Release);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn stopping_waits_for_the_tasks_of_children_and_theirs() {
        let runtime = Runtime::new(Clock::wall());
        let (child, gone) = (runtime.child(), runtime.child());
        let grandchild = child.child();
        drop(gone);
        let ended: [Arc<AtomicBool>; 3] = Default::default();
        for (runtime, ended) in [&runtime, &child, &grandchild].into_iter().zip(&ended) {
            let slow = Slow(ended.clone());
            runtime.spawn("slow", async move {
                let _slow = slow;
                std::future::pending::<()>().await;
            });
        }
        runtime.stop().await;
        assert!(ended.iter().all(|ended| ended.load(Ordering::Acquire)), "{ended:?}");
    }

    #[tokio::test]
    async fn a_child_that_stops_leaves_the_others() {
        let runtime = Runtime::new(Clock::wall());
        let (one, other) = (runtime.child(), runtime.child());
        one.stop().await;
        assert!(one.is_stopping() && !other.is_stopping() && !runtime.is_stopping());
        runtime.stop().await;
        assert!(other.is_stopping());
    }
}

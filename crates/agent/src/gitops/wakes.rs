//! When an Application is looked at again.
//!
//! What a sync begins with (the Application itself, its commit, who keeps it) is looked at at once. Live objects change in
//! bursts: what they say is gathered for a moment, longer where it is only words. Our own write of a status is no news:
//! an Application that is as we left it [rests](Wakes::rest) until something else wakes it or its next look is due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use controller::{Controller, Key as AppKey};
use gitops::News;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Objects become healthy, or go, in bursts; a sync that waits for them waits no longer than this on top.
const GATHER: Duration = Duration::from_millis(50);
/// How far a rollout is need not be told more often.
const GATHER_WORDS: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    /// By when something that changed is to be looked at.
    due: Option<Instant>,
    /// The resourceVersion we left it at, and when the next look is due.
    left: Option<(String, Instant)>,
}

/// Wakes Applications; cheap to clone.
#[derive(Clone)]
pub(super) struct Wakes {
    controller: Controller<AppKey>,
    states: Arc<Mutex<HashMap<AppKey, State>>>,
}

impl Wakes {
    pub fn new(controller: &Controller<AppKey>) -> Self {
        Self { controller: controller.clone(), states: Arc::default() }
    }

    /// Has an Application looked at now.
    pub fn now(&self, key: AppKey) {
        self.after(key, Duration::ZERO);
    }

    /// Has an Application looked at soon: one of its objects has news.
    pub fn gather(&self, key: AppKey, news: News) {
        match news {
            News::Nothing => {}
            News::Detail => self.after(key, GATHER_WORDS),
            News::Change => self.after(key, GATHER),
        }
    }

    fn after(&self, key: AppKey, delay: Duration) {
        let at = Instant::now() + delay;
        let mut states = self.states.lock();
        let state = states.entry(key.clone()).or_default();
        state.due = Some(state.due.map_or(at, |due| due.min(at)));
        drop(states);
        self.controller.add_after(key, delay);
    }

    /// Returns how long an Application may rest, if it is as we left it and nothing is due; else its look begins.
    pub fn rest(&self, key: &AppKey, resource_version: Option<&str>) -> Option<Duration> {
        let now = Instant::now();
        let mut states = self.states.lock();
        let state = states.entry(key.clone()).or_default();
        let until = match &state.left {
            Some((left, until)) if Some(left.as_str()) == resource_version => state.due.map_or(*until, |due| due.min(*until)),
            _ => now,
        };
        if until > now {
            return Some(until - now);
        }
        *state = State::default();
        None
    }

    /// Says how an Application was left, and when to look at it again if nothing changes.
    pub fn leave(&self, key: &AppKey, resource_version: Option<&str>, next: Duration) {
        let left = resource_version.map(|version| (version.to_owned(), Instant::now() + next));
        self.states.lock().entry(key.clone()).or_default().left = left;
    }

    pub fn forget(&self, key: &AppKey) {
        self.states.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use controller::{Clock, Runtime};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_application_rests_as_we_left_it_until_something_is_due() {
        let runtime = Runtime::new(Clock::wall());
        let wakes = Wakes::new(&Controller::new("test", &runtime));
        let key = AppKey::new("argocd", "web");
        let ms = Duration::from_millis;
        assert_eq!(wakes.rest(&key, Some("1")), None, "nobody looked yet");
        wakes.leave(&key, Some("2"), ms(10_000));
        assert_eq!(wakes.rest(&key, Some("2")), Some(ms(10_000)), "our own write is no news");
        wakes.gather(key.clone(), News::Nothing);
        wakes.gather(key.clone(), News::Detail);
        assert_eq!(wakes.rest(&key, Some("2")), Some(GATHER_WORDS));
        tokio::time::advance(ms(100)).await;
        wakes.gather(key.clone(), News::Change);
        wakes.gather(key.clone(), News::Detail);
        assert_eq!(wakes.rest(&key, Some("2")), Some(GATHER), "a burst is one look, and no later than its first news says");
        tokio::time::advance(GATHER).await;
        assert_eq!(wakes.rest(&key, Some("2")), None);
        // What comes while it is looked at is looked at after it.
        wakes.gather(key.clone(), News::Change);
        wakes.leave(&key, Some("3"), ms(10_000));
        assert_eq!(wakes.rest(&key, Some("3")), Some(GATHER));
        assert_eq!(wakes.rest(&key, Some("4")), None, "somebody else wrote");
        wakes.leave(&key, Some("4"), ms(10));
        wakes.now(key.clone());
        assert_eq!(wakes.rest(&key, Some("4")), None);
        runtime.stop().await;
    }
}

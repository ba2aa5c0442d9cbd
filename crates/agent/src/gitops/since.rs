//! Since when an Application is as it is, by this cluster's clock.
//!
//! Argo CD's status has no place for when the sync status changed, and a cluster with Argo CD's own definition prunes
//! fields it does not know. So what we write has the time in an annotation, which survives a restart; of what another
//! engine writes we remember what we saw.

use std::collections::HashMap;

use api::argo::{Application, ApplicationStatus};
use controller::Key;
use jiff::Timestamp;
use parking_lot::Mutex;

/// On an Application: since when `status.sync.status` is what it is.
pub(super) const SYNC_SINCE: &str = "muster.dev/sync-since";

/// Since when it is as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Since {
    pub sync: Option<Timestamp>,
    pub health: Option<Timestamp>,
}

/// Returns since when the sync status is `after`, given how the Application was before.
pub(super) fn of_sync(before: &Application, after: &ApplicationStatus, now: Timestamp) -> Timestamp {
    let whole = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
    let known = before.status.as_ref().filter(|status| status.sync.status == after.sync.status);
    let Some(known) = known else { return whole(now) };
    // Written by a version or an engine that does not say: it was so when it was last looked at, or before.
    annotated(before).or(known.reconciled_at.as_ref().map(|at| at.0)).map_or(whole(now), whole)
}

fn annotated(app: &Application) -> Option<Timestamp> {
    app.metadata.annotations.as_ref()?.get(SYNC_SINCE)?.parse().ok()
}

/// A word of a status, and since when it stands there.
type Word = (String, Timestamp);

/// What was seen of Applications that somebody else keeps.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<Key, [Word; 2]>>);

impl Seen {
    /// Returns since when an Application is as its status says; `is_ours` where we write it.
    pub fn since(&self, key: &Key, app: &Application, is_ours: bool, now: Timestamp) -> Since {
        let Some(status) = &app.status else { return Since::default() };
        let said = Since { sync: annotated(app).filter(|_| is_ours), health: status.health.last_transition_time.as_ref().map(|at| at.0) };
        if is_ours && said.sync.is_some() {
            self.forget(key);
            return said;
        }
        let looked_at = status.reconciled_at.as_ref().map_or(now, |at| at.0);
        let words = [&status.sync.status, &status.health.status];
        let mut seen = self.0.lock();
        let known = seen.entry(key.clone()).or_insert_with(|| words.map(|word| (word.clone(), looked_at)));
        for (known, word) in known.iter_mut().zip(words) {
            if known.0 != *word {
                *known = (word.clone(), now);
            }
        }
        Since { sync: Some(known[0].1), health: said.health.or(Some(known[1].1)) }
    }

    pub fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn app(sync: &str, since: Option<&str>) -> Application {
        let annotations = since.map(|since| json!({ SYNC_SINCE: since }));
        serde_json::from_value(json!({"metadata": {"name": "a", "annotations": annotations}, "spec": {},
            "status": {"sync": {"status": sync}, "health": {"status": "Healthy"}, "reconciledAt": "2026-01-01T00:00:00Z"}}))
        .expect("an Application")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn the_time_changes_with_the_word_and_only_then() {
        let now = at("2026-01-01T01:00:00.5Z");
        let after = |sync: &str| app(sync, None).status.expect("a status");
        assert_eq!(of_sync(&app("Synced", Some("2025-12-01T00:00:00Z")), &after("Synced"), now), at("2025-12-01T00:00:00Z"));
        assert_eq!(of_sync(&app("Synced", Some("2025-12-01T00:00:00Z")), &after("OutOfSync"), now), at("2026-01-01T01:00:00Z"));
        assert_eq!(of_sync(&app("Synced", None), &after("Synced"), now), at("2026-01-01T00:00:00Z"), "it was so when it was looked at");
    }

    #[test]
    fn what_another_engine_keeps_is_remembered_as_it_was_seen() {
        let (seen, key) = (Seen::default(), Key::new("argocd", "a"));
        let since = |sync: &str, now: &str| seen.since(&key, &app(sync, Some("2000-01-01T00:00:00Z")), false, at(now)).sync;
        assert_eq!(since("Synced", "2026-01-01T01:00:00Z"), Some(at("2026-01-01T00:00:00Z")));
        assert_eq!(since("OutOfSync", "2026-01-01T02:00:00Z"), Some(at("2026-01-01T02:00:00Z")));
        assert_eq!(since("OutOfSync", "2026-01-01T03:00:00Z"), Some(at("2026-01-01T02:00:00Z")));
        let ours = seen.since(&key, &app("Synced", Some("2025-12-01T00:00:00Z")), true, at("2026-01-01T04:00:00Z"));
        assert_eq!(ours.sync, Some(at("2025-12-01T00:00:00Z")));
    }
}

//! What is worth telling of a change. Steps on the way are not: people want to know where things ended.

use api::hub::State;
use api::report::Application;
use jiff::Timestamp;

use crate::short;
use crate::state::Verdict;
use crate::symptoms::{is_failed, is_render_error};

/// All [`Happened::kind`]s there are, and all [`Happened::reason`]s.
pub const KINDS: [&str; 2] = ["Application", "ManagedCluster"];
pub const REASONS: [&str; 11] =
    ["Degraded", "Healthy", "Joining", "Offline", "Pending", "Progressing", "Ready", "Removed", "RenderFailed", "SyncFailed", "Synced"];

/// Something that happened to an object of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    pub kind: &'static str,
    pub object: String,
    pub reason: &'static str,
    pub message: String,
    /// By the spoke's clock; none when the hub saw it.
    pub at: Option<Timestamp>,
}

/// Returns what happened to a cluster whose state changed.
pub fn of_state(cluster: &str, before: State, after: &Verdict) -> Option<Happened> {
    // A rollout makes every cluster Progressing for a moment; its Applications tell of it.
    let is_step = |state| matches!(state, State::Ready | State::Progressing);
    let is_told = before != after.state && !(is_step(before) && is_step(after.state));
    is_told.then(|| Happened {
        kind: "ManagedCluster",
        object: cluster.to_owned(),
        reason: after.state.as_str(),
        message: after.reason.clone(),
        at: None,
    })
}

/// Returns what happened to an Application, first thing first.
pub fn of_app(before: Option<&Application>, after: Option<&Application>) -> Vec<Happened> {
    let said = |app: &Application, reason, message: String, at| Happened {
        kind: "Application",
        object: format!("{}/{}", app.namespace, app.name),
        reason,
        message,
        at,
    };
    let Some(after) = after else {
        return before.map(|before| said(before, "Removed", "no longer on the cluster".into(), None)).into_iter().collect();
    };
    let old = before.cloned().unwrap_or_default();
    let mut all = Vec::new();
    if is_failed(after) && (!is_failed(&old) || old.message != after.message) {
        all.push(said(after, "SyncFailed", after.message.clone(), after.sync_since));
    }
    if is_render_error(after) && (!is_render_error(&old) || old.message != after.message) {
        all.push(said(after, "RenderFailed", after.message.clone(), after.sync_since));
    }
    let is_synced = |app: &Application| app.sync == "Synced" && app.operation != "Running";
    if is_synced(after) && (!is_synced(&old) || old.revision != after.revision) {
        all.push(said(after, "Synced", format!("at {}", short(&after.revision)), after.sync_since));
    }
    if after.health != old.health {
        match after.health.as_str() {
            "Healthy" => all.push(said(after, "Healthy", format!("at {}", short(&after.revision)), after.health_since)),
            "Degraded" => all.push(said(after, "Degraded", after.message.clone(), after.health_since)),
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(sync: &str, health: &str, operation: &str, revision: &str) -> Application {
        let text = str::to_owned;
        Application {
            name: "web".into(),
            sync: text(sync),
            health: text(health),
            operation: text(operation),
            revision: text(revision),
            ..Application::default()
        }
    }

    #[test]
    fn the_end_of_a_rollout_is_told_and_its_steps_are_not() {
        let fine = app("Synced", "Healthy", "Succeeded", "a");
        let steps = [
            app("OutOfSync", "Healthy", "Running", "b"),
            app("Synced", "Healthy", "Running", "b"),
            app("Synced", "Progressing", "Succeeded", "b"),
            app("Synced", "Healthy", "Succeeded", "b"),
        ];
        let mut before = fine;
        let mut told = Vec::new();
        for step in steps {
            told.extend(of_app(Some(&before), Some(&step)).into_iter().map(|h| h.reason));
            before = step;
        }
        assert_eq!(told, ["Synced", "Healthy"]);
        let failed = Application { message: "denied".into(), ..app("OutOfSync", "Healthy", "Failed", "c") };
        assert_eq!(of_app(Some(&before), Some(&failed))[0].reason, "SyncFailed");
        assert_eq!(of_app(Some(&failed), Some(&failed)), []);
        assert_eq!(of_app(Some(&failed), None)[0].reason, "Removed");
        assert!(State::ALL.iter().all(|state| REASONS.contains(&state.as_str())));
        assert!(REASONS.is_sorted() && told.iter().all(|reason| REASONS.contains(reason)));
    }
}

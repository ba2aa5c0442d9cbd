//! How one cluster is, in one word and one sentence: its link first, then what it runs.

use api::hub::State;
use api::report::Application;
use jiff::Timestamp;

use crate::symptoms::{is_failed, is_render_error};
use crate::{Seen, clock};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub state: State,
    /// What, since when, and what to do about it.
    pub reason: String,
    pub since: Option<Timestamp>,
    /// The worst of its Applications as last told, whatever the link is; `Unknown` for none.
    pub app_state: State,
}

/// Returns how a cluster is.
pub fn of(seen: &Seen) -> Verdict {
    let app_state = seen.apps.iter().map(|app| of_app(app)).max().unwrap_or(State::Unknown);
    let said = |state, since: Option<Timestamp>, reason: String| Verdict { state, reason, since, app_state };
    let (name, link) = (seen.name, seen.link);
    // 1. Who is not let in has nothing to say.
    if !link.is_accepted {
        let since = link.created_at;
        return said(State::Pending, since, format!("asks to join since {}; `muster accept {name}` lets it in", clock(since)));
    }
    // 2. Two clusters under one name: whatever is heard may be the other one's.
    if let Some(conflict) = &link.conflict {
        return said(State::Degraded, conflict.since, format!("since {}: {}", clock(conflict.since), conflict.message));
    }
    match &link.available {
        // 3. Nothing was heard yet.
        None => {
            let since = link.created_at;
            let text = format!("accepted, and not heard yet since {}; look at its agent's log", clock(since));
            return said(State::Joining, since, text);
        }
        Some(available) if !available.is_true && !link.has_spoken => {
            let text = format!("has never been heard since {}; look at its agent's log", clock(link.created_at));
            return said(State::Joining, link.created_at, text);
        }
        // 4. Heard once, and not now.
        Some(available) if !available.is_true => {
            let text = format!(
                "not available since {}: {}; what it showed before is kept as it was, `muster describe cluster {name}`",
                clock(available.since),
                if available.message.is_empty() { &available.reason } else { &available.message }
            );
            return said(State::Offline, available.since, text);
        }
        Some(_) => {}
    }
    // 5. Its pods, its nodes, its Applications.
    if let Some(trouble) = seen.troubles.iter().find(|t| !t.is_passing) {
        let text = format!(
            "{} {} since {}: {}; `muster problems` shows where else",
            trouble.object,
            trouble.kind,
            clock(trouble.since),
            trouble.message
        );
        return said(State::Degraded, trouble.since, text);
    }
    if seen.nodes_ready < seen.nodes {
        let text = format!("{} of {} nodes are not ready; `muster describe cluster {name}`", seen.nodes - seen.nodes_ready, seen.nodes);
        return said(State::Degraded, None, text);
    }
    let worst = seen.apps.iter().filter(|app| of_app(app) == app_state).max_by_key(|app| std::cmp::Reverse(since_of(app)));
    match (app_state, worst) {
        (State::Degraded, Some(app)) => {
            let what = if app.message.is_empty() { app.health.as_str() } else { app.message.as_str() };
            let since = since_of(app);
            let text = format!("{}/{} since {}: {what}; `muster app get {0}/{1} -c {name}`", app.namespace, app.name, clock(since));
            said(State::Degraded, since, text)
        }
        (State::Progressing, Some(app)) => {
            let since = since_of(app);
            let text = match (app.sync.as_str(), app.health.as_str()) {
                ("" | "Unknown", _) => format!("{}/{} is not compared with Git yet", app.namespace, app.name),
                (sync, health) => format!("{}/{} is {sync} and {health} since {}", app.namespace, app.name, clock(since)),
            };
            said(State::Progressing, since, text)
        }
        _ => {
            let since = seen.apps.iter().filter_map(|app| since_of(app)).chain(link.available.iter().filter_map(|a| a.since)).max();
            let text = match seen.apps.len() {
                0 => format!("available since {}; it has no Applications", clock(since)),
                count => format!("all {count} Applications Synced and Healthy since {}", clock(since)),
            };
            said(State::Ready, since, text)
        }
    }
}

/// Returns how one Application is, in the words for clusters.
pub fn of_app(app: &Application) -> State {
    if is_failed(app) || is_render_error(app) || app.health == "Degraded" {
        return State::Degraded;
    }
    let is_fine = app.sync == "Synced" && matches!(app.health.as_str(), "Healthy" | "Suspended");
    if is_fine { State::Ready } else { State::Progressing }
}

fn since_of(app: &Application) -> Option<Timestamp> {
    app.sync_since.max(app.health_since)
}

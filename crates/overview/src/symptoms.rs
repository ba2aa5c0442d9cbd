//! What is wrong with one cluster, each with the cause by which it is the same thing elsewhere.
//!
//! A cause that explains another stands alone: an image that cannot be pulled makes an Application Degraded, and only
//! the image is told; of a cluster that is not reached, only that.

use api::hub::Severity;
use api::report::{Application, Workload};
use jiff::{SignedDuration, Timestamp};

use crate::Seen;
use crate::gap::{self, Gap};

/// An Application that is out of sync is a problem only after this: between a commit and its sync all are.
const OUT_OF_SYNC_GRACE: SignedDuration = SignedDuration::from_secs(60);
/// Characters of a message that are kept.
const MESSAGE_CHARS_MAX: usize = 500;

/// A workload whose pods do not run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// A [`Cause::kind`].
    pub kind: String,
    /// `Deployment shop/web`.
    pub object: String,
    /// `namespace/name` of its Application; empty for none.
    pub app: String,
    pub image: String,
    pub message: String,
    pub since: Option<Timestamp>,
    /// Whether pods of it, those before the change, still serve; none for what does not serve.
    pub still_serves: Option<bool>,
    /// Whether it may go away by itself.
    pub is_passing: bool,
}

/// What symptoms of one problem have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    pub kind: String,
    pub app: String,
    pub image: String,
    /// The repository it comes from; with the path where only that is at fault.
    pub source: String,
    /// What else tells it from others of its kind: a region, a workload.
    pub place: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symptom {
    pub cause: Cause,
    pub message: String,
    pub since: Option<Timestamp>,
    pub revision: String,
    /// The repository its Application comes from, and with the path in it.
    pub repo: String,
    pub source: String,
    pub still_serves: Option<bool>,
    pub severity: Severity,
    /// `Deployment shop/web`, where it is about one.
    pub object: String,
    /// Before this it is not worth telling.
    pub shown_from: Option<Timestamp>,
    /// From then on it is a Warning at least.
    pub grave_from: Option<Timestamp>,
    /// How far an Application is behind, if that is what it is about.
    pub gap: Option<Box<Gap>>,
}

impl Symptom {
    pub fn severity_at(&self, now: Timestamp) -> Severity {
        if self.grave_from.is_some_and(|from| from <= now) { self.severity.min(Severity::Warning) } else { self.severity }
    }
}

/// Returns what keeps a workload from running, if anything does.
pub fn trouble(workload: &Workload) -> Option<Trouble> {
    let is_degraded = workload.health == "Degraded";
    let told = workload.trouble.clone().unwrap_or_default();
    if told.reason.is_empty() && !is_degraded {
        return None;
    }
    let kind = match told.reason.as_str() {
        "" => "NotReady",
        "ErrImagePull" | "ErrImageNeverPull" | "ImageInspectError" => "ImagePullBackOff",
        "CrashLoopBackOff" | "RunContainerError" => "CrashLoop",
        other => other,
    };
    let serves = matches!(workload.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet");
    let mut message = if told.message.is_empty() { workload.message.clone() } else { told.message };
    if let Some((at, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
        message.truncate(at);
    }
    Some(Trouble {
        object: format!("{} {}/{}", workload.kind, workload.namespace, workload.name),
        app: workload.application.clone().unwrap_or_default(),
        image: told.image,
        message,
        since: workload.since,
        still_serves: serves.then_some(workload.ready > 0),
        is_passing: kind == "Unschedulable" && !is_degraded,
        kind: kind.to_owned(),
    })
}

/// Returns what is wrong with a cluster.
pub fn of(seen: &Seen) -> Vec<Symptom> {
    let link = seen.link;
    let of_link = |kind: &str, severity, since, message: &str| Symptom {
        cause: Cause { kind: kind.to_owned(), place: seen.region.to_owned(), ..Cause::default() },
        message: message.to_owned(),
        since,
        severity,
        ..Symptom::default()
    };
    // 1. The link: what is not reached is told of as a whole.
    if !link.is_accepted {
        return vec![of_link("Pending", Severity::Info, link.created_at, "asks to join and is not accepted")];
    }
    if let Some(conflict) = &link.conflict {
        return vec![of_link("IdentityConflict", Severity::Critical, conflict.since, &conflict.message)];
    }
    if let Some(available) = link.available.as_ref().filter(|a| !a.is_true) {
        if !link.has_spoken {
            return Vec::new();
        }
        return vec![of_link("Offline", Severity::Warning, available.since, &available.message)];
    }
    let mut all: Vec<Symptom> = Vec::new();
    // 2. Pods.
    let app_of = |key: &str| seen.apps.iter().find(|app| key.split_once('/') == Some((&app.namespace, &app.name)));
    for trouble in seen.troubles {
        let app = app_of(&trouble.app);
        // The same image fails for the same cause, whichever workload asks for it; anything else is the workload's own.
        let place = if trouble.image.is_empty() { trouble.object.clone() } else { String::new() };
        let symptom = Symptom {
            cause: Cause {
                kind: trouble.kind.clone(),
                app: trouble.app.clone(),
                image: trouble.image.clone(),
                // Overlays differ by cluster; the image or the workload is the same in all.
                source: app.map(|app| app.repo.clone()).unwrap_or_default(),
                place,
            },
            message: trouble.message.clone(),
            since: trouble.since,
            revision: app.map(|app| app.revision.clone()).unwrap_or_default(),
            repo: app.map(|app| app.repo.clone()).unwrap_or_default(),
            source: app.map(|app| source(app)).unwrap_or_default(),
            still_serves: trouble.still_serves,
            severity: if trouble.still_serves == Some(false) { Severity::Critical } else { Severity::Warning },
            object: trouble.object.clone(),
            ..Symptom::default()
        };
        match all.iter_mut().find(|known| known.cause == symptom.cause) {
            Some(known) => {
                // What is known wins over what is not.
                known.still_serves = [known.still_serves, symptom.still_serves].into_iter().flatten().min();
                known.severity = known.severity.min(symptom.severity);
                known.since = [known.since, symptom.since].into_iter().flatten().min();
            }
            None => all.push(symptom),
        }
    }
    // 3. Applications that no pod explains.
    for app in seen.apps {
        let key = format!("{}/{}", app.namespace, app.name);
        if !all.iter().any(|symptom| symptom.cause.app == key) {
            all.extend(of_app(app, &key));
        }
        // Being behind explains nothing else, and nothing else explains it.
        all.extend(gap::of_app(app, seen.lags.get(&key)));
        all.extend(gap::of_deadline(app));
    }
    // 4. The cluster itself.
    if seen.nodes_ready < seen.nodes {
        let text = format!("{} of {} nodes are not ready", seen.nodes - seen.nodes_ready, seen.nodes);
        all.push(of_link("NodesNotReady", Severity::Warning, None, &text));
    }
    if let Some(clock) = &link.clock {
        all.push(of_link("ClockSkew", Severity::Warning, clock.since, &clock.message));
    }
    if seen.reports_lost > 0 {
        let text = format!("{} reports were dropped while the hub was not reached: history has a gap", seen.reports_lost);
        all.push(of_link("ReportsLost", Severity::Info, None, &text));
    }
    all
}

fn of_app(app: &Application, key: &str) -> Option<Symptom> {
    let (kind, severity, since) = if is_render_error(app) {
        (if app.condition == "InvalidSpecError" { "InvalidSpec" } else { "RenderFailed" }, Severity::Warning, app.sync_since)
    } else if is_failed(app) {
        ("SyncFailed", Severity::Warning, app.sync_since)
    } else if app.health == "Degraded" {
        ("Degraded", Severity::Critical, app.health_since)
    } else if app.sync == "OutOfSync" && app.operation != "Running" && gap::span(app).is_none() {
        ("OutOfSync", Severity::Warning, app.sync_since)
    } else {
        return None;
    };
    // Files that do not become objects are those of a path; anything else may be the same in each overlay.
    let at_fault = if is_render_error(app) { source(app) } else { app.repo.clone() };
    Some(Symptom {
        cause: Cause { kind: kind.to_owned(), app: key.to_owned(), source: at_fault, ..Cause::default() },
        message: app.message.clone(),
        since,
        revision: app.revision.clone(),
        repo: app.repo.clone(),
        source: source(app),
        still_serves: (kind != "Degraded" && kind != "OutOfSync").then_some(app.health == "Healthy"),
        severity,
        shown_from: since.filter(|_| kind == "OutOfSync").map(|since| since.checked_add(OUT_OF_SYNC_GRACE).unwrap_or(since)),
        ..Symptom::default()
    })
}

/// Where in Git an Application comes from.
pub(crate) fn source(app: &Application) -> String {
    format!("{}/{}", app.repo.trim_end_matches('/'), app.path.trim_matches('/')).trim_matches('/').to_owned()
}

/// Whether its last sync failed.
pub fn is_failed(app: &Application) -> bool {
    matches!(app.operation.as_str(), "Failed" | "Error") || app.condition == "SyncError"
}

/// Whether its files do not become objects, or it is not readable itself.
pub fn is_render_error(app: &Application) -> bool {
    matches!(app.condition.as_str(), "ComparisonError" | "InvalidSpecError" | "UnknownError")
}

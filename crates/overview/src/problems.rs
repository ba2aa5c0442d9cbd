//! Symptoms of all clusters, grouped by cause: fifty stores with one bad image are one problem with one remedy.

use std::collections::BTreeMap;

use api::hub::{Problem, SAMPLE_MAX};
use jiff::Timestamp;

use crate::gap;
use crate::symptoms::{Cause, Symptom};

/// Returns the problems behind symptoms, worst and most widespread first. Clusters come in order of their names.
pub fn group<'a>(symptoms: impl IntoIterator<Item = (&'a str, &'a Symptom)>, now: Timestamp) -> Vec<Problem> {
    let mut by_cause: BTreeMap<&Cause, (Problem, &Symptom)> = BTreeMap::new();
    for (cluster, symptom) in symptoms.into_iter().filter(|(_, s)| is_shown(s, now)) {
        let (problem, leading) = by_cause.entry(&symptom.cause).or_insert_with(|| (begin(symptom), symptom));
        // The title is about the one that is behind furthest.
        if let (Some(one), Some(other)) = (&symptom.gap, &leading.gap)
            && gap::is_larger(one, other)
        {
            (*leading, problem.reason) = (symptom, symptom.message.clone());
        }
        problem.clusters += 1;
        if problem.sample.len() < SAMPLE_MAX {
            problem.sample.push(cluster.to_owned());
        }
        if symptom.since.is_some() && (problem.since.is_none() || symptom.since < problem.since) {
            problem.since = symptom.since;
        }
        if problem.source != symptom.source {
            problem.source.clone_from(&symptom.repo);
        }
        if problem.revision != symptom.revision {
            problem.revision.clear();
        }
        if let Some(serves) = symptom.still_serves {
            let serving = problem.still_serving.get_or_insert_default();
            serving.of += 1;
            serving.yes += u64::from(serves);
        }
        // One that does not serve makes the whole problem grave.
        problem.severity = problem.severity.min(symptom.severity_at(now));
    }
    let finish = |(mut problem, symptom): (Problem, &Symptom)| {
        problem.title = title(&problem, symptom, now);
        problem.remedy = remedy(&problem, symptom);
        problem
    };
    let mut problems: Vec<Problem> = by_cause.into_values().map(finish).collect();
    let order = |p: &Problem| (p.severity, std::cmp::Reverse(p.clusters), p.kind.clone(), p.app.clone(), p.id.clone());
    problems.sort_by_cached_key(order);
    problems
}

/// Whether a symptom has lasted long enough to be told.
pub fn is_shown(symptom: &Symptom, now: Timestamp) -> bool {
    symptom.shown_from.is_none_or(|from| from <= now)
}

/// Returns the name of a cause that stays the same between hubs and starts.
pub fn id(cause: &Cause) -> String {
    // FNV-1a, 64 bits: a name, not a seal.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in [&cause.kind, &cause.app, &cause.image, &cause.source, &cause.place] {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

fn begin(symptom: &Symptom) -> Problem {
    let id = id(&symptom.cause);
    Problem {
        filter: format!("problem={id}"),
        id,
        kind: symptom.cause.kind.clone(),
        reason: symptom.message.clone(),
        app: symptom.cause.app.clone(),
        image: symptom.cause.image.clone(),
        source: symptom.source.clone(),
        revision: symptom.revision.clone(),
        severity: symptom.severity,
        ..Problem::default()
    }
}

fn title(problem: &Problem, symptom: &Symptom, now: Timestamp) -> String {
    let place = &symptom.cause.place;
    let in_place = if place.is_empty() { String::new() } else { format!(" in {place}") };
    let (app, image) = (&problem.app, &problem.image);
    let of = |what: &str| if app.is_empty() { what.to_owned() } else { format!("{app}: {what}") };
    match problem.kind.as_str() {
        "ImagePullBackOff" | "InvalidImageName" => of(&format!("image {image} cannot be pulled")),
        "CrashLoop" => of(&format!("{} crashes again and again", if image.is_empty() { &symptom.object } else { image })),
        "NotReady" => of(&format!("{} is not ready", symptom.object)),
        "Unschedulable" => of(&format!("no node takes pods of {}", symptom.object)),
        "Gap" => of(&symptom.gap.as_ref().map_or_else(|| "behind".to_owned(), |gap| gap::words(gap, problem.clusters, now))),
        "InvalidSyncDeadline" => of("its deadline for syncs is not a duration"),
        "OutOfSync" => of("differs from Git and is not synced"),
        "SyncFailed" => of("the last sync failed"),
        "RenderFailed" => of("its files do not become objects"),
        "InvalidSpec" => of("the Application itself is not valid"),
        "Degraded" => of("is Degraded"),
        "Offline" => format!("not reached{in_place}"),
        "Pending" => format!("ask to join{in_place}"),
        "IdentityConflict" => "two clusters use one name".to_owned(),
        "ClockSkew" => format!("the clock is wrong{in_place}"),
        "ReportsLost" => format!("reports were lost{in_place}"),
        "NodesNotReady" => format!("nodes are not ready{in_place}"),
        other => of(&format!("{} is stopped by {other}", symptom.object)),
    }
}

/// Returns what to type. Names and images are told by spokes: what could mean something to a shell is not put into a
/// command.
fn remedy(problem: &Problem, symptom: &Symptom) -> String {
    let cluster = problem.sample.first().map_or("CLUSTER", String::as_str);
    let look = || format!("muster describe cluster {cluster}");
    let command = match problem.kind.as_str() {
        "ImagePullBackOff" | "InvalidImageName" | "CreateContainerConfigError" if !symptom.repo.is_empty() => take_back(symptom),
        "ImagePullBackOff" | "InvalidImageName" => of_workload(symptom, "kubectl rollout undo", cluster),
        "CrashLoop" => of_workload(symptom, "kubectl logs --previous", cluster),
        "Gap" => word(&problem.app).map(|app| format!("muster app sync {app} -c {cluster}")),
        "OutOfSync" | "SyncFailed" | "RenderFailed" | "InvalidSpec" | "InvalidSyncDeadline" | "Degraded" => {
            word(&problem.app).map(|app| format!("muster app get {app} -c {cluster}"))
        }
        "Pending" => Some(format!("muster accept {}", problem.sample.join(" "))),
        "IdentityConflict" => Some(format!("{}    # then join the second one under another name", look())),
        "ClockSkew" => Some(format!("timedatectl set-ntp true    # on the nodes of {cluster}")),
        "NodesNotReady" => Some(format!("kubectl get nodes    # on {cluster}")),
        "Offline" | "ReportsLost" => None,
        _ => of_workload(symptom, "kubectl describe", cluster),
    };
    command.unwrap_or_else(look)
}

/// Takes back the commit that brought an image. Which one it was is not known here, since later ones may have followed:
/// Git finds the last that changed how often its tag stands in the files, on whichever branch it was made.
fn take_back(symptom: &Symptom) -> Option<String> {
    let image = word(&symptom.cause.image)?;
    let name = image.rsplit('/').next().unwrap_or(image);
    let tag = name.split_once('@').or_else(|| name.split_once(':')).map_or(name, |(_, tag)| tag);
    // A short tag stands everywhere; with its image it is at least rarer.
    let text = if tag.len() < 4 { name } else { tag };
    let repo = word(&symptom.repo)?;
    Some(format!("git revert $(git log -1 --format=%h -S{text}) && git push    # in a clone of {repo}"))
}

/// Makes a command about `Deployment shop/web`.
fn of_workload(symptom: &Symptom, command: &str, cluster: &str) -> Option<String> {
    let (kind, place) = symptom.object.split_once(' ')?;
    let (namespace, name) = place.split_once('/')?;
    let (kind, namespace, name) = (word(kind)?.to_lowercase(), word(namespace)?, word(name)?);
    Some(format!("{command} -n {namespace} {kind}/{name}    # on {cluster}"))
}

/// Returns a text if it means nothing to a shell but itself.
fn word(text: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    (!text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain)).then_some(text)
}

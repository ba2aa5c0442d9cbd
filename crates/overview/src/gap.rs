//! Applications that are synced by hand and are behind their branch: how far, since when, and by when that was to end.
//!
//! An Application without `spec.syncPolicy.automated` that is out of sync because its branch went on has a *gap*. That
//! is how its owner wants it, so a gap is told as Info, unless the annotation `muster.dev/sync-deadline` says how
//! long it may last: from then on it is a Warning. One that is out of sync with the commit it was synced to has drifted, which
//! is no gap. Who counts commits is not here; until somebody has, a gap is told without a number.

use api::argo::annotation;
use api::hub::{Behind, Severity};
use api::report::Application;
use jiff::{SignedDuration, Timestamp};

use crate::symptoms::{Cause, Symptom, is_failed, is_render_error, source};
use crate::{clock, short};

/// A part of a repository's history: what `to` has and `from` has not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub repo: String,
    pub from: String,
    pub to: String,
}

/// How long a span is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Merges are not counted.
    pub commits: u32,
    /// Whether there are more, which were not counted.
    pub is_more: bool,
    /// When the branch took the first of them.
    pub since: Option<Timestamp>,
}

/// What makes a symptom a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub behind: Behind,
    /// The branch.
    pub target: String,
}

/// Returns what an Application lacks, if it is synced by hand and its branch went on.
pub fn span(app: &Application) -> Option<Span> {
    let is_behind = app.is_manual && app.sync == "OutOfSync" && app.operation != "Running" && app.synced_revision != app.revision;
    let is_known = ![&app.repo, &app.synced_revision, &app.revision].iter().any(|text| text.is_empty());
    (is_behind && is_known).then(|| Span { repo: app.repo.clone(), from: app.synced_revision.clone(), to: app.revision.clone() })
}

/// Returns how far behind an Application is, if it is.
pub fn behind(app: &Application, lag: Option<&Lag>) -> Option<Behind> {
    span(app)?;
    let since = lag.and_then(|lag| lag.since).or(app.sync_since);
    let deadline = deadline(&app.sync_deadline).ok().flatten();
    Some(Behind {
        commits: lag.map(|lag| lag.commits),
        is_more: lag.is_some_and(|lag| lag.is_more),
        since,
        // What lies beyond time is not due.
        due_at: since.zip(deadline).and_then(|(since, deadline)| since.checked_add(deadline).ok()),
    })
}

/// Returns the gap of an Application as a symptom. A sync that was tried and failed is told as that.
pub(crate) fn of_app(app: &Application, lag: Option<&Lag>) -> Option<Symptom> {
    let behind = behind(app, lag)?;
    if is_failed(app) || is_render_error(app) {
        return None;
    }
    let target = if app.target_revision.is_empty() { "HEAD" } else { &app.target_revision };
    let due =
        behind.due_at.map(|at| format!("; to be synced by {} ({}: {})", clock(Some(at)), annotation::SYNC_DEADLINE, app.sync_deadline));
    Some(Symptom {
        cause: Cause { kind: "Gap".to_owned(), app: key(app), source: source(app), ..Cause::default() },
        message: format!(
            "synced by hand, last to {}; {target} is at {}{}",
            short(&app.synced_revision),
            short(&app.revision),
            due.unwrap_or_default()
        ),
        since: behind.since,
        revision: app.revision.clone(),
        repo: app.repo.clone(),
        severity: Severity::Info,
        grave_from: behind.due_at,
        gap: Some(Box::new(Gap { behind, target: target.to_owned() })),
        ..Symptom::default()
    })
}

/// Returns what is wrong with an Application's deadline: one that is not understood would never pass.
pub(crate) fn of_deadline(app: &Application) -> Option<Symptom> {
    let why = deadline(&app.sync_deadline).err()?;
    Some(Symptom {
        cause: Cause { kind: "InvalidSyncDeadline".to_owned(), app: key(app), source: source(app), ..Cause::default() },
        message: format!("Application {}: metadata.annotations[{}]: {why}", key(app), annotation::SYNC_DEADLINE),
        since: None,
        repo: app.repo.clone(),
        severity: Severity::Warning,
        ..Symptom::default()
    })
}

/// Says how far behind, as `9 commits behind prod for 12 days`.
pub(crate) fn words(gap: &Gap, clusters: u64, now: Timestamp) -> String {
    let Behind { commits, is_more, since, due_at } = &gap.behind;
    let at_most = if clusters > 1 { "up to " } else { "" };
    let count = match commits {
        Some(count) if *is_more => format!("more than {count} commits behind"),
        Some(1) => format!("{at_most}1 commit behind"),
        Some(count) => format!("{at_most}{count} commits behind"),
        None => "behind".to_owned(),
    };
    let age = since.map(|since| format!(" for {}", time(now.duration_since(since)))).unwrap_or_default();
    let late = due_at.filter(|due| *due <= now).map(|due| format!(", {} past its deadline", time(now.duration_since(due))));
    format!("{count} {}{age}{}", gap.target, late.unwrap_or_default())
}

/// Of two gaps of one Application, whether the first is the larger one.
pub(crate) fn is_larger(one: &Gap, other: &Gap) -> bool {
    let size = |gap: &Gap| (gap.behind.commits, std::cmp::Reverse(gap.behind.since));
    size(one) > size(other)
}

/// Reads a deadline as `10d`, `36h` or `2d12h`; none for an empty one.
fn deadline(text: &str) -> Result<Option<SignedDuration>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = duration(text.trim()).filter(SignedDuration::is_positive);
    parsed.map(Some).ok_or_else(|| format!("{text:?} is not a duration; write it as 10d, 36h or 2d12h"))
}

fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut seconds = 0_i64;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let mut unit = after.chars();
        let length = match unit.next()? {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(length)?)?;
        rest = unit.as_str();
    }
    Some(SignedDuration::from_secs(seconds))
}

/// Says how long something is, in one unit.
fn time(length: SignedDuration) -> String {
    let minutes = length.as_mins().max(0);
    match minutes {
        0 => "less than a minute".to_owned(),
        1 => "1 minute".to_owned(),
        2..120 => format!("{minutes} minutes"),
        120..2_880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

fn key(app: &Application) -> String {
    format!("{}/{}", app.namespace, app.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_duration_of_days_to_seconds() {
        let check = |text: &str, seconds: Option<i64>| {
            let read = deadline(text);
            assert_eq!(read.as_ref().ok().map(|d| d.map(|d| d.as_secs())), seconds.map(|s| (s > 0).then_some(s)), "{text:?}: {read:?}");
        };
        check("", Some(0));
        check("10d", Some(864_000));
        check("2d12h", Some(216_000));
        check(" 36h ", Some(129_600));
        check("90s", Some(90));
        for wrong in
            ["soon", "10", "d", "-3d", "0d", "10 d", "1.5h", "99999999999999999999d", "999999999999999d9999999999999999d", "1w", "10ä"]
        {
            check(wrong, None);
        }
        assert_eq!(deadline("soon").expect_err("refused"), "\"soon\" is not a duration; write it as 10d, 36h or 2d12h");
    }

    #[test]
    fn lengths_are_told_in_one_unit() {
        let check = |seconds: i64, expect: &str| assert_eq!(time(SignedDuration::from_secs(seconds)), expect);
        check(-5, "less than a minute");
        check(60, "1 minute");
        check(7_199, "119 minutes");
        check(7_200, "2 hours");
        check(172_799, "47 hours");
        check(12 * 86_400, "12 days");
    }
}

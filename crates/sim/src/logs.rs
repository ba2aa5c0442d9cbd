//! What simulated containers print: lines that follow from the pod alone, so that they need not be kept.
//!
//! A container prints a line when it starts, one every ten seconds, and last words if it fails; or, in turn, the
//! lines ordered for it. Asked twice, it has printed the same.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::faults::Orders;

const EVERY: SignedDuration = SignedDuration::from_secs(10);
/// Lines of one answer; as many as a kubelet's 10 MiB log file holds of ours.
pub const LINES_MOST: usize = 100_000;

/// What of a container's log is wanted; the parameters of `pods/log`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    pub previous: bool,
    pub tail_lines: Option<usize>,
    pub since: Option<Timestamp>,
    pub timestamps: bool,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    #[error("container {0} is not valid for pod {1}")]
    NoSuchContainer(String, String),
    #[error("a container name must be specified for pod {0}, choose one of: [{1}]")]
    ContainerRequired(String, String),
    #[error("container {0:?} in pod {1:?} is waiting to start: {2}")]
    Waiting(String, String, String),
    #[error("previous terminated container {0:?} in pod {1:?} not found")]
    NoPrevious(String, String),
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pod: String,
    container: String,
    image: String,
    started_at: Timestamp,
    /// When and how it ended.
    ended: Option<(Timestamp, i64, String)>,
    restarts: i64,
}

impl Run {
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }
}

/// Returns the container that is meant: the one named, or the only one.
pub fn container_of(pod: &Value, wanted: Option<&str>) -> Result<String, Error> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let names = |field: &str| -> Vec<&str> {
        pod["spec"][field].as_array().map(|all| all.iter().filter_map(|c| c["name"].as_str()).collect()).unwrap_or_default()
    };
    let main = names("containers");
    match wanted {
        Some(wanted) if main.contains(&wanted) || names("initContainers").contains(&wanted) => Ok(wanted.to_owned()),
        Some(wanted) => Err(Error::NoSuchContainer(wanted.into(), name.into())),
        None => {
            let default = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
            match (default.filter(|d| main.contains(d)), main.as_slice()) {
                (Some(default), _) => Ok(default.to_owned()),
                (None, [only]) => Ok((*only).to_owned()),
                _ => Err(Error::ContainerRequired(name.into(), main.join(" "))),
            }
        }
    }
}

/// Returns the run whose log is wanted.
pub fn run_of(pod: &Value, container: &str, previous: bool) -> Result<Run, Error> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let statuses = ["containerStatuses", "initContainerStatuses"];
    let status = statuses.iter().find_map(|list| pod["status"][list].as_array()?.iter().find(|s| s["name"] == container));
    let waiting = |reason: &str| Error::Waiting(container.into(), name.clone(), reason.into());
    let status = status.ok_or_else(|| waiting("ContainerCreating"))?;
    let time = |value: &Value| value.as_str().and_then(|t| t.parse::<Timestamp>().ok());
    let restarts = status["restartCount"].as_i64().unwrap_or(0);
    let run = |started_at, terminated: &Value, restarts| Run {
        pod: name.clone(),
        container: container.into(),
        image: status["image"].as_str().unwrap_or_default().into(),
        started_at,
        ended: time(&terminated["finishedAt"])
            .map(|at| (at, terminated["exitCode"].as_i64().unwrap_or(0), terminated["reason"].as_str().unwrap_or_default().to_owned())),
        restarts,
    };
    let last = &status["lastState"]["terminated"];
    if previous {
        let started_at = time(&last["startedAt"]).ok_or_else(|| Error::NoPrevious(container.into(), name.clone()))?;
        return Ok(run(started_at, last, restarts - 1));
    }
    let state = &status["state"];
    if let Some(started_at) = time(&state["running"]["startedAt"]) {
        return Ok(run(started_at, &Value::Null, restarts));
    }
    if let Some(started_at) = time(&state["terminated"]["startedAt"]) {
        return Ok(run(started_at, &state["terminated"], restarts));
    }
    // In a back-off the log of the run before is what there is.
    match time(&last["startedAt"]) {
        Some(started_at) => Ok(run(started_at, last, restarts)),
        None => Err(waiting(state["waiting"]["reason"].as_str().unwrap_or("ContainerCreating"))),
    }
}

/// Returns the lines printed in (`after`, `until`], oldest first, with their times.
pub fn lines(run: &Run, orders: &Orders, after: Option<Timestamp>, until: Timestamp) -> Vec<(Timestamp, String)> {
    let end = run.ended.as_ref().map_or(until, |(at, ..)| (*at).min(until));
    if end < run.started_at {
        return Vec::new();
    }
    let total = (end.duration_since(run.started_at).as_secs() / EVERY.as_secs()) as usize;
    let first = match after {
        Some(after) if after >= run.started_at => (after.duration_since(run.started_at).as_secs() / EVERY.as_secs()) as usize + 1,
        _ => 0,
    };
    let first = first.max((total + 1).saturating_sub(LINES_MOST));
    let mut lines: Vec<(Timestamp, String)> = (first..=total).map(|n| (run.started_at + EVERY * n as i32, text(run, orders, n))).collect();
    if let Some((at, code, reason)) = &run.ended
        && *code != 0
        && *at <= until
        && after.is_none_or(|after| *at > after)
    {
        lines.push((*at, format!("level=error msg=\"terminated\" container={} reason={reason} exitCode={code}", run.container)));
    }
    lines
}

fn text(run: &Run, orders: &Orders, n: usize) -> String {
    if !orders.logs.is_empty() {
        return orders.logs[n % orders.logs.len()].clone();
    }
    if n == 0 {
        return format!("level=info msg=\"starting\" container={} image={} restarts={}", run.container, run.image, run.restarts);
    }
    let hash = crate::workloads::fnv(format!("{}/{}/{n}", run.pod, run.container).as_bytes());
    format!("level=info msg=\"handled requests\" count={} errors=0 p99_ms={}", 20 + hash % 180, 3 + (hash >> 8) % 40)
}

/// Prints lines as `pods/log` answers them.
pub fn print(lines: &[(Timestamp, String)], options: &LogOptions) -> String {
    let wanted: Vec<_> = lines.iter().filter(|(at, _)| options.since.is_none_or(|since| *at >= since)).collect();
    let skipped = options.tail_lines.map_or(0, |tail| wanted.len().saturating_sub(tail));
    wanted[skipped..].iter().fold(String::new(), |mut out, (at, line)| {
        if options.timestamps {
            out.push_str(&format!("{at:.9} "));
        }
        out.push_str(line);
        out.push('\n');
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn pod(state: Value, last: Value) -> Value {
        json!({
            "metadata": {"name": "p"}, "spec": {"containers": [{"name": "main"}]},
            "status": {"containerStatuses": [{"name": "main", "image": "x:1", "restartCount": 1, "state": state, "lastState": last}]},
        })
    }

    #[test]
    fn a_log_is_the_same_each_time_and_grows() {
        let pod = pod(json!({"running": {"startedAt": at(0).to_string()}}), json!({}));
        let run = run_of(&pod, "main", false).expect("a run");
        let first = lines(&run, &Orders::default(), None, at(25));
        assert_eq!(first.len(), 3);
        let later = lines(&run, &Orders::default(), None, at(35));
        assert_eq!(first[..], later[..3]);
        assert_eq!(lines(&run, &Orders::default(), Some(at(25)), at(35))[..], later[3..]);
        let text = print(&later, &LogOptions { tail_lines: Some(1), timestamps: true, ..LogOptions::default() });
        assert!(text.starts_with("2027-01-15T08:00:30.000000000Z level=info") && text.ends_with('\n'), "{text}");
    }

    #[test]
    fn a_crashed_run_has_last_words_and_can_be_read_afterwards() {
        let ended =
            json!({"terminated": {"startedAt": at(0).to_string(), "finishedAt": at(1).to_string(), "exitCode": 3, "reason": "Error"}});
        let pod = pod(json!({"waiting": {"reason": "CrashLoopBackOff"}}), ended);
        let orders: Orders = serde_json::from_value(json!({"logs": ["panic: no configuration"]})).expect("orders");
        for previous in [false, true] {
            let run = run_of(&pod, "main", previous).expect("a run");
            let text = print(&lines(&run, &orders, None, at(60)), &LogOptions::default());
            assert!(text.starts_with("panic: no configuration\n") && text.contains("exitCode=3"), "{text}");
        }
    }

    #[test]
    fn what_has_no_log_says_why() {
        let waiting = pod(json!({"waiting": {"reason": "ImagePullBackOff"}}), json!({}));
        assert!(run_of(&waiting, "main", false).expect_err("none").to_string().contains("waiting to start: ImagePullBackOff"));
        assert!(matches!(run_of(&waiting, "main", true), Err(Error::NoPrevious(..))));
        assert!(matches!(container_of(&waiting, Some("x")), Err(Error::NoSuchContainer(..))));
        assert_eq!(container_of(&waiting, None), Ok("main".into()));
    }
}

//! Faults and behaviour to order: what a simulated container does other than run well.
//!
//! Orders come from, in this order: annotations `sim.muster.dev/...` on the pod; rules in the ConfigMap
//! `sim-faults` in `kube-system` (one rule a key, in YAML), which anybody may change at run time; and one
//! rule that is always there: an image whose tag says that it is bad cannot be pulled.
//!
//! ```yaml
//! data:
//!   broken-release: |
//!     image: "*/offers-api:1.8.*"
//!     fault: crash-loop
//!     exitCode: 3
//!     logs: ["panic: no configuration"]
//! ```

use jiff::SignedDuration;
use serde::Deserialize;

use crate::model::{ConfigMap, Pod};

pub const PREFIX: &str = "sim.muster.dev/";
pub const CONFIG_MAP: &str = "sim-faults";
pub const CONFIG_MAP_NAMESPACE: &str = "kube-system";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// `ErrImagePull`, then `ImagePullBackOff`.
    ImageNotFound,
    /// The container ends soon after each start; `exitCode` (1) and `runFor` (1s) say how and when.
    CrashLoop,
    /// As `crash-loop`, killed for memory.
    OomKilled,
    /// Runs, and its readiness probe never succeeds.
    NeverReady,
    /// No node takes the pod.
    Unschedulable,
    /// Does not stop before the grace period ends.
    SlowStop,
}

/// What is ordered for one container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Orders {
    pub fault: Option<Fault>,
    pub exit_code: Option<i32>,
    /// From scheduled to running.
    start_after: Option<String>,
    /// From running to ready, beside what the probes say.
    ready_after: Option<String>,
    /// From running to the end.
    run_for: Option<String>,
    /// Lines that the container prints, again and again.
    pub logs: Vec<String>,
}

/// A rule of the table: orders for the containers it matches. Patterns know `*` and `?`; none matches all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Rule {
    namespace: Option<String>,
    pod: Option<String>,
    container: Option<String>,
    image: Option<String>,
    node: Option<String>,
    fault: Option<Fault>,
    exit_code: Option<i32>,
    start_after: Option<String>,
    ready_after: Option<String>,
    run_for: Option<String>,
    logs: Vec<String>,
}

/// All rules of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    rules: Vec<Rule>,
    /// Rules that could not be read: key and why.
    pub problems: Vec<(String, String)>,
}

impl Table {
    /// Reads the ConfigMap; a rule that is wrong is left out and named in `problems`.
    pub fn of(config_map: &ConfigMap) -> Self {
        let mut table = Self::default();
        for (name, text) in &config_map.data {
            match serde_saphyr::from_str::<Rule>(text) {
                Ok(rule) => table.rules.push(rule),
                Err(error) => table.problems.push((name.clone(), error.to_string())),
            }
        }
        table
    }

    /// Returns what is ordered for a container of a pod.
    pub fn orders(&self, pod: &Pod, container: &str, image: &str) -> Orders {
        if let Some(orders) = ordered_by_annotations(pod, container) {
            return orders;
        }
        let matches = |pattern: &Option<String>, text: &str| pattern.as_ref().is_none_or(|p| glob(p, text));
        let rule = self.rules.iter().find(|rule| {
            matches(&rule.namespace, &pod.metadata.namespace)
                && matches(&rule.pod, &pod.metadata.name)
                && matches(&rule.container, container)
                && matches(&rule.image, image)
                && matches(&rule.node, &pod.spec.node_name)
        });
        match rule {
            Some(rule) => Orders {
                fault: rule.fault,
                exit_code: rule.exit_code,
                start_after: rule.start_after.clone(),
                ready_after: rule.ready_after.clone(),
                run_for: rule.run_for.clone(),
                logs: rule.logs.clone(),
            },
            None if has_bad_tag(image) => Orders { fault: Some(Fault::ImageNotFound), ..Orders::default() },
            None => Orders::default(),
        }
    }

    /// Returns what is ordered for the pod as a whole: the first fault of any container.
    pub fn pod_fault(&self, pod: &Pod) -> Option<Fault> {
        pod.spec.containers.iter().find_map(|c| self.orders(pod, &c.name, &c.image).fault)
    }
}

impl Orders {
    pub fn start_after(&self) -> Option<SignedDuration> {
        self.start_after.as_deref().and_then(duration)
    }

    pub fn ready_after(&self) -> Option<SignedDuration> {
        self.ready_after.as_deref().and_then(duration)
    }

    pub fn run_for(&self) -> Option<SignedDuration> {
        self.run_for.as_deref().and_then(duration)
    }
}

fn ordered_by_annotations(pod: &Pod, container: &str) -> Option<Orders> {
    let get = |name: &str| pod.metadata.annotations.get(&format!("{PREFIX}{name}")).cloned();
    if !pod.metadata.annotations.keys().any(|key| key.starts_with(PREFIX)) || get("container").is_some_and(|c| c != container) {
        return None;
    }
    let fault = get("fault").and_then(|text| serde_json::from_value(text.into()).ok());
    Some(Orders {
        fault,
        exit_code: get("exit-code").and_then(|code| code.parse().ok()),
        start_after: get("start-after"),
        ready_after: get("ready-after"),
        run_for: get("run-for"),
        logs: get("logs").map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default(),
    })
}

/// Returns whether the tag has a word that people give to a tag that is not there.
fn has_bad_tag(image: &str) -> bool {
    let tag = image.rsplit_once('/').map_or(image, |(_, last)| last).split_once(':').map_or("", |(_, tag)| tag);
    ["bad", "broken", "missing", "nonexistent", "doesnotexist", "does-not-exist", "not-found"].iter().any(|word| tag.contains(word))
}

/// Matches `*` (any text) and `?` (one character).
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) && pattern[p] != b'*' {
            (p, t) = (p + 1, t + 1);
        } else if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if let Some((star_p, star_t)) = star {
            star = Some((star_p, star_t + 1));
            (p, t) = (star_p + 1, star_t + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Parses durations as Go writes them, and days: `1h30m`, `5s`, `200ms`, `12d`.
pub fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut total = SignedDuration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..number_end].parse().ok()?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.checked_add(SignedDuration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).expect("a pod")
    }

    #[test]
    fn annotations_win_over_rules_and_rules_over_the_tag() {
        let config_map: ConfigMap = serde_json::from_value(json!({"data": {
            "a": "image: '*/offers-api:1.8.*'\nfault: crash-loop\nexitCode: 3\nrunFor: 2s",
            "b": "namespace: web-*\nfault: never-ready",
            "c": "fault: explode",
        }}))
        .expect("a ConfigMap");
        let table = Table::of(&config_map);
        let plain = pod(json!({"metadata": {"namespace": "edge", "name": "p"}}));
        let orders = table.orders(&plain, "main", "registry/offers-api:1.8.2");
        assert_eq!((orders.fault, orders.exit_code), (Some(Fault::CrashLoop), Some(3)));
        assert_eq!(orders.run_for(), Some(SignedDuration::from_secs(2)));
        assert_eq!(table.orders(&pod(json!({"metadata": {"namespace": "web-a"}})), "main", "x:1").fault, Some(Fault::NeverReady));
        assert_eq!(table.orders(&plain, "main", "host:5000/x:2.0-bad").fault, Some(Fault::ImageNotFound));
        assert_eq!(table.orders(&plain, "main", "badger:5000/x:2.0").fault, None);
        let annotated = pod(json!({"metadata": {"annotations": {"sim.muster.dev/fault": "oom-killed"}}}));
        assert_eq!(table.orders(&annotated, "main", "registry/offers-api:1.8.2").fault, Some(Fault::OomKilled));
        assert_eq!(table.problems.len(), 1);
        assert_eq!(table.problems[0].0, "c");
    }

    #[test]
    fn patterns_match_whole_texts() {
        assert!(glob("*", "") && glob("a*c", "abbc") && glob("a?c", "abc") && glob("*:1.*", "x:1.2"));
        assert!(!glob("a*c", "abcd") && !glob("", "a") && !glob("a?c", "ac"));
    }

    #[test]
    fn durations_are_gos_and_days() {
        assert_eq!(duration("1h30m"), Some(SignedDuration::from_mins(90)));
        assert_eq!(duration("200ms"), Some(SignedDuration::from_millis(200)));
        assert_eq!(duration("1.5d"), Some(SignedDuration::from_hours(36)));
        assert_eq!(duration("5"), None);
        assert_eq!(duration(""), None);
    }
}

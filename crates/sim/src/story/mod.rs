//! Stories: what may happen to a fleet, as files of steps and expected facts, played against a running one.
//!
//! ```yaml
//! title: A promotion reaches every store
//! clusters: [store-0002, store-sim-01]     # enough to show it; `muster sim play` takes the fleet that runs
//! steps:
//!   - commit: {repository: edge, branch: dev, author: Ann <ann@example.com>, message: "release 2",
//!              replace: {release/kustomization.yaml: {"1.8.2": "1.9.0"}}}
//!   - expect: {on: env=dev, application: edge, at: dev, sync: Synced, health: Healthy, within: 60s}
//! ```
//! A story sees a fleet from outside only, as people do: the hub's API and read model, the clusters' APIs, Git, and the
//! simulator's orders. So the same file is true in virtual time in one process, and of processes on a machine.

mod facts;
mod play;
mod work_tree;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::control::Request;
use crate::example::Example;
use crate::faults;
pub use play::{Orders, Stage};

/// A story as its file has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Story {
    pub title: String,
    /// Clusters that a fleet must have for it.
    pub clusters: Vec<String>,
    /// Of these, those that are plugged in by it: no fleet has them before.
    #[serde(default)]
    pub unplugged: Vec<String>,
    pub steps: Vec<Step>,
}

/// One thing that is done or must be true.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Step {
    Commit(Commit),
    /// Merges one branch into another, never by a fast-forward.
    Merge(Merge),
    /// Undoes the newest commit of a branch by another.
    Revert(Revert),
    /// Orders something of the simulator, as `muster sim` does.
    Order(Request),
    /// Applies a file of the example on the hub.
    Announce(String),
    /// Changes an object of the hub, as its owner would with `kubectl patch --type json`.
    Patch(Patch),
    /// Asks clusters to sync an Application now, as `operation` of it.
    Sync(SyncNow),
    /// Deletes an object in clusters.
    Delete(Object),
    /// Takes a repository away from everyone, or gives it back.
    Git(Git),
    Expect(Box<Expect>),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Commit {
    pub repository: String,
    pub branch: String,
    pub author: String,
    pub message: String,
    /// How long ago it says it was made, as `12d`: nobody waits for days.
    pub ago: Option<String>,
    /// Per file, words and what stands there afterwards.
    #[serde(default)]
    pub replace: BTreeMap<String, BTreeMap<String, String>>,
    /// Per kustomization, names of images (their last parts will do) and their tags afterwards, whatever they were.
    #[serde(default)]
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    /// Whole files.
    #[serde(default)]
    pub write: BTreeMap<String, String>,
    /// The words with which the repository refuses it, if it must.
    pub refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Merge {
    pub repository: String,
    pub from: String,
    pub into: String,
    pub author: String,
    pub message: String,
    /// How long ago it says it was made.
    pub ago: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revert {
    pub repository: String,
    pub branch: String,
    pub author: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    pub api_version: String,
    pub kind: String,
    #[serde(default)]
    pub namespace: Option<String>,
    pub name: String,
    /// Operations of RFC 6902.
    pub operations: json_patch::Patch,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SyncNow {
    /// Label selector of clusters, or a name.
    pub on: String,
    pub application: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Object {
    /// Label selector of clusters.
    pub on: String,
    pub api_version: String,
    pub kind: String,
    #[serde(default)]
    pub namespace: Option<String>,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Git {
    pub repository: String,
    pub away: bool,
}

/// Facts that must come true, all at once, of every cluster chosen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Expect {
    /// Label selector of clusters on the hub, or a name or pattern of names.
    pub on: String,
    /// By when, as 60s, which is the default.
    pub within: Option<String>,
    /// Once true it must stay so for this long; for what must *not* happen.
    pub and_stay: Option<String>,
    /// How many clusters that are, if it matters.
    pub clusters: Option<usize>,
    /// What the hub says of their availability: `True`, `False`, `Unknown`.
    pub available: Option<String>,
    /// Which Application the next facts are of, as the hub knows it.
    pub application: Option<String>,
    /// Git revision, as `dev` or `prod^1`, in the repository of the Application's name or of `repository`.
    pub at: Option<String>,
    pub repository: Option<String>,
    pub sync: Option<String>,
    pub health: Option<String>,
    /// Words of its message.
    pub message: Option<String>,
    /// How many commits it is behind its branch.
    pub behind: Option<u32>,
    /// What `muster problems` says of each of the clusters.
    pub problem: Option<ProblemFact>,
    /// Facts in the clusters themselves.
    pub object: Option<ObjectFact>,
    /// A revision that the Application in the cluster never was at.
    pub never: Option<String>,
}

/// A problem of a kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProblemFact {
    pub kind: String,
    /// `namespace/name` of its Application.
    pub app: String,
    /// There must be none.
    pub none: bool,
    /// `Info`, `Warning`, `Critical`; `problems --check` fails for what is more than `Info`.
    pub severity: Option<String>,
    /// Words of its title, and of its remedy.
    pub title: Option<String>,
    pub remedy: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectFact {
    pub api_version: String,
    pub kind: String,
    #[serde(default)]
    pub namespace: Option<String>,
    pub name: String,
    /// JSON pointers, and values that stand there in every cluster.
    #[serde(default)]
    pub has: BTreeMap<String, serde_json::Value>,
    /// JSON pointers of numbers, and the least they are.
    #[serde(default)]
    pub at_least: BTreeMap<String, i64>,
    /// How many different image digests its pods run, over all clusters chosen.
    pub digests: Option<usize>,
}

impl Story {
    /// Reads a story and checks what can be checked without a fleet.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let story: Self = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        for (index, step) in story.steps.iter().enumerate() {
            let (name, ago) = match step {
                Step::Commit(commit) => ("commit", &commit.ago),
                Step::Merge(merge) => ("merge", &merge.ago),
                _ => ("", &None),
            };
            if ago.as_deref().is_some_and(|text| faults::duration(text).is_none()) {
                return Err(format!("steps[{index}].{name}.ago: expected a duration such as 12d"));
            }
            if let Step::Expect(expect) = step {
                for (field, text) in [("within", &expect.within), ("andStay", &expect.and_stay)] {
                    if text.as_deref().is_some_and(|text| faults::duration(text).is_none()) {
                        return Err(format!("steps[{index}].expect.{field}: expected a duration such as 60s"));
                    }
                }
                if expect.object.as_ref().is_some_and(|fact| fact.has.is_empty() && fact.at_least.is_empty() && fact.digests.is_none()) {
                    return Err(format!("steps[{index}].expect.object: it needs has, atLeast or digests"));
                }
                let of_application = [&expect.at, &expect.sync, &expect.health, &expect.message, &expect.never];
                let says_something = of_application.iter().any(|fact| fact.is_some()) || expect.behind.is_some();
                if expect.application.is_none() && says_something {
                    return Err(format!("steps[{index}].expect.application: which one?"));
                }
                if expect.application.is_some() && !says_something {
                    return Err(format!("steps[{index}].expect.application: it needs at, sync, health, message, behind or never"));
                }
                let of_problem = expect.problem.as_ref();
                if of_problem.is_some_and(|p| p.kind.is_empty() || p.none == (p.severity.is_some() || p.title.is_some())) {
                    return Err(format!("steps[{index}].expect.problem: it needs kind, and severity or title, or else none"));
                }
            }
        }
        Ok(story)
    }

    /// Returns a story of an example by the beginning of its file's name, as `02`.
    pub fn of(example: Example, name: &str) -> Result<Self, String> {
        let wanted = name.trim_start_matches("stories/").trim_end_matches(".yaml");
        let mut found = example.files("stories/").filter(|(path, _)| path["stories/".len()..].starts_with(wanted));
        match (found.next(), found.next()) {
            (Some((path, text)), None) => Self::parse(text).map_err(|problem| format!("{path}: {problem}")),
            _ => {
                let names: Vec<&str> = example.files("stories/").map(|(path, _)| path).collect();
                Err(format!("there is no story {name:?}; there are {}", names.join(", ")))
            }
        }
    }

    /// Returns the story's clusters as an example draws them.
    pub fn fleet(&self, example: Example) -> Result<crate::FleetSpec, String> {
        let generator = example.generator().map_err(|e| e.to_string())?;
        let mut fleet = generator.fleet(generator.stores_max());
        fleet.stores.retain(|store| self.clusters.contains(&store.name));
        let missing: Vec<&String> = self.clusters.iter().filter(|name| !fleet.stores.iter().any(|s| s.name == **name)).collect();
        let missing: Vec<String> = missing.into_iter().cloned().collect();
        (fleet.spare, fleet.stores) = fleet.stores.into_iter().partition(|store| self.unplugged.contains(&store.name));
        if missing.is_empty() { Ok(fleet) } else { Err(format!("clusters: the example draws none named {missing:?}")) }
    }
}

fn duration(text: Option<&str>, default: Duration) -> Duration {
    text.and_then(faults::duration).and_then(|d| Duration::try_from(d).ok()).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_story_of_the_retailer_is_readable_and_names_clusters_that_are_drawn() {
        let retail = Example::named("retail").expect("there");
        for (path, text) in retail.files("stories/") {
            let story = Story::parse(text).unwrap_or_else(|e| panic!("{path}: {e}"));
            let fleet = story.fleet(retail).unwrap_or_else(|e| panic!("{path}: {e}"));
            assert_eq!(fleet.stores.len() + fleet.spare.len(), story.clusters.len(), "{path}");
            assert!(story.steps.iter().any(|step| matches!(step, Step::Expect(_))), "{path} expects nothing");
        }
    }

    #[test]
    fn a_story_that_is_wrong_is_told_where() {
        let check = |step: &str| Story::parse(&format!("title: t\nclusters: []\nsteps: [{step}]")).expect_err("refused");
        assert_eq!(check("{expect: {on: a, sync: Synced}}"), "steps[0].expect.application: which one?");
        assert!(check("{expect: {on: a, within: soon}}").contains("steps[0].expect.within"));
        assert!(check("{expect: {on: a, application: x}}").contains("it needs at, sync"));
        assert!(check("{expect: {on: a, object: {apiVersion: v1, kind: Pod, name: p}}}").contains("it needs has"));
        assert!(check("{dance: {}}").contains("dance"));
    }
}

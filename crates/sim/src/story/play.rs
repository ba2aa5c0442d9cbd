//! Plays a story: one step after the other, each with its time; the first that fails ends it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use controller::Clock;
use futures::FutureExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::facts::Commits;
use super::work_tree::WorkTree;
use super::{Expect, Object, Step, Story, SyncNow, duration, facts};
use crate::control::Request;
use crate::example::Example;

const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long nobody may answer while something must stay true.
const SILENT_MOST: Duration = Duration::from_secs(10);

/// What a story asks of the simulator beside its clusters' APIs.
#[async_trait]
pub trait Orders: Send + Sync {
    async fn order(&self, request: &Request) -> Result<(), String>;
    /// Returns a client that may do everything in a cluster.
    async fn client(&self, cluster: &str) -> Result<kube::Client, String>;
}

/// Where a story is played.
pub struct Stage {
    pub example: Example,
    pub hub: kube::Client,
    pub orders: Arc<dyn Orders>,
    /// Where repositories are: `<git_url>/<name>.git`.
    pub git_url: String,
    /// Bare repositories on this machine, for stories that take one away.
    pub repositories: PathBuf,
    /// Clones.
    pub scratch: PathBuf,
    /// By which commits are dated; the hub's.
    pub clock: Clock,
    clients: Mutex<BTreeMap<String, kube::Client>>,
}

impl Stage {
    pub fn new(
        example: Example,
        hub: kube::Client,
        orders: Arc<dyn Orders>,
        git_url: String,
        repositories: PathBuf,
        scratch: PathBuf,
        clock: Clock,
    ) -> Self {
        Self { example, hub, orders, git_url, repositories, scratch, clock, clients: Mutex::default() }
    }

    /// Plays a story; `tell` hears each step when it is over.
    pub async fn play(&self, story: &Story, tell: &(dyn Fn(usize, &str, Duration) + Sync)) -> Result<(), String> {
        for (index, step) in story.steps.iter().enumerate() {
            let begun = Instant::now();
            let done = self.step(step).boxed().await;
            done.map_err(|problem| format!("steps[{index}]: {problem}"))?;
            tell(index, &words(step), begun.elapsed());
        }
        Ok(())
    }

    async fn step(&self, step: &Step) -> Result<(), String> {
        match step {
            Step::Commit(commit) => self.tree(&commit.repository)?.commit(commit, self.clock.now()),
            Step::Merge(merge) => self.tree(&merge.repository)?.merge(merge, self.clock.now()),
            Step::Revert(revert) => self.tree(&revert.repository)?.revert(revert),
            Step::Order(request) => {
                let ordered = self.orders.order(request).await;
                // A cluster that was rebooted answers elsewhere.
                self.clients.lock().clear();
                ordered
            }
            Step::Announce(path) => self.announce(path).await,
            Step::Patch(patch) => self.patch(patch).await,
            Step::Sync(sync) => self.sync(sync).await,
            Step::Delete(object) => self.delete(object).await,
            Step::Git(git) => {
                let bare = self.repositories.join(format!("{}.git", git.repository));
                let elsewhere = bare.with_extension("away");
                let (from, to) = if git.away { (bare, elsewhere) } else { (elsewhere, bare) };
                std::fs::rename(&from, to).map_err(|e| format!("{}: {e}", from.display()))
            }
            Step::Expect(expect) => self.expect(expect).await,
        }
    }

    fn tree(&self, repository: &str) -> Result<WorkTree, String> {
        WorkTree::of(&self.scratch, &self.git_url, repository)
    }

    /// Returns the commit of a revision, as its repository has it now.
    pub(super) fn commit(&self, repository: &str, revision: &str) -> Result<String, String> {
        self.tree(repository)?.resolve(revision)
    }

    pub(super) async fn cluster(&self, name: &str) -> Result<kube::Client, String> {
        if let Some(client) = self.clients.lock().get(name) {
            return Ok(client.clone());
        }
        let client = self.orders.client(name).await?;
        self.clients.lock().insert(name.to_owned(), client.clone());
        Ok(client)
    }

    async fn announce(&self, path: &str) -> Result<(), String> {
        let text = self.example.file(path).ok_or_else(|| format!("the example has no file {path}"))?;
        let object: DynamicObject = serde_saphyr::from_str(text).map_err(|e| format!("{path}: {e}"))?;
        let types = object.types.clone().ok_or_else(|| format!("{path}: no apiVersion and kind"))?;
        let api = facts::api(&self.hub, &types.api_version, &types.kind, object.metadata.namespace.as_deref());
        let name = object.metadata.name.clone().unwrap_or_default();
        let applied = api.patch(&name, &PatchParams::apply("muster").force(), &Patch::Apply(&object)).boxed().await;
        applied.map(drop).map_err(|e| format!("{path}: {e}"))
    }

    async fn patch(&self, patch: &super::Patch) -> Result<(), String> {
        let api = facts::api(&self.hub, &patch.api_version, &patch.kind, patch.namespace.as_deref());
        let operations: Patch<()> = Patch::Json(patch.operations.clone());
        let patched = api.patch(&patch.name, &PatchParams::default(), &operations).boxed().await;
        patched.map(drop).map_err(|e| format!("{} {}: {e}", patch.kind, patch.name))
    }

    async fn sync(&self, sync: &SyncNow) -> Result<(), String> {
        let operation = serde_json::json!({"operation": {"initiatedBy": {"username": "story"}, "sync": {}}});
        for cluster in facts::clusters(self, &sync.on).await? {
            let cluster = cluster["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let client = self.cluster(&cluster).await?;
            let api = facts::api(&client, "argoproj.io/v1alpha1", "Application", Some("argocd"));
            let asked = api.patch(&sync.application, &PatchParams::default(), &Patch::Merge(&operation)).boxed().await;
            asked.map_err(|e| format!("{cluster}: Application {}: {e}", sync.application))?;
        }
        Ok(())
    }

    async fn delete(&self, object: &Object) -> Result<(), String> {
        let clusters = facts::clusters(self, &object.on).await?;
        if clusters.is_empty() {
            return Err(format!("no cluster is {}", object.on));
        }
        for cluster in clusters {
            let cluster = cluster["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let client = self.cluster(&cluster).await?;
            let api = facts::api(&client, &object.api_version, &object.kind, object.namespace.as_deref());
            let deleted = api.delete(&object.name, &DeleteParams::default()).boxed().await;
            deleted.map_err(|e| format!("{cluster}: {} {}: {e}", object.kind, object.name))?;
        }
        Ok(())
    }

    async fn expect(&self, expect: &Expect) -> Result<(), String> {
        let within = duration(expect.within.as_deref(), WITHIN);
        let commits = Commits::of(self, expect)?;
        let begun = Instant::now();
        // An API that does not answer may be one that is rebooted.
        while let Some(missing) = facts::missing(self, expect, &commits).await.unwrap_or_else(Some) {
            if begun.elapsed() >= within {
                return Err(format!("not within {} s: {missing}", within.as_secs()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let stays = duration(expect.and_stay.as_deref(), Duration::ZERO);
        let true_since = Instant::now();
        let mut answered = Instant::now();
        // Over with an answer only: what nobody could look at did not stay.
        while true_since.elapsed() < stays || answered < true_since + stays {
            tokio::time::sleep(LOOK_EVERY).await;
            match facts::missing(self, expect, &commits).await {
                Ok(None) => answered = Instant::now(),
                Ok(Some(missing)) => return Err(format!("true for {} s only: {missing}", true_since.elapsed().as_secs())),
                Err(_) if answered.elapsed() < SILENT_MOST => {}
                Err(error) => return Err(format!("cannot be looked at for {} s: {error}", answered.elapsed().as_secs())),
            }
        }
        Ok(())
    }
}

/// Returns a step in a line.
fn words(step: &Step) -> String {
    match step {
        Step::Commit(commit) if commit.refused.is_some() => format!("a push to {}@{} is refused", commit.repository, commit.branch),
        Step::Commit(commit) => {
            format!("{}@{}: {}", commit.repository, commit.branch, commit.message.lines().next().unwrap_or_default())
        }
        Step::Merge(merge) => format!("{}: {} is merged into {}", merge.repository, merge.from, merge.into),
        Step::Revert(revert) => format!("{}@{}: the newest commit is reverted", revert.repository, revert.branch),
        Step::Order(request) => format!("{:?} for {} {}", request.order, request.clusters.join(" "), request.selector),
        Step::Announce(path) => format!("{path} is applied on the hub"),
        Step::Patch(patch) => format!("{} {} is changed on the hub", patch.kind, patch.name),
        Step::Sync(sync) => format!("{} is to be synced on {}", sync.application, sync.on),
        Step::Delete(object) => format!("{} {} is deleted on {}", object.kind, object.name, object.on),
        Step::Git(git) => format!("repository {} is {}", git.repository, if git.away { "away" } else { "back" }),
        Step::Expect(expect) => {
            let mut facts = Vec::new();
            let named = [("available", &expect.available), ("at", &expect.at), ("sync", &expect.sync), ("health", &expect.health)];
            facts.extend(named.into_iter().filter_map(|(name, fact)| fact.as_ref().map(|fact| format!("{name} {fact}"))));
            facts.extend(expect.message.as_ref().map(|words| format!("says {words:?}")));
            facts.extend(expect.behind.map(|commits| format!("{commits} commits behind")));
            facts.extend(expect.problem.as_ref().map(|problem| match (problem.none, &problem.severity, &problem.title) {
                (true, ..) => format!("no problem {}", problem.kind),
                (_, severity, title) => {
                    format!("{} {}: {}", severity.as_deref().unwrap_or("a"), problem.kind, title.as_deref().unwrap_or("a problem"))
                }
            }));
            facts.extend(expect.object.as_ref().map(|object| format!("{} {} as expected", object.kind, object.name)));
            facts.extend(expect.never.as_ref().map(|revision| format!("never was at {revision}")));
            facts.extend(expect.and_stay.as_ref().map(|stays| format!("and stays so for {stays}")));
            format!("{}: {} {}", expect.on, expect.application.as_deref().unwrap_or_default(), facts.join(", "))
        }
    }
}

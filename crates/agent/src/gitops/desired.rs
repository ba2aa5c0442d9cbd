//! What a commit asks for, and how the cluster takes it: rendered once per commit, dry-run once per change.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use api::argo::Application;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use git::{Entry, Limits, Pack};
use gitops::{FIELD_MANAGER, Key, Live, Target, Targets, Verdict};
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use render::{Directory, File, Files, Source, Tool};
use serde_json::Value;

use crate::served::Served;

/// Dry runs at once against the local API server.
const CONCURRENCY: usize = 6;
/// Answers remembered; an object's answer goes with the object's next change.
const VERDICTS_MAX: usize = 20_000;

/// A commit's objects, ready to be applied.
pub(super) struct Rendered {
    pub commit: String,
    pub tool: Tool,
    pub targets: Targets,
    /// Each target's hash, in order.
    hashes: Vec<u64>,
}

/// Returns a pack's objects for an Application, or what is wrong with it, in words.
pub(super) async fn render(bytes: &[u8], app: &Application, instance: &str, served: &Served) -> Result<Rendered, String> {
    let pack = Pack::read(bytes, &Limits::default()).map_err(|e| e.to_string())?;
    let commit = pack.commit.to_string();
    let source = source(app, &pack);
    let rendered = render::render(&files(pack), &source, &render::Limits::default()).map_err(|problems| {
        let count = problems.len();
        let mut texts: Vec<String> = problems.iter().take(5).map(ToString::to_string).collect();
        if count > 5 {
            texts.push(format!("and {} more", count - 5));
        }
        format!("commit {}: {}", &commit[..7], texts.join("; "))
    })?;
    let tool = rendered.tool;
    let objects: Vec<Value> = rendered.manifests.into_iter().map(|m| m.object).collect();
    let mut scopes: HashMap<(String, String), bool> = HashMap::new();
    for object in &objects {
        let (group, kind) = (kinds::group_of(object).to_owned(), kinds::kind_of(object).to_owned());
        let version = object["apiVersion"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        if !scopes.contains_key(&(group.clone(), kind.clone()))
            && let Some(found) =
                served.kind(&group, version, &kind).await.map_err(|e| format!("the cluster's kinds cannot be read: {e}"))?
        {
            scopes.insert((group, kind), found.is_namespaced);
        }
    }
    let known = |group: &str, kind: &str| scopes.get(&(group.to_owned(), kind.to_owned())).copied();
    let targets = gitops::targets(objects, app, instance, &known);
    let hashes = targets.targets.iter().map(|t| hash(&t.object)).collect();
    Ok(Rendered { commit, tool, targets, hashes })
}

fn source(app: &Application, pack: &Pack) -> Source {
    let Some(source) = app.spec.sources().first() else { return Source::default() };
    let directory = source.directory.as_ref();
    let tool = if source.plugin.is_some() {
        Some(Tool::Plugin)
    } else if source.helm.is_some() {
        Some(Tool::Helm)
    } else if source.kustomize.is_some() {
        Some(Tool::Kustomize)
    } else {
        directory.map(|_| Tool::Directory)
    };
    let options = directory.map(|d| Directory { recurse: d.recurse, include: d.include.clone(), exclude: d.exclude.clone() });
    Source {
        path: pack.path.clone(),
        directory: options.unwrap_or_default(),
        kustomize: source.kustomize.clone(),
        repo: pack.repo.clone(),
        revision: source.target_revision.clone(),
        tool,
    }
}

fn files(pack: Pack) -> Files {
    let file = |entry: Entry| match entry {
        Entry::File(content) | Entry::Executable(content) => File::Content(content),
        Entry::Link(target) => File::Link(target),
        Entry::Submodule => File::Submodule,
        Entry::Omitted { size } => File::Omitted { size },
    };
    pack.entries.into_iter().map(|(path, entry)| (path, file(entry))).collect()
}

fn hash(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.hash(&mut hasher);
    hasher.finish()
}

/// Answers of dry runs, by (object, its live content, the target's hash); cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Verdicts(Arc<Mutex<HashMap<Key, Answer>>>);

#[derive(Clone)]
struct Answer {
    live_content: Option<u64>,
    target: u64,
    verdict: Verdict,
}

impl Verdicts {
    /// Returns a verdict for every named target, asking the server where something changed.
    pub async fn of(
        &self,
        client: &kube::Client,
        served: &Served,
        rendered: &Rendered,
        live: &BTreeMap<Key, Live>,
        app: &Application,
    ) -> Result<BTreeMap<Key, Verdict>, kube::Error> {
        let mut verdicts = BTreeMap::new();
        let mut unknown: Vec<(&Target, u64, Option<&Live>)> = Vec::new();
        // A changed rule of what to ignore changes every answer.
        let rules = hash(&serde_json::to_value(&app.spec.ignore_differences).unwrap_or_default());
        for (target, hash) in rendered.targets.targets.iter().zip(&rendered.hashes) {
            let found = live.get(&target.key);
            if target.key.name.is_empty() || !target.is_kind_known || target.brings_kind_along || target.is_hook() {
                verdicts.insert(target.key.clone(), Verdict::Unasked);
            } else if let Some(verdict) = self.known(&target.key, found, hash ^ rules) {
                verdicts.insert(target.key.clone(), verdict);
            } else {
                unknown.push((target, hash ^ rules, found));
            }
        }
        let mut asked: Vec<BoxFuture<'_, Result<_, kube::Error>>> = Vec::new();
        for (target, hash, found) in unknown {
            asked.push(async move { Ok((target, hash, found, ask(client, served, target, found.is_some(), app).await?)) }.boxed());
        }
        let answers: Vec<_> = futures::stream::iter(asked).buffer_unordered(CONCURRENCY).collect().await;
        for answer in answers {
            let (target, hash, found, verdict) = answer?;
            if verdict != Verdict::Unasked {
                self.keep(&target.key, found, hash, verdict.clone());
            }
            verdicts.insert(target.key.clone(), verdict);
        }
        Ok(verdicts)
    }

    /// Forgets an Application's answers.
    pub fn forget(&self, rendered: &Rendered) {
        let mut answers = self.0.lock();
        for target in &rendered.targets.targets {
            answers.remove(&target.key);
        }
    }

    fn known(&self, key: &Key, live: Option<&Live>, target: u64) -> Option<Verdict> {
        let answers = self.0.lock();
        let answer = answers.get(key)?;
        (answer.target == target && answer.live_content == live.map(|l| l.content)).then(|| answer.verdict.clone())
    }

    fn keep(&self, key: &Key, live: Option<&Live>, target: u64, verdict: Verdict) {
        let mut answers = self.0.lock();
        if answers.len() >= VERDICTS_MAX {
            answers.clear();
        }
        answers.insert(key.clone(), Answer { live_content: live.map(|l| l.content), target, verdict });
    }
}

/// Asks the server what applying would do.
async fn ask(client: &kube::Client, served: &Served, target: &Target, is_live: bool, app: &Application) -> Result<Verdict, kube::Error> {
    let Some(kind) = served.kind(&target.key.group, &target.version, &target.key.kind).await? else { return Ok(Verdict::Unasked) };
    let api = kind.api(client, &target.key.namespace);
    let live = if is_live { api.get_opt(&target.key.name).await? } else { None };
    let params = PatchParams { dry_run: true, force: true, field_manager: Some(FIELD_MANAGER.to_owned()), field_validation: None };
    match api.patch(&target.key.name, &params, &Patch::Apply(&target.object)).await {
        Ok(predicted) => {
            let Some(live) = live else { return Ok(Verdict::Unasked) };
            let [live, predicted] = [live, predicted].map(|object| serde_json::to_value(object).unwrap_or_default());
            let paths = gitops::differences(&live, &predicted, &app.spec.ignore_differences);
            Ok(if paths.is_empty() { Verdict::Same } else { Verdict::Different(paths) })
        }
        // Its namespace comes with the sync.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Verdict::Unasked),
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 413 | 415 | 422) => Ok(Verdict::Invalid(status.message.clone())),
        Err(error) => Err(error),
    }
}

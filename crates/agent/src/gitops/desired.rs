//! What a commit asks for, and how the cluster takes it: rendered once per commit, dry-run once per change.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use api::argo::{Application, ResourceIgnoreDifferences};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use git::{Entry, Limits, Pack};
use gitops::{FIELD_MANAGER, Key, Live, Target, Targets, Verdict};
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use render::{Directory, File, Files, Source, Tool};
use serde_json::Value;

use crate::refusal;
use crate::served::Served;

/// Dry runs at once against the local API server.
const CONCURRENCY: usize = 6;
/// Tries to read an object and to ask about it without a change in between.
const ASKED_MOST: u32 = 3;
/// Answers remembered; an object's answer goes with the object's next change.
const VERDICTS_MAX: usize = 20_000;

/// Group and kind, and whether its objects are in namespaces; the kinds that the cluster serves.
type Scopes = BTreeMap<(String, String), bool>;

/// What a commit renders to, whatever the cluster serves.
pub(super) struct Drawn {
    commit: String,
    tool: Tool,
    objects: Vec<Value>,
}

/// A commit's objects, ready to be applied.
pub(super) struct Rendered {
    pub commit: String,
    pub tool: Tool,
    pub targets: Targets,
    /// Each target's hash, in order.
    hashes: Vec<u64>,
    scopes: Scopes,
}

impl Drawn {
    /// Returns the kinds of the objects that the cluster serves.
    pub async fn scopes(&self, served: &Served) -> Result<Scopes, String> {
        let mut scopes = Scopes::new();
        for object in &self.objects {
            let (group, kind) = kind_of(object);
            let version = object["apiVersion"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
            if !scopes.contains_key(&(group.clone(), kind.clone()))
                && let Some(found) =
                    served.kind(&group, version, &kind).await.map_err(|e| format!("the cluster's kinds cannot be read: {e}"))?
            {
                scopes.insert((group, kind), found.is_namespaced);
            }
        }
        Ok(scopes)
    }

    fn has_unserved(&self, scopes: &Scopes) -> bool {
        self.objects.iter().any(|object| !scopes.contains_key(&kind_of(object)))
    }
}

impl Rendered {
    fn of(drawn: Drawn, scopes: Scopes, app: &Application, instance: &str) -> Self {
        let known = |group: &str, kind: &str| scopes.get(&(group.to_owned(), kind.to_owned())).copied();
        let targets = gitops::targets(drawn.objects, app, instance, &known);
        let hashes = targets.targets.iter().map(|t| hash(&t.object)).collect();
        Self { commit: drawn.commit, tool: drawn.tool, targets, hashes, scopes }
    }
}

fn kind_of(object: &Value) -> (String, String) {
    (kinds::group_of(object).to_owned(), kinds::kind_of(object).to_owned())
}

/// What an Application last rendered to: one commit that can be used and one that cannot, so that an Application that is held at
/// the last good one renders neither again.
#[derive(Default)]
pub(super) struct Renderings {
    good: Option<Good>,
    /// What it was of, commit, and why.
    bad: Option<(String, String, String)>,
}

#[derive(Clone)]
struct Good {
    of: String,
    rendered: Arc<Rendered>,
    /// As long as the cluster lacks a kind: when it comes, objects are looked at again, but not rendered.
    drawn: Option<Arc<Drawn>>,
}

/// What is remembered of a commit.
pub(super) enum Known {
    Nothing,
    Unusable(String),
    Rendered(Arc<Rendered>),
    /// Good as long as the cluster serves the same kinds.
    Open(Arc<Rendered>, Arc<Drawn>),
}

impl Renderings {
    /// Returns what is known of a commit rendered for a source and destination.
    pub fn known(&self, of: &str, commit: &str) -> Known {
        match (&self.good, &self.bad) {
            (Some(good), _) if good.of == of && good.rendered.commit == commit => match &good.drawn {
                Some(drawn) => Known::Open(good.rendered.clone(), drawn.clone()),
                None => Known::Rendered(good.rendered.clone()),
            },
            (_, Some((bad, at, why))) if bad == of && at == commit => Known::Unusable(why.clone()),
            _ => Known::Nothing,
        }
    }

    pub fn note_unusable(&mut self, of: String, commit: String, why: String) {
        self.bad = Some((of, commit, why));
    }

    /// Makes ready what was drawn, and remembers it.
    pub fn note(&mut self, of: String, drawn: Arc<Drawn>, scopes: Scopes, app: &Application, instance: &str) -> Arc<Rendered> {
        let open = drawn.has_unserved(&scopes).then(|| drawn.clone());
        let drawn = Arc::try_unwrap(drawn).unwrap_or_else(|drawn| Drawn {
            commit: drawn.commit.clone(),
            tool: drawn.tool,
            objects: drawn.objects.clone(),
        });
        let rendered = Arc::new(Rendered::of(drawn, scopes, app, instance));
        self.good = Some(Good { of, rendered: rendered.clone(), drawn: open });
        rendered
    }

    pub fn rendered(&self) -> Option<&Arc<Rendered>> {
        self.good.as_ref().map(|good| &good.rendered)
    }
}

/// Returns whether a rendering still shows what the cluster serves.
pub(super) fn is_as_served(rendered: &Rendered, scopes: &Scopes) -> bool {
    rendered.scopes == *scopes
}

/// Returns a pack's objects for an Application, or what is wrong with it, in words.
pub(super) async fn render(bytes: &[u8], app: &Application, instance: &str, served: &Served) -> Result<Rendered, String> {
    let drawn = draw(bytes, app)?;
    let scopes = drawn.scopes(served).await?;
    Ok(Rendered::of(drawn, scopes, app, instance))
}

/// Renders a pack, or says what is wrong with it: the same for the same commit and source.
pub(super) fn draw(bytes: &[u8], app: &Application) -> Result<Drawn, String> {
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
    Ok(Drawn { commit, tool: rendered.tool, objects: rendered.manifests.into_iter().map(|m| m.object).collect() })
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

/// A changed rule of what to ignore changes every answer.
fn rules(app: &Application) -> u64 {
    hash(&serde_json::to_value(&app.spec.ignore_differences).unwrap_or_default())
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
        let rules = rules(app);
        for (target, hash) in rendered.targets.targets.iter().zip(&rendered.hashes) {
            let found = live.get(&target.key);
            if target.key.name.is_empty() || !target.is_kind_known || target.brings_kind_along || target.is_hook() {
                verdicts.insert(target.key.clone(), Verdict::Unasked);
            } else if let Some(verdict) = self.known(target, found, hash ^ rules) {
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
            let (target, hash, found, Asked { verdict, is_lasting }) = answer?;
            if is_lasting {
                self.keep(target, found, hash, verdict.clone());
            }
            verdicts.insert(target.key.clone(), verdict);
        }
        Ok(verdicts)
    }

    /// Takes in that targets were applied and what the objects were then: applying them again would change nothing.
    pub fn note_applied(&self, rendered: &Rendered, applied: &[(Key, Live)], app: &Application) {
        let rules = rules(app);
        for (target, hash) in rendered.targets.targets.iter().zip(&rendered.hashes) {
            if let Some((_, live)) = applied.iter().find(|(key, _)| *key == target.key) {
                self.keep(target, Some(live), hash ^ rules, Verdict::Same);
            }
        }
    }

    /// Forgets an Application's answers.
    pub fn forget(&self, rendered: &Rendered) {
        let mut answers = self.0.lock();
        for target in &rendered.targets.targets {
            answers.remove(&target.key);
        }
    }

    fn known(&self, target: &Target, live: Option<&Live>, hash: u64) -> Option<Verdict> {
        let answers = self.0.lock();
        let answer = answers.get(&target.key)?;
        (answer.target == hash && answer.live_content == live.map(|l| l.content_for(target))).then(|| answer.verdict.clone())
    }

    fn keep(&self, target: &Target, live: Option<&Live>, hash: u64, verdict: Verdict) {
        let mut answers = self.0.lock();
        if answers.len() >= VERDICTS_MAX {
            answers.clear();
        }
        let live_content = live.map(|l| l.content_for(target));
        answers.insert(target.key.clone(), Answer { live_content, target: hash, verdict });
    }
}

/// What a dry run showed.
struct Asked {
    verdict: Verdict,
    /// Whether it holds until the object or its target changes.
    is_lasting: bool,
}

impl Asked {
    fn lasting(verdict: Verdict) -> Self {
        Self { verdict, is_lasting: true }
    }

    /// For now: what it misses may come by itself.
    fn nothing() -> Self {
        Self { verdict: Verdict::Unasked, is_lasting: false }
    }
}

/// Asks the server what applying would do.
async fn ask(client: &kube::Client, served: &Served, target: &Target, is_live: bool, app: &Application) -> Result<Asked, kube::Error> {
    let Some(kind) = served.kind(&target.key.group, &target.version, &target.key.kind).await? else { return Ok(Asked::nothing()) };
    let api = kind.api(client, &target.key.namespace);
    let params = PatchParams { dry_run: true, force: true, field_manager: Some(FIELD_MANAGER.to_owned()), field_validation: None };
    for _ in 0..ASKED_MOST {
        let live = if is_live { api.get_opt(&target.key.name).await? } else { None };
        match api.patch(&target.key.name, &params, &Patch::Apply(&target.object)).await {
            Ok(predicted) => {
                let Some(live) = live else {
                    // It can be made. Once it is there its content makes this another question; what just went is asked again.
                    return Ok(Asked { verdict: Verdict::Unasked, is_lasting: !is_live });
                };
                let [live, predicted] = [live, predicted].map(|object| serde_json::to_value(object).unwrap_or_default());
                if let Some(verdict) = compared(&live, &predicted, &app.spec.ignore_differences) {
                    return Ok(Asked::lasting(verdict));
                }
            }
            // Its namespace comes with the sync.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Asked::nothing()),
            Err(error) if is_final(&error) => {
                return Ok(Asked::lasting(Verdict::Invalid(refusal::of_object(&target.key.group, &target.key.kind, &error))));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Asked::nothing())
}

/// Whether the object is what is wrong, and asking again would change nothing.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 413 | 415 | 422))
}

/// Returns what a dry run says of an object; nothing if the object changed between the reading and the asking: what differs
/// then may be somebody else's doing, and would be held against it for ever.
fn compared(live: &Value, predicted: &Value, ignored: &[ResourceIgnoreDifferences]) -> Option<Verdict> {
    let paths = gitops::differences(live, predicted, ignored);
    if paths.is_empty() {
        return Some(Verdict::Same);
    }
    let revision = |object: &Value| object["metadata"]["resourceVersion"].clone();
    (revision(live) == revision(predicted)).then_some(Verdict::Different(paths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_somebody_else_changed_between_reading_and_asking_is_no_difference() {
        let object = |revision: &str, count: &str| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "resourceVersion": revision,
                "annotations": {"deployment.kubernetes.io/revision": count}}})
        };
        assert_eq!(compared(&object("1", "1"), &object("2", "2"), &[]), None);
        assert_eq!(compared(&object("1", "1"), &object("2", "1"), &[]), Some(Verdict::Same));
        assert!(matches!(compared(&object("2", "1"), &object("2", "2"), &[]), Some(Verdict::Different(_))));
    }

    fn drawn(commit: &str) -> Arc<Drawn> {
        let object = json!({"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "a"}});
        Arc::new(Drawn { commit: commit.to_owned(), tool: Tool::Directory, objects: vec![object] })
    }

    fn application() -> Application {
        let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "app", "namespace": "argocd"},
            "spec": {"project": "default", "source": {"repoURL": "https://git.example.com/a"}, "destination": {"namespace": "apps"}}});
        serde_json::from_value(app).expect("an Application")
    }

    #[test]
    fn a_bad_commit_and_the_last_good_one_are_both_remembered() {
        let mut renderings = Renderings::default();
        let served = Scopes::from([(("x.example".to_owned(), "Thing".to_owned()), true)]);
        renderings.note("spec".into(), drawn("good"), served, &application(), "app");
        renderings.note_unusable("spec".into(), "bad".into(), "why".into());
        assert!(matches!(renderings.known("spec", "good"), Known::Rendered(rendered) if rendered.commit == "good"));
        assert!(matches!(renderings.known("spec", "bad"), Known::Unusable(why) if why == "why"));
        assert!(matches!(renderings.known("spec", "other"), Known::Nothing));
        assert!(matches!(renderings.known("changed", "good"), Known::Nothing));
        assert!(matches!(renderings.known("changed", "bad"), Known::Nothing));
    }

    #[test]
    fn a_kind_that_comes_later_needs_no_new_rendering() {
        let mut renderings = Renderings::default();
        let rendered = renderings.note("spec".into(), drawn("good"), Scopes::new(), &application(), "app");
        assert!(!rendered.targets.targets[0].is_kind_known);
        let Known::Open(rendered, drawn) = renderings.known("spec", "good") else { panic!("the kind is still missing") };
        assert!(is_as_served(&rendered, &Scopes::new()));
        let served = Scopes::from([(("x.example".to_owned(), "Thing".to_owned()), false)]);
        assert!(!is_as_served(&rendered, &served));
        let rendered = renderings.note("spec".into(), drawn, served, &application(), "app");
        assert!(rendered.targets.targets[0].is_kind_known);
        assert_eq!(rendered.targets.targets[0].key.namespace, "");
        assert!(matches!(renderings.known("spec", "good"), Known::Rendered(_)));
    }

    #[test]
    fn that_an_object_can_be_made_is_remembered_until_it_is_there() {
        let verdicts = Verdicts::default();
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}});
        let (key, live) = (Key::of(&object), Live::of(&object));
        let target = Target { key, version: "v1".into(), object, is_kind_known: true, brings_kind_along: false };
        verdicts.keep(&target, None, 7, Verdict::Unasked);
        assert_eq!(verdicts.known(&target, None, 7), Some(Verdict::Unasked));
        assert_eq!(verdicts.known(&target, Some(&live), 7), None);
        assert_eq!(verdicts.known(&target, None, 8), None);
    }

    #[test]
    fn what_was_applied_is_not_asked_about_until_it_changes() {
        let (verdicts, mut renderings, app) = (Verdicts::default(), Renderings::default(), application());
        let served = Scopes::from([(("x.example".to_owned(), "Thing".to_owned()), true)]);
        let rendered = renderings.note("spec".into(), drawn("good"), served, &app, "app");
        let target = &rendered.targets.targets[0];
        let known = |live: &Live| verdicts.known(target, Some(live), rendered.hashes[0] ^ rules(&app));
        let mut object = target.object.clone();
        object["spec"] = json!({"defaulted": true});
        let live = Live::of(&object);
        assert_eq!(known(&live), None);
        verdicts.note_applied(&rendered, &[(target.key.clone(), live.clone())], &app);
        assert_eq!(known(&live), Some(Verdict::Same));
        object["spec"] = json!({"defaulted": false});
        assert_eq!(known(&Live::of(&object)), None);
    }
}

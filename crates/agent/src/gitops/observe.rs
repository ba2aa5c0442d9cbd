//! Gathers what a plan needs: Git's wishes, the live objects, the server's verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::argo::{Application, operation_phase};
use git::CommitId;
use gitops::{Key, Live, Verdict};

use super::desired::{self, Known, Rendered};
use super::follower::Place;
use super::sources::Failure;
use super::{Error, GitOps};

/// What a revision renders to and how the server takes it, or why nobody knows.
pub(super) type Wishes = Result<(Arc<Rendered>, BTreeMap<Key, Verdict>), String>;

/// What is known when the plan is made; it borrows from nothing.
pub(super) struct Seen {
    pub instance: String,
    pub desired: Wishes,
    pub operation_desired: Option<Wishes>,
    pub live: BTreeMap<Key, Live>,
    pub has_namespace: bool,
    /// Why the wishes may be old.
    pub stale: Option<Failure>,
    pub next_look: Duration,
}

/// Whether there is anything to plan with.
pub(super) enum Sight {
    Seen(Box<Seen>),
    /// The first look at Git is under way; it wakes us.
    Waiting,
}

pub(super) fn place_of(app: &Application) -> Option<Place> {
    let source = app.spec.sources().first()?;
    Some(Place {
        repo: source.repo_url.clone(),
        revision: source.target_revision.clone(),
        path: source.path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/"),
    })
}

impl GitOps {
    /// Observes one Application; waits for the local cluster only.
    pub(super) async fn observe(&self, owner: &str, app: &Application, is_refresh: bool) -> Result<Sight, Error> {
        let instance = gitops::app_instance_name(app, &self.options.namespace);
        let Some(place) = place_of(app).filter(|_| gitops::invalid(app).is_none()) else {
            let live = self.watches.of(owner, &instance);
            return Ok(Sight::Seen(Box::new(Seen {
                instance,
                desired: Err("the spec is not usable".into()),
                operation_desired: None,
                live,
                has_namespace: true,
                stale: None,
                next_look: self.options.poll,
            })));
        };
        if let Some(commit) = last_known(app) {
            self.follower.remember(&place, &commit);
        }
        let (known, next_look) = self.follower.known(&place, is_refresh);
        if known.commit.is_none() && !known.has_looked {
            return Ok(Sight::Waiting);
        }
        let mut stale = known.failure.clone().filter(|_| known.commit.is_some());
        let mut rendered = match (&known.commit, &known.failure) {
            (Some(commit), _) => self.rendered(owner, app, &instance, &place, commit).await,
            (None, Some(failure)) => Err(failure.message.clone()),
            (None, None) => Err("the commit is not known yet".to_owned()),
        };
        // A commit that cannot be used must not stop the store from keeping itself: the last good one goes on.
        if let (Err(why), Some(good)) = (&rendered, last_known(app).filter(|good| known.commit.as_ref().is_some_and(|bad| bad != good)))
            && let Ok(last_good) = self.rendered(owner, app, &instance, &place, &good).await
        {
            stale = Some(Failure { message: why.clone(), may_pass: false });
            rendered = Ok(last_good);
        }
        // An operation may be about another revision.
        let other = match pinned_revision(app).filter(|r| rendered.as_ref().is_ok_and(|now| now.commit != *r) || rendered.is_err()) {
            Some(revision) => Some(self.rendered_revision(app, &instance, &place, &revision).await?),
            None => None,
        };
        self.watch_kinds(owner, app, [rendered.as_ref().ok(), other.as_ref().and_then(|o| o.as_ref().ok())]).await?;
        let live = self.watches.of(owner, &instance);
        let desired = self.with_verdicts(rendered, &live, app).await?;
        let operation_desired = match other {
            Some(other) => Some(self.with_verdicts(other, &live, app).await?),
            None => None,
        };
        let has_namespace = self.has_namespace(app, &live).await?;
        Ok(Sight::Seen(Box::new(Seen { instance, desired, operation_desired, live, has_namespace, stale, next_look })))
    }

    async fn with_verdicts(
        &self,
        rendered: Result<Arc<Rendered>, String>,
        live: &BTreeMap<Key, Live>,
        app: &Application,
    ) -> Result<Wishes, Error> {
        match rendered {
            Ok(rendered) => {
                let verdicts = self.verdicts.of(&self.options.local, &self.served, &rendered, live, app).await?;
                Ok(Ok((rendered, verdicts)))
            }
            Err(why) => Ok(Err(why)),
        }
    }

    /// Returns what a commit renders to; the same commit and spec are rendered once.
    async fn rendered(
        &self,
        owner: &str,
        app: &Application,
        instance: &str,
        place: &Place,
        commit: &CommitId,
    ) -> Result<Arc<Rendered>, String> {
        let spec = serde_json::to_string(&(app.spec.sources().first(), &app.spec.destination)).unwrap_or_default();
        let known = self.rendered.lock().get(owner).map_or(Known::Nothing, |known| known.known(&spec, commit.as_str()));
        let (drawn, scopes) = match known {
            Known::Rendered(rendered) => return Ok(rendered),
            Known::Unusable(why) => return Err(why),
            Known::Open(rendered, drawn) => {
                let scopes = drawn.scopes(&self.served).await?;
                if desired::is_as_served(&rendered, &scopes) {
                    return Ok(rendered);
                }
                (drawn, scopes)
            }
            Known::Nothing => {
                let bytes = self.follower.fetch(&place.repo, commit, &place.path).await.map_err(|f: Failure| f.message)?;
                let drawn = self.options.drawings.draw(&bytes, &spec, app).inspect_err(|why| {
                    let mut rendered = self.rendered.lock();
                    rendered.entry(owner.to_owned()).or_default().note_unusable(spec.clone(), commit.to_string(), why.clone());
                })?;
                let scopes = drawn.scopes(&self.served).await?;
                (drawn, scopes)
            }
        };
        Ok(self.rendered.lock().entry(owner.to_owned()).or_default().note(spec, drawn, scopes, app, instance))
    }

    async fn rendered_revision(
        &self,
        app: &Application,
        instance: &str,
        place: &Place,
        revision: &str,
    ) -> Result<Result<Arc<Rendered>, String>, Error> {
        let commit = match revision.parse::<CommitId>() {
            Ok(commit) => commit,
            Err(_) => {
                let other = Place { revision: revision.to_owned(), ..place.clone() };
                let (known, _) = self.follower.known(&other, false);
                match (known.commit, known.failure) {
                    (Some(commit), _) => commit,
                    (None, Some(failure)) => return Ok(Err(failure.message)),
                    (None, None) => return Err(Error::Pending(format!("looking for revision {revision}"))),
                }
            }
        };
        let bytes = match self.follower.fetch(&place.repo, &commit, &place.path).await {
            Ok(bytes) => bytes,
            Err(failure) => return Ok(Err(failure.message)),
        };
        let mut pinned = app.clone();
        if let Some(source) = operation_of(app).and_then(|o| o.sync.as_ref()).and_then(|s| s.source.clone()) {
            pinned.spec.source = Some(source);
            pinned.spec.sources.clear();
        }
        Ok(desired::render(&bytes, &pinned, instance, &self.served).await.map(Arc::new))
    }

    /// Watches the kinds that are wanted and those that were there before, and reads what is newly wanted.
    async fn watch_kinds(&self, owner: &str, app: &Application, rendered: [Option<&Arc<Rendered>>; 2]) -> Result<(), Error> {
        let mut versions: BTreeMap<(String, String), String> = BTreeMap::new();
        for resource in app.status.as_ref().map(|s| s.resources.as_slice()).unwrap_or_default() {
            versions.insert((resource.group.clone(), resource.kind.clone()), resource.version.clone());
        }
        let mut wanted = BTreeSet::new();
        for target in rendered.into_iter().flatten().flat_map(|r| &r.targets.targets) {
            versions.insert((target.key.group.clone(), target.key.kind.clone()), target.version.clone());
            if !target.key.name.is_empty() {
                wanted.insert(target.key.clone());
            }
        }
        let unread = self.watches.want(owner, wanted);
        for ((group, kind), version) in &versions {
            if let Some(kind) = self.served.kind(group, version, kind).await? {
                self.watches.watch(&kind).await.map_err(Error::Pending)?;
            }
        }
        for key in unread {
            let version = versions.get(&(key.group.clone(), key.kind.clone())).cloned().unwrap_or_default();
            if let Some(kind) = self.served.kind(&key.group, &version, &key.kind).await?
                && let Some(object) = kind.api(&self.options.local, &key.namespace).get_opt(&key.name).await?
            {
                self.watches.note(&serde_json::to_value(&object).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Returns whether the destination's namespace exists; only read if a sync may make it and nothing is known to live in it.
    async fn has_namespace(&self, app: &Application, live: &BTreeMap<Key, Live>) -> Result<bool, Error> {
        let name = app.spec.destination.namespace.as_str();
        let is_it = |key: &Key| key.namespace == name || (key.kind == "Namespace" && key.group.is_empty() && key.name == name);
        if name.is_empty() || !gitops::may_make_namespace(app) || live.keys().any(is_it) {
            return Ok(true);
        }
        let api: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(self.options.local.clone());
        Ok(api.get_metadata_opt(name).await?.is_some())
    }
}

/// The commit the status says was compared last, if the source is still the same: what a restart without hub and Git goes on with.
fn last_known(app: &Application) -> Option<CommitId> {
    let sync = &app.status.as_ref()?.sync;
    let is_same = sync.compared_to.source.as_ref() == app.spec.sources().first();
    is_same.then(|| sync.revision.parse().ok()).flatten()
}

fn operation_of(app: &Application) -> Option<&api::argo::Operation> {
    let state = app.status.as_ref().and_then(|s| s.operation_state.as_ref());
    let running = state.filter(|o| matches!(o.phase.as_str(), operation_phase::RUNNING | operation_phase::TERMINATING));
    running.map(|o| &o.operation).or(app.operation.as_ref())
}

fn pinned_revision(app: &Application) -> Option<String> {
    operation_of(app)?.sync.as_ref().map(|s| s.revision.clone()).filter(|r| !r.is_empty())
}

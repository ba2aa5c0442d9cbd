//! Follows revisions in the background, so that a reconcile never waits for the network.
//!
//! A commit counts as known once its pack is here: from then on neither hub nor Git is needed for it. Notices tell of
//! news at once, a poll finds what no notice told. When all sources are away, what was known stays known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::hub::Notice;
use controller::Runtime;
use git::CommitId;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::packs::Packs;
use super::sources::{Failure, Source};

/// A failure of the world is asked about again after this, then half as often each time.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// Sources followed at once.
const FOLLOWED_MAX: usize = 1_000;

/// What an Application follows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub repo: String,
    pub revision: String,
    pub path: String,
}

/// What is known of a place.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub commit: Option<CommitId>,
    /// What the last look said, if it was no commit.
    pub failure: Option<Failure>,
    /// Whether any look has ended.
    pub has_looked: bool,
}

#[derive(Default)]
struct Followed {
    known: Known,
    looked_at: Option<Instant>,
    failures: u32,
    is_looking: bool,
    /// Asked for while looking: look once more.
    look_again: bool,
    /// Where the hub has just said it is: saves asking.
    hint: Option<CommitId>,
}

type Wake = Arc<dyn Fn(&Place) + Send + Sync>;

/// Follows places; cheap to clone.
#[derive(Clone)]
pub(super) struct Follower(Arc<Inner>);

struct Inner {
    source: Arc<dyn Source>,
    packs: Packs,
    runtime: Runtime,
    poll: Duration,
    wake: Wake,
    places: Mutex<BTreeMap<Place, Followed>>,
}

impl Follower {
    /// `wake` is told of every place where something changed.
    pub fn new(
        source: Arc<dyn Source>,
        packs: Packs,
        runtime: &Runtime,
        poll: Duration,
        wake: impl Fn(&Place) + Send + Sync + 'static,
    ) -> Self {
        let places = Mutex::default();
        Self(Arc::new(Inner { source, packs, runtime: runtime.clone(), poll, wake: Arc::new(wake), places }))
    }

    /// Returns what is known now, and when to ask again; looks in the background if that is due or wanted.
    pub fn known(&self, place: &Place, is_wanted_fresh: bool) -> (Known, Duration) {
        let mut places = self.0.places.lock();
        if places.len() >= FOLLOWED_MAX && !places.contains_key(place) {
            let oldest = places.iter().filter(|(_, f)| !f.is_looking).min_by_key(|(_, f)| f.looked_at).map(|(place, _)| place.clone());
            oldest.and_then(|oldest| places.remove(&oldest));
        }
        let followed = places.entry(place.clone()).or_default();
        let pause = pause(followed, self.0.poll, place);
        let age = followed.looked_at.map(|at| at.elapsed());
        let is_due = is_wanted_fresh || age.is_none_or(|age| age >= pause);
        let known = followed.known.clone();
        if is_due && followed.is_looking {
            followed.look_again |= is_wanted_fresh;
        } else if is_due {
            followed.is_looking = true;
            self.look(place.clone());
        }
        (known, pause.saturating_sub(age.unwrap_or_default()).max(Duration::from_secs(1)))
    }

    /// Seeds a place with what was known before a restart.
    pub fn remember(&self, place: &Place, commit: &CommitId) {
        let mut places = self.0.places.lock();
        let followed = places.entry(place.clone()).or_default();
        followed.known.commit.get_or_insert_with(|| commit.clone());
    }

    /// Heeds a hint of the hub's.
    pub fn heed(&self, notice: &Notice) {
        match notice {
            Notice::Revision { repo, revision, commit } => {
                let repo = git::normal_url(repo);
                let is_meant = |place: &Place| git::normal_url(&place.repo) == repo && same_revision(&place.revision, revision);
                self.hint(&is_meant, commit);
                self.look_where(is_meant);
            }
            // Something may have been missed before.
            Notice::Hello { .. } => self.look_where(|_| true),
            Notice::Unknown => {}
        }
    }

    /// Looks at all places: hints were lost.
    pub fn look_at_all(&self) {
        self.look_where(|_| true);
    }

    fn hint(&self, is_meant: &impl Fn(&Place) -> bool, commit: &str) {
        let Ok(commit) = commit.parse::<CommitId>() else { return };
        for (_, followed) in self.0.places.lock().iter_mut().filter(|(place, _)| is_meant(place)) {
            followed.hint = Some(commit.clone());
        }
    }

    fn look_where(&self, is_meant: impl Fn(&Place) -> bool) {
        let meant: Vec<Place> = self.0.places.lock().keys().filter(|p| is_meant(p)).cloned().collect();
        for place in meant {
            self.known(&place, true);
        }
    }

    fn look(&self, place: Place) {
        let this = self.clone();
        self.0.runtime.spawn("gitops source", async move {
            loop {
                let found = this.ask(&place).await;
                let (is_news, again) = this.note(&place, found);
                if is_news {
                    (this.0.wake)(&place);
                }
                if !again {
                    return;
                }
            }
        });
    }

    /// Resolves the revision and sees to it that its pack is here.
    async fn ask(&self, place: &Place) -> Result<CommitId, Failure> {
        let hint = self.0.places.lock().get_mut(place).and_then(|followed| followed.hint.take());
        if let Some(commit) = hint
            && self.fetch(&place.repo, &commit, &place.path).await.is_ok()
        {
            return Ok(commit);
        }
        let commit = self.0.source.resolve(&place.repo, &place.revision).await?;
        let commit: CommitId = commit.parse().map_err(|message| Failure { message, may_pass: true })?;
        self.fetch(&place.repo, &commit, &place.path).await?;
        Ok(commit)
    }

    /// Returns a pack from here or from a source.
    pub async fn fetch(&self, repo: &str, commit: &CommitId, path: &str) -> Result<bytes::Bytes, Failure> {
        if let Some(bytes) = self.0.packs.get(repo, commit, path).await {
            return Ok(bytes);
        }
        let bytes = self.0.source.pack(repo, commit.as_str(), path).await?;
        self.0.packs.put(repo, commit, path, bytes.clone()).await;
        Ok(bytes)
    }

    fn note(&self, place: &Place, found: Result<CommitId, Failure>) -> (bool, bool) {
        let mut places = self.0.places.lock();
        let followed = places.entry(place.clone()).or_default();
        let before = (followed.known.commit.clone(), followed.known.failure.clone(), followed.known.has_looked);
        followed.looked_at = Some(Instant::now());
        followed.known.has_looked = true;
        match found {
            Ok(commit) => {
                followed.known.commit = Some(commit);
                followed.known.failure = None;
                followed.failures = 0;
            }
            Err(failure) => {
                // What was known is held: a branch or repository that vanished must not stop a store.
                followed.known.failure = Some(failure);
                followed.failures += 1;
            }
        }
        let again = std::mem::take(&mut followed.look_again);
        followed.is_looking = again;
        let after = (followed.known.commit.clone(), followed.known.failure.clone(), followed.known.has_looked);
        (before != after, again)
    }
}

/// The pause until the next look: the poll with up to half of it added, so that stores do not ask in step.
fn pause(followed: &Followed, poll: Duration, place: &Place) -> Duration {
    if followed.failures > 0 {
        return poll.min(RETRY_FIRST * 2u32.saturating_pow((followed.failures - 1).min(16)));
    }
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (&place.repo, &place.path, std::process::id()).hash(&mut hasher);
    poll + poll.mul_f64((hasher.finish() % 1000) as f64 / 2000.0)
}

fn same_revision(wanted: &str, told: &str) -> bool {
    let plain = |revision: &str| if revision.is_empty() { "HEAD".to_owned() } else { revision.to_owned() };
    plain(wanted) == plain(told)
}

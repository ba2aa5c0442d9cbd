//! Who asks, and which clusters they may see.
//!
//! Who may list ManagedClusters sees all of them. Who may not is asked for one by one: a cluster that they may get is
//! shown, the others are counted and nothing else. Answers of the authorizer are kept for a few seconds by user,
//! and requests of a user that come together wait for one answer: a page makes several.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::status::Status;
use apiserver::user::UserInfo;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::endpoints;

/// A right that is taken away shows for as long.
const KEPT_FOR: Duration = Duration::from_secs(5);
/// An answer that takes longer is asked for anew by who comes then.
const ASKING_MAX: Duration = Duration::from_secs(30);
/// Users that are remembered; then all are forgotten.
const USERS_MAX: usize = 1_000;
/// Questions to the authorizer at a time.
const QUESTIONS_MAX: usize = 64;

/// Which clusters somebody may see; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    All,
    Some(Arc<BTreeSet<String>>),
}

impl Viewer {
    pub fn sees(&self, cluster: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(cluster),
        }
    }
}

/// Rights being asked for, and when they were known; all who wait for one answer share it.
type Asking = Shared<BoxFuture<'static, Result<(Instant, Viewer), Status>>>;

/// Answers by user; see [`KEPT_FOR`].
#[derive(Default)]
pub struct Viewers(Mutex<HashMap<String, (Instant, Asking)>>);

impl Viewers {
    /// Returns what a user may see; one who may see nothing is refused.
    pub async fn of(&self, shared: &Arc<endpoints::Shared>, user: &UserInfo) -> Result<Viewer, Status> {
        let owned = (shared.clone(), user.clone());
        let viewer = self.known(format!("{user:?}"), || async move { ask(&owned.0, &owned.1).await }).await?;
        if matches!(&viewer, Viewer::Some(names) if names.is_empty()) {
            let text = format!(
                "user {:?} may neither list managedclusters.{} nor get one of them, which the read model shows",
                user.username,
                api::cluster::GROUP
            );
            return Err(Status::new(403, "Forbidden", text));
        }
        Ok(viewer)
    }

    /// Returns the answer that is known or on its way; else asks, once for all who come meanwhile.
    async fn known<F>(&self, key: String, ask: impl FnOnce() -> F) -> Result<Viewer, Status>
    where
        F: Future<Output = Result<Viewer, Status>> + Send + 'static,
    {
        let asking = {
            let mut all = self.0.lock();
            let known = all.get(&key).filter(|(begun, asking)| match asking.peek() {
                Some(answer) => answer.as_ref().is_ok_and(|(at, _)| at.elapsed() < KEPT_FOR),
                // Whoever began it may have gone; what was answered to them long ago does not count.
                None => begun.elapsed() < ASKING_MAX,
            });
            match known {
                Some((_, asking)) => asking.clone(),
                None => {
                    if all.len() >= USERS_MAX {
                        all.clear();
                    }
                    let answer = ask();
                    let asking = async move { answer.await.map(|viewer| (Instant::now(), viewer)) }.boxed().shared();
                    all.insert(key, (Instant::now(), asking.clone()));
                    asking
                }
            }
        };
        asking.await.map(|(_, viewer)| viewer)
    }
}

async fn ask(shared: &endpoints::Shared, user: &UserInfo) -> Result<Viewer, Status> {
    if may(shared, user, "list", None).await? {
        return Ok(Viewer::All);
    }
    // A cluster's own agent may get its own ManagedCluster; it has no business with what people are shown.
    if user.is_in(api::cluster::identity::ALL_CLUSTERS_GROUP) {
        return Ok(Viewer::Some(Arc::default()));
    }
    let names = shared.ctx.caches.clusters.keys();
    let asked = stream::iter(names).map(|key| async move {
        let is_allowed = may(shared, user, "get", Some(&key.name)).await?;
        Ok::<_, Status>(is_allowed.then_some(key.name))
    });
    let seen: Vec<Option<String>> = asked.buffer_unordered(QUESTIONS_MAX).try_collect().await?;
    Ok(Viewer::Some(Arc::new(seen.into_iter().flatten().collect())))
}

async fn may(shared: &endpoints::Shared, user: &UserInfo, verb: &str, name: Option<&str>) -> Result<bool, Status> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.username.clone()),
            uid: Some(user.uid.clone()),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(api::cluster::GROUP.to_owned()),
                resource: Some("managedclusters".to_owned()),
                verb: Some(verb.to_owned()),
                name: name.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = shared.ctx.all::<SubjectAccessReview>().create(&PostParams::default(), &review).await.map_err(Status::internal)?;
    Ok(answer.status.is_some_and(|s| s.allowed))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_that_come_together_ask_once() {
        let (viewers, asked) = (Viewers::default(), Arc::new(AtomicU32::new(0)));
        let ask = |answer: Result<Viewer, Status>| {
            let asked = asked.clone();
            move || async move {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                answer
            }
        };
        let known = |key: &str| viewers.known(key.to_owned(), ask(Ok(Viewer::All)));
        let (a, b, other) = tokio::join!(known("clerk"), known("clerk"), known("manager"));
        assert_eq!((a, b, other), (Ok(Viewer::All), Ok(Viewer::All), Ok(Viewer::All)));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "once for each user");
        known("clerk").await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2, "kept");
        tokio::time::advance(KEPT_FOR).await;
        known("clerk").await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3, "not for ever");

        // A failure is not kept, and who gave up does not keep others from the answer.
        let failing = viewers.known("new".to_owned(), ask(Err(Status::bad_request("down"))));
        assert!(failing.await.is_err());
        let gone = tokio::time::timeout(Duration::from_millis(1), known("new")).await;
        assert!(gone.is_err());
        assert_eq!(known("new").await, Ok(Viewer::All));
        assert_eq!(asked.load(Ordering::SeqCst), 5);
    }
}

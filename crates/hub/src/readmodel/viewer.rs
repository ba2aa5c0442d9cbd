//! Who asks, and which clusters they may see.
//!
//! Who may list ManagedClusters sees all of them. Who may not is asked for one by one: a cluster that they may get is
//! shown, the others are counted and nothing else. Answers of the authorizer are kept for a few seconds by user.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use apimachinery::status::Status;
use apiserver::user::UserInfo;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::endpoints::Shared;

/// A right that is taken away shows for as long.
const KEPT_FOR: Duration = Duration::from_secs(5);
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

/// Answers by user; see [`KEPT_FOR`].
#[derive(Default)]
pub struct Viewers(Mutex<HashMap<String, (Instant, Viewer)>>);

impl Viewers {
    /// Returns what a user may see; one who may see nothing is refused.
    pub async fn of(&self, shared: &Shared, user: &UserInfo) -> Result<Viewer, Status> {
        let key = format!("{user:?}");
        let known = self.0.lock().get(&key).filter(|(at, _)| at.elapsed() < KEPT_FOR).map(|(_, viewer)| viewer.clone());
        let viewer = match known {
            Some(viewer) => viewer,
            None => {
                let viewer = ask(shared, user).await?;
                let mut all = self.0.lock();
                if all.len() >= USERS_MAX {
                    all.clear();
                }
                all.insert(key, (Instant::now(), viewer.clone()));
                viewer
            }
        };
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
}

async fn ask(shared: &Shared, user: &UserInfo) -> Result<Viewer, Status> {
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

async fn may(shared: &Shared, user: &UserInfo, verb: &str, name: Option<&str>) -> Result<bool, Status> {
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

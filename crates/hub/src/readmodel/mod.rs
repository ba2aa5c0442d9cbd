//! What people ask: which applications where, which clusters how. Made of records and ManagedClusters.
//!
//! Whoever may list ManagedClusters may read it. Answers are pages ([`api::hub::Page`]); filters are query parameters.
//! What an unreachable cluster said last is marked as not current.

mod apps;
mod clusters;
mod params;

use apimachinery::status::Status;
use apiserver::user::UserInfo;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;

pub use apps::apps;
pub use clusters::clusters;

use crate::endpoints::Shared;

/// Rows on a page, unless asked for fewer or more, and at most.
const PAGE_DEFAULT: usize = 500;
const PAGE_MAX: usize = 5_000;

/// Lets through who may list ManagedClusters.
async fn check_viewer(shared: &Shared, user: &UserInfo) -> Result<(), Status> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.username.clone()),
            uid: Some(user.uid.clone()),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(api::cluster::GROUP.to_owned()),
                resource: Some("managedclusters".to_owned()),
                verb: Some("list".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = shared.ctx.all::<SubjectAccessReview>().create(&PostParams::default(), &review).await.map_err(Status::internal)?;
    if answer.status.is_some_and(|s| s.allowed) {
        return Ok(());
    }
    let text = format!("user {:?} may not list managedclusters.{}, which the read model shows", user.username, api::cluster::GROUP);
    Err(Status::new(403, "Forbidden", text))
}

fn unreadable(error: records::Error) -> Status {
    match error {
        records::Error::Invalid(text) => Status::bad_request(text),
        other => Status::internal(other),
    }
}

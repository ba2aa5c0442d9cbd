//! What people ask: how clusters are, which applications run where, what is wrong, what happened.
//!
//! [`index`] keeps what is known in memory, decided by the crate `overview`; each file here is one endpoint. Answers are
//! pages ([`api::hub::Page`]) made of what the asker may see ([`viewer`]); filters are query parameters ([`filter`]).
//! What an unreachable cluster said last is marked as not current. Whole results go out as CSV ([`csv`]).

mod activity;
mod apps;
mod changes;
mod clusters;
mod csv;
mod filter;
mod fleet;
mod index;
mod params;
mod problems;
mod viewer;

use std::sync::Arc;

use api::hub::path;
use apimachinery::status::Status;
use apiserver::Body;
use apiserver::user::UserInfo;
use http::Response;

pub use changes::STREAMS_MAX;
pub use index::{HUB_KINDS, Index};
pub use viewer::Viewers;

use crate::endpoints::Shared;

/// Rows on a page, unless asked for fewer or more, and at most.
const PAGE_DEFAULT: usize = 500;
const PAGE_MAX: usize = 5_000;

/// Who asks what.
pub struct Question<'a> {
    pub shared: &'a Arc<Shared>,
    pub user: &'a UserInfo,
    pub viewer: viewer::Viewer,
    pub query: &'a str,
}

/// Answers a path of the read model; none if it is not one.
pub async fn answer(shared: &Arc<Shared>, user: &UserInfo, target: &str, query: &str) -> Option<Result<Response<Body>, Status>> {
    let is_ours = [path::FLEET, path::PROBLEMS, path::ACTIVITY, path::CHANGES, path::CLUSTERS].contains(&target)
        || target == path::APPS
        || target.strip_prefix(path::APPS).is_some_and(|rest| rest.starts_with('/'))
        || path::parse_one_cluster(target).is_some();
    if !is_ours {
        return None;
    }
    Some(match shared.viewers.of(shared, user).await {
        Ok(viewer) => route(&Question { shared, user, viewer, query }, target).await,
        Err(status) => Err(status),
    })
}

async fn route(asked: &Question<'_>, target: &str) -> Result<Response<Body>, Status> {
    match target {
        path::CLUSTERS => clusters::list(asked).await,
        path::FLEET => fleet::fleet(asked).await,
        path::APPS => apps::list(asked).await,
        path::APPS_MATRIX => apps::matrix(asked).await,
        path::PROBLEMS => problems::problems(asked).await,
        path::ACTIVITY => activity::list(asked).await,
        path::CHANGES => changes::open(asked).await,
        _ => {
            if let Some(cluster) = path::parse_one_cluster(target) {
                return clusters::detail(asked, cluster).await;
            }
            let parts: Vec<&str> = target.strip_prefix(path::APPS).unwrap_or_default().split('/').skip(1).collect();
            match parts.as_slice() {
                [namespace, name] => apps::detail(asked, namespace, name).await,
                [namespace, name, "tree"] => apps::tree(asked, namespace, name).await,
                _ => Err(Status::no_such_path()),
            }
        }
    }
}

impl Question<'_> {
    pub fn now(&self) -> jiff::Timestamp {
        self.shared.ctx.now()
    }

    /// Looks at the index, brought up to what was acknowledged before the question.
    pub async fn read<T>(&self, look: impl FnOnce(&index::Inner) -> T) -> T {
        self.shared.index.read(self.now(), look).await
    }
}

fn unreadable(error: records::Error) -> Status {
    match error {
        records::Error::Invalid(text) => Status::bad_request(text),
        other => Status::internal(other),
    }
}

//! Acting as somebody else: `Impersonate-User`, `-Group`, `-Uid`, `-Extra-<key>`.
//!
//! As apiserver endpoints/filters/impersonation.go: each part is a question to RBAC with the verb `impersonate`.

use std::collections::BTreeMap;

use apimachinery::status::Status;
use http::HeaderMap;

use super::authn::service_account_user;
use super::rbac::Rbac;
use crate::admission::Ask;
use crate::user::{SYSTEM_ANONYMOUS, SYSTEM_AUTHENTICATED, SYSTEM_UNAUTHENTICATED, UserInfo};
use apimachinery::uri::percent_decode;

const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA_PREFIX: &str = "impersonate-extra-";

/// Returns whom `user` asks to be, if they may.
pub fn resolve(user: UserInfo, headers: &HeaderMap, rbac: &Rbac) -> Result<UserInfo, Status> {
    if !headers.keys().any(|key| key.as_str().starts_with(PREFIX)) {
        return Ok(user);
    }
    let values = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).filter(|v| !v.is_empty()).map(str::to_owned).collect()
    };
    let name = values(USER).into_iter().next();
    let groups = values(GROUP);
    let uid = values(UID).into_iter().next().unwrap_or_default();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in headers.keys().map(http::HeaderName::as_str).filter(|k| k.starts_with(EXTRA_PREFIX)) {
        extra.insert(percent_decode(&key[EXTRA_PREFIX.len()..]).to_lowercase(), values(key));
    }
    let Some(name) = name else {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Status::bad_request("Impersonate-Group, -Uid and -Extra need Impersonate-User: set whom to impersonate"));
    };
    let mut wanted = UserInfo { username: name, uid, groups, extra };
    for ask in questions(&wanted) {
        rbac.check(&user, &ask)?;
    }
    complete(&mut wanted);
    Ok(wanted)
}

/// Returns what must be allowed for somebody to be `wanted`.
fn questions(wanted: &UserInfo) -> Vec<Ask> {
    let ask = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| Ask {
        verb: "impersonate".into(),
        group: group.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        path: String::new(),
    };
    let mut asks = vec![match service_account(&wanted.username) {
        Some((namespace, name)) => ask("", "serviceaccounts", "", namespace, name),
        None => ask("", "users", "", "", &wanted.username),
    }];
    asks.extend(wanted.groups.iter().map(|group| ask("", "groups", "", "", group)));
    for (key, values) in &wanted.extra {
        asks.extend(values.iter().map(|value| ask("authentication.k8s.io", "userextras", key, "", value)));
    }
    if !wanted.uid.is_empty() {
        asks.push(ask("authentication.k8s.io", "uids", "", "", &wanted.uid));
    }
    asks
}

/// Adds the groups that authentication would have added.
fn complete(wanted: &mut UserInfo) {
    if let Some((namespace, name)) = service_account(&wanted.username)
        && wanted.groups.is_empty()
    {
        wanted.groups = service_account_user(namespace, name, "").groups;
    }
    let general = if wanted.username == SYSTEM_ANONYMOUS { SYSTEM_UNAUTHENTICATED } else { SYSTEM_AUTHENTICATED };
    if !wanted.is_in(SYSTEM_AUTHENTICATED) && !wanted.is_in(SYSTEM_UNAUTHENTICATED) {
        wanted.groups.push(general.into());
    }
}

fn service_account(username: &str) -> Option<(&str, &str)> {
    username.strip_prefix("system:serviceaccount:")?.split_once(':').filter(|(_, name)| !name.contains(':'))
}

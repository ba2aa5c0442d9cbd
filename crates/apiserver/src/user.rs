//! Who asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An authenticated user, as authentication found and authorization, admission and audit see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserInfo {
    pub username: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

pub const SYSTEM_MASTERS: &str = "system:masters";
pub const SYSTEM_AUTHENTICATED: &str = "system:authenticated";
pub const SYSTEM_UNAUTHENTICATED: &str = "system:unauthenticated";
pub const SYSTEM_ANONYMOUS: &str = "system:anonymous";

impl UserInfo {
    /// Returns a user of the given groups; `system:authenticated` is added.
    pub fn new(username: impl Into<String>, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        if !groups.iter().any(|g| g == SYSTEM_AUTHENTICATED) {
            groups.push(SYSTEM_AUTHENTICATED.to_owned());
        }
        Self { username: username.into(), groups, ..Self::default() }
    }

    /// Returns the in-process administrator `name`, a member of `system:masters`.
    pub fn admin(name: &str) -> Self {
        Self::new(name, &[SYSTEM_MASTERS])
    }

    pub fn anonymous() -> Self {
        Self { username: SYSTEM_ANONYMOUS.into(), groups: vec![SYSTEM_UNAUTHENTICATED.into()], ..Self::default() }
    }

    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

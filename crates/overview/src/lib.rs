//! What people are shown of a fleet.
//!
//! Each decision is a pure function of what clusters told: [`state::of`] says how one cluster is, [`symptoms::of`] what
//! is wrong with it ([`gap`]: which Applications are behind their branch), [`problems::group`] which causes stand behind the symptoms of all, [`versions::matrix`] which
//! version runs where, [`activity`] what is worth telling of a change. Nothing here is hidden because it is odd: what
//! no rule knows is shown in the words it came with.

pub mod activity;
pub mod gap;
pub mod problems;
pub mod sets;
pub mod state;
pub mod symptoms;
pub mod versions;

use std::collections::BTreeMap;

use api::report::Application;
use jiff::Timestamp;

pub use gap::{Lag, Span};
pub use problems::group;
pub use symptoms::{Symptom, Trouble};

/// What is known of one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub name: &'a str,
    pub region: &'a str,
    pub link: &'a Link,
    pub apps: &'a [&'a Application],
    /// How far Applications are behind, where that was counted, by `namespace/name`.
    pub lags: &'a BTreeMap<String, Lag>,
    pub troubles: &'a [&'a Trouble],
    pub nodes: u32,
    pub nodes_ready: u32,
    pub reports_lost: u64,
}

/// How the hub stands to a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub is_accepted: bool,
    pub created_at: Option<Timestamp>,
    /// The condition Available; none until the hub has judged.
    pub available: Option<Judged>,
    /// The condition IdentityUnique, if it is False.
    pub conflict: Option<Judged>,
    /// The condition ClockSynced, if it is False.
    pub clock: Option<Judged>,
    /// Whether it was ever heard.
    pub has_spoken: bool,
}

/// What a condition says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    pub is_true: bool,
    pub since: Option<Timestamp>,
    pub reason: String,
    pub message: String,
}

impl Link {
    /// Whether what the cluster told last is how it is now, as far as the link goes.
    pub fn is_up(&self) -> bool {
        self.is_accepted && self.conflict.is_none() && self.available.as_ref().is_some_and(|a| a.is_true)
    }
}

/// Formats a time for a sentence: `2026-11-23 10:47 UTC`.
pub(crate) fn clock(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "an unknown time".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// Returns the first characters of a commit.
pub fn short(revision: &str) -> &str {
    revision.get(..7).filter(|_| revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit())).unwrap_or(revision)
}

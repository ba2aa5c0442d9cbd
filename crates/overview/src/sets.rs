//! Which cluster sets a cluster is in, and which of them people are shown as its own.
//!
//! Who is selected by which set is decided elsewhere (`placement`); here only what to show of it.

use api::cluster::{DEFAULT_SET, GLOBAL_SET};

/// Sets that every hub has: they say nothing of a cluster where another one does.
pub const BUILT_IN: [&str; 2] = [DEFAULT_SET, GLOBAL_SET];

/// Returns the set that a cluster is shown in; empty for none. `selecting` are the sets that select it, by name;
/// `labelled` is the set that its label names, whether or not there is one.
pub fn shown<'a>(labelled: &'a str, selecting: &'a [impl AsRef<str>]) -> &'a str {
    // 1. The exclusive set: there is only one, and somebody put the cluster there.
    if !labelled.is_empty() && labelled != DEFAULT_SET {
        return labelled;
    }
    // 2. The default set is where a cluster is that nobody put anywhere: one that selects it by its labels says more.
    selecting.iter().map(AsRef::as_ref).find(|name| !BUILT_IN.contains(name)).unwrap_or(labelled)
}

/// Returns all sets of a cluster by name, that of its label among them.
pub fn all(labelled: &str, selecting: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = selecting.iter().chain([&labelled]).filter(|name| !name.is_empty()).map(|name| (*name).to_owned()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exclusive_set_is_shown_unless_it_is_the_default_and_another_selects_the_cluster() {
        let check = |labelled: &str, selecting: &[&str], expect: &str, expect_all: &[&str]| {
            assert_eq!(shown(labelled, selecting), expect, "{labelled} {selecting:?}");
            assert_eq!(all(labelled, selecting), expect_all, "{labelled} {selecting:?}");
        };
        check("east", &["east", "global"], "east", &["east", "global"]);
        check("east", &["a-by-labels", "east", "global"], "east", &["a-by-labels", "east", "global"]);
        check("default", &["default", "global"], "default", &["default", "global"]);
        check("default", &["default", "global", "stores", "stores-dev"], "stores", &["default", "global", "stores", "stores-dev"]);
        check("", &["global", "stores"], "stores", &["global", "stores"]);
        // Before the hub has put it anywhere, and where the set of its label is not made yet.
        check("", &["global"], "", &["global"]);
        check("", &[], "", &[]);
        check("planned", &["global", "stores"], "planned", &["global", "planned", "stores"]);
    }
}

//! Which of a work's options concern one manifest.

use api::work::{DeletePropagationPolicy, ManifestConfigOption, ManifestWorkSpec, ResourceIdentifier};

use crate::ObjectId;

/// Returns the option for an object: the first whose identifier matches.
pub fn option_for<'a>(spec: &'a ManifestWorkSpec, id: &ObjectId) -> Option<&'a ManifestConfigOption> {
    spec.manifest_configs.iter().find(|option| matches(&option.resource_identifier, id))
}

/// Returns whether an object stays on the cluster, without an owner, when the work lets go of it.
pub fn is_orphaned(spec: &ManifestWorkSpec, id: &ObjectId) -> bool {
    let Some(option) = &spec.delete_option else { return false };
    match option.propagation_policy.unwrap_or_default() {
        DeletePropagationPolicy::Foreground => false,
        DeletePropagationPolicy::Orphan => true,
        DeletePropagationPolicy::SelectivelyOrphan => {
            option.selectively_orphans.iter().flat_map(|s| &s.orphaning_rules).any(|rule| matches(rule, id))
        }
    }
}

fn matches(identifier: &ResourceIdentifier, id: &ObjectId) -> bool {
    identifier.group == id.group
        && identifier.resource == id.resource
        && is_like(&identifier.namespace, &id.namespace)
        && is_like(&identifier.name, &id.name)
}

/// Whether `text` fits a pattern in which `*` stands for any characters.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(tail) = text.strip_prefix(start) else { return false };
            tail.char_indices().map(|(at, _)| &tail[at..]).chain([""]).any(|candidate| is_like(rest, candidate))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part() {
        for (pattern, text, expect) in [
            ("*", "", true),
            ("*", "anything", true),
            ("web-*", "web-1", true),
            ("web-*", "db-1", false),
            ("*-1", "web-1", true),
            ("w*-*1", "web-a1", true),
            ("web", "web-1", false),
        ] {
            assert_eq!(is_like(pattern, text), expect, "{pattern} {text}");
        }
    }
}

//! Where objects are in the store: `/<group>/<resource>/<namespace>/<name>`.
//!
//! Group `core` stands for the core group and an empty namespace for cluster scope; no part can contain a slash.

use std::sync::Arc;

/// Returns the prefix of all objects of a resource, with a trailing slash.
pub fn resource_prefix(group: &str, resource: &str) -> String {
    format!("/{}/{resource}/", group_part(group))
}

/// Returns the prefix of the objects of a resource in one namespace.
pub fn namespace_prefix(group: &str, resource: &str, namespace: &str) -> String {
    format!("/{}/{resource}/{namespace}/", group_part(group))
}

/// Returns the key of one object; `namespace` is empty for cluster scope.
pub fn object(group: &str, resource: &str, namespace: &str, name: &str) -> Arc<str> {
    format!("/{}/{resource}/{namespace}/{name}", group_part(group)).into()
}

/// A key taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// `/<group>/<resource>/`
    pub topic: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

/// Takes a key apart.
pub fn parts(key: &str) -> Option<Parts<'_>> {
    let mut slashes = key.match_indices('/').map(|(i, _)| i).skip(1);
    let (a, b, c) = (slashes.next()?, slashes.next()?, slashes.next()?);
    let group = &key[1..a];
    Some(Parts {
        topic: &key[..=b],
        group: if group == "core" { "" } else { group },
        resource: &key[a + 1..b],
        namespace: &key[b + 1..c],
        name: &key[c + 1..],
    })
}

fn group_part(group: &str) -> &str {
    if group.is_empty() { "core" } else { group }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_apart_as_it_was_put_together() {
        let key = object("", "configmaps", "default", "a.b");
        let p = parts(&key).expect("a key");
        assert_eq!((p.topic, p.group, p.resource, p.namespace, p.name), ("/core/configmaps/", "", "configmaps", "default", "a.b"));
        let key = object("apps", "x", "", "n");
        assert_eq!(parts(&key).map(|p| (p.group, p.namespace, p.name)), Some(("apps", "", "n")));
    }
}

//! What authentication and authorization read: a view of stored objects.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use serde_json::Value;

/// Stored objects, as the server sees them now. Calls must not wait for the disk or the network.
///
/// Whoever implements this also tells of changes, for every committed write:
/// [`super::authn::Authenticator::changed`] and [`super::rbac::Rbac::changed`].
pub trait Objects: Send + Sync {
    /// Returns an object; `namespace` is empty for cluster-scoped resources.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;

    /// Returns whether a namespace is going away; `None` if it is not there. Asked for every create.
    fn is_terminating(&self, namespace: &str) -> Option<bool> {
        self.get("", "namespaces", "", namespace).map(|object| crate::meta::is_terminating(&object))
    }

    /// Returns all objects of a resource, in all namespaces.
    fn list(&self, group: &str, resource: &str) -> Vec<Arc<Value>>;
}

/// A bounded map of what was derived from objects, or from credentials.
///
/// A value computed while [`Memo::forget`] ran is not kept, so that a reader cannot bring back
/// what a change has just removed. When full it starts over: the limit is a bound on memory, not
/// a working set to tune.
pub(crate) struct Memo<K, V> {
    values: RwLock<HashMap<K, V>>,
    changes: AtomicU64,
    values_max: usize,
    overflows: Counter,
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// Returns an empty memo; `overflows` counts how often it was full.
    pub fn new(values_max: usize, overflows: &Counter) -> Self {
        Self { values: RwLock::default(), changes: AtomicU64::new(0), values_max, overflows: overflows.clone() }
    }

    /// Returns the value of a key, computed if it is not known; a refusal is not remembered.
    pub fn get_or<E>(&self, key: K, compute: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(found) = self.values.read().get(&key) {
            return Ok(found.clone());
        }
        let changes = self.changes.load(Ordering::Acquire);
        let value = compute()?;
        let mut values = self.values.write();
        if self.changes.load(Ordering::Acquire) == changes {
            if values.len() >= self.values_max {
                self.overflows.inc();
                values.clear();
            }
            values.insert(key, value.clone());
        }
        Ok(value)
    }

    pub fn forget(&self, key: &K) {
        let mut values = self.values.write();
        self.changes.fetch_add(1, Ordering::AcqRel);
        values.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_memo_starts_over_and_counts_it() {
        let overflows = Counter::default();
        let memo = Memo::new(2, &overflows);
        for key in [1, 2, 1, 3] {
            assert_eq!(memo.get_or(key, || Ok::<_, ()>(key * 10)), Ok(key * 10));
        }
        assert_eq!(overflows.get(), 1);
        assert_eq!(memo.values.read().len(), 1);
    }

    #[test]
    fn what_changes_while_it_is_computed_is_not_kept() {
        let memo = Memo::new(9, &Counter::default());
        let old = memo.get_or("k", || {
            memo.forget(&"k");
            Ok::<_, ()>("old")
        });
        assert_eq!(old, Ok("old"));
        assert_eq!(memo.get_or("k", || Ok::<_, ()>("new")), Ok("new"));
        assert_eq!(memo.get_or("k", || Err(())), Ok("new"));
        memo.forget(&"k");
        assert_eq!(memo.get_or("k", || Err(())), Err(()));
    }
}

//! Deletes objects whose owners are gone; carries out foreground deletion and orphaning.
//!
//! As kubernetes pkg/controller/garbagecollector: an owner is *solid* (it exists), *waiting* (it is being deleted in
//! the foreground) or *absent*. [`decide`] is pure; an owner of a kind that is not served counts as solid,
//! since nobody can say that it is gone.

use std::sync::Arc;
use std::time::Duration;

use apimachinery::gvk::split_api_version;
use controller::Next;
use kube::api::PropagationPolicy;
use serde_json::json;

use super::api::{self, Outcome};
use super::stored::{Metadata, Owner};
use super::{AGAIN_SOON, Error, Machine};
use crate::keys;
use crate::registry::{Resource, Snapshot};

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

/// When to look again at an object whose owner's kind is not served: its CRD may come.
const UNKNOWN_KIND_AGAIN: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Solid,
    Waiting,
    Absent,
    /// The kind is not served.
    Unknown,
}

/// What to do with an object that has owners.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Keep,
    /// Some owners are gone, others are not: keep these.
    Release(Vec<usize>),
    Delete(PropagationPolicy),
}

fn decide(object: &Metadata, owners: &[Standing], has_dependents: bool) -> Verdict {
    use Standing::{Absent, Solid, Unknown, Waiting};
    let kept: Vec<usize> = (0..owners.len()).filter(|i| matches!(owners[*i], Solid | Unknown)).collect();
    // 1. Somebody still owns it: forget the others.
    if kept.len() == owners.len() {
        return Verdict::Keep;
    }
    if !kept.is_empty() {
        return Verdict::Release(kept);
    }
    // 2. An owner waits for it, and it has dependents itself: they go first.
    if owners.contains(&Waiting) && has_dependents {
        return Verdict::Delete(PropagationPolicy::Foreground);
    }
    debug_assert!(owners.iter().all(|o| matches!(o, Absent | Waiting)));
    // 3. Nobody owns it. What its own finalizers ask for stays in force.
    Verdict::Delete(if object.has_finalizer(ORPHAN) {
        PropagationPolicy::Orphan
    } else if object.has_finalizer(FOREGROUND) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    })
}

impl Machine {
    /// Looks at one object: is it garbage, or does it wait for its dependents?
    pub async fn collect(&self, key: &Arc<str>) -> Result<Next, Error> {
        let Some(object) = self.metadata(key)? else { return Ok(Next::OnChange) };
        let table = self.server.inner.registry.snapshot();
        let Some(resource) = served(&table, key) else { return Ok(Next::OnChange) };
        if object.is_terminating() {
            return match () {
                () if object.has_finalizer(ORPHAN) => self.orphan_dependents(&object, resource, &table).await,
                () if object.has_finalizer(FOREGROUND) => self.await_dependents(key, &object, resource).await,
                () => Ok(Next::OnChange),
            };
        }
        let mut owners = Vec::new();
        for owner in &object.owner_references {
            owners.push(self.standing(&table, owner, &object.namespace)?);
        }
        let has_dependents = !self.graph.lock().dependents_of(&object.uid).is_empty();
        let api = api::of(&self.client, resource, &object.namespace);
        let outcome = match decide(&object, &owners, has_dependents) {
            Verdict::Keep if owners.contains(&Standing::Unknown) => return Ok(Next::After(UNKNOWN_KIND_AGAIN)),
            Verdict::Keep => Outcome::Done,
            Verdict::Release(kept) => {
                let references = self.references(key)?;
                let kept: Vec<_> = kept.into_iter().filter_map(|i| references.get(i)).collect();
                api::patch_metadata(&api, &object, json!({ "ownerReferences": kept })).await?
            }
            Verdict::Delete(policy) => {
                tracing::debug!(object = %key, ?policy, "deleting an object without owners");
                api::delete(&api, &object, policy).await?
            }
        };
        Ok(if outcome == Outcome::Changed { AGAIN_SOON } else { Next::OnChange })
    }

    fn standing(&self, table: &Snapshot, owner: &Owner, namespace: &str) -> Result<Standing, Error> {
        if self.graph.lock().is_gone(&owner.uid) {
            return Ok(Standing::Absent);
        }
        let Some(resource) = kind(table, owner) else { return Ok(Standing::Unknown) };
        // An owner in another namespace is none.
        let namespace = if resource.namespaced { namespace } else { "" };
        let key = keys::object(&resource.storage_group, &resource.gvr.resource, namespace, &owner.name);
        Ok(match self.metadata(&key)? {
            Some(found) if found.uid != owner.uid => Standing::Absent,
            Some(found) if found.is_terminating() && found.has_finalizer(FOREGROUND) => Standing::Waiting,
            Some(_) => Standing::Solid,
            None => Standing::Absent,
        })
    }

    /// Lets go of an owner's dependents, then of the owner.
    async fn orphan_dependents(&self, owner: &Metadata, resource: &Resource, table: &Snapshot) -> Result<Next, Error> {
        let dependents = self.graph.lock().dependents_of(&owner.uid);
        for dependent in dependents {
            let Some(object) = self.metadata(&dependent)? else { continue };
            let Some(resource) = served(table, &dependent) else { continue };
            let mut kept = self.references(&dependent)?;
            kept.retain(|reference| reference["uid"] != owner.uid);
            let api = api::of(&self.client, resource, &object.namespace);
            if api::patch_metadata(&api, &object, json!({ "ownerReferences": kept })).await? == Outcome::Changed {
                return Ok(AGAIN_SOON);
            }
        }
        self.drop_finalizer(owner, resource, ORPHAN).await
    }

    /// Lets an owner go once no dependent blocks it; the dependents have tasks of their own.
    async fn await_dependents(&self, key: &str, owner: &Metadata, resource: &Resource) -> Result<Next, Error> {
        let dependents = {
            let mut graph = self.graph.lock();
            // Before reading, so that no end of a dependent is missed.
            graph.wait(&owner.uid, key);
            graph.dependents_of(&owner.uid)
        };
        let mut is_blocked = false;
        for dependent in dependents {
            let Some(object) = self.metadata(&dependent)? else { continue };
            is_blocked |= object.owner_references.iter().any(|o| o.uid == owner.uid && o.block_owner_deletion);
        }
        if is_blocked {
            return Ok(Next::OnChange);
        }
        self.drop_finalizer(owner, resource, FOREGROUND).await
    }

    async fn drop_finalizer(&self, object: &Metadata, resource: &Resource, finalizer: &str) -> Result<Next, Error> {
        let kept: Vec<&String> = object.finalizers.iter().filter(|f| *f != finalizer).collect();
        let api = api::of(&self.client, resource, &object.namespace);
        let outcome = api::patch_metadata(&api, object, json!({ "finalizers": kept })).await?;
        Ok(if outcome == Outcome::Changed { AGAIN_SOON } else { Next::OnChange })
    }

    /// Returns the owner references with all their fields.
    fn references(&self, key: &str) -> Result<Vec<serde_json::Value>, Error> {
        let object: serde_json::Value = self.entry(key)?.and_then(|e| serde_json::from_slice(&e.value).ok()).unwrap_or_default();
        Ok(object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default())
    }
}

/// Returns a row through which the object with this key is served.
pub fn served<'a>(table: &'a Snapshot, key: &'a str) -> Option<&'a Resource> {
    let parts = keys::parts(key)?;
    let mut rows = table.versions(parts.group, parts.resource).filter(|r| r.storage_group == parts.group);
    let first = rows.next()?;
    Some(std::iter::once(first).chain(rows).find(|r| r.is_storage_version()).unwrap_or(first))
}

/// Returns the row of an owner's kind, in whatever version.
fn kind<'a>(table: &'a Snapshot, owner: &Owner) -> Option<&'a Resource> {
    let (group, _) = split_api_version(&owner.api_version);
    table.iter().find(|r| r.gvr.group == group && r.kind == owner.kind).map(|r| &**r)
}

#[cfg(test)]
mod tests {
    use super::Standing::{Absent, Solid, Unknown, Waiting};
    use super::*;

    fn check(owners: &[Standing], finalizers: &[&str], has_dependents: bool) -> Verdict {
        let finalizers = finalizers.iter().map(|f| (*f).to_owned()).collect();
        decide(&Metadata { finalizers, ..Metadata::default() }, owners, has_dependents)
    }

    #[test]
    fn an_object_goes_when_its_last_owner_is_gone() {
        use PropagationPolicy::{Background, Foreground, Orphan};
        assert_eq!(check(&[], &[], true), Verdict::Keep);
        assert_eq!(check(&[Solid], &[], true), Verdict::Keep);
        assert_eq!(check(&[Unknown], &[], false), Verdict::Keep);
        assert_eq!(check(&[Absent, Solid, Waiting], &[], false), Verdict::Release(vec![1]));
        assert_eq!(check(&[Absent, Unknown], &[], false), Verdict::Release(vec![1]));
        assert_eq!(check(&[Absent], &[], true), Verdict::Delete(Background));
        assert_eq!(check(&[Waiting], &[], true), Verdict::Delete(Foreground));
        assert_eq!(check(&[Waiting, Absent], &[], false), Verdict::Delete(Background));
        assert_eq!(check(&[Absent], &[ORPHAN], false), Verdict::Delete(Orphan));
        assert_eq!(check(&[Absent], &[FOREGROUND], false), Verdict::Delete(Foreground));
    }
}

//! Empties namespaces that are being deleted, then lets them go.
//!
//! As kubernetes pkg/controller/namespace/deletion: everything is deleted through the API, whatever is left and why is
//! shown in conditions, and the finalizer `kubernetes` goes when nothing is left. What is left is counted in
//! the store, which costs nothing for the many resources that have no objects there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controller::Next;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::api::{self, Outcome};
use super::stored::Metadata;
use super::{AGAIN_SOON, Error, Machine};
use crate::registry::{Resource, Snapshot};
use crate::{keys, meta};

const FINALIZER: &str = "kubernetes";
/// What is deleted queues its namespace again; this is for deletions that were refused.
const AGAIN: Duration = Duration::from_secs(5);

/// What deleting the content of a namespace came to.
#[derive(Default)]
struct Progress {
    failures: Vec<String>,
    /// Instances by `resource.group`.
    remaining: BTreeMap<String, usize>,
    /// Instances by finalizer.
    finalizers: BTreeMap<String, usize>,
}

impl Machine {
    pub async fn delete_namespace(&self, name: &str) -> Result<Next, Error> {
        let Some(namespace) = self.object("", "namespaces", "", name)? else {
            self.terminating.lock().remove(name);
            return Ok(Next::OnChange);
        };
        let finalizers: Vec<&str> = namespace["spec"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !meta::is_terminating(&namespace) || !finalizers.contains(&FINALIZER) {
            return Ok(Next::OnChange);
        }
        let table = self.server.inner.registry.snapshot();
        let progress = self.delete_content(&table, name).await?;
        if !self.show(&table, &namespace, &progress).await? {
            return Ok(AGAIN_SOON);
        }
        if !progress.remaining.is_empty() {
            return Ok(Next::After(AGAIN));
        }
        let mut finalized = self.object("", "namespaces", "", name)?.unwrap_or(namespace);
        let kept: Vec<Value> =
            finalized["spec"]["finalizers"].as_array().into_iter().flatten().filter(|f| *f != FINALIZER).cloned().collect();
        finalized["spec"]["finalizers"] = json!(kept);
        let request = kube::core::Request::new("/api/v1/namespaces").replace_subresource(
            "finalize",
            name,
            &Default::default(),
            finalized.to_string().into_bytes(),
        );
        let answer = self.client.request::<Value>(request.map_err(kube::Error::BuildRequest)?).await;
        Ok(if api::outcome(answer.map(|_| ()))? == Outcome::Changed { AGAIN_SOON } else { Next::OnChange })
    }

    async fn delete_content(&self, table: &Snapshot, namespace: &str) -> Result<Progress, Error> {
        let mut progress = Progress::default();
        let mut seen = BTreeSet::new();
        for resource in table.iter().filter(|r| r.namespaced && r.storage_group == r.gvr.group) {
            let (group, name) = (resource.storage_group.as_str(), resource.gvr.resource.as_str());
            let prefix = keys::namespace_prefix(group, name, namespace);
            if !seen.insert((group, name)) || self.store().count(&prefix) == 0 {
                continue;
            }
            let deleted = self.delete_all(resource, namespace).await;
            if let Err(error) = deleted {
                progress.failures.push(format!("{}: {error}", resource.gvr.group_resource()));
            }
            self.note_remaining(&mut progress, resource, &prefix)?;
        }
        Ok(progress)
    }

    async fn delete_all(&self, resource: &Resource, namespace: &str) -> Result<(), kube::Error> {
        let api = api::of(&self.client, resource, namespace);
        api.delete_collection(&DeleteParams::background(), &ListParams::default()).await.map(|_| ())
    }

    fn note_remaining(&self, progress: &mut Progress, resource: &Resource, prefix: &str) -> Result<(), Error> {
        let left = self.entries(prefix)?;
        if left.is_empty() {
            return Ok(());
        }
        progress.remaining.insert(resource.gvr.group_resource(), left.len());
        for finalizer in left.iter().filter_map(|e| Metadata::of(&e.value)).flat_map(|m| m.finalizers) {
            *progress.finalizers.entry(finalizer).or_default() += 1;
        }
        Ok(())
    }

    /// Writes the conditions, if they changed; false asks to look again.
    async fn show(&self, table: &Snapshot, namespace: &Value, progress: &Progress) -> Result<bool, Error> {
        let before = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let conditions = conditions(progress, &before, &meta::time(self.now()));
        let is_shown = conditions == before && namespace["status"]["phase"] == "Terminating";
        // A namespace that goes at once needs no report.
        let was_silent = before.is_empty() && progress.remaining.is_empty() && progress.failures.is_empty();
        let Some(resource) = table.get("", "v1", "namespaces").filter(|_| !is_shown && !was_silent) else { return Ok(true) };
        let patch = json!({
            "metadata": {"resourceVersion": namespace["metadata"]["resourceVersion"]},
            "status": {"phase": "Terminating", "conditions": conditions},
        });
        let api = api::of(&self.client, resource, "");
        let answer = api.patch_status(meta::name(namespace), &PatchParams::default(), &Patch::Merge(patch)).await;
        Ok(api::outcome(answer.map(|_| ()))? != Outcome::Changed)
    }
}

/// Returns the five conditions of a namespace that is being deleted, as `kubectl describe` users know them.
fn conditions(progress: &Progress, before: &[Value], now: &str) -> Vec<Value> {
    let condition = |ty: &str, is_true: bool, reason: &str, message: String| {
        let status = if is_true { "True" } else { "False" };
        let old = before.iter().find(|c| c["type"] == ty && c["status"] == status);
        let since = old.map_or(json!(now), |c| c["lastTransitionTime"].clone());
        json!({"type": ty, "status": status, "lastTransitionTime": since, "reason": reason, "message": message})
    };
    let list = |items: &BTreeMap<String, usize>, word: &str| -> String {
        items.iter().map(|(name, count)| format!("{name}{word} {count} resource instances")).collect::<Vec<_>>().join(", ")
    };
    let failed = !progress.failures.is_empty();
    let (remains, held) = (!progress.remaining.is_empty(), !progress.finalizers.is_empty());
    vec![
        condition("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", "All resources successfully discovered".into()),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".into(),
        ),
        if failed {
            let message =
                format!("Failed to delete all resource types, {} remaining: {}", progress.failures.len(), progress.failures.join("; "));
            condition("NamespaceDeletionContentFailure", true, "ContentDeletionFailed", message)
        } else {
            let message = "All content successfully deleted, may be waiting on finalization".into();
            condition("NamespaceDeletionContentFailure", false, "ContentDeleted", message)
        },
        if remains {
            let message = format!("Some resources are remaining: {}", list(&progress.remaining, " has"));
            condition("NamespaceContentRemaining", true, "SomeResourcesRemain", message)
        } else {
            condition("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed".into())
        },
        if held {
            let message = format!("Some content in the namespace has finalizers remaining: {}", list(&progress.finalizers, " in"));
            condition("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message)
        } else {
            condition("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", "All content-preserving finalizers finished".into())
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_what_is_left_and_since_when() {
        let left = Progress {
            remaining: BTreeMap::from([("configmaps".into(), 2)]),
            finalizers: BTreeMap::from([("example.com/hold".into(), 1)]),
            ..Progress::default()
        };
        let first = conditions(&left, &[], "t1");
        assert_eq!(first[3]["message"], "Some resources are remaining: configmaps has 2 resource instances");
        assert_eq!(first[4]["message"], "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances");
        let second = conditions(&left, &first, "t2");
        assert_eq!(first, second);
        let done = conditions(&Progress::default(), &first, "t3");
        assert_eq!((&done[3]["status"], &done[3]["lastTransitionTime"]), (&json!("False"), &json!("t3")));
        assert_eq!(done[0]["lastTransitionTime"], "t1");
    }
}

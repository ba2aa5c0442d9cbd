//! Rendered objects, made ready to be applied: in their namespace, tracked, each once.

use std::collections::BTreeMap;

use api::argo::annotation::TRACKING_ID;
use api::argo::{Application, ApplicationCondition, condition};
use serde_json::{Value, json};

use crate::hook::{self, Phase};
use crate::live::tracking_rest;
use crate::{Key, hook::DeletePolicy};

/// What is known of a kind's scope.
pub trait Scopes {
    /// Returns whether objects of the kind live in namespaces; nothing if the cluster does not serve it.
    fn is_namespaced(&self, group: &str, kind: &str) -> Option<bool>;
}

impl<F: Fn(&str, &str) -> Option<bool>> Scopes for F {
    fn is_namespaced(&self, group: &str, kind: &str) -> Option<bool> {
        self(group, kind)
    }
}

/// An object Git wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub key: Key,
    pub version: String,
    pub object: Value,
    /// Whether the cluster serves its kind, or the same sync brings the kind.
    pub is_kind_known: bool,
    /// Whether its kind comes with the same sync.
    pub brings_kind_along: bool,
}

impl Target {
    pub(crate) fn annotations(&self) -> &Value {
        &self.object["metadata"]["annotations"]
    }

    pub fn is_hook(&self) -> bool {
        hook::is_hook(self.annotations())
    }

    pub(crate) fn is_skipped(&self) -> bool {
        hook::is_skipped(self.annotations())
    }

    pub(crate) fn wave(&self) -> i64 {
        hook::wave(self.annotations())
    }

    pub(crate) fn phases(&self) -> Vec<Phase> {
        if self.is_hook() { hook::phases(self.annotations()) } else { vec![Phase::Sync] }
    }

    pub(crate) fn has_policy(&self, policy: DeletePolicy) -> bool {
        hook::delete_policies(self.annotations()).contains(&policy)
    }

    /// Returns whether the object has no name of its own: only a hook may.
    pub(crate) fn is_generated(&self) -> bool {
        self.key.name.is_empty()
    }
}

/// All objects Git wants, and what was odd about them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    pub targets: Vec<Target>,
    pub conditions: Vec<ApplicationCondition>,
}

/// Returns the name an Application goes by in tracking ids: with its namespace if it is not the engine's.
pub fn app_instance_name(app: &Application, engine_namespace: &str) -> String {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    match app.metadata.namespace.as_deref() {
        Some(namespace) if namespace != engine_namespace => format!("{namespace}_{name}"),
        _ => name.to_owned(),
    }
}

/// Prepares rendered objects for an Application.
pub fn targets(objects: Vec<Value>, app: &Application, instance: &str, scopes: &dyn Scopes) -> Targets {
    let brought = brought_kinds(&objects);
    let mut by_key: BTreeMap<Key, Target> = BTreeMap::new();
    let mut generated = Vec::new();
    let mut repeated = Vec::new();
    for mut object in objects {
        let (group, kind) = (kinds::group_of(&object).to_owned(), kinds::kind_of(&object).to_owned());
        let brought_scope = brought.get(&(group.clone(), kind.clone())).copied();
        let served_scope = scopes.is_namespaced(&group, &kind);
        // A kind nobody knows is taken as namespaced: applying it fails either way, and says so.
        let is_namespaced = served_scope.or(brought_scope).unwrap_or(true);
        set_namespace(&mut object, is_namespaced, &app.spec.destination.namespace);
        let key = Key::of(&object);
        let version = object["apiVersion"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        let mut target = Target {
            key: key.clone(),
            version,
            object,
            is_kind_known: served_scope.is_some() || brought_scope.is_some(),
            brings_kind_along: served_scope.is_none() && brought_scope.is_some(),
        };
        if target.is_generated() {
            generated.push(target);
            continue;
        }
        // Hooks are tracked as well, as Argo CD does, so that a stray one is recognised.
        target.object["metadata"]["annotations"][TRACKING_ID] = json!(format!("{instance}:{}", tracking_rest(&key)));
        if by_key.insert(key.clone(), target).is_some() {
            repeated.push(key);
        }
    }
    let conditions = repeated.iter().map(|key| ApplicationCondition {
        type_: condition::REPEATED_RESOURCE_WARNING.to_owned(),
        message: format!("{key} is in Git more than once; the last one counts"),
        last_transition_time: None,
    });
    let mut conditions: Vec<ApplicationCondition> = conditions.collect();
    let targets: Vec<Target> = by_key.into_values().chain(generated).collect();
    conditions.extend(crate::words::condition(targets.iter()));
    Targets { conditions, targets }
}

/// Kinds that custom resource definitions among the objects bring, with their scopes.
fn brought_kinds(objects: &[Value]) -> BTreeMap<(String, String), bool> {
    let definitions = objects.iter().filter(|o| kinds::kind_of(o) == "CustomResourceDefinition");
    let kinds = definitions.filter_map(|definition| {
        let spec = &definition["spec"];
        let kind = spec["names"]["kind"].as_str()?;
        Some(((spec["group"].as_str()?.to_owned(), kind.to_owned()), spec["scope"] == "Namespaced"))
    });
    kinds.collect()
}

fn set_namespace(object: &mut Value, is_namespaced: bool, default: &str) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    if !is_namespaced {
        metadata.remove("namespace");
    } else if metadata.get("namespace").and_then(Value::as_str).is_none_or(str::is_empty) {
        let namespace = if default.is_empty() { "default" } else { default };
        metadata.insert("namespace".into(), json!(namespace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_in_their_namespace_tracked_and_unique() {
        let app: Application = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "team"}, "spec": {"destination": {"namespace": "shop"}},
        }))
        .expect("an Application");
        let scopes = |_: &str, kind: &str| match kind {
            "ConfigMap" => Some(true),
            "ClusterRole" | "CustomResourceDefinition" => Some(false),
            _ => None,
        };
        let object = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        let mut role = object("ClusterRole", "r");
        role["metadata"]["namespace"] = json!("wrong");
        let mut twice = object("ConfigMap", "c");
        twice["data"] = json!({"last": "wins"});
        let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "w"},
            "spec": {"group": "example.com", "names": {"kind": "Widget"}, "scope": "Cluster"}});
        let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
        let all = vec![object("ConfigMap", "c"), role, twice, crd, widget, object("Gadget", "g")];
        let instance = app_instance_name(&app, "argocd");
        let Targets { targets, conditions } = targets(all, &app, &instance, &scopes);
        let shown: Vec<String> =
            targets.iter().map(|t| format!("{} known={} along={}", t.key, t.is_kind_known, t.brings_kind_along)).collect();
        assert_eq!(
            shown,
            [
                "ClusterRole r known=true along=false",
                "ConfigMap shop/c known=true along=false",
                "Gadget shop/g known=false along=false",
                "apiextensions.k8s.io/CustomResourceDefinition w known=true along=false",
                "example.com/Widget w known=true along=true",
            ]
        );
        assert_eq!(targets[1].object["data"]["last"], "wins");
        assert_eq!(targets[1].object["metadata"]["annotations"][TRACKING_ID], "team_web:/ConfigMap:shop/c");
        assert_eq!(conditions[0].message, "ConfigMap shop/c is in Git more than once; the last one counts");
    }
}

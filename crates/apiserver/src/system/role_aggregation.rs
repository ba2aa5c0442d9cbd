//! Keeps the rules of aggregated ClusterRoles: those of all roles that their selectors match.
//!
//! As kubernetes pkg/controller/clusterroleaggregation. The selectors are few and kept in memory, so that writing
//! one of thousands of other roles is not answered by reading them all.

use std::collections::BTreeMap;

use apimachinery::selector::LabelSelector;
use controller::Next;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use store::{Event, EventKind};

use super::api::{self, Outcome};
use super::stored::{Metadata, mentions};
use super::{AGAIN_SOON, Error, Machine};
use crate::auth::rbac::GROUP;
use crate::keys;

const AGGREGATION_RULE: &str = "\"aggregationRule\":";
const LABELS: &str = "\"labels\":";

/// The selectors of aggregated roles by the role's name.
#[derive(Default)]
pub struct Selectors(BTreeMap<String, Vec<LabelSelector>>);

impl Selectors {
    /// Takes in a change of a ClusterRole; queues the aggregated roles it concerns.
    pub fn concerns(&mut self, name: &str, event: &Event, queue: &mut dyn FnMut(String)) {
        let value = &event.entry.value;
        self.0.remove(name);
        if event.kind != EventKind::Deleted && mentions(value, AGGREGATION_RULE) {
            let role: Value = serde_json::from_slice(value).unwrap_or_default();
            self.0.insert(name.to_owned(), selectors(&role));
            queue(name.to_owned());
        }
        for version in std::iter::once(value).chain(&event.previous).filter(|v| mentions(v, LABELS)) {
            let labels = Metadata::of(version).map(|m| json!(m.labels)).unwrap_or_default();
            for aggregated in self.0.iter().filter(|(_, selectors)| selectors.iter().any(|s| s.matches(&labels))) {
                queue(aggregated.0.clone());
            }
        }
    }
}

fn selectors(role: &Value) -> Vec<LabelSelector> {
    let list = role["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten();
    list.filter_map(|selector| {
        LabelSelector::from_value(selector)
            .map_err(|error| tracing::warn!(role = %role["metadata"]["name"], %error, "aggregationRule.clusterRoleSelectors: a selector is malformed and ignored"))
            .ok()
    })
    .collect()
}

/// Returns the rules an aggregated role should have: those of the matched roles in order of name, each once.
pub fn aggregate(role: &Value, others: &[Value]) -> Vec<Value> {
    let name = &role["metadata"]["name"];
    let mut rules: Vec<Value> = Vec::new();
    for selector in selectors(role) {
        let mut matched: Vec<&Value> =
            others.iter().filter(|o| o["metadata"]["name"] != *name && selector.matches(&o["metadata"]["labels"])).collect();
        matched.sort_by_key(|o| o["metadata"]["name"].as_str());
        for rule in matched.iter().filter_map(|o| o["rules"].as_array()).flatten() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules
}

impl Machine {
    pub async fn aggregate(&self, name: &str) -> Result<Next, Error> {
        let Some(role) = self.object(GROUP, "clusterroles", "", name)?.filter(|r| r["aggregationRule"].is_object()) else {
            return Ok(Next::OnChange);
        };
        let labelled = self.entries(&keys::resource_prefix(GROUP, "clusterroles"))?;
        let labelled = labelled.iter().filter(|e| mentions(&e.value, LABELS));
        let others: Vec<Value> = labelled.filter_map(|e| serde_json::from_slice(&e.value).ok()).collect();
        let rules = aggregate(&role, &others);
        if role["rules"].as_array().map_or(&[][..], Vec::as_slice) == rules {
            return Ok(Next::OnChange);
        }
        let patch = json!({"metadata": {"resourceVersion": role["metadata"]["resourceVersion"]}, "rules": rules});
        let table = self.server.inner.registry.snapshot();
        let Some(resource) = table.get(GROUP, "v1", "clusterroles") else { return Ok(Next::OnChange) };
        let answer = api::of(&self.client, resource, "").patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        Ok(if api::outcome(answer.map(|_| ()))? == Outcome::Changed { AGAIN_SOON } else { Next::OnChange })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_from_the_roles_that_match_in_order_of_name() {
        let role = |name: &str, label: &str, resource: &str| json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": [{"verbs": ["get"], "resources": [resource]}]});
        let mut view = role("view", "to-edit", "own");
        view["aggregationRule"] =
            json!({"clusterRoleSelectors": [{"matchLabels": {"to-view": "true"}}, {"matchLabels": {"extra": "true"}}]});
        let others = [
            role("b", "to-view", "pods"),
            role("a", "to-view", "services"),
            role("c", "extra", "pods"),
            role("d", "no", "x"),
            view.clone(),
        ];
        let resources: Vec<Value> = aggregate(&view, &others).iter().map(|r| r["resources"][0].clone()).collect();
        assert_eq!(resources, ["services", "pods"]);
    }
}

//! One rule of a role: what it matches, and whether rules cover others.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::admission::Ask;

const ALL: &str = "*";

/// A `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(deserialize_with = "nullable")]
    pub verbs: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

fn nullable<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Rule {
    pub fn allows(&self, ask: &Ask) -> bool {
        if !has(&self.verbs, &ask.verb) {
            return false;
        }
        if !ask.path.is_empty() {
            return self.non_resource_urls.iter().any(|pattern| path_matches(pattern, &ask.path));
        }
        has(&self.api_groups, &ask.group)
            && self.resources.iter().any(|pattern| resource_matches(pattern, &ask.resource, &ask.subresource))
            && (self.resource_names.is_empty() || self.resource_names.contains(&ask.name))
    }

    /// Splits the rule into rules of one verb, group, resource and name each.
    fn parts(&self) -> Vec<Rule> {
        let mut parts = Vec::new();
        for verb in &self.verbs {
            for group in &self.api_groups {
                for resource in &self.resources {
                    let part = Rule {
                        verbs: vec![verb.clone()],
                        api_groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        ..Rule::default()
                    };
                    if self.resource_names.is_empty() {
                        parts.push(part);
                    } else {
                        parts.extend(self.resource_names.iter().map(|n| Rule { resource_names: vec![n.clone()], ..part.clone() }));
                    }
                }
            }
            parts.extend(self.non_resource_urls.iter().map(|url| Rule {
                verbs: vec![verb.clone()],
                non_resource_urls: vec![url.clone()],
                ..Rule::default()
            }));
        }
        parts
    }

    /// Returns whether this rule allows all that a part allows.
    fn covers(&self, part: &Rule) -> bool {
        let verb_is_covered = part.verbs.iter().all(|v| has(&self.verbs, v));
        let names_are_covered = self.resource_names.is_empty()
            || !part.resource_names.is_empty() && part.resource_names.iter().all(|n| self.resource_names.contains(n));
        let resource_is_covered = part.resources.iter().all(|wanted| {
            self.resources.iter().any(|own| match wanted.split_once('/') {
                Some((_, subresource)) => own == ALL || own == wanted || own.strip_prefix("*/") == Some(subresource),
                None => own == ALL || own == wanted,
            })
        });
        let path_is_covered = part.non_resource_urls.iter().all(|url| self.non_resource_urls.iter().any(|own| path_matches(own, url)));
        verb_is_covered
            && part.api_groups.iter().all(|g| has(&self.api_groups, g))
            && resource_is_covered
            && names_are_covered
            && path_is_covered
    }
}

/// Returns the parts of `wanted` that no rule of `held` covers: what somebody would gain.
/// As kubernetes component-helpers auth/rbac/validation/policy_comparator.go.
pub fn uncovered(held: &[&Rule], wanted: &[Rule]) -> Vec<Rule> {
    wanted.iter().flat_map(Rule::parts).filter(|part| !held.iter().any(|own| own.covers(part))).collect()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|own| own == ALL || own == wanted)
}

fn resource_matches(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == ALL {
        return true;
    }
    if subresource.is_empty() {
        return pattern == resource;
    }
    match pattern.split_once('/') {
        Some((parent, sub)) => sub == subresource && (parent == ALL || parent == resource),
        None => false,
    }
}

fn path_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("ResourceNames", &self.resource_names),
            ("NonResourceURLs", &self.non_resource_urls),
            ("Verbs", &self.verbs),
        ];
        let shown: Vec<String> = lists.iter().filter(|(_, l)| !l.is_empty()).map(|(name, l)| format!("{name}:{l:?}")).collect();
        write!(f, "{{{}}}", shown.join(", "))
    }
}

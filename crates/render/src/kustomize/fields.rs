//! Where a change goes: fields by kind, Kustomize's own and those a `configurations` file adds.
//!
//! Lists merge as `types/fieldspec.go`: a known field is not added again, and one that is told otherwise about being
//! created is a conflict. They are kept in the order of kinds, so that what a later entry sees does not depend on which
//! file said it.

use serde::Deserialize;

use super::resource::Gvk;

/// Fields one configuration file may name; Kustomize's own are about 300.
const FIELDS_MAX: usize = 2_000;

/// A field of the objects of some kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct FieldSpec {
    /// Empty for any, as version and kind.
    pub group: String,
    pub version: String,
    pub kind: String,
    /// Names with `/` between them; lists are gone through, `[]` says that one is expected.
    pub path: String,
    /// Makes the field where it is missing.
    pub create: bool,
}

impl FieldSpec {
    pub fn anywhere(path: &str, create: bool) -> Self {
        Self { path: path.to_owned(), create, ..Self::default() }
    }

    /// Returns whether objects of this kind are meant.
    pub fn selects(&self, gvk: &Gvk) -> bool {
        selects(&self.group, &self.version, &self.kind, gvk)
    }

    fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }
}

pub(crate) fn selects(group: &str, version: &str, kind: &str, gvk: &Gvk) -> bool {
    (kind.is_empty() || kind == gvk.kind) && (group.is_empty() || group == gvk.group) && (version.is_empty() || version == gvk.version)
}

/// The fields that hold names of objects of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct NameReference {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub field_specs: Vec<FieldSpec>,
}

impl NameReference {
    fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }
}

/// All fields that changes go to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct FieldConfig {
    pub name_prefix: Vec<FieldSpec>,
    pub name_suffix: Vec<FieldSpec>,
    pub namespace: Vec<FieldSpec>,
    pub common_labels: Vec<FieldSpec>,
    pub labels: Vec<FieldSpec>,
    pub template_labels: Vec<FieldSpec>,
    pub common_annotations: Vec<FieldSpec>,
    pub name_reference: Vec<NameReference>,
    pub var_reference: Vec<FieldSpec>,
    pub images: Vec<FieldSpec>,
    pub replicas: Vec<FieldSpec>,
}

impl FieldConfig {
    /// Adds what another configuration has.
    pub fn merge(&mut self, other: &Self) -> Result<(), String> {
        let lists = [
            ("namePrefix", &mut self.name_prefix, &other.name_prefix),
            ("nameSuffix", &mut self.name_suffix, &other.name_suffix),
            ("namespace", &mut self.namespace, &other.namespace),
            ("commonLabels", &mut self.common_labels, &other.common_labels),
            ("labels", &mut self.labels, &other.labels),
            ("templateLabels", &mut self.template_labels, &other.template_labels),
            ("commonAnnotations", &mut self.common_annotations, &other.common_annotations),
            ("varReference", &mut self.var_reference, &other.var_reference),
            ("images", &mut self.images, &other.images),
            ("replicas", &mut self.replicas, &other.replicas),
        ];
        for (name, known, added) in lists {
            merge_all(known, added).map_err(|what| format!("{name}: {what}"))?;
            known.sort_by_key(|spec| order(&spec.gvk()));
        }
        for added in &other.name_reference {
            match self.name_reference.iter_mut().find(|known| known.gvk() == added.gvk()) {
                Some(known) => merge_all(&mut known.field_specs, &added.field_specs).map_err(|what| format!("nameReference: {what}"))?,
                None => self.name_reference.push(added.clone()),
            }
        }
        self.name_reference.sort_by_key(|reference| order(&reference.gvk()));
        Ok(())
    }

    /// Refuses more fields than anybody needs: merging compares each with each.
    pub fn check(&self) -> Result<(), String> {
        let lists = [
            &self.name_prefix,
            &self.name_suffix,
            &self.namespace,
            &self.common_labels,
            &self.labels,
            &self.template_labels,
            &self.common_annotations,
            &self.var_reference,
            &self.images,
            &self.replicas,
        ];
        let names = self.name_reference.iter().map(|reference| reference.field_specs.len() + 1);
        let count = lists.iter().map(|list| list.len()).sum::<usize>() + names.sum::<usize>();
        if count > FIELDS_MAX { Err(format!("it names {count} fields, at most {FIELDS_MAX} are read")) } else { Ok(()) }
    }
}

/// Adds fields to a list that does not have them.
pub(crate) fn merge_all(known: &mut Vec<FieldSpec>, added: &[FieldSpec]) -> Result<(), String> {
    for spec in added {
        match known.iter().find(|other| spec.selects(&other.gvk()) && other.path == spec.path) {
            Some(other) if other.create != spec.create => {
                return Err(format!("{} is already there with another value of create", spec.path));
            }
            Some(_) => {}
            None => known.push(spec.clone()),
        }
    }
    Ok(())
}

/// Kinds that stand first or last wherever kinds are ordered; also the legacy order of the output.
pub(crate) const FIRST: &[&str] = &[
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
pub(crate) const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

fn order(gvk: &Gvk) -> (i64, String) {
    (rank(&gvk.kind, FIRST, LAST), sort_text(gvk))
}

/// Returns a kind's place among those that have one: below 0 first, above 0 last.
pub(crate) fn rank<S: AsRef<str>>(kind: &str, first: &[S], last: &[S]) -> i64 {
    let index = |list: &[S]| list.iter().rposition(|name| name.as_ref() == kind).map(|at| at as i64);
    match (index(last), index(first)) {
        (Some(at), _) => at + 1,
        (None, Some(at)) => at - first.len() as i64,
        (None, None) => 0,
    }
}

/// Returns the text kinds without a place are ordered by.
pub(crate) fn sort_text(gvk: &Gvk) -> String {
    let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    format!("{}_{}_{}", or(&gvk.group, "~G"), or(&gvk.version, "~V"), or(&gvk.kind, "~K"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_added_once_and_conflicts_are_named() {
        let spec = |kind: &str, create: bool| FieldSpec { kind: kind.into(), path: "spec/x".into(), create, ..FieldSpec::default() };
        let mut known = vec![spec("A", true)];
        merge_all(&mut known, &[spec("A", true), spec("B", false)]).unwrap();
        assert_eq!(known.len(), 2);
        // What is meant for any kind is covered by nothing narrower ... but counts as known where one is.
        merge_all(&mut known, &[spec("", true)]).unwrap();
        assert_eq!(known.len(), 2);
        assert!(merge_all(&mut known, &[spec("B", true)]).unwrap_err().contains("spec/x"));
    }

    #[test]
    fn kinds_have_their_places() {
        assert!(rank("Namespace", FIRST, LAST) < rank("Secret", FIRST, LAST));
        assert!(rank("Secret", FIRST, LAST) < rank("Anything", FIRST, LAST));
        assert!(rank("Anything", FIRST, LAST) < rank("ValidatingWebhookConfiguration", FIRST, LAST));
    }
}

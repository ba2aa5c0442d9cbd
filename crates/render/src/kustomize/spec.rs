//! A kustomization file as written: its fields, checked, with a problem for each that is wrong or not supported.
//!
//! Unknown fields are refused, as Kustomize refuses them. Fields that would run something (plugins, functions, Helm)
//! are known by name and refused by name. What a field does is in the module of that name.

use std::collections::BTreeMap;

use apimachinery::yaml::{self, DuplicateKeys};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fields::FieldSpec;
use crate::Problem;

/// What a kustomization asks for, in the order Kustomize does it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kustomization {
    pub is_component: bool,
    /// With what each came from: `resources` or the older `bases`.
    pub resources: Vec<(String, String)>,
    pub configurations: Vec<String>,
    pub crds: Vec<String>,
    pub generator_options: GeneratorOptions,
    pub config_map_generator: Vec<Generator>,
    pub secret_generator: Vec<Generator>,
    pub components: Vec<String>,
    pub patches_strategic_merge: Vec<String>,
    pub patches: Vec<Patch>,
    pub namespace: String,
    pub name_prefix: String,
    pub name_suffix: String,
    pub labels: Vec<Label>,
    pub common_labels: BTreeMap<String, String>,
    pub common_annotations: BTreeMap<String, String>,
    pub patches_json6902: Vec<Patch>,
    pub replicas: Vec<Replica>,
    pub images: Vec<Image>,
    pub replacements: Vec<Replacement>,
    pub vars: Vec<Var>,
    pub sort_options: Option<SortOptions>,
    pub build_metadata: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct GeneratorOptions {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub disable_name_suffix_hash: bool,
    pub immutable: bool,
}

/// An entry of `configMapGenerator` or `secretGenerator`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Generator {
    pub name: String,
    pub namespace: String,
    pub behavior: String,
    pub literals: Vec<String>,
    pub files: Vec<String>,
    pub envs: Vec<String>,
    pub env: String,
    /// Of a Secret only.
    pub r#type: String,
    pub options: GeneratorOptions,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Patch {
    pub path: String,
    pub patch: String,
    pub target: Option<Selector>,
    pub options: PatchOptions,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct PatchOptions {
    pub allow_name_change: bool,
    pub allow_kind_change: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Selector {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub label_selector: String,
    pub annotation_selector: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Label {
    pub pairs: BTreeMap<String, String>,
    pub include_selectors: bool,
    pub include_templates: bool,
    pub fields: Vec<FieldSpec>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Replica {
    pub name: String,
    pub count: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Image {
    pub name: String,
    pub new_name: String,
    pub new_tag: String,
    pub tag_suffix: String,
    pub digest: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Replacement {
    /// A file that holds the replacement, or a list of them.
    pub path: String,
    pub source: Option<ReplacementSource>,
    pub source_value: Option<String>,
    pub targets: Vec<ReplacementTarget>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ReplacementSource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub field_path: String,
    pub options: Option<FieldOptions>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ReplacementTarget {
    pub select: Option<Selector>,
    pub reject: Vec<Selector>,
    pub field_paths: Vec<String>,
    pub options: Option<FieldOptions>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct FieldOptions {
    pub delimiter: String,
    pub index: i64,
    pub encoding: String,
    pub create: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Var {
    pub name: String,
    pub objref: ObjectReference,
    pub fieldref: FieldReference,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ObjectReference {
    pub api_version: String,
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct FieldReference {
    #[serde(alias = "fieldpath")]
    pub field_path: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct SortOptions {
    pub order: String,
    pub legacy_sort_options: Option<LegacySortOptions>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct LegacySortOptions {
    pub order_first: Vec<String>,
    pub order_last: Vec<String>,
}

/// Fields that run something or fetch something, and what to do instead.
const NOT_SUPPORTED: &[(&str, &str)] = &[
    ("generators", "generator plugins are not run; commit what they generate"),
    ("transformers", "transformer plugins are not run; use the fields of the kustomization instead"),
    ("validators", "validator plugins are not run; run them before the commit"),
    ("helmCharts", "charts are not inflated; commit what `helm template` writes, or make it an Application of its own"),
    ("helmChartInflationGenerator", "charts are not inflated; commit what `helm template` writes"),
    ("helmGlobals", "charts are not inflated; commit what `helm template` writes"),
    ("openapi", "schemas of one's own are not read; merge keys come from the built-in kinds"),
];

/// Reads a kustomization file.
pub(crate) fn parse(file: &str, text: &str) -> Result<Kustomization, Vec<Problem>> {
    let value = yaml::from_str(text, DuplicateKeys::LastWins)
        .map_err(|error| vec![Problem::file(file, error.line().unwrap_or(0), format!("it is not YAML: {}", error.what()))])?;
    let value = match value {
        Value::Object(fields) => Value::Object(fields),
        Value::Null => return Err(vec![Problem::file(file, 0, "the kustomization is empty; name its resources")]),
        _ => return Err(vec![Problem::file(file, 0, "a kustomization must be a mapping")]),
    };
    from_value(file, value)
}

/// Reads a kustomization's fields.
fn from_value(file: &str, value: Value) -> Result<Kustomization, Vec<Problem>> {
    let mut read = Reader { file, problems: Vec::new(), has_content: false };
    let mut found = Kustomization::default();
    let (mut kind, mut api_version) = (String::new(), String::new());
    let (mut bases, mut image_tags): (Vec<String>, Vec<Image>) = Default::default();
    let Value::Object(fields) = without_nulls(value) else { unreachable!("the caller looked") };
    for (field, value) in fields {
        read.has_content |= !matches!(field.as_str(), "kind" | "apiVersion") && !is_empty(&value);
        match field.as_str() {
            "kind" => kind = read.one(&field, value),
            "apiVersion" => api_version = read.one(&field, value),
            "metadata" => {}
            "resources" => found.resources = read.list::<String>(&field, value).into_iter().map(|path| (field.clone(), path)).collect(),
            "bases" => bases = read.list(&field, value),
            "components" => found.components = read.list(&field, value),
            "configurations" => found.configurations = read.list(&field, value),
            "crds" => found.crds = read.list(&field, value),
            "generatorOptions" => found.generator_options = read.one(&field, value),
            "configMapGenerator" => found.config_map_generator = read.list(&field, value),
            "secretGenerator" => found.secret_generator = read.list(&field, value),
            "patchesStrategicMerge" => found.patches_strategic_merge = read.list(&field, value),
            "patches" => found.patches = read.list(&field, value),
            "patchesJson6902" => found.patches_json6902 = read.list(&field, value),
            "namespace" => found.namespace = read.one(&field, value),
            "namePrefix" => found.name_prefix = read.one(&field, value),
            "nameSuffix" => found.name_suffix = read.one(&field, value),
            "labels" => found.labels = read.list(&field, value),
            "commonLabels" => found.common_labels = read.one(&field, value),
            "commonAnnotations" => found.common_annotations = read.one(&field, value),
            "replicas" => found.replicas = read.list(&field, value),
            "images" => found.images = read.list(&field, value),
            "imageTags" => image_tags = read.list(&field, value),
            "replacements" => found.replacements = read.list(&field, value),
            "vars" => found.vars = read.list(&field, value),
            "sortOptions" => found.sort_options = Some(read.one(&field, value)),
            "buildMetadata" => found.build_metadata = read.list(&field, value),
            unknown => read.unknown(unknown, &value),
        }
    }
    found.resources.extend(bases.into_iter().map(|path| ("bases".to_owned(), path)));
    found.images.extend(image_tags);
    found.is_component = kind == "Component";
    read.identity(&kind, &api_version);
    if found.config_map_generator.iter().any(|generator| !generator.r#type.is_empty()) {
        read.problem("configMapGenerator", "type is a field of secretGenerator only");
    }
    if read.problems.is_empty() { Ok(found) } else { Err(read.problems) }
}

struct Reader<'a> {
    file: &'a str,
    problems: Vec<Problem>,
    has_content: bool,
}

impl Reader<'_> {
    fn problem(&mut self, field: &str, what: impl std::fmt::Display) {
        self.problems.push(Problem::file(self.file, 0, format!("{field}: {what}")));
    }

    fn one<T: DeserializeOwned + Default>(&mut self, field: &str, value: Value) -> T {
        serde_json::from_value(value).unwrap_or_else(|error| {
            self.problem(field, error);
            T::default()
        })
    }

    fn list<T: DeserializeOwned>(&mut self, field: &str, value: Value) -> Vec<T> {
        let Value::Array(items) = value else {
            self.problem(field, "it must be a list");
            return Vec::new();
        };
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match serde_json::from_value(item) {
                Ok(item) => found.push(item),
                // The error would show the value, which may be a password.
                Err(_) if field == "secretGenerator" => self
                    .problem(&format!("{field}[{index}]"), "it must have name and, as lists of texts, literals (key=value), files or envs"),
                Err(error) => self.problem(&format!("{field}[{index}]"), error),
            }
        }
        found
    }

    fn unknown(&mut self, field: &str, value: &Value) {
        match NOT_SUPPORTED.iter().find(|(name, _)| *name == field) {
            Some(_) if is_empty(value) => {}
            Some((_, why)) => self.problem(field, format!("not supported: {why}")),
            None => self.problem(field, "unknown field; check its spelling"),
        }
    }

    fn identity(&mut self, kind: &str, api_version: &str) {
        let expected = match kind {
            "" | "Kustomization" => "kustomize.config.k8s.io/v1beta1",
            "Component" => "kustomize.config.k8s.io/v1alpha1",
            _ => return self.problem("kind", "it must be Kustomization or Component"),
        };
        if !api_version.is_empty() && api_version != expected {
            self.problem("apiVersion", format!("it must be {expected}"));
        }
        if !self.has_content && self.problems.is_empty() {
            self.problems.push(Problem::file(self.file, 0, "the kustomization is empty; name its resources"));
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Go reads a null field as one that is not there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

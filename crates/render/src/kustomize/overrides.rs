//! What an Application's `spec.source.kustomize` changes in the kustomization.
//!
//! As Argo CD's `util/kustomize`: the outermost kustomization is edited before it is built. Fields it has already are
//! replaced, or refused where Argo CD would refuse them.

use std::collections::BTreeMap;

use api::argo::SourceKustomize;

use super::load::NAMES;
use super::path;
use super::spec::{Image, Kustomization, Label, Patch, Replica};
use crate::{Files, Problem, Source};

const FIELD: &str = "spec.source.kustomize";

/// Edits the kustomization of `dir`.
pub(crate) fn apply(spec: &mut Kustomization, source: &Source, dir: &str, files: &Files) -> Result<(), Vec<Problem>> {
    let Some(kustomize) = &source.kustomize else { return Ok(()) };
    edit(spec, kustomize, dir, files).map_err(|(field, what)| vec![Problem::source(format!("{FIELD}.{field}: {what}"))])
}

type Fault = (String, String);

fn edit(spec: &mut Kustomization, kustomize: &SourceKustomize, dir: &str, files: &Files) -> Result<(), Fault> {
    let fault = |field: &str, what: &str| Err((field.to_owned(), what.to_owned()));
    if !kustomize.version.is_empty() {
        return fault("version", "not supported: there is one built-in Kustomize, 5.7");
    }
    if kustomize.common_annotations_envsubst {
        return fault("commonAnnotationsEnvsubst", "not supported; write the values");
    }
    for (text, field) in [
        (&kustomize.name_prefix, &mut spec.name_prefix),
        (&kustomize.name_suffix, &mut spec.name_suffix),
        (&kustomize.namespace, &mut spec.namespace),
    ] {
        if !text.is_empty() {
            field.clone_from(text);
        }
    }
    images(spec, &kustomize.images)?;
    replicas(spec, kustomize)?;
    labels(spec, kustomize)?;
    add("commonAnnotations", &mut spec.common_annotations, &kustomize.common_annotations, kustomize.force_common_annotations)?;
    for (index, patch) in kustomize.patches.iter().enumerate() {
        let patch: Patch = serde_json::from_value(patch.clone()).map_err(|error| (format!("patches[{index}]"), error.to_string()))?;
        spec.patches.push(patch);
    }
    components(spec, kustomize, dir, files)
}

fn images(spec: &mut Kustomization, images: &[String]) -> Result<(), Fault> {
    if images.is_empty() {
        return Ok(());
    }
    let mut by_name: BTreeMap<String, Image> = BTreeMap::new();
    for (index, text) in images.iter().enumerate() {
        let image = image(text).ok_or_else(|| (format!("images[{index}]"), format!("{text:?} must be [old=]name[:tag][@digest]")))?;
        by_name.insert(image.name.clone(), image);
    }
    for known in std::mem::take(&mut spec.images) {
        match by_name.get_mut(&known.name) {
            // A star keeps what is there.
            Some(new) => {
                for (text, old) in
                    [(&mut new.new_name, &known.new_name), (&mut new.new_tag, &known.new_tag), (&mut new.digest, &known.digest)]
                {
                    if text == "*" {
                        text.clone_from(old);
                    }
                }
            }
            None => spec.images.push(known),
        }
    }
    spec.images.extend(by_name.into_values());
    spec.images.sort_by(|a, b| a.name.cmp(&b.name));
    for image in &mut spec.images {
        for text in [&mut image.new_name, &mut image.new_tag, &mut image.digest] {
            if text == "*" {
                text.clear();
            }
        }
    }
    Ok(())
}

fn image(text: &str) -> Option<Image> {
    let (old, new) = text.split_once('=').map_or((None, text), |(old, new)| (Some(old), new));
    let (plain, digest) = new.split_once('@').unwrap_or((new, ""));
    let begin = plain.rfind('/').unwrap_or(0);
    let (name, tag) = plain[begin..].find(':').map_or((plain, ""), |at| (&plain[..begin + at], &plain[begin + at + 1..]));
    if name.is_empty() || new.contains('=') || old == Some("") || (old.is_none() && tag.is_empty() && digest.is_empty()) {
        return None;
    }
    let new_name = if old.is_some() { name } else { "" };
    Some(Image {
        name: old.unwrap_or(name).to_owned(),
        new_name: new_name.to_owned(),
        new_tag: tag.to_owned(),
        digest: digest.to_owned(),
        tag_suffix: String::new(),
    })
}

fn replicas(spec: &mut Kustomization, kustomize: &SourceKustomize) -> Result<(), Fault> {
    for (index, replica) in kustomize.replicas.iter().enumerate() {
        let field = || format!("replicas[{index}].count");
        let count = serde_json::to_value(&replica.count).ok();
        let count = count.and_then(|count| count.as_i64().or_else(|| count.as_str()?.parse().ok()));
        let count = count.filter(|count| *count >= 0).ok_or_else(|| (field(), "it must be a number".to_owned()))?;
        let new = Replica { name: replica.name.clone(), count };
        match spec.replicas.iter_mut().find(|known| known.name == new.name) {
            Some(known) => *known = new,
            None => spec.replicas.push(new),
        }
    }
    Ok(())
}

fn labels(spec: &mut Kustomization, kustomize: &SourceKustomize) -> Result<(), Fault> {
    if kustomize.common_labels.is_empty() {
        return Ok(());
    }
    if !kustomize.label_without_selector {
        if kustomize.label_include_templates {
            return Err(("labelIncludeTemplates".to_owned(), "it needs labelWithoutSelector".to_owned()));
        }
        return add("commonLabels", &mut spec.common_labels, &kustomize.common_labels, kustomize.force_common_labels);
    }
    let is_alike = |label: &&mut Label| {
        !label.include_selectors && label.include_templates == kustomize.label_include_templates && label.fields.is_empty()
    };
    let mut known = spec.labels.iter_mut().find(is_alike);
    let mut pairs = known.as_ref().map(|label| label.pairs.clone()).unwrap_or_default();
    add("commonLabels", &mut pairs, &kustomize.common_labels, kustomize.force_common_labels)?;
    match &mut known {
        Some(label) => label.pairs = pairs,
        None => spec.labels.push(Label { pairs, include_templates: kustomize.label_include_templates, ..Label::default() }),
    }
    Ok(())
}

fn add(field: &str, known: &mut BTreeMap<String, String>, added: &BTreeMap<String, String>, is_forced: bool) -> Result<(), Fault> {
    if let Some(key) = added.keys().find(|key| known.contains_key(*key) && !is_forced) {
        let force = if field == "commonLabels" { "forceCommonLabels" } else { "forceCommonAnnotations" };
        return Err((field.to_owned(), format!("{key:?} is in the kustomization already; set {force} to replace it")));
    }
    known.extend(added.clone());
    Ok(())
}

fn components(spec: &mut Kustomization, kustomize: &SourceKustomize, dir: &str, files: &Files) -> Result<(), Fault> {
    for (index, component) in kustomize.components.iter().enumerate() {
        let fault = |what: String| (format!("components[{index}]"), what);
        let found = path::join(dir, component).map_err(fault)?;
        if NAMES.iter().any(|name| files.contains_key(&path::child(&found, name))) {
            if !spec.components.contains(component) {
                spec.components.push(component.clone());
            }
        } else if !path::is_within(dir, &found) {
            // What lies beside the path is delivered only if the repository refers to it.
            return Err(fault(format!(
                "{found} is outside of {dir:?} and no kustomization there refers to it; name it in kustomization.yaml"
            )));
        } else if !kustomize.ignore_missing_components {
            return Err(fault(format!("{found} is no directory with a kustomization; set ignoreMissingComponents to leave it out")));
        }
    }
    Ok(())
}
